"""One side of a comparison of somebody's pytest-benchmark suite: pytest itself, with each benchmark sampled when asked.

Run by path with the project's own Python, 3.9 or later, as `python worker.py JSON`; so it uses the standard library,
and pytest and pytest-benchmark as they are installed there, and nothing of this suite. It is a plugin of that pytest.
In place of the loop over all tests it waits for requests; in place of pytest-benchmark's rounds, within the call that a
test makes, it takes a sample at each request. So fixtures, parameters and the test's own asserts are pytest's own.

It reads requests from its standard input, answers each with a line of JSON, and ends when that pipe closes.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.machinery
import importlib.metadata
import inspect
import json
import os
import queue
import random
import re
import resource
import signal
import sys
import threading
import traceback
from itertools import repeat
from pathlib import Path
from statistics import median

# Names of this module, so that a patch of `time` by the code under test does not reach them.
from time import perf_counter, process_time, sleep, thread_time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PROTOCOL = 1
LEAST_SAMPLE_S = 0.003
LEAST_TURN_S = 0.0005
"""Shorter calls are done several times between two readings of the clocks, which cost about a microsecond."""
MOST_TURNS = 200
LONG_CALL_S = 0.05
"""Longer calls find their data in the caches for nearly all of their time, so none is dropped before them."""
PROBES = 3
LONGEST_FAREWELL_S = 1.5
"""Time in which fixtures may end once the judge has hung up; the judge waits for two seconds."""
FIXTURES = ("benchmark", "benchmark_weave")
TEST_FOLDER = re.compile(r"_?(tests?|testing|bench(es|marks?|marking)?|perf(ormance)?)", re.IGNORECASE)
DEEPEST_ROOT = 2
UNLISTED = ("node_modules", "build", "dist", "docs", "examples")


def main(argument: str) -> None:
    asked = json.loads(argument)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST"):
        os.environ.pop(name, None)  # of a test that started the judge
    requests = _requests(os.dup(0))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # whatever the tree prints is no answer
    padding = _padding(asked["padding"])
    trees = Trees(asked["tree"], asked["folder"], asked["checkout"])
    trees.come_first(asked["path"])
    worker = Worker(trees, asked["paths"], requests, answers)
    try:
        import pytest
        import pytest_benchmark
    except ImportError as error:
        worker.answer({"error": f"{sys.executable} cannot import pytest and pytest-benchmark: {error}"})
        sys.exit(1)
    versions = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "pytest": pytest.__version__,
        "pytest_benchmark": pytest_benchmark.__version__,
    }
    worker.answer({"protocol": PROTOCOL, "versions": versions})
    _replace_rounds(worker)
    for hook in (Worker.pytest_collection_modifyitems, Worker.pytest_runtestloop):  # pytest-benchmark would skip first
        pytest.hookimpl(tryfirst=True)(hook)
    arguments = [*worker.existing(), *_arguments(asked["temporary"])]
    sys.argv = ["pytest", *arguments]
    code = pytest.main(arguments, plugins=[worker])
    del padding
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))  # what is left of the tree's threads and objects is nobody's


def _arguments(temporary: str) -> list[str]:
    """Return options that keep pytest in this process and out of the tree, whatever the project's settings say."""
    folders = [
        *("-o", f"cache_dir={temporary}/cache", f"--basetemp={temporary}/basetemp"),
        f"--benchmark-storage=file://{temporary}/benchmarks",
    ]
    for_plugins = {
        "xdist": ["-n0"],
        "pytest_cov": ["--no-cov"],
        "pytest_timeout": ["--timeout=0"],  # a benchmark waits for its requests longer than any test may take
        "pytest_randomly": ["--randomly-seed=0", "--randomly-dont-reorganize"],
    }
    installed = [name for name in for_plugins if importlib.machinery.PathFinder.find_spec(name) is not None]
    return [*folders, "--color=no", "-p", "no:codspeed", *(part for name in installed for part in for_plugins[name])]


def _padding(seed: int) -> list[bytearray]:
    """Take some memory, so that in each launch what is made later lies elsewhere.

    Where objects lie decides what they evict from the caches, and the length of a path decides where they lie: one that
    differed by a letter made identical code 5 % slower in every launch. See T. Mytkowicz and others, Producing wrong
    data without doing anything obviously wrong, ASPLOS 2009.
    """
    order = random.Random(seed)
    sizes = [order.randrange(16, 512) for _ in range(order.randrange(2000))]
    return [bytearray(size) for size in (*sizes, *(order.randrange(1 << 16) for _ in range(order.randrange(20))))]


def _requests(descriptor: int) -> queue.SimpleQueue[dict[str, Any] | None]:
    """Queue the requests as they come, and None when the other end hangs up, soon after which the process ends."""
    waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError), os.fdopen(descriptor, encoding="utf-8") as lines:
            for line in lines:
                waiting.put(json.loads(line))
        waiting.put(None)
        sleep(LONGEST_FAREWELL_S)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return waiting


class RefusedError(Exception):
    """A benchmark that cannot be judged; no fault of the code under test."""


class Worker:
    """The plugin. Requests of the parent are the names of methods; a benchmark that is open answers `sample` itself."""

    def __init__(self, trees: Trees, paths: Sequence[str], requests: Any, answers: Any) -> None:
        self._trees, self._paths = trees, paths
        self._requests, self._answers = requests, answers
        self._begun_s = perf_counter()
        self._items: dict[str, Any] = {}
        self._failed: dict[str, str] = {}
        """Files that cannot be collected, with the reason."""
        self._session: Any = None
        self._examines = False
        self._reached = False
        """True once the benchmark that is open has made its call."""
        self._refusal: str | None = None
        self._reports: list[Any] = []

    # Requests, outside a benchmark

    def collect(self) -> dict[str, Any]:
        """Return the benchmarks, and what each is made of: hashes of the sources of its test and of its fixtures."""
        conftests = {getattr(plugin, "__file__", None) for plugin in self._session.config.pluginmanager.get_plugins()}
        listed = [path for path in conftests if path and Path(path).name == "conftest.py"]
        self._trees.take_tests([*listed, *map(_file_of, self._items.values())])
        return {
            "benchmarks": [
                {
                    "id": id,
                    "file": self._trees.relative(_file_of(item)),
                    "parts": _parts_of(item, self._trees),
                    "timer": _has_own_timer(item),
                }
                for id, item in self._items.items()
            ],
            "files": {self._trees.relative(path): _digest(Path(path).read_bytes()) for path in self._trees.test_files},
            "failed": self._failed,
        }

    def open(self, id: str, following: str | None, examine: bool) -> dict[str, Any]:
        """Run a test up to its benchmark's call, which then answers itself; later return what became of the test.

        `following`: the benchmark that comes next, for whose sake pytest keeps the fixtures that both need.
        """
        item = self._items[id]
        self._reached, self._refusal, self._reports, self._examines = False, None, [], examine
        self._begun_s = perf_counter()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=self._items.get(following or ""))
        item.config._benchmarksession.benchmarks.clear()  # pytest-benchmark would show them at the end
        if self._refusal is not None:
            raise RefusedError(self._refusal)
        self._check_reports(inspect.iscoroutinefunction(getattr(item, "obj", None)))
        if not self._reached:
            raise RefusedError("it takes the fixture, and never calls benchmark")
        return {}

    def _check_reports(self, is_async: bool) -> None:
        """Raise RuntimeError where the test failed, and RefusedError where it was skipped."""
        for report in self._reports:
            if report.failed:
                if is_async and not self._reached:
                    raise RefusedError("it is async, and no plugin here runs it")
                when = "" if report.when == "call" else f" in its {report.when}"
                raise RuntimeError(f"the test fails{when}: {_sentence(report)}")
        for report in self._reports:
            if report.skipped:
                how = "is async, and no plugin here runs it" if is_async else f"is skipped: {_sentence(report)}"
                raise RefusedError(f"it {'is expected to fail, and does' if hasattr(report, 'wasxfail') else how}")

    # Hooks of pytest

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            path = Path(report.nodeid.partition("::")[0])
            self._failed[report.nodeid or "the collection"] = _sentence(report)
            if path.is_file() and "benchmark" not in path.read_text(encoding="utf-8", errors="replace"):
                del self._failed[report.nodeid]  # no benchmark of anybody

    def pytest_collection_modifyitems(self, session: Any, config: Any, items: Sequence[Any]) -> None:
        config._benchmarksession.skip = config._benchmarksession.only = False
        for name in ("save", "autosave", "json", "compare", "compare_fail", "histogram"):
            setattr(config._benchmarksession, name, None)

    def pytest_runtestloop(self, session: Any) -> bool:
        self._session = session
        wanted = [item for item in session.items if set(FIXTURES) & set(getattr(item, "fixturenames", ()))]
        for item in filter(self._is_chosen, wanted):
            self._items.setdefault(item.nodeid, item)
        while (request := self._requests.get()) is not None:
            self._do(request)
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._reports.append(report)

    # Within a benchmark's call

    def measure(self, fixture: Any, call: Call) -> Any:
        """Stand in for pytest-benchmark's rounds: sample the call as often as the parent asks, then return its value.

        A plugin that runs a test once more after it failed gets a plain call.
        """
        if self._reached:
            return call.last()
        setup_s = perf_counter() - self._begun_s
        fixture.disabled = False
        stats = fixture._make_stats(1)
        first_s = call.first()
        stats.update(first_s)
        facts: dict[str, Any] = {"setup_s": setup_s, "first_s": first_s, "is_set_up": call.is_set_up}
        try:
            facts["call_s"] = call.calibrate(first_s)
            if self._examines:
                facts["probes"] = [call.probe() for _ in range(PROBES)]
                facts["code"] = self._trees.code(call.modules())
        except Exception as error:
            self._refuse(f"it cannot be repeated: after its first call another fails, {_named(error)}")
        self._reached = True
        self.answer(facts)
        while (request := self._requests.get()) is not None:
            if request["do"] == "close":
                return call.last()
            self._answer(lambda: call.sample(stats))
        self._requests.put(None)  # for the loop over all tests, which then lets their fixtures end
        return self._refuse("the judge hung up")

    def _refuse(self, reason: str) -> None:
        """End the test that is open, which cannot be judged for a reason."""
        import pytest

        self._refusal = reason
        pytest.skip(reason)

    def refuse_weaving(self, *_: Any, **__: Any) -> None:
        self._refuse("it uses benchmark.weave or benchmark.patch, whose calls lie within other work")

    def check_result(self, result: Any) -> None:
        """End the test if its call returned a coroutine, of which only the making would be timed."""
        if inspect.iscoroutine(result):
            result.close()
            self._refuse("its call returns a coroutine that nobody awaits, so no work would be timed")

    # The pipe

    def answer(self, answer: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._answers.write(json.dumps(answer) + "\n")
            self._answers.flush()

    def _do(self, request: dict[str, Any]) -> None:
        do = getattr(self, request.pop("do"))
        self._answer(lambda: do(**request))

    def _answer(self, do: Callable[[], dict[str, Any]]) -> None:
        try:
            answer = do()
        except RefusedError as refusal:
            answer = {"unsupported": str(refusal)}
        except Exception as error:  # the boundary of the process: the parent decides what a failure means
            traceback.print_exc()
            answer = {"error": str(error) if isinstance(error, RuntimeError) else _named(error)}
        self.answer(answer)

    # Paths of the command line

    def existing(self) -> list[str]:
        """Return the files and folders of the command line that this tree has; one that does not exist if it has none.

        A test is chosen once all of its file is collected, since pytest ends where one of several is not found.
        """
        files = [path for path in self._paths if Path(path.partition("::")[0]).exists()]
        return list(dict.fromkeys(path.partition("::")[0] for path in files)) or [*self._paths][:1]

    def _is_chosen(self, item: Any) -> bool:
        return not self._paths or any(_is_meant(path, item) for path in self._paths)


class Call:
    """The work that a test hands to `benchmark`."""

    def __init__(
        self,
        worker: Worker,
        function: Callable[..., Any],
        arguments: Callable[[], tuple[Sequence[Any], Mapping[str, Any]]],
        *,
        is_set_up: bool,
        teardown: Callable[..., Any] | None,
        disable_gc: bool,
    ) -> None:
        self._worker, self._function, self._arguments = worker, function, arguments
        self._iterations = 1
        self.is_set_up = is_set_up
        self._teardown, self._disable_gc = teardown, disable_gc
        self._is_long = False

    def first(self) -> float:
        begun = perf_counter()
        result = self.last()
        taken_s = perf_counter() - begun
        self._worker.check_result(result)
        return taken_s

    def last(self) -> Any:
        """Make a plain call and return its value."""
        args, kwargs = self._arguments()
        result = self._function(*args, **kwargs)
        if self._teardown is not None:
            self._teardown(*args, **kwargs)
        return result

    def calibrate(self, first_s: float) -> float:
        """Set how many calls a turn has, whatever number the test names, and return the wall time of one.

        A call with a set-up is a turn of its own.
        """
        call_s = first_s if first_s > LONG_CALL_S else min(self._turn()["wall_s"] for _ in range(2))
        if not self.is_set_up:
            for _ in range(8):  # a turn that was interrupted asks for fewer calls than it should
                wanted = LEAST_TURN_S / max(call_s, 1e-9)
                if wanted <= self._iterations:
                    break
                self._iterations *= max(2, min(10, int(wanted / self._iterations)))
                call_s = min(self._turn()["wall_s"] for _ in range(2))
        self._is_long = call_s > LONG_CALL_S
        return call_s

    def sample(self, stats: Any) -> dict[str, Any]:
        """Return medians over turns of LEAST_SAMPLE_S, after one that finds the other side's data in the caches."""
        if not self._is_long:
            self._turn()
        begun = perf_counter()
        turns = [self._turn()]
        while perf_counter() - begun < LEAST_SAMPLE_S and len(turns) < MOST_TURNS:
            turns.append(self._turn())
        sample: dict[str, Any] = {name: median(turn[name] for turn in turns) for name in turns[0]}
        stats.update(sample["wall_s"])
        sample["involuntary_switches"] = int(sum(turn["involuntary_switches"] for turn in turns))
        return {**sample, "calls": self._iterations * len(turns)}

    def probe(self) -> dict[str, float]:
        """Return a turn with the time a call that the thread waited for a CPU."""
        before = _run_delay_s()
        turn = self._turn()
        return {**turn, "run_delay_s": (_run_delay_s() - before) / self._iterations, "calls": self._iterations}

    def modules(self) -> set[str]:
        """Return the modules of which code runs in one call, as far as Python's profiler sees."""
        found: set[str] = set()

        def seen(frame: Any, event: str, argument: Any) -> None:
            found.add(frame.f_globals.get("__name__", ""))
            if event == "c_call":
                owner = getattr(argument, "__self__", None)
                found.update(str(name) for name in (argument.__module__, getattr(type(owner), "__module__", "")))

        args, kwargs = self._arguments()
        previous = sys.getprofile()
        threading.setprofile(seen)
        sys.setprofile(seen)
        try:
            self._function(*args, **kwargs)
        finally:
            sys.setprofile(previous)
            threading.setprofile(None)
        if self._teardown is not None:
            self._teardown(*args, **kwargs)
        return found

    def _turn(self) -> dict[str, float]:
        """Time the calls between two readings of each clock, in seconds a call."""
        args, kwargs = self._arguments()
        function, times = self._function, repeat(None, self._iterations)
        is_collecting = gc.isenabled()
        if self._disable_gc:
            gc.disable()
        tracer, profiler = sys.gettrace(), sys.getprofile()
        sys.settrace(None)
        sys.setprofile(None)
        try:
            switches, children = _involuntary_switches(), _children_s()
            process, thread, wall = process_time(), thread_time(), perf_counter()
            for _ in times:
                function(*args, **kwargs)
            wall_s = perf_counter() - wall
            thread_cpu_s, process_cpu_s = thread_time() - thread, process_time() - process
            children_s, switches = _children_s() - children, _involuntary_switches() - switches
        finally:
            sys.settrace(tracer)
            sys.setprofile(profiler)
            if is_collecting:
                gc.enable()
        if self._teardown is not None:
            self._teardown(*args, **kwargs)
        calls = self._iterations
        return {
            "wall_s": wall_s / calls,
            "thread_cpu_s": thread_cpu_s / calls,
            "process_cpu_s": process_cpu_s / calls,
            "children_s": children_s / calls,
            "involuntary_switches": switches,
        }


def _replace_rounds(worker: Worker) -> None:
    """Let pytest-benchmark's fixture, of versions 4 and 5, hand each call to the worker."""
    from pytest_benchmark.fixture import BenchmarkFixture

    def raw(fixture: Any, function_to_benchmark: Any, *args: Any, **kwargs: Any) -> Any:
        call = Call(
            worker,
            function_to_benchmark,
            lambda: (args, kwargs),
            is_set_up=False,
            teardown=None,
            disable_gc=fixture._disable_gc,
        )
        return worker.measure(fixture, call)

    def raw_pedantic(
        fixture: Any,
        target: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        setup: Any = None,
        teardown: Any = None,
        iterations: int = 1,
        **counts: int,
    ) -> Any:
        for name, number in {"iterations": iterations, **counts}.items():
            if not isinstance(number, int) or number < (name != "warmup_rounds"):
                raise ValueError(f"Must have positive int for `{name}`.")
        if iterations > 1 and setup:
            raise ValueError("Can't use more than 1 `iterations` with a `setup` function.")

        def arguments() -> tuple[Sequence[Any], Mapping[str, Any]]:
            made = setup() if setup else None
            if made and (args or kwargs):
                raise TypeError("Can't use `args` or `kwargs` if `setup` returns the arguments.")
            return made or (args, kwargs or {})

        call = Call(
            worker,
            target,
            arguments,
            is_set_up=setup is not None or teardown is not None,
            teardown=teardown,
            disable_gc=fixture._disable_gc,
        )
        return worker.measure(fixture, call)

    replaced = {"_raw": raw, "_raw_pedantic": raw_pedantic}
    for name, method in {**replaced, **dict.fromkeys(("weave", "patch"), worker.refuse_weaving)}.items():
        setattr(BenchmarkFixture, name, method)


class Trees:
    """The tree under test, and which of the modules here came from it."""

    def __init__(self, tree: str, folder: str, checkout: str) -> None:
        """`folder`: where pytest runs, within the tree. `checkout`: the user's own files, of which none may be run."""
        self._tree, self._checkout = _real(tree), _real(checkout)
        self._folder = _real(Path(tree, folder))
        self._roots = [path for top in (self._folder, self._tree) for path in (top, str(Path(top, "src")))]
        self.test_files: set[str] = set()

    def come_first(self, given: Sequence[str]) -> None:
        """Let imports here, and in child processes, look into the tree before anything else. `given`: PYTHONPATH."""
        here = _real(Path(__file__).parent)
        others = [*given, *(path for path in sys.path if _real(path or ".") != here)]
        in_tree = [self._in_tree(path) for path in (*others, *_editable_folders())]
        roots = list(dict.fromkeys([*self._roots, *filter(None, in_tree)]))
        self._roots = [root for root in roots if Path(root).is_dir()]
        os.environ["PYTHONPATH"] = os.pathsep.join([*self._roots, *given])
        sys.path[:] = [*self._roots, *(path for path in others if path not in self._roots)]
        # Before the finders of editable installs, of which some come first and know the user's checkout alone.
        first: list[Any] = [
            importlib.machinery.BuiltinImporter,
            importlib.machinery.FrozenImporter,
            importlib.machinery.PathFinder,
        ]
        sys.meta_path[:] = [*first, *(finder for finder in sys.meta_path if finder not in first)]

    def take_tests(self, files: Sequence[str]) -> None:
        """Take note of the files of tests, which are no code to judge."""
        self.test_files = {file for file in map(_real, files) if _is_in(file, self._tree)}

    def holds(self, path: str) -> bool:
        return _is_in(_real(path), self._tree)

    def relative(self, path: str) -> str:
        return os.path.relpath(_real(path), self._tree).replace(os.sep, "/")

    def code(self, ran: set[str]) -> dict[str, Any]:
        """Return the tree's modules of which code ran in a call, those imported, and what came from elsewhere instead.

        A package counts as one module, that of its shallowest file.
        """
        files = {name: _real(file) for name, file in _loaded_files()}
        held = {name for name, file in files.items() if _is_in(file, self._tree) and not self._is_test(file)}
        shallow = {name for name in held if not any(parent in held for parent in _parents(name))}
        ran_here = {top for name in ran & held for top in shallow if name == top or name.startswith(top + ".")}
        return {
            "ran": {name: self.relative(files[name]) for name in sorted(ran_here)},
            "imported": {name: self.relative(files[name]) for name in sorted(shallow)},
            "elsewhere": self._elsewhere(files, held, shallow, ran_here),
        }

    def _elsewhere(
        self, files: Mapping[str, str], held: set[str], shallow: set[str], ran_here: set[str]
    ) -> dict[str, str]:
        """Return what the tree holds, or would if it were built, and was imported from elsewhere, with the reason."""
        found: dict[str, str] = {}
        installed = _installed_files(shallow)
        others = {name: file for name, file in files.items() if not _is_in(file, self._tree)}
        for name, file in others.items():
            if _is_in(file, self._checkout) and not _is_in_environment(file):
                found[name] = "was imported from the checkout"
            elif file in installed or any(parent in shallow for parent in _parents(name)):
                found[name] = "was imported from the installed copy"
        for name in sorted(shallow):
            found.update(dict.fromkeys(self._compiled_only(name), "is compiled, and only the installed copy has it"))
        if not ran_here:
            aside = _packages_aside(Path(self._tree))
            for name in sorted({name.partition(".")[0] for name in others} & aside.keys()):
                found[name] = f"lies in {aside[name]}/, and what is installed was imported"
        return found

    def _compiled_only(self, package: str) -> Iterator[str]:
        """Find compiled modules of a package's installed copy that the tree's copy lacks."""
        place = package.replace(".", os.sep)
        copies = [Path(folder, place) for folder in sys.path if not self.holds(folder or ".")]
        kept = [Path(root, place) for root in self._roots]
        for copy in copies:
            for path in copy.rglob("*") if copy.is_dir() else ():
                suffix = next((end for end in importlib.machinery.EXTENSION_SUFFIXES if path.name.endswith(end)), None)
                relative = path.relative_to(copy)
                if suffix is not None and not any((folder / relative).exists() for folder in kept):
                    yield ".".join([package, *relative.parent.parts, path.name[: -len(suffix)]])

    def _in_tree(self, path: str) -> str | None:
        """Return the tree's folder for one of the checkout, None for other folders."""
        real = _real(path)
        if not _is_in(real, self._checkout) or _is_in_environment(real):
            return None
        return os.path.normpath(os.path.join(self._tree, os.path.relpath(real, self._checkout)))  # noqa: PTH118

    def _is_test(self, file: str) -> bool:
        """Return whether a file is a test, a conftest.py, or lies beside one in a folder that is for tests."""
        if file in self.test_files:
            return True
        for folder in {str(Path(path).parent) for path in self.test_files} - set(self._roots):
            parts = Path(folder).relative_to(self._tree).parts
            is_for_tests = any(map(TEST_FOLDER.fullmatch, parts)) or not Path(folder, "__init__.py").exists()
            if is_for_tests and _is_in(file, folder):
                return True
        return False


def _loaded_files() -> Iterator[tuple[str, str]]:
    for name, module in list(sys.modules.items()):
        with contextlib.suppress(Exception):  # a module may be any object, with any attributes
            file = module.__file__
            if name not in ("__main__", "__mp_main__") and isinstance(file, str) and os.path.isabs(file):  # noqa: PTH117
                yield name, file


def _editable_folders() -> Iterator[str]:
    """Yield the folders that setuptools' finders of editable installs know."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            mapping = getattr(module, "MAPPING", {})
            yield from (str(Path(path).parent) for path in mapping.values())


def _installed_files(names: set[str]) -> set[str]:
    """Return the files of the installed distributions that bring any of these modules or packages."""
    plain = {_normalised(name) for name in names}
    found: set[str] = set()
    for distribution in importlib.metadata.distributions():
        with contextlib.suppress(Exception):  # somebody's damaged metadata
            tops = set((distribution.read_text("top_level.txt") or "").split())
            if _normalised(distribution.metadata["Name"]) in plain or tops & names:
                found |= {_real(str(distribution.locate_file(file))) for file in distribution.files or ()}
    return found


def _normalised(name: str) -> str:
    """Return the name of a distribution as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _packages_aside(tree: Path, depth: int = DEEPEST_ROOT) -> dict[str, str]:
    """Return packages in folders of the tree that are no package themselves, as `lib/`, with that folder."""
    found: dict[str, str] = {}

    def look(folder: Path, left: int) -> None:
        for path in sorted(folder.iterdir()):
            if not path.is_dir() or path.name.startswith(".") or path.name in UNLISTED:
                continue
            if (path / "__init__.py").exists():
                found.setdefault(path.name, folder.relative_to(tree).as_posix())
            elif left:
                look(path, left - 1)

    look(tree, depth)
    return found


def _parts_of(item: Any, trees: Trees) -> dict[str, str]:
    """Return hashes of the sources that make a benchmark: its test's, and those of its fixtures in the tree."""
    parts = {"test": _source_digest(getattr(item, "function", None) or getattr(item, "obj", None))}
    info = getattr(item, "_fixtureinfo", None)
    for name, definitions in (info.name2fixturedefs if info else {}).items():
        function = definitions[-1].func
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is not None and trees.holds(code.co_filename):
            parts[f"fixture {name}"] = _source_digest(function)
    return parts


def _source_digest(function: Any) -> str:
    try:
        return _digest(inspect.getsource(inspect.unwrap(function)).encode())
    except (OSError, TypeError, ValueError):  # made at run time
        code = getattr(function, "__code__", None)
        return _digest(code.co_code + repr(code.co_names).encode()) if code else ""


def _has_own_timer(item: Any) -> bool:
    marker = item.get_closest_marker("benchmark")
    return marker is not None and "timer" in marker.kwargs


def _is_meant(path: str, item: Any) -> bool:
    file, _, name = path.partition("::")
    own = item.nodeid.partition("::")[2]
    if not _is_in(_file_of(item), _real(file)):
        return False
    return not name or own == name or own.startswith((f"{name}::", f"{name}["))


def _file_of(item: Any) -> str:
    return _real(str(item.path))


def _sentence(report: Any) -> str:
    """Return what pytest says of a failure or a skip, on one line."""
    told = report.longrepr
    crash = getattr(told, "reprcrash", None)
    if crash is not None:
        return str(crash.message).strip().splitlines()[0][:300]
    if isinstance(told, tuple):
        return " ".join(str(told[-1]).split()).replace("Skipped: ", "", 1)
    lines = [line.lstrip("E ").strip() for line in str(told).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "without a reason"


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _real(path: str | Path) -> str:
    return os.path.realpath(path)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_in_environment(path: str) -> bool:
    """Return whether a file is of the Python or its packages, which may lie within the checkout, as .venv does."""
    return "site-packages" in Path(path).parts or _is_in(path, _real(sys.prefix))


def _involuntary_switches() -> int:
    """Count how often the scheduler took the CPU from this thread so far; on macOS from the process."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_nivcsw


def _children_s() -> float:
    """Return the CPU time of child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run_delay_s() -> float:
    """Return how long this thread was ready and got no CPU, since it began; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/thread-self/schedstat") as file:  # noqa: PTH123
        return int(file.read().split()[1]) / 1e9
    return 0.0


if __name__ == "__main__":
    main(sys.argv[1])
