"""One side of a comparison: a process that builds the cases of the tree under test and samples them when asked.

Run by path, as `python -S -E -P case_worker.py TREE`, from where the judge lies and never out of a tree: both sides are
timed by this very file. An import means the tree's package, at its top or in its `src/`, or the installed one where the
tree holds none, and of each case it is told which. It imports nothing of the suite up here and asks little of it.

The tree's code runs in this process, so nothing here looks up what that could replace by one line: clocks and the rest
are bound, in worker_loop.py, before anything of the tree, of PYTHONPATH or of site-packages is imported. What code in
this process can do all the same, the judge bounds from outside, see `answers.py`.
"""

import importlib
import os
import signal
import site
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:  # as the judge reads it, for its constants
    from suite.gate.workers import worker_loop as loop
else:  # by path, from the folder of this file, in which Python does not look by itself
    sys.path.insert(0, str(Path(__file__).parent))
    loop = importlib.import_module("worker_loop")
    del sys.path[0]

LONG_CALL_S = 0.005
"""A longer call brings its data into the caches in a small part of its time, on both sides alike. With none dropped
before it, a third more rounds fit into a launch."""
CEILING_SIZE = 384
LEAST_COVERED, MOST_COVERED, COVERED_S = 3, 20, 0.05
NAMES_CODE = ("_target_", "plan", "shape")
"""Settings whose value is the dotted name of an object."""


def main(tree: str) -> None:
    """Serve the judge's requests for a tree until the pipe closes, then end the process."""
    # What Python left out by -S and -E: PYTHONPATH, the .pth files and sitecustomize. Any of them may lead to a file of
    # the tree, as where it is installed editable, and now finds the clocks bound.
    if sys.flags.no_site:
        folders = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:0] = [str(Path.cwd() / folder) for folder in folders]
        site.main()
    # Before the finders of editable installs, of which some come first and know the user's checkout alone.
    sys.meta_path.insert(0, PathFinder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    requests, answers = loop.open_pipe(lambda: os._exit(0))
    worker = RevisionWorker()
    loop.answer(answers, lambda: worker.hello(tree))
    while (request := requests.get()) is not None:
        loop.answer(answers, partial(getattr(worker, request.pop("do")), **request))
    os._exit(0)  # what is left of the tree's threads and objects is nobody's


class RevisionWorker:
    """The requests of the parent, each the name of a method."""

    def __init__(self) -> None:
        self._built: dict[str, Built] = {}
        self._tree = Path()

    def hello(self, tree: str) -> dict[str, Any]:
        """Measure this machine's rates, put the tree first in imports, and answer the protocol and the rates. Raises
        RuntimeError if the tree holds a package `suite` but another one is imported."""
        import torch  # before the tree can be found, which may hold another

        torch.set_num_interop_threads(1)
        ceilings = _ceilings()
        self._tree = Path(tree).resolve()
        sys.path[:0] = [tree, str(Path(tree, "src"))]
        import suite

        has_suite = any((self._tree / folder / "suite").is_dir() for folder in ("", "src"))
        if has_suite and _file_in(self._tree, suite.__name__) is None:
            raise RuntimeError("the tree holds a package `suite`, but another one was imported")
        return {"protocol": loop.PROTOCOL, **ceilings}

    def expand(self, arguments: list[str]) -> dict[str, Any]:
        """The cases that Hydra makes of a command line: axes, settings and files of code of each. Raises PlainError
        with one sentence if it cannot."""
        from suite.run.compose.composer import compose, sentence
        from suite.run.compose.point import is_left_out
        from suite.run.job import job_of

        try:
            jobs = [job_of(point) for point in compose(arguments) if not is_left_out(point)]
        # Hydra's errors have no base of their own, and those of a tree of any age are not known here. All are told.
        except Exception as error:
            raise loop.PlainError(sentence(error)) from error
        return {
            "cases": [
                {
                    "workload": job.case.workload,
                    "axes": dict(job.case.axes),
                    "extras": dict(job.case.extras),
                    "settings": job.settings,
                    "code": _code_files(job.settings, self._tree),
                }
                for job in {job.case.id: job for job in jobs}.values()
            ]
        }

    def build(self, id: str, settings: dict[str, Any], examine: bool, slowed: float) -> dict[str, Any]:
        """Prepare a case to be sampled, and answer its spans and judging clock. `examine`: check its output too, and
        add its exact quantities, operators and code. `slowed`: the share by which each call is made longer. Raises
        RefusedError for a case that cannot run here."""
        if "_target_" not in settings["workload"]:  # it names no code to run: closed forms, which no clock judges
            from suite.configuration.files import locate

            plan = locate(settings["workload"]["plan"])(settings)
            if plan.refusal is not None:
                raise loop.RefusedError(plan.refusal)
            code = _code_files(settings, self._tree)
            return {"spans": [], "clock": None, "readings": plan.constants(), "operators": {}, "code": code}
        built = _guarded(lambda: Built(settings, slowed))
        self._built[id] = built
        answer: dict[str, Any] = {"spans": list(built.spans), "clock": built.clock}
        if examine:
            answer |= _guarded(built.examine)
            answer["code"] = _code_files(settings, self._tree)  # by now as it was imported
        return answer

    def sample(self, id: str, span: str) -> dict[str, Any]:
        """Time a span of a built case."""
        return self._built[id].sample(span)

    def recheck(self, id: str, seed: int, calls: int) -> dict[str, Any]:
        """Check a built case again after it was timed, as `Built.recheck` does; raises what its check raises."""
        answer: dict[str, Any] = _guarded(lambda: self._built[id].recheck(seed, calls))
        return answer


class Built:
    """A prepared case. `slowed`: the share by which each span is made to take longer."""

    def __init__(self, settings: Mapping[str, Any], slowed: float) -> None:
        import torch

        from suite.configuration.files import locate
        from suite.measure.devices import device_for
        from suite.measure.meter import Meter
        from suite.measure.precision import set_matmul_precision

        self._meter, self._settings = Meter, settings
        self._class = locate(settings["workload"]["_target_"])
        self.workload = self._class(settings)
        plan = self.workload.plan
        if plan.refusal is not None:
            raise loop.RefusedError(plan.refusal)
        torch.set_num_threads(plan.threads)
        torch.manual_seed(settings["seed"])
        self.device = device_for(settings.get("device", plan.device), plan.threads)
        self.device.require()
        set_matmul_precision(settings.get("matmul_precision"))
        self.workload.prepare()
        self._slowed = slowed
        cpu_clock = "thread_cpu" if plan.threads == 1 else "process_cpu"
        self.clock = "device" if plan.device != "cpu" else cpu_clock
        self._turns: Callable[[str], Iterator[dict[str, float]]]
        self._parts: Mapping[str, Callable[[], object]] = {}  # of a case on a CPU
        if self.clock == "device":
            ceilings = self.device.ceilings(getattr(torch, plan.dtype))
            self._timed = self.device.timed(self.workload, ceilings)
            self.spans = tuple(self._timed.works)
            self._turns = self._by_device
        else:
            self._parts = self.workload.parts()
            self.spans = tuple(self._parts)
            self._turns = self._by_cpu

    def examine(self) -> dict[str, Any]:
        """Check the output, and answer exact readings by span and metric, operators, parts' operators and coverage.
        Raises what the case's check raises for a wrong output."""
        list(self.workload.check())  # a generator checks nothing until its values are taken
        constants = [*self.workload.constants()]
        watcher = self.device.watcher()
        profiled = self._meter(watcher)
        self.workload.step(self._meter())  # not watched: a first step may compile, or fill a cache
        self.workload.step(profiled)
        exact: dict[str, dict[str, float]] = {}
        for reading in (*constants, *profiled.readings):
            exact.setdefault(reading.span, {})[reading.metric] = reading.value
        spans = [reading.span for reading in profiled.readings]
        operators = watcher.seen().get("operators", [])
        return {
            "readings": exact,
            "operators": dict(zip(spans, map(list, operators), strict=True)),
            "parts": self._parts_operators(),
            "coverage": self._coverage(),
        }

    def recheck(self, seed: int, calls: int) -> dict[str, Any]:
        """Check the output of the timed case, and of the same case built anew with `seed`; answer its parts' operators.
        Code that does less from some call on is caught in one. `calls`: how many come before the watched one."""
        import torch

        parts = self._parts_operators(calls)
        list(self.workload.check())
        if self.clock != "device":  # whose memory need not hold two
            torch.manual_seed(seed)
            fresh = self._class({**self._settings, "seed": seed})
            fresh.prepare()
            list(fresh.check())
        return {"parts": parts}

    def _parts_operators(self, calls: int = 0) -> dict[str, list[str]]:
        """The operators of one call of each timed part, after `calls` others; empty on a device, for a graph."""
        operators = {}
        for span, work in self._parts.items():
            for _ in range(calls):
                work()
            watcher = self.device.watcher()
            stop = watcher(span)
            work()
            stop()
            operators[span] = list(watcher.seen().get("operators", [[]])[0])
        return operators

    def _coverage(self) -> dict[str, float]:
        """The CPU time of each timed part divided by that of its span within a whole step, each the least of several.
        It shows missing work of pure Python, which has no operators."""
        in_step_s: dict[str, list[float]] = {}
        alone_s: dict[str, list[float]] = {}

        def in_step(span: str) -> Callable[[], Sequence[Mapping[str, Any]]]:
            """A probe of a span: begin to count CPU time, and return the function that ends it."""
            begun_s = process_time()

            def stop() -> Sequence[Mapping[str, Any]]:
                in_step_s.setdefault(span, []).append(process_time() - begun_s)
                return ()

            return stop

        begun_s, times, parts = perf_counter(), 0, self._parts
        while parts and (times < LEAST_COVERED or (times < MOST_COVERED and perf_counter() - begun_s < COVERED_S)):
            self.workload.step(self._meter(in_step))
            for span, work in parts.items():
                part_begun_s = process_time()
                work()
                alone_s.setdefault(span, []).append(process_time() - part_begun_s)
            times += 1
        return {span: min(alone_s[span]) / max(min(in_step_s[span]), 1e-9) for span in parts if span in in_step_s}

    def work(self, span: str) -> Callable[[], object]:
        """The function that does the work of a span once; only for a case on a CPU."""
        return self._parts[span]

    def sample(self, span: str) -> dict[str, Any]:
        """Time calls of a span and return the median of each clock. The first call finds the other side's data in the
        caches and is dropped, unless it is long: then it alone counts."""
        turn = partial(next, self._turns(span))
        first = turn()
        return loop.summary([first] if first["wall_s"] >= LONG_CALL_S else loop.sampled(turn))

    def _by_cpu(self, span: str) -> Iterator[dict[str, float]]:
        """Yield the times of one call after another, each made longer by the injected slowdown, if any."""
        work = self._parts[span]

        def slowed() -> None:
            """Do the work, then keep the CPU busy for its share of the thread's CPU time."""
            begun_s = thread_time()
            work()
            until_s = thread_time() + self._slowed * (thread_time() - begun_s)
            while thread_time() < until_s:
                pass

        while True:
            yield loop.timed(slowed if self._slowed else work, (), {}, 1)

    def _by_device(self, span: str) -> Iterator[dict[str, float]]:
        """Yield the times of a span, one step after another, by the device's own events; a step does every span."""
        while True:
            meter = self._meter(*self._timed.probes)
            self._timed.step(meter)
            for reading in meter.readings:
                if reading.span == span and reading.metric == "latency_s":
                    yield {
                        "device_s": reading.value,
                        **{name: getattr(reading, name) or 0.0 for name in loop.CLOCKS},
                        "involuntary_switches": reading.involuntary_switches or 0,
                    }


def _code_files(settings: Mapping[str, Any], tree: Path) -> dict[str, str | None]:
    modules = {name.rpartition(".")[0] for name in _named_code(settings)}
    names = {"suite" if module.partition(".")[0] == "suite" else module for module in modules}
    return {name: _file_in(tree, name) for name in sorted(names)}


def _named_code(settings: Any) -> Iterator[str]:
    """Yield the dotted names of objects in nested settings, under the keys NAMES_CODE."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key in NAMES_CODE and isinstance(value, str) and "." in value:
                yield value
            yield from _named_code(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _named_code(value)


def _file_in(tree: Path, module: str) -> str | None:
    """The file that a module has, or would be imported from, relative to the tree; None if it lies elsewhere. A
    relative `__file__`, as torch.ops has one, would lie in every tree, since each is a worker's own folder."""
    file = getattr(sys.modules.get(module), "__file__", None) or _file_to_import(module)
    if not isinstance(file, str) or not Path(file).is_absolute():
        return None
    path = Path(file).resolve()
    return path.relative_to(tree).as_posix() if path.is_relative_to(tree) else None


def _file_to_import(module: str) -> str | None:
    """The file that importing a module would run, found without running anything; its package's if it has none."""
    file, folders, name = None, sys.path, ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, folders)
        if spec is None:
            break
        file, folders = spec.origin or file, spec.submodule_search_locations or []
    return file


def _guarded(work: Callable[[], Any]) -> Any:
    """Call a function of the tree and return its value; its UnsupportedError is raised as RefusedError."""
    from suite.measure.workload import UnsupportedError

    try:
        return work()
    except UnsupportedError as refusal:
        raise loop.RefusedError(str(refusal)) from refusal


def _ceilings() -> dict[str, float]:
    """Measure the best rates of one thread here: FLOPs per second in float32 and at all, and copied bytes per second.
    The copy stays in a core's cache. In bfloat16, products may be much faster than in float32."""
    import torch

    def best_s(work: Callable[[], object], times: int) -> float:
        times_s = []
        for _ in range(times):
            begun_s = perf_counter()
            work()
            times_s.append(perf_counter() - begun_s)
        return min(times_s)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole, half = (torch.ones(CEILING_SIZE, CEILING_SIZE, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    source, target = torch.ones(1 << 16), torch.ones(1 << 16)
    whole_s, half_s = best_s(lambda: whole @ whole, 4), best_s(lambda: half @ half, 4)
    copy_s = best_s(lambda: target.copy_(source), 50)
    torch.set_num_threads(threads)
    operations = 2 * CEILING_SIZE**3
    return {
        "float32_flops_per_s": operations / whole_s,
        "flops_per_s": operations / min(whole_s, half_s),
        "bytes_per_s": 2 * source.nbytes / copy_s,
    }


if __name__ == "__main__":
    main(sys.argv[1])
