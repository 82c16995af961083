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
import importlib
import importlib.machinery
import inspect
import json
import os
import random
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# Names of this module, so that a patch of `time` by the code under test does not reach them.
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
if TYPE_CHECKING or __package__:  # as the judge reads it, for its constants
    from suite.gate.workers import worker_loop as loop
    from suite.gate.workers.worker_trees import FileWatch, Trees, benchmark_parts, is_in, profiled, real
else:  # by path, from the folder of this file, as somebody's Python runs it
    loop, trees = importlib.import_module("worker_loop"), importlib.import_module("worker_trees")
    FileWatch, Trees, benchmark_parts = trees.FileWatch, trees.Trees, trees.benchmark_parts
    is_in, profiled, real = trees.is_in, trees.profiled, trees.real

LEAST_TURN_S = 0.0005
"""Shorter calls are done several times between two readings of the clocks, which cost about a microsecond."""
LONG_CALL_S = 0.05
"""Longer calls find their data in the caches for nearly all of their time, so none is dropped before them."""
PROBES = 3
LONGEST_FAREWELL_S = 1.5
"""Time in which fixtures may end once the judge has hung up; the judge waits for two seconds."""
FIXTURES = {"benchmark", "benchmark_weave"}
MARKERS = ("benchmark", "codspeed_benchmark")
"""Of a test without these fixtures they mean, as pytest-codspeed has it, that the whole test is timed."""
PR_SET_CHILD_SUBREAPER = 36
"""Lets what a child leaves behind become a child of this process, on Linux."""


def main(argument: str) -> None:
    """Run pytest in the tree with this worker as a plugin, and end the process. `argument`: a request as JSON."""
    request = json.loads(argument)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST"):
        os.environ.pop(name, None)  # of a test that started the judge
    requests, answers = loop.open_pipe(_end_after_farewell)
    padding = _padding(request["padding"])
    trees = Trees(request["tree"], request["folder"], request["checkout"])
    watch = FileWatch(request["tree"]) if request["watches"] else None
    trees.come_first(request["path"])
    worker = PytestWorker(trees, watch, requests, answers)
    worker.paths, worker.only = request["paths"], [str(Path(trees.top, file)) for file in request["only"]]
    try:
        import pytest
        import pytest_benchmark  # noqa: F401
    except ImportError as error:
        reason = f"{sys.executable} cannot import pytest and pytest-benchmark: {error}"
        worker.answer(lambda: {"error": reason})
        sys.exit(1)
    worker.answer(lambda: {"protocol": loop.PROTOCOL})
    _replace_rounds(worker)
    for name in ("ignore_collect", "pycollect_makemodule", "collection_modifyitems", "runtestloop", "pyfunc_call"):
        pytest.hookimpl(tryfirst=True)(getattr(PytestWorker, f"pytest_{name}"))  # pytest-benchmark would skip first
    arguments = [*worker.existing(), *_arguments(request["temporary"])]
    sys.argv = ["pytest", *arguments]
    code = pytest.main(arguments, plugins=[worker])
    del padding
    sys.stdout.flush()
    sys.stderr.flush()
    loop.end(int(code))


def _arguments(temporary: str) -> list[str]:
    """Options that keep pytest in one process and its files in `temporary`, whatever the project's settings say."""
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
    """Random blocks of memory to keep, so that in each launch later objects lie at other addresses.

    Where objects lie decides what they evict from the caches, and the length of a path decides where they lie: one that
    differed by a letter made identical code 5% slower in every launch. See T. Mytkowicz and others, Producing wrong
    data without doing anything obviously wrong, ASPLOS 2009.
    """
    order = random.Random(seed)
    sizes = [order.randrange(16, 512) for _ in range(order.randrange(2000))]
    return [bytearray(size) for size in (*sizes, *(order.randrange(1 << 16) for _ in range(order.randrange(20))))]


def _end_after_farewell() -> None:
    sleep(LONGEST_FAREWELL_S)  # in which the main thread lets fixtures end
    loop.end(0)


class PytestWorker:
    """The plugin. Requests of the parent are the names of methods; a benchmark that is open answers `sample` itself."""

    def __init__(self, trees: Trees, watch: FileWatch | None, requests: Any, answers: int) -> None:
        self._trees, self._watch = trees, watch
        self._requests, self._answers = requests, answers
        self.paths: Sequence[str] = ()
        """Files, folders and node ids of the command line."""
        self.only: Sequence[str] = ()
        """Files of tests beside which none is imported; all where there is none."""
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
        """The collected benchmarks with digests of their parts, failed files, and whether others were read."""
        conftests = {path for path in self._plugins() if Path(path).name == "conftest.py"}
        files = {_item_file(item) for item in self._items.values()}
        self._trees.test_files = {file for file in (*conftests, *files) if self._trees.holds(file)}
        tests = {item.nodeid for item in self._session.items}
        return {
            "benchmarks": [
                {
                    "id": id,
                    "file": self._trees.relative(_item_file(item)),
                    "parts": benchmark_parts(item, tests, conftests, self._trees.top),
                    "timer": "timer" in getattr(item.get_closest_marker("benchmark"), "kwargs", ()),
                }
                for id, item in self._items.items()
            ],
            "others": bool(self._collected - files),
            "failed": self._failed,
        }

    def _plugins(self) -> set[str]:
        files = {getattr(plugin, "__file__", None) for plugin in self._session.config.pluginmanager.get_plugins()}
        return {real(file) for file in files if isinstance(file, str) and self._trees.holds(file)}

    def open(self, id: str, following: str | None, examine: bool) -> dict[str, Any]:
        """Run a test. Within its benchmark's call the requests are answered by `measure`, until `close` lets it end.
        `following`: the next benchmark, whose fixtures pytest keeps. `examine`: probe the call too. Raises RefusedError
        for a test that cannot be judged, PlainError for one that fails."""
        item = self._items[id]
        self._reached, self._refusal, self._reports, self._examines = False, None, [], examine
        self._begun_s = perf_counter()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=self._items.get(following or ""))
        item.config._benchmarksession.benchmarks.clear()  # pytest-benchmark would show them at the end
        if self._refusal is not None:
            raise loop.RefusedError(self._refusal)
        self._check_reports(inspect.iscoroutinefunction(getattr(item, "obj", None)))
        if not self._reached:
            raise loop.RefusedError("it requests the fixture, but never calls benchmark")
        return {}

    def _check_reports(self, is_async: bool) -> None:
        """Raise PlainError where the test failed, and RefusedError where it was skipped."""
        failed, skipped = (
            next((report for report in self._reports if getattr(report, outcome)), None)
            for outcome in ("failed", "skipped")
        )
        is_expected = hasattr(skipped, "wasxfail")
        if is_async and not self._reached and (failed or (skipped and not is_expected)):
            raise loop.RefusedError("it is async, and no installed plugin runs it")
        if failed:
            when = "" if failed.when == "call" else f" in its {failed.when}"
            raise loop.PlainError(f"the test fails{when}: {_sentence(failed)}")
        if skipped:
            how = "is expected to fail, and does" if is_expected else f"is skipped: {_sentence(skipped)}"
            raise loop.RefusedError(f"it {how}")

    # Hooks of pytest

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """True to skip a path beside `only`; None to leave it to pytest."""
        path = real(collection_path)
        if not self.only or path.endswith("__init__.py") or any(is_in(file, path) for file in self.only):
            return None
        return True

    def pytest_pycollect_makemodule(self, module_path: Path) -> None:
        """Note a file that is imported in search of tests."""
        self._collected.add(real(module_path))

    def pytest_collectreport(self, report: Any) -> None:
        """Note a file that cannot be collected, unless the word benchmark is not in it."""
        if report.failed:
            path = Path(report.nodeid.partition("::")[0])
            self._failed[report.nodeid or "the collection"] = _sentence(report)
            if path.is_file() and "benchmark" not in path.read_text(encoding="utf-8", errors="replace"):
                del self._failed[report.nodeid]  # it holds no benchmark

    def pytest_collection_modifyitems(self, session: Any, config: Any, items: Sequence[Any]) -> None:
        """Switch off pytest-benchmark's options that skip benchmarks, or save and compare results."""
        config._benchmarksession.skip = config._benchmarksession.only = False
        for name in ("save", "autosave", "json", "compare", "compare_fail", "histogram"):
            setattr(config._benchmarksession, name, None)

    def pytest_runtestloop(self, session: Any) -> bool:
        """Select the benchmarks, then answer requests in place of running the tests, until the judge hangs up."""
        self._session = session
        for item in session.items:
            is_benchmark = _uses_fixture(item) or _is_marked(item)
            if is_benchmark and (not self.paths or any(_is_chosen(path, item) for path in self.paths)):
                self._items.setdefault(item.nodeid, item)
        while (request := self._requests.get()) is not None:
            self.answer(partial(getattr(self, request.pop("do")), **request))
        return True

    def pytest_configure(self, config: Any) -> None:
        """Make pytest-codspeed's own marker known, which a project may require of each."""
        config.addinivalue_line("markers", f"{MARKERS[1]}: time the whole test")

    def pytest_pyfunc_call(self, pyfuncitem: Any) -> bool | None:
        """Hand a test that a marker names whole to the fixture; leave others to pytest."""
        if _uses_fixture(pyfuncitem) or not _is_marked(pyfuncitem):
            return None
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        pyfuncitem._request.getfixturevalue("benchmark")(pyfuncitem.obj, **arguments)
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep what became of each phase of the open test."""
        self._reports.append(report)

    # Within a benchmark's call

    def measure(self, fixture: Any, call: Call) -> Any:
        """Replace pytest-benchmark's rounds: answer `sample` and `code` requests until `close`, then return a call's
        value. The first answer has the times of set-up and calls. A call that cannot be judged is refused. If a plugin
        runs a failed test again, that gets a plain call."""
        if self._reached:
            return call.make()
        setup_s = perf_counter() - self._begun_s
        fixture.disabled = False
        stats = fixture._make_stats(1)
        first: set[tuple[str, str]] = set()
        later: set[tuple[str, str]] = set()
        begun_s = perf_counter()
        result = call.make(first if self._examines else None)
        first_s = perf_counter() - begun_s
        if inspect.iscoroutine(result):
            result.close()
            self.refuse("its call returns a coroutine that nobody awaits, so no work would be timed")
        stats.update(first_s)
        facts: dict[str, Any] = {"setup_s": setup_s, "first_s": first_s, "is_set_up": call.is_set_up}
        try:
            facts["call_s"] = call.calibrate(0.0 if self._examines else first_s)  # the profiler slows the first
            if self._examines:
                facts["probes"] = [call.probe() for _ in range(PROBES)]
                call.make(later)
        except Exception as error:  # whatever somebody's code raises; nothing of the gate's own is called there
            self.refuse(f"it cannot be repeated: a call after the first one fails, {loop.named(error)}")
        self._reached = True
        self.answer(lambda: facts)
        while (request := self._requests.get()) is not None:
            if request["do"] == "close":
                return call.make()
            if request["do"] == "code":
                self.answer(lambda: self._code(first, later))
            else:
                self.answer(lambda: call.sample(stats))
        self._requests.put(None)  # for the loop over all tests, which then lets their fixtures end
        return self.refuse("the judge hung up")

    def _code(self, first: set[tuple[str, str]], later: set[tuple[str, str]]) -> dict[str, Any]:
        """The code that ran in the calls, and files beside it. A request of its own, since it takes a while."""
        opened = self._watch.opened if self._watch else {}
        code = self._trees.code(first, later, opened)
        return {"code": code, "beside": self._trees.beside(opened, self._plugins())}

    def refuse(self, reason: str) -> None:
        """Skip the open test, so that `open` raises RefusedError with this reason. Never returns."""
        import pytest

        self._refusal = reason
        pytest.skip(reason)

    def answer(self, do: Callable[[], Mapping[str, Any]]) -> None:
        """Send the judge what `do` returns, or its error."""
        loop.answer(self._answers, do)

    # Paths of the command line

    def existing(self) -> list[str]:
        """The files and folders of the command line that this tree has, for pytest; if none exists, the first as given.
        Node ids are cut to their files, since pytest stops if one of several is not found; tests are chosen later."""
        files = [path for path in self.paths if Path(path.partition("::")[0]).exists()]
        return list(dict.fromkeys(path.partition("::")[0] for path in files)) or [*self.paths][:1]


@dataclass
class Call:
    """The work that a test hands to `benchmark`."""

    function: Callable[..., Any]
    arguments: Callable[[], tuple[Sequence[Any], Mapping[str, Any]]]
    is_set_up: bool = False
    teardown: Callable[..., Any] | None = None
    disable_gc: bool = False
    iterations: int = 1
    """Calls between two readings of the clocks."""
    is_long: bool = False

    def make(self, seen: set[tuple[str, str]] | None = None) -> Any:
        """Make one call, with its teardown, and return its value. `seen`: gets (module, function) of what ran."""
        args, kwargs = self.arguments()
        with contextlib.nullcontext() if seen is None else profiled(seen):
            result = self.function(*args, **kwargs)
        if self.teardown is not None:
            self.teardown(*args, **kwargs)
        return result

    def calibrate(self, first_s: float) -> float:
        """Choose `iterations` so that a turn lasts about LEAST_TURN_S, and return the wall seconds of one call.
        `first_s`: seconds of the first call, or 0. A call with a set-up is timed alone. Also sets `is_long`."""
        call_s = first_s if first_s > LONG_CALL_S else min(self._turn()["wall_s"] for _ in range(2))
        for _ in range(0 if self.is_set_up else 8):  # a turn that was interrupted asks for fewer calls than it should
            needed = LEAST_TURN_S / max(call_s, 1e-9)
            if needed <= self.iterations:
                break
            self.iterations *= max(2, min(10, int(needed / self.iterations)))
            call_s = min(self._turn()["wall_s"] for _ in range(2))
        self.is_long = call_s > LONG_CALL_S
        return call_s

    def sample(self, stats: Any) -> dict[str, Any]:
        """The median of each clock over turns, in seconds per call; the first turn is dropped unless calls are long. It
        finds the other side's data in the caches. `stats`: pytest-benchmark's, which gets the wall time."""
        if not self.is_long:
            self._turn()
        sample = loop.summary(loop.sampled(self._turn), self.iterations)
        stats.update(sample["wall_s"])
        return sample

    def probe(self) -> dict[str, float]:
        """A turn's times, with the seconds per call that the thread waited for a CPU, and the number of calls."""
        before_s = loop.run_delay_s()
        turn = self._turn()
        return {**turn, "run_delay_s": (loop.run_delay_s() - before_s) / self.iterations, "calls": self.iterations}

    def _turn(self) -> dict[str, float]:
        """Time the calls between two readings of each clock, in seconds a call."""
        args, kwargs = self.arguments()
        with loop.undisturbed(disables_gc=self.disable_gc):
            turn = loop.timed(self.function, args, kwargs, self.iterations)
        if self.teardown is not None:
            self.teardown(*args, **kwargs)
        return turn


def _replace_rounds(worker: PytestWorker) -> None:
    """Let pytest-benchmark's fixture, of versions 4 and 5, hand each call to the worker."""
    from pytest_benchmark.fixture import BenchmarkFixture

    def raw(fixture: Any, function_to_benchmark: Any, *args: Any, **kwargs: Any) -> Any:
        call = Call(function_to_benchmark, lambda: (args, kwargs), disable_gc=fixture._disable_gc)
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
        """Replace `BenchmarkFixture._raw_pedantic`. Raises pytest-benchmark's own errors, in its words."""
        for name, number in {"iterations": iterations, **counts}.items():
            if not isinstance(number, int) or number < (name != "warmup_rounds"):
                raise ValueError(f"Must have positive int for `{name}`.")
        if iterations > 1 and setup:
            raise ValueError("Can't use more than 1 `iterations` with a `setup` function.")

        def arguments() -> tuple[Sequence[Any], Mapping[str, Any]]:
            prepared = setup() if setup else None
            if prepared and (args or kwargs):
                raise TypeError("Can't use `args` or `kwargs` if `setup` returns the arguments.")
            return prepared or (args, kwargs or {})

        is_set_up = setup is not None or teardown is not None
        return worker.measure(fixture, Call(target, arguments, is_set_up, teardown, fixture._disable_gc))

    def weave(*_: Any, **__: Any) -> None:
        worker.refuse("it uses benchmark.weave or benchmark.patch, which time calls within other work")

    for name, method in {"_raw": raw, "_raw_pedantic": raw_pedantic, "weave": weave, "patch": weave}.items():
        setattr(BenchmarkFixture, name, method)


def _uses_fixture(item: Any) -> bool:
    return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def _is_marked(item: Any) -> bool:
    return any(item.get_closest_marker(name) for name in MARKERS)


def _is_chosen(path: str, item: Any) -> bool:
    """Whether a path or node id of the command line selects a test."""
    file, _, name = path.partition("::")
    item_name = item.nodeid.partition("::")[2]
    is_named = not name or item_name == name or item_name.startswith((f"{name}::", f"{name}["))
    return is_named and is_in(_item_file(item), real(file))


def _item_file(item: Any) -> str:
    return real(str(item.path))


def _sentence(report: Any) -> str:
    """The reason of a failed or skipped report, on one line of at most 300 characters."""
    description = report.longrepr
    crash = getattr(description, "reprcrash", None)
    if crash is not None:
        return str(crash.message).strip().splitlines()[0][:300]
    if isinstance(description, tuple):  # of a skip: file, line and reason
        return " ".join(str(description[-1]).split()).replace("Skipped: ", "", 1)
    lines = [line.lstrip("E ").strip() for line in str(description).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "without a reason"


if __name__ == "__main__":
    main(sys.argv[1])
