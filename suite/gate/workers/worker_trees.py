"""The tree under test: how it comes first in imports, and what of it is judged, tests it, or is read beside that.

A part of the worker, which is run by path with somebody's Python 3.9 or later.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.machinery
import importlib.metadata
import inspect
import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

    Opened = Mapping[str, tuple[str, Set[str | None]]]

TEST_FOLDER = re.compile(r"_?(tests?|testing|bench(es|marks?|marking)?|perf(ormance)?)", re.IGNORECASE)
ASIDE = ("ci", "docs", "examples", "helpers", "scripts", "tools", "utils")
"""Packages at the top of a tree that are none of its distribution, like those for tests."""
CODE = (".py", *importlib.machinery.EXTENSION_SUFFIXES)
SETTINGS = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")
"""Files of which pytest itself reads its own part, which is compared as it understood it."""
METADATA = (".dist-info", ".egg-info")
FOLDER = Path(__file__).parent
DEEPEST_ROOT = 2
UNLISTED = ("node_modules", "build", "dist", "docs", "examples")
HARMLESS = ("cache_dir", "doctest", "filterwarnings", "log_", "markers", "minversion", "required_plugins", "testpaths")
"""Settings of pytest, by how they begin, that choose or describe tests, or that the worker sets itself."""


class Trees:
    """The tree under test, and which of the modules here came from it."""

    def __init__(self, tree: str, folder: str, checkout: str) -> None:
        """`folder`: where pytest runs, within the tree. `checkout`: the user's own files, of which none may be run."""
        self.top, self._checkout = real(tree), real(checkout)
        self._folder = real(Path(tree, folder))
        self._roots = [path for top in (self._folder, self.top) for path in (top, str(Path(top, "src")))]
        self.test_files: set[str] = set()
        """Files of tests, which are no code to judge."""
        self._code: set[str] = set()
        self._places: set[str] = set()
        """Folders of judged packages, and files of judged modules."""

    def come_first(self, given: Sequence[str]) -> None:
        """Put the tree's folders first in sys.path and in PYTHONPATH for child processes. `given`: PYTHONPATH's
        folders. Folders of the user's checkout, also of editable installs, are replaced by the tree's."""
        here = real(FOLDER)
        paths = [*given, *(path for path in sys.path if real(path or ".") != here)]
        editable = [  # folders that setuptools' finders of editable installs know
            str(Path(path).parent)
            for name, module in list(sys.modules.items())
            if name.startswith("__editable__")
            for path in getattr(module, "MAPPING", {}).values()
        ]
        in_tree = map(self._in_tree, [*paths, *editable])
        roots = list(dict.fromkeys([*self._roots, *filter(None, in_tree)]))
        self._roots = [root for root in roots if Path(root).is_dir()]
        os.environ["PYTHONPATH"] = os.pathsep.join([*self._roots, *given])
        sys.path[:] = [*self._roots, *(path for path in paths if path not in self._roots)]
        # Before the finders of editable installs, of which some come first and know the user's checkout alone.
        first: list[Any] = [
            importlib.machinery.BuiltinImporter,
            importlib.machinery.FrozenImporter,
            importlib.machinery.PathFinder,
        ]
        sys.meta_path[:] = [*first, *(finder for finder in sys.meta_path if finder not in first)]

    def holds(self, path: str) -> bool:
        """Whether a path lies in the tree, links resolved."""
        return is_in(real(path), self.top)

    def relative(self, path: str) -> str:
        """A path relative to the tree, with forward slashes."""
        return os.path.relpath(real(path), self.top).replace(os.sep, "/")

    def code(
        self, first: Set[tuple[str, str]], later: Set[tuple[str, str]], opened: Opened
    ) -> dict[str, dict[str, str]]:
        """Judged modules with files: `ran` in a later call, `imported`, `elsewhere` with reasons, and functions run
        `once`. A package counts as one module. `first`, `later`: (module, function) pairs that ran in the first call
        and in a later one. `opened`: files, as a FileWatch has them. Stores the judged files for `beside`."""
        files = {name: real(file) for name, file in _loaded_files()}
        here = {name: file for name, file in files.items() if is_in(file, self.top) and not self._is_test(file)}
        tops = {name: file for name, file in here.items() if not any(parent in here for parent in _parents(name))}
        self._places = {_place(tops[name]) for name in self._judged_modules(tops)}
        self._code, count = {file for file in here.values() if self._is_judged(file, set())}, 0
        while count < len(self._code):
            count = len(self._code)
            self._code |= {path for path, (_, openers) in opened.items() if self._is_judged(path, openers)}
        judged = {name for name, file in here.items() if file in self._code}
        shallow = {name for name in judged if not any(parent in judged for parent in _parents(name))}
        running = {name for name, _ in later} & judged
        ran_here = {top for name in running for top in shallow if name == top or name.startswith(top + ".")}
        return {
            "ran": {name: self.relative(files[name]) for name in sorted(ran_here)},
            "imported": {name: self.relative(files[name]) for name in sorted(shallow)},
            "elsewhere": self._elsewhere(files, shallow, is_run=bool(ran_here)),
            "once": {
                f"{name}.{function}": self.relative(files[name])
                for name, function in sorted(first - later)
                if name in judged and function != "<module>"
            },
        }

    def beside(self, opened: Opened, plugins: Set[str]) -> dict[str, str]:
        """Digests by path of the opened files that are neither judged code nor tests. To be called after `code`.
        Settings and packages' metadata that only judged code opened are left out. `plugins`: files of pytest's plugins,
        which are never judged, even where they lie among judged code."""
        digests = {}
        for path, (digest, openers) in opened.items():
            is_metadata = Path(path).parent.suffix in METADATA and Path(path).name != "entry_points.txt"
            is_own = openers <= {None, *self._code} and (is_metadata or Path(path).name in SETTINGS)
            is_listed = path in plugins or path not in self._code
            if is_listed and not is_own and path not in self.test_files:
                digests[self.relative(path)] = digest
        return digests

    def _judged_modules(self, tops: Mapping[str, str]) -> Set[str]:
        """The names of `tops`, modules with files, that are judged: those below src/; else packages and other roots. If
        there are none, all that are not tests or tools; if there are none either, all."""
        roots = {name: str(Path(_place(file)).parent) for name, file in tops.items()}
        rooted = {name for name in tops if roots[name] in self._roots and roots[name] not in (self.top, self._folder)}
        words = {name: re.split(r"[._]", name) for name in tops}
        plain = {name for name in tops if name not in ASIDE and not any(map(TEST_FOLDER.fullmatch, words[name]))}
        packages = {name for name in plain if _place(tops[name]) != tops[name]}
        in_src = any(Path(roots[name]).name == "src" for name in rooted)
        return rooted if in_src else (rooted | packages) or plain or set(tops)

    def _is_judged(self, path: str, openers: Set[str | None]) -> bool:
        """Whether a file is judged: code within a judged package or opened by judged code, or its data read only by it.
        Never a test. `openers`: the files whose code opened it."""
        if self._is_test(path):
            return False
        is_within = any(is_in(path, place) for place in self._places)
        if path.endswith(CODE):
            return is_within or not self._code.isdisjoint(openers)
        return is_within and openers <= self._code

    def _elsewhere(self, files: Mapping[str, str], shallow: set[str], *, is_run: bool) -> dict[str, str]:
        """Modules that should be the tree's but were imported from elsewhere, each with the reason. `files`: of all
        loaded modules. `shallow`: judged modules. `is_run`: whether code of the tree ran in the call."""
        reasons: dict[str, str] = {}
        installed = _installed_files(shallow)
        outside = {name: file for name, file in files.items() if not is_in(file, self.top)}
        for name, file in outside.items():
            if is_in(file, self._checkout) and not _is_in_environment(file):
                reasons[name] = "was imported from the checkout"
            elif file in installed or any(parent in shallow for parent in _parents(name)):
                reasons[name] = "was imported from the installed copy"
        for name in sorted(shallow):
            reasons.update(
                dict.fromkeys(self._compiled_only(name), "is compiled and exists only in the installed copy")
            )
        if not is_run:
            aside = _packages_aside(Path(self.top))
            for name in sorted({name.partition(".")[0] for name in outside} & aside.keys()):
                reasons[name] = f"lies in {aside[name]}/, but the installed copy was imported"
        return reasons

    def _compiled_only(self, package: str) -> Iterator[str]:
        """Yield the names of compiled modules that a package's installed copy has and the tree's copy lacks."""
        place = package.replace(".", os.sep)
        copies = [Path(folder, place) for folder in sys.path if not self.holds(folder or ".")]
        in_tree = [Path(root, place) for root in self._roots]
        for copy in copies:
            for path in copy.rglob("*") if copy.is_dir() else ():
                suffix = next((end for end in importlib.machinery.EXTENSION_SUFFIXES if path.name.endswith(end)), None)
                relative = path.relative_to(copy)
                if suffix is not None and not any((folder / relative).exists() for folder in in_tree):
                    yield ".".join([package, *relative.parent.parts, path.name[: -len(suffix)]])

    def _in_tree(self, path: str) -> str | None:
        """The tree's path for a path in the user's checkout; None for one outside it, or in a virtual environment."""
        resolved = real(path)
        if not is_in(resolved, self._checkout) or _is_in_environment(resolved):
            return None
        return os.path.normpath(os.path.join(self.top, os.path.relpath(resolved, self._checkout)))  # noqa: PTH118

    def _is_test(self, file: str) -> bool:
        """Whether a file is a test or a conftest.py, or lies in their folder if that is only for tests."""
        if file in self.test_files:
            return True
        for folder in {str(Path(path).parent) for path in self.test_files} - set(self._roots):
            parts = Path(folder).relative_to(self.top).parts
            is_for_tests = any(map(TEST_FOLDER.fullmatch, parts)) or not Path(folder, "__init__.py").exists()
            if is_for_tests and is_in(file, folder):
                return True
        return False


class FileWatch:
    """Notes the files of a tree that this process opens, imports or names to a child process, from now on.

    By Python's audit events: a library that opens a file in C is not seen.
    """

    def __init__(self, tree: str) -> None:
        self._tree, self._own = real(tree), threading.local()
        self.opened: dict[str, tuple[str, set[str | None]]] = {}
        """By path: the digest of what the run did not write itself, "" for nothing, and the files whose code opened it,
        None where that was the worker or pytest by itself."""
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's audit hook: note the files of the tree that an event names."""
        places = {"open": 0, "import": 1, "sqlite3.connect": 0, "ctypes.dlopen": 0, "subprocess.Popen": 1}
        if event not in places or getattr(self._own, "is_busy", False):  # by the files that are opened below
            return
        self._own.is_busy = True
        try:
            named = arguments[places[event]]
            if event == "subprocess.Popen":
                words = named if isinstance(named, (list, tuple)) else [named]
                paths = [Path(arguments[2] or ".", word) for word in " ".join(map(os.fsdecode, words)).split()]
                for path in paths:
                    self._note(path, 0) if path.is_file() else None
            else:
                self._note(named, arguments[2] if event == "open" else 0)
        except (OSError, TypeError, ValueError):
            pass  # no path but the number of an open file, or one that the system will refuse too
        finally:
            self._own.is_busy = False

    def _note(self, named: Any, flags: int) -> None:
        """Note a file of the tree as it is before it is opened with `flags`, and the file whose code opens it."""
        path = Path(real(os.fsdecode(named)))
        if not is_in(str(path), self._tree) or not {".git", "__pycache__"}.isdisjoint(path.parts):
            return
        is_made = flags & os.O_TRUNC or (flags & os.O_CREAT and not path.exists())
        if str(path) not in self.opened:
            self.opened[str(path)] = ("" if is_made or not path.is_file() else digest(path.read_bytes()), set())
        frame: Any = sys._getframe(2)
        opener = None
        while frame is not None and opener is None and not is_in(real(frame.f_code.co_filename), real(FOLDER)):
            file, frame = real(frame.f_code.co_filename), frame.f_back
            opener = file if is_in(file, self._tree) else None
        self.opened[str(path)][1].add(opener)


@contextlib.contextmanager
def profiled(seen: set[tuple[str, str]]) -> Iterator[None]:
    """Within the block, add (module, function) of everything that Python's profiler sees running to `seen`."""

    def see(frame: Any, event: str, argument: Any) -> None:
        """The profile function: note the frame's function, and of a call into C also what is called."""
        seen.add((frame.f_globals.get("__name__", ""), frame.f_code.co_name))
        if event == "c_call":
            owner = getattr(argument, "__self__", None)
            modules = (argument.__module__, getattr(type(owner), "__module__", ""))
            seen.update((str(module), argument.__name__) for module in modules)

    previous = sys.getprofile()
    threading.setprofile(see)
    sys.setprofile(see)
    try:
        yield
    finally:
        sys.setprofile(previous)
        threading.setprofile(None)


def benchmark_parts(item: Any, tests: Set[str], conftests: Set[str], tree: str) -> dict[str, str]:
    """Digests of what defines a benchmark: its test, fixtures and pytest settings, and the files of tests around it.
    `tests`: all ids; `conftests`: loaded files. Of a file, only statements count that act on import or as a hook, or
    that the test and its fixtures use, so that another benchmark can be added beside it."""
    config = vars(item.config)
    settings = config["_inicfg"] if "_inicfg" in config else config["inicfg"]
    counted = [name for name in settings if not name.startswith(HARMLESS)]
    parts = {f"setting {name}": str(getattr(settings[name], "value", settings[name])) for name in counted}
    parts["test"] = _source_digest(getattr(item, "function", None) or getattr(item, "obj", None))
    file, (node, _, test) = real(item.path), item.nodeid.partition("::")
    # By file, the names from which its statements are followed; of a conftest.py those that act by themselves.
    used: dict[str, set[str]] = {path: set() for path in conftests if is_in(file, str(Path(path).parent))}
    used[file] = {test.partition("::")[0].partition("[")[0]}
    info = getattr(item, "_fixtureinfo", None)
    for name, definitions in (info.name2fixturedefs if info else {}).items():
        function = inspect.unwrap(definitions[-1].func)
        path = real(getattr(getattr(function, "__code__", None), "co_filename", ""))
        if is_in(path, tree) and Path(path).is_file():
            parts[f"fixture {name}"] = _source_digest(function)
            used.setdefault(path, set()).add(function.__name__)
    plain = {id.partition("[")[0] for id in tests}
    other_tests = {id.partition("::")[2] for id in plain if id.startswith(f"{node}::")} - {test.partition("[")[0]}
    for path, names in used.items():
        parts[os.path.relpath(path, tree)] = _used_digest(Path(path), names, other_tests)
    return parts


def _used_digest(path: Path, starts: Set[str], other_tests: Set[str]) -> str:
    """A digest of a file's statements that act by themselves and those that the names in `starts` lead to. `starts`
    themselves are left out, since they have digests. `other_tests`: tests to leave out of its classes."""
    content = path.read_bytes()
    try:
        body = [part for part in ast.parse(content).body if not _is_text(part)]
    except (SyntaxError, ValueError):  # written for another reader than Python
        return digest(content)
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            prefix = f"{statement.name}::"
            statement.body = [part for part in statement.body if prefix + getattr(part, "name", "") not in other_tests]
    names, used, count = set(starts), [statement for statement in body if not _defined(statement)], -1
    while count < len(used):
        count = len(used)
        names |= {node.id for statement in used for node in ast.walk(statement) if isinstance(node, ast.Name)}
        used = [statement for statement in body if statement in used or names & _defined(statement)]
    counted = [part for part in used if isinstance(part, ast.ClassDef) or not starts & _defined(part)]
    return digest("".join(map(ast.dump, counted)).encode())


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a statement defines; none if it may affect a test that does not name it, as a hook may."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names} - {"*"}
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        decorators = map(ast.dump, statement.decorator_list)
        is_plain = all("'fixture'" in decorator or "'mark'" in decorator for decorator in decorators)
        return {statement.name} if is_plain and not statement.name.startswith("pytest_") else set()
    if not isinstance(statement, ast.Assign) or any(isinstance(node, ast.Call) for node in ast.walk(statement)):
        return set()
    names = {node.id for node in statement.targets if isinstance(node, ast.Name) and not node.id.startswith("pytest")}
    return names if len(names) == len(statement.targets) else set()


def _source_digest(function: Any) -> str:
    """A digest of a function's source, or of its bytecode if it has none; empty if it has neither."""
    try:
        return digest(inspect.getsource(inspect.unwrap(function)).encode())
    except (OSError, TypeError, ValueError):  # made at run time
        code = getattr(function, "__code__", None)
        return digest(code.co_code + repr(code.co_names).encode()) if code else ""


def digest(content: bytes) -> str:
    """The first 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def _loaded_files() -> Iterator[tuple[str, str]]:
    """Yield the name and file of each loaded module, but for the worker's own."""
    for name, module in list(sys.modules.items()):
        with contextlib.suppress(Exception):  # a module may be any object, with any attributes
            file: Any = module.__file__
            is_worker = real(os.path.dirname(file)) == real(FOLDER)  # noqa: PTH120
            if isinstance(file, str) and os.path.isabs(file) and not is_worker:  # noqa: PTH117
                yield name, file


def _installed_files(names: set[str]) -> set[str]:
    """All files of the installed distributions that have one of these names or contain such a module."""
    plain = {normalised(name) for name in names}
    files: set[str] = set()
    for distribution in importlib.metadata.distributions():
        with contextlib.suppress(Exception):  # somebody's damaged metadata
            tops = set((distribution.read_text("top_level.txt") or "").split())
            if normalised(distribution.metadata["Name"]) in plain or tops & names:
                files |= {real(str(distribution.locate_file(file))) for file in distribution.files or ()}
    return files


def normalised(name: str) -> str:
    """The name of a distribution as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _packages_aside(tree: Path) -> dict[str, str]:
    """Packages by name with the plain folder of the tree that holds each, as `lib`, down to DEEPEST_ROOT levels."""
    packages: dict[str, str] = {}

    def look(folder: Path, left: int) -> None:
        for path in sorted(folder.iterdir()):
            if not path.is_dir() or path.name.startswith(".") or path.name in UNLISTED:
                continue
            if (path / "__init__.py").exists():
                packages.setdefault(path.name, folder.relative_to(tree).as_posix())
            elif left:
                look(path, left - 1)

    look(tree, DEEPEST_ROOT)
    return packages


def _place(file: str) -> str:
    return str(Path(file).parent) if Path(file).name == "__init__.py" else file


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def real(path: str | Path) -> str:
    """The absolute path without links."""
    return os.path.realpath(path)


def is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it, by their texts."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_in_environment(path: str) -> bool:
    return "site-packages" in Path(path).parts or is_in(path, real(sys.prefix))
