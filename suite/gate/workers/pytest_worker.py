"""One side of a comparison of somebody's pytest-benchmark suite: pytest itself, with each benchmark sampled when asked.

Run by path with the project's own Python, 3.9 or later, as `python pytest_worker.py JSON`; so it uses the standard
library, and pytest and pytest-benchmark as they are installed there, and nothing of this suite. It is a plugin of that
pytest. In place of the loop over all tests it waits for requests; in place of pytest-benchmark's rounds, within the
call that a test makes, it takes a sample at each request. So fixtures, parameters and the test's own asserts are
pytest's own. It ends when the pipe to the judge closes, see worker_loop.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import inspect
import json
import os
import random
import signal
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# Names of this module, so that a patch of `time` by the code under test does not reach them.
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
if TYPE_CHECKING or __package__:  # as the judge reads it, for its constants
    from suite.gate.workers import worker_loop as loop
    from suite.gate.workers.worker_trees import FileWatch, Trees, is_in, parts_of, real
else:  # by path, from the folder of this file, as somebody's Python runs it
    loop, beside = importlib.import_module("worker_loop"), importlib.import_module("worker_trees")
    Trees, FileWatch, is_in, parts_of, real = beside.Trees, beside.FileWatch, beside.is_in, beside.parts_of, beside.real

LEAST_TURN_S = 0.0005
"""Shorter calls are done several times between two readings of the clocks, which cost about a microsecond."""
LONG_CALL_S = 0.05
"""Longer calls find their data in the caches for nearly all of their time, so none is dropped before them."""
PROBES = 3
LONGEST_FAREWELL_S = 1.5
"""Time in which fixtures may end once the judge has hung up; the judge waits for two seconds."""
FIXTURES = ("benchmark", "benchmark_weave")
PR_SET_CHILD_SUBREAPER = 36
"""Lets what a child leaves behind become a child of this process, on Linux."""


def main(argument: str) -> None:
    asked = json.loads(argument)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST"):
        os.environ.pop(name, None)  # of a test that started the judge
    requests, answers = loop.open_pipe(_end_soon)
    padding = _padding(asked["padding"])
    trees = Trees(asked["tree"], asked["folder"], asked["checkout"])
    watch = FileWatch(asked["tree"]) if asked["watches"] else None
    trees.come_first(asked["path"])
    worker = PytestWorker(trees, watch, asked["paths"], asked["only"], requests, answers)
    try:
        import pytest
        import pytest_benchmark
    except ImportError as error:
        reason = f"{sys.executable} cannot import pytest and pytest-benchmark: {error}"
        worker.answer(lambda: {"error": reason})
        sys.exit(1)
    versions = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "pytest": pytest.__version__,
        "pytest_benchmark": pytest_benchmark.__version__,
    }
    worker.answer(lambda: {"protocol": loop.PROTOCOL, "versions": versions})
    _replace_rounds(worker)
    for name in ("ignore_collect", "pycollect_makemodule", "collection_modifyitems", "runtestloop"):
        pytest.hookimpl(tryfirst=True)(getattr(PytestWorker, f"pytest_{name}"))  # pytest-benchmark would skip first
    arguments = [*worker.existing(), *_arguments(asked["temporary"])]
    sys.argv = ["pytest", *arguments]
    code = pytest.main(arguments, plugins=[worker])
    del padding
    sys.stdout.flush()
    sys.stderr.flush()
    _end(int(code))


def _arguments(temporary: str) -> list[str]:
    """Options that keep pytest in this process and out of the tree, whatever the project's settings say."""
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


def _end_soon() -> None:
    sleep(LONGEST_FAREWELL_S)
    _end(0)


def _end(code: int) -> None:
    """End this process at once, with the processes that its tests left, also where the judge was killed."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):  # of Linux; elsewhere the judge ends the process group
        with contextlib.suppress(OSError):  # it has ended
            parents[int(path.parent.name)] = int(path.read_bytes().rpartition(b")")[2].split()[1])
    family: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in {os.getpid(), *family}} - family:
        family |= more
    for pid in family:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    os._exit(code)  # what is left of the tree's threads and objects is nobody's


class PytestWorker:
    """The plugin. Requests of the parent are the names of methods; a benchmark that is open answers `sample` itself."""

    def __init__(
        self,
        trees: Trees,
        watch: FileWatch | None,
        paths: Sequence[str],
        only: Sequence[str],
        requests: Any,
        answers: int,
    ) -> None:
        """`only`: files of tests, relative to the tree, beside which none is imported; all where there is none."""
        self._trees, self._watch, self._paths = trees, watch, paths
        self._only = [str(Path(trees.top, file)) for file in only]
        self._requests, self._answers = requests, answers
        self._begun_s = perf_counter()
        self._items: dict[str, Any] = {}
        self._collected: set[str] = set()
        """Files that were imported in search of tests."""
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
        """The benchmarks, what each is made of, and whether files were imported that hold none."""
        conftests = {path for path in self._plugins() if Path(path).name == "conftest.py"}
        files = {_file_of(item) for item in self._items.values()}
        self._trees.take_tests([*conftests, *files])
        tests = {item.nodeid for item in self._session.items}
        return {
            "benchmarks": [
                {
                    "id": id,
                    "file": self._trees.relative(_file_of(item)),
                    "parts": parts_of(item, tests, conftests, self._trees.top),
                    "timer": "timer" in getattr(item.get_closest_marker("benchmark"), "kwargs", ()),
                }
                for id, item in self._items.items()
            ],
            "others": bool(self._collected - files),
            "failed": self._failed,
        }

    def _plugins(self) -> set[str]:
        """The files of the tree that pytest has for plugins."""
        files = {getattr(plugin, "__file__", None) for plugin in self._session.config.pluginmanager.get_plugins()}
        return {real(file) for file in files if isinstance(file, str) and self._trees.holds(file)}

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
            raise loop.RefusedError(self._refusal)
        self._check_reports(inspect.iscoroutinefunction(getattr(item, "obj", None)))
        if not self._reached:
            raise loop.RefusedError("it takes the fixture, and never calls benchmark")
        return {}

    def _check_reports(self, is_async: bool) -> None:
        """Raise PlainError where the test failed, and RefusedError where it was skipped."""
        for report in self._reports:
            if report.failed:
                if is_async and not self._reached:
                    raise loop.RefusedError("it is async, and no plugin here runs it")
                when = "" if report.when == "call" else f" in its {report.when}"
                raise loop.PlainError(f"the test fails{when}: {_sentence(report)}")
        for report in self._reports:
            if report.skipped:
                how = "is async, and no plugin here runs it" if is_async else f"is skipped: {_sentence(report)}"
                raise loop.RefusedError(f"it {'is expected to fail, and does' if hasattr(report, 'wasxfail') else how}")

    # Hooks of pytest

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        path = real(collection_path)
        if not self._only or path.endswith("__init__.py") or any(is_in(file, path) for file in self._only):
            return None
        return True

    def pytest_pycollect_makemodule(self, module_path: Path) -> None:
        self._collected.add(real(module_path))

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
        for item in wanted:
            if not self._paths or any(_is_meant(path, item) for path in self._paths):
                self._items.setdefault(item.nodeid, item)
        while (request := self._requests.get()) is not None:
            self.answer(partial(getattr(self, request.pop("do")), **request))
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
        first: set[tuple[str, str]] = set()
        later: set[tuple[str, str]] = set()
        first_s = call.first(first if self._examines else None)
        stats.update(first_s)
        facts: dict[str, Any] = {"setup_s": setup_s, "first_s": first_s, "is_set_up": call.is_set_up}
        try:
            facts["call_s"] = call.calibrate(0.0 if self._examines else first_s)  # the profiler slows the first
            if self._examines:
                facts["probes"] = [call.probe() for _ in range(PROBES)]
                call.last(later)
        except Exception as error:  # whatever somebody's code raises; nothing of the gate's own is called there
            self._refuse(f"it cannot be repeated: after its first call another fails, {loop.named(error)}")
        self._reached = True
        self.answer(lambda: facts)
        while (request := self._requests.get()) is not None:
            if request["do"] == "close":
                return call.last()
            if request["do"] == "code":
                self.answer(lambda: self._code(first, later))
            else:
                self.answer(lambda: call.sample(stats))
        self._requests.put(None)  # for the loop over all tests, which then lets their fixtures end
        return self._refuse("the judge hung up")

    def _code(self, first: set[tuple[str, str]], later: set[tuple[str, str]]) -> dict[str, Any]:
        """What ran in the calls and beside them; a request of its own, since to look for it takes a while."""
        opened = self._watch.opened if self._watch else {}
        code = self._trees.code(first, later, opened)
        return {"code": code, "beside": self._trees.beside(opened, self._plugins())}

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

    def answer(self, do: Callable[[], Mapping[str, Any]]) -> None:
        loop.answer(self._answers, do)

    # Paths of the command line

    def existing(self) -> list[str]:
        """The files and folders of the command line that this tree has; one that does not exist if it has none.

        A test is chosen once all of its file is collected, since pytest ends where one of several is not found.
        """
        files = [path for path in self._paths if Path(path.partition("::")[0]).exists()]
        return list(dict.fromkeys(path.partition("::")[0] for path in files)) or [*self._paths][:1]


@dataclass
class Call:
    """The work that a test hands to `benchmark`."""

    worker: PytestWorker
    function: Callable[..., Any]
    arguments: Callable[[], tuple[Sequence[Any], Mapping[str, Any]]]
    is_set_up: bool = False
    teardown: Callable[..., Any] | None = None
    disable_gc: bool = False
    iterations: int = 1
    """Calls between two readings of the clocks."""
    is_long: bool = False

    def first(self, seen: set[tuple[str, str]] | None) -> float:
        begun = perf_counter()
        result = self.last(seen)
        taken_s = perf_counter() - begun
        self.worker.check_result(result)
        return taken_s

    def last(self, seen: set[tuple[str, str]] | None = None) -> Any:
        """Make a plain call and return its value. `seen`: gets the modules and functions of which code runs in it."""
        args, kwargs = self.arguments()
        with contextlib.nullcontext() if seen is None else _profiled(seen):
            result = self.function(*args, **kwargs)
        if self.teardown is not None:
            self.teardown(*args, **kwargs)
        return result

    def calibrate(self, first_s: float) -> float:
        """Set how many calls a turn has, whatever number the test names, and return the wall time of one.

        A call with a set-up is a turn of its own.
        """
        call_s = first_s if first_s > LONG_CALL_S else min(self._turn()["wall_s"] for _ in range(2))
        if not self.is_set_up:
            for _ in range(8):  # a turn that was interrupted asks for fewer calls than it should
                wanted = LEAST_TURN_S / max(call_s, 1e-9)
                if wanted <= self.iterations:
                    break
                self.iterations *= max(2, min(10, int(wanted / self.iterations)))
                call_s = min(self._turn()["wall_s"] for _ in range(2))
        self.is_long = call_s > LONG_CALL_S
        return call_s

    def sample(self, stats: Any) -> dict[str, Any]:
        """Return medians over turns, after one that finds the other side's data in the caches unless it is long."""
        if not self.is_long:
            self._turn()
        sample = loop.summary(loop.sampled(self._turn), self.iterations)
        stats.update(sample["wall_s"])
        return sample

    def probe(self) -> dict[str, float]:
        """A turn with the time a call that the thread waited for a CPU."""
        before = _run_delay_s()
        turn = self._turn()
        return {**turn, "run_delay_s": (_run_delay_s() - before) / self.iterations, "calls": self.iterations}

    def _turn(self) -> dict[str, float]:
        """Time the calls between two readings of each clock, in seconds a call."""
        args, kwargs = self.arguments()
        with undisturbed(disables_gc=self.disable_gc):
            turn = loop.timed(self.function, args, kwargs, self.iterations)
        if self.teardown is not None:
            self.teardown(*args, **kwargs)
        return turn


@contextlib.contextmanager
def undisturbed(*, disables_gc: bool) -> Iterator[None]:
    """Let no tracer and no profiler, and if it is so asked no collection of garbage, run within what is timed."""
    is_collecting, tracer, profiler = gc.isenabled(), sys.gettrace(), sys.getprofile()
    if disables_gc:
        gc.disable()
    sys.settrace(None)
    sys.setprofile(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
        sys.setprofile(profiler)
        if is_collecting:
            gc.enable()


@contextlib.contextmanager
def _profiled(seen: set[tuple[str, str]]) -> Iterator[None]:
    """Take note of each module and function of which code runs, as far as Python's profiler sees."""

    def see(frame: Any, event: str, argument: Any) -> None:
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


def _replace_rounds(worker: PytestWorker) -> None:
    """Let pytest-benchmark's fixture, of versions 4 and 5, hand each call to the worker."""
    from pytest_benchmark.fixture import BenchmarkFixture

    def raw(fixture: Any, function_to_benchmark: Any, *args: Any, **kwargs: Any) -> Any:
        call = Call(worker, function_to_benchmark, lambda: (args, kwargs), disable_gc=fixture._disable_gc)
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

        is_set_up = setup is not None or teardown is not None
        return worker.measure(fixture, Call(worker, target, arguments, is_set_up, teardown, fixture._disable_gc))

    replaced = {"_raw": raw, "_raw_pedantic": raw_pedantic}
    for name, method in {**replaced, **dict.fromkeys(("weave", "patch"), worker.refuse_weaving)}.items():
        setattr(BenchmarkFixture, name, method)


def _is_meant(path: str, item: Any) -> bool:
    file, _, name = path.partition("::")
    own = item.nodeid.partition("::")[2]
    if not is_in(_file_of(item), real(file)):
        return False
    return not name or own == name or own.startswith((f"{name}::", f"{name}["))


def _file_of(item: Any) -> str:
    return real(str(item.path))


def _sentence(report: Any) -> str:
    """What pytest says of a failure or a skip, on one line."""
    told = report.longrepr
    crash = getattr(told, "reprcrash", None)
    if crash is not None:
        return str(crash.message).strip().splitlines()[0][:300]
    if isinstance(told, tuple):
        return " ".join(str(told[-1]).split()).replace("Skipped: ", "", 1)
    lines = [line.lstrip("E ").strip() for line in str(told).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "without a reason"


def _run_delay_s() -> float:
    """How long this thread was ready and got no CPU, since it began; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/thread-self/schedstat") as file:  # noqa: PTH123
        return int(file.read().split()[1]) / 1e9
    return 0.0


if __name__ == "__main__":
    main(sys.argv[1])
