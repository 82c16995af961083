"""Which code a case's numbers rest on: what it can reach by imports, in this package or another.

So a changed kernel re-runs the cases that call it, and a changed page none. Other distributions count by version.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from suite.machine.environment import installed_version

STATEMENT = re.compile(r"^[ \t]*+((?:import|from)\b(?:[^\n\\(]|\\\n|\([^)]*\))*)", re.MULTILINE)
"""An import that begins its line, to its end; or words that look like one."""
ELSEWHERE = re.compile(r"[;:][^\n]*\bimport\b")
"""An import behind another statement, or words that look like one."""
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
RUNS_EVERY_CASE = "suite.measure.child"


def code_named_in(settings: Any) -> set[str]:
    """Dotted names anywhere in the settings, however deep: `_target_`s, plans, shapes and whatever else names code."""
    if isinstance(settings, str):
        return {settings} if DOTTED.fullmatch(settings) else set()
    inner: Iterable[Any] = settings.values() if isinstance(settings, Mapping) else ()
    if isinstance(settings, list | tuple):
        inner = settings
    return {dotted for value in inner for dotted in code_named_in(value)}


def code_digest(settings: Mapping[str, Any]) -> str:
    """The sha256 over the source of every module that a case with these settings can reach, and the versions
    beside it."""
    roots = code_named_in(settings)
    runs = "_target_" in settings.get("workload", {})  # a projection has a plan alone
    return _digest(frozenset(roots | {RUNS_EVERY_CASE} if runs else roots))


@functools.cache
def _digest(roots: frozenset[str]) -> str:
    """The sha256 over the source of all modules that these reach by imports, and versions of other distributions."""
    hashed = {"suite", *(_top_level(root) for root in roots)}
    reached: dict[str, bytes] = {}
    versions: dict[str, str] = {}
    waiting = [module for root in roots for module in _with_parents(root)]
    while waiting:
        module = waiting.pop()
        path = _source(module) if module not in reached else None
        if path is None:
            continue
        reached[module] = path.read_bytes()
        for imported in _imports(module, path):
            if _top_level(imported) in hashed or _is_local(_top_level(imported)):
                waiting += _with_parents(imported)
            elif version := installed_version(_top_level(imported)):
                versions[_top_level(imported)] = version
    digest = hashlib.sha256()
    for name, content in sorted(reached.items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    for name, version in sorted(versions.items()):
        digest.update(f"{name}=={version}\0".encode())
    return digest.hexdigest()


def _top_level(dotted: str) -> str:
    return dotted.partition(".")[0]


def _with_parents(dotted: str) -> list[str]:
    parts = dotted.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


@functools.cache
def _source(module: str) -> Path | None:
    """The module's file, found without running anything; None for what has no Python source."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # not of a submodule, whose parents it would import
    except (ImportError, ValueError):
        return None
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return None
    if not spec.submodule_search_locations:
        path = Path(spec.origin or "")
        return path if not rest and path.suffix == ".py" else None
    for folder in spec.submodule_search_locations:
        place = Path(folder).joinpath(*rest)
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                return path
    return None


@functools.cache
def _is_local(top: str) -> bool:
    path = None if top in sys.stdlib_module_names else _source(top)
    return path is not None and not {"site-packages", "dist-packages"} & set(path.parts)


@functools.cache
def _imports(module: str, path: Path) -> tuple[str, ...]:
    """Dotted names that a module imports anywhere, `from a import b` as `a.b`. None of a file that cannot be read."""
    try:
        tree = _parsed_imports(path.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: 1 - node.level or None]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            names += (f"{base}.{alias.name}" for alias in node.names)
    return tuple(names)


def _parsed_imports(source: bytes) -> ast.Module:
    """The syntax tree of a module, or where it tells as much, of its imports alone: a tenth of the work."""
    text = source.decode("utf-8", "replace")
    statements = STATEMENT.findall(text)
    if not ELSEWHERE.search(text):
        with suppress(SyntaxError, ValueError):
            return ast.parse("\n".join(statement for statement in statements if re.search(r"\bimport\b", statement)))
    return ast.parse(source)


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements and those inside them. Nothing is imported in an expression, and most of a tree is that."""
    for node in body:
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, inner, ()))
