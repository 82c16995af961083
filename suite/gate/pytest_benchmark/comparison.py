"""Two revisions of somebody's benchmarks: collected, run once side by side, then timed until each is decided.

A benchmark is judged if its test is the same in both revisions, and if code of both revisions ran for it. Whatever
stands against that is its verdict, so that none is passed over in silence.
"""

import itertools
import math
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suite.gate.output.sentences import counted, first_of
from suite.gate.pytest_benchmark.project import ProjectPython, ProjectRevisions, prepare
from suite.gate.pytest_benchmark.timing import SuiteTiming, choose_clock, least_s
from suite.gate.rules.decision import AFTER, BEFORE, LEAST_LAUNCHES, Benchmark, launches_for_change
from suite.gate.side_by_side.against import Answer, GateComparison, in_words
from suite.gate.side_by_side.answers import checked_opening
from suite.gate.side_by_side.revisions import FOLDERS, BenchmarkCase, FileState, file_states
from suite.gate.side_by_side.settings import OPTION
from suite.gate.side_by_side.timing import Say, most_launches
from suite.gate.side_by_side.worker_client import SIDES, FailedError, UnsupportedHereError, WorkerClient
from suite.gate.verdict import LATENCY, Outcome, Verdict
from suite.gate.workers.worker_trees import digest

TO_MEND = (
    "make the tree's own files importable: by an editable install (pip install -e .), by pytest's setting pythonpath, "
    "or by --prepare COMMAND, which builds in each tree, for example 'python setup.py build_ext --inplace'"
)
MOST_NAMED = 3
PAUSE_S = 0.05
"""A pause after the calls, in which their worker has nothing to do; the kernel counts child processes by 10 ms."""
USUAL_S = 120.0
"""The least cap on measuring time, where none is said; as for the suite's own cases."""
SHORT_S = 2e-5
"""To read the clocks takes about a microsecond."""
MOST_PATHS = 12
FAR_FASTER = 3.0
"""Times as fast as before from which a call is asked whether its first one did the work for it."""
MOST_DEFERRED = 0.02
"""CPUs that may be busy once the calls have returned; where nothing is left to be done, at most 0.0011 were."""
LOOKS_AT_RUNNER = re.compile(
    rb"PYTEST_\w+|pytest_benchmark|orig_argv|_getframe|currentframe|inspect\.stack|modules\[.__main__|/proc/self|getppid"
    rb"|.pytest. (?:not )?in sys\.modules"
)
"""How code finds out who runs it."""


@dataclass(kw_only=True)
class SuiteComparison(GateComparison):
    """A comparison of two revisions of somebody's suite."""

    revisions: ProjectRevisions
    python: ProjectPython
    seconds: float | None
    """The cap on measuring time; None for as much as all benchmarks need to be called slower, and USUAL_S at least."""
    trusts_candidate: bool
    """True if a benchmark is judged though its test changed."""
    prepared: str = ""
    """The command that ran in each tree before."""
    benchmarks: list["ExaminedBenchmark"] = field(default_factory=list)
    """Those of which times may be compared."""
    _start_s: float = 0.0
    _files: Sequence[Mapping[str, FileState]] = ()
    """All files of both trees, before any code of theirs ran."""
    _following: Mapping[str, str] = field(default_factory=dict)
    """The benchmark that comes next, for whose sake pytest keeps the fixtures that both need."""

    def run(self, say: Say) -> None:
        """Run each benchmark once, then time the comparable ones; verdicts are added to this object. Raises
        WorkerError if a worker does not start or `prepared` fails, ValueError if the time is too short."""
        say(f"the benchmarks run in {self.python.versions} ({self.python.reason})")
        if self.prepared:
            say(f"prepared in each tree by: {self.prepared}")
            prepare(self.prepared, self.revisions.trees, self.revisions.logs, self.python)
        self.examine(say)
        benchmarks = self.benchmarks
        if not benchmarks and self._refuse_if_all_unjudged(self._refusal):
            return
        seconds = enough_s(benchmarks) if self.seconds is None else self.seconds
        if benchmarks:
            self._say_costs(benchmarks, seconds, say)
        self.timing = SuiteTiming(
            revisions=self.revisions,
            cases=[BenchmarkCase(id=benchmark.case, settings=({}, {})) for benchmark in benchmarks],
            benchmarks=[
                Benchmark(case=fitting.case, span="", clock=fitting.clock)
                for fitting in self._fitting(benchmarks, seconds, say)
            ],
            tolerances=self.tolerances,
            seconds=seconds,
        )
        self.timing.run(say)

    def examine(self, say: Say) -> None:
        """Collect both suites and run each common benchmark once on both sides. Fills `benchmarks` with those that may
        be timed; the others get verdicts. Removes the trees' __pycache__ folders."""
        # Compiled code of another time would run in place of what lies in the trees.
        for tree in self.revisions.trees:
            for cache in tree.rglob("__pycache__"):
                shutil.rmtree(cache)
        self._files = [file_states(tree, "") for tree in self.revisions.trees]
        self.revisions = replace(self.revisions, older_files=file_states(self.revisions.trees[BEFORE]))
        begun_s = time.monotonic()
        with replace(self.revisions, watches=True).launched() as workers:
            collections = [worker.collection for worker in workers]
            cases = self._paired(*collections)
            self._start_s = time.monotonic() - begun_s
            number = counted(len(cases), "benchmark")
            say(f"{number} to compare (pytest took {self._start_s:.1f} s to start and collect)")
            self._following = dict(itertools.pairwise(case.id for case in cases))
            if not any(side["others"] for side in collections):
                self._examine_each(self.revisions, workers, cases, self._run_to_end)
                return
        # A test that is no benchmark may change what these do, so its file is imported no more.
        files = {benchmark["file"] for side in collections for benchmark in side["benchmarks"]}
        self.revisions = replace(self.revisions, only=sorted(files))
        with replace(self.revisions, watches=True).launched() as workers:
            self._examine_each(self.revisions, workers, cases, self._run_to_end)

    def facts(self) -> dict[str, Any]:
        return {
            "suite": "pytest-benchmark",
            "python": self.python.versions,
            "chosen": list(self.revisions.paths),
            "prepared": self.prepared,
            "most_seconds": self.timing.seconds if self.timing else None,
        }

    def _paired(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[BenchmarkCase]:
        """The benchmarks that are equal in both collections. The others (missing, new, changed) get verdicts."""
        old, new = ({benchmark["id"]: benchmark for benchmark in side["benchmarks"]} for side in (before, after))
        self.first = not old and not before["failed"]
        for place, reason in after["failed"].items():
            self._add(place, Outcome.BROKEN, f"cannot be collected now: {reason}")
        for place, reason in before["failed"].items():
            self.warnings.append(f"{place} cannot be collected in the older revision: {reason}")
        for id in old.keys() - new.keys():
            self._add(id, Outcome.MISSING, "the older revision has this benchmark, the newer one does not")
        for id in new.keys() - old.keys():
            self._add(id, Outcome.NEW, "the older revision does not have this benchmark")
        comparable = []
        for id in [id for id in new if id in old]:
            if new[id]["timer"]:
                self._note(id, "the gate's clocks are used in place of the benchmark's own timer")
            before_parts, after_parts = old[id]["parts"], new[id]["parts"]
            names = {**before_parts, **after_parts}
            changed = ", ".join(name for name in names if before_parts.get(name) != after_parts.get(name))
            if self._is_comparable(id, [f"the benchmark itself changed: its {changed}"] if changed else []):
                comparable.append(BenchmarkCase(id=id, settings=({}, {})))
        return comparable

    def _is_comparable(self, case: str, reasons: Sequence[str]) -> bool:
        """Whether a benchmark is judged: without reasons against it, or with --trust-candidate-settings. Trusted
        reasons become notes; otherwise the benchmark gets an incomparable verdict."""
        if reasons and not self.trusts_candidate:
            self._add(case, Outcome.INCOMPARABLE, f"{'; '.join(reasons)}; to judge it all the same, pass {OPTION}")
            return False
        for reason in reasons:
            self._note(case, reason)
        return True

    def _note(self, id: str, text: str) -> None:
        self.notes.setdefault(id, []).append(text)

    def _run_to_end(self, workers: Sequence[WorkerClient], case: BenchmarkCase, side: int) -> Mapping[str, Any]:
        """Run a benchmark's test on one side to its end and return what the worker saw. `deferred` in it: how many CPUs
        the worker's processes keep busy after the calls. Raises as WorkerClient.ask."""
        worker = workers[side]
        facts = worker.ask("open", id=case.id, following=self._following.get(case.id), examine=True)
        begun_s, begun_cpu_s = time.monotonic(), worker.family_cpu_s()
        time.sleep(PAUSE_S)  # the worker does nothing but wait for the next request
        deferred = (worker.family_cpu_s() - begun_cpu_s) / (time.monotonic() - begun_s)
        answer = checked_opening({**facts, **worker.ask("code")}, examined=True)
        worker.ask("close")
        return {**answer, "deferred": deferred}

    def _without_answer(self, old: Answer, new: Answer) -> tuple[Outcome, str]:
        if isinstance(new, FailedError):
            when = "before and now" if isinstance(old, FailedError) else "now"
            return Outcome.BROKEN, f"{when} {new}"
        if isinstance(new, UnsupportedHereError):
            if isinstance(old, UnsupportedHereError):
                return Outcome.UNJUDGED, str(new)
            return Outcome.MISSING, f"ran before, but now {new}"
        return Outcome.NEW, f"runs now; in the older revision, {old}"

    def _compare(self, benchmark: BenchmarkCase, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        case = benchmark.id
        if old["is_set_up"] != new["is_set_up"]:
            self._add(case, Outcome.BROKEN, "only one of the two revisions has a set-up before each call")
            return
        if obstacle := _foreign_code(old["code"], new["code"]):
            self._add(case, Outcome.UNJUDGED, obstacle)
            return
        self.code[case] = in_words(*(side["code"]["ran"] or side["code"]["imported"] for side in (old, new)))
        # From now on, nobody may write into what the older side was seen to read.
        read = {name: state for name, state in self._files[BEFORE].items() if name in old["beside"]}
        self.revisions = replace(self.revisions, older_files={**read, **(self.revisions.older_files or {})})
        if not self._is_comparable(case, [*doubts(old, new, self.revisions.trees, self._files)]):
            return
        if not old["code"]["ran"] and not new["code"]["ran"]:
            self._note(
                case, "no Python code of the two revisions was seen to run in its call; the modules named were imported"
            )
        clock, note = choose_clock((old["probes"], new["probes"]))
        if note:
            self._note(case, note)
        if new["is_set_up"] and new["call_s"] < SHORT_S:
            self._note(
                case, f"a call takes {1e6 * new['call_s']:.2g} µs and is timed alone, so reading the clock adds to it"
            )
        self.benchmarks.append(ExaminedBenchmark(case=case, clock=clock, sides=(old, new)))

    def _refusal(self, verdicts: Sequence[Verdict]) -> Verdict:
        """The one broken verdict on a suite of which no benchmark can be judged, with the reasons in `verdicts`."""
        reasons = list(dict.fromkeys(verdict.reason for verdict in verdicts))
        more = f"; and {len(reasons) - MOST_NAMED} other reasons" * (len(reasons) > MOST_NAMED)
        return Verdict(
            case="every benchmark",
            outcome=Outcome.BROKEN,
            reason=f"none of the benchmarks ({len(verdicts)}) can be judged: {'; '.join(reasons[:MOST_NAMED])}{more}",
        )

    def _say_costs(self, benchmarks: Sequence["ExaminedBenchmark"], seconds: float, say: Say) -> None:
        """Tell how long the first runs took, and how long the whole timing may take."""
        setup_s, first_s, call_s = (
            sum(max(float(side[name]) for side in benchmark.sides) for benchmark in benchmarks)
            for name in ("setup_s", "first_s", "call_s")
        )
        say(
            f"{counted(len(benchmarks), 'benchmark')} ran once and can be timed: fixtures took {setup_s:.2g} s, "
            f"first calls {first_s:.2g} s, later calls {call_s:.2g} s"
        )
        launch_s, launches = self._start_s + setup_s + first_s, most_launches(seconds)
        say(
            f"timing: at most {seconds:.0f} s of measuring in {LEAST_LAUNCHES} to {launches} launches, which take "
            f"about {launch_s:.1f} s each to start: at most {seconds + launches * launch_s:.0f} s in total"
        )

    def _fitting(
        self, benchmarks: Sequence["ExaminedBenchmark"], seconds: float, say: Say
    ) -> list["ExaminedBenchmark"]:
        """The benchmarks that fit into `seconds`, counted from the shortest call up, with the launches a change needs.
        The others get inconclusive verdicts and are named. Raises ValueError if none fits."""
        launches, fitting, needed_s = launches_for_change(len(benchmarks)), [], 0.0
        for benchmark in sorted(benchmarks, key=lambda benchmark: least_s(benchmark.calls_s)):
            needed_s += least_s(benchmark.calls_s, launches)
            fitting += [benchmark] if needed_s <= seconds else []
        if benchmarks and not fitting:
            shortest_s = min(least_s(benchmark.calls_s, 1) for benchmark in benchmarks)
            raise ValueError(
                f"seconds must be at least {math.ceil(launches * shortest_s)} for one of the {len(benchmarks)} "
                f"benchmarks, and about {math.ceil(needed_s)} for all; got {seconds:g}"
            )
        reason = (
            f"{len(benchmarks)} benchmarks need {math.ceil(needed_s)} s or more, and {seconds:g} s are enough only for "
            f"the {len(fitting)} with the shortest calls: use more --seconds or choose fewer benchmarks"
        )
        left_out = [benchmark for benchmark in benchmarks if benchmark not in fitting]
        for benchmark in left_out:
            self._add(benchmark.case, Outcome.INCONCLUSIVE, reason, metric=LATENCY, clock=benchmark.clock)
        if left_out:
            say(f"not timed: {', '.join(benchmark.case for benchmark in left_out)}: {reason}")
        return [benchmark for benchmark in benchmarks if benchmark in fitting]


@dataclass(frozen=True, kw_only=True)
class ExaminedBenchmark:
    """A benchmark that ran on both sides, with what was seen."""

    case: str
    clock: str
    sides: tuple[Mapping[str, Any], Mapping[str, Any]]

    @property
    def calls_s(self) -> Sequence[float]:
        """Seconds of one call, before and after."""
        return [side["call_s"] for side in self.sides]


def _foreign_code(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Why a benchmark runs code that is not the revision's, on either side; empty if it runs the revision's."""
    if elsewhere := {**old["elsewhere"], **new["elsewhere"]}:
        reasons = [f"{name} {reason}" for name, reason in sorted(elsewhere.items())]
        return f"{first_of(reasons, MOST_NAMED)}; {TO_MEND}"
    lacking = [side for side, code in enumerate((old, new)) if not code["imported"]]
    if not lacking:
        return ""
    where = "either revision" if len(lacking) == len(SIDES) else f"the {FOLDERS[lacking[0]]} revision"
    return f"apart from its own test it runs no code of {where}; {TO_MEND}"


def enough_s(benchmarks: Sequence[ExaminedBenchmark]) -> float:
    """The default cap in seconds: twice what all benchmarks need to be called changed, and at least USUAL_S."""
    launches = launches_for_change(len(benchmarks))
    return max(USUAL_S, math.ceil(2 * sum(least_s(benchmark.calls_s, launches) for benchmark in benchmarks)))


def doubts(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    trees: tuple[Path, Path],
    files: Sequence[Mapping[str, object]],
) -> Iterator[str]:
    """Yield reasons to suspect that the two sides did not do the same work, as other inputs or work left for later.
    `files`: the names of each tree's files before any code ran."""
    here = {**files[BEFORE], **files[AFTER]}  # what a run makes is no part of its workload
    seen = [name for name in sorted({**old["beside"], **new["beside"]}) if name in here]
    # By digest: a file that both sides have alike may still have been read by one of them alone.
    differing = [
        name for name in seen if len({_digest(*side, name) for side in zip(trees, (old, new), strict=True)}) > 1
    ]
    if differing:
        yield f"files that it may run or read beside the judged code differ: {first_of(differing, MOST_PATHS)}"
    if old["code"]["ran"] and not new["code"]["ran"]:
        yield f"its call ran {', '.join(old['code']['ran'])} before, but runs no code of the revision now"
    once = new["code"]["once"].keys() - old["code"]["once"].keys()
    if once and old["call_s"] > FAR_FASTER * new["call_s"] and FAR_FASTER * new["first_s"] > old["call_s"]:
        yield f"only its first call does the work now, as if the result were cached: {', '.join(sorted(once))}"
    if new["deferred"] > max(2 * old["deferred"], MOST_DEFERRED):
        yield (
            f"threads or processes that its calls leave behind go on working after the calls, {new['deferred']:.0%} of "
            f"the time (before: {old['deferred']:.0%})"
        )
    for name, words in _runner_checks(new["code"]["imported"], trees, files):
        yield f"{name} now looks at what runs it: {', '.join(words)}"


def _digest(tree: Path, side: Mapping[str, Any], name: str) -> str:
    path = tree / name
    return str(side["beside"].get(name, digest(path.read_bytes()) if path.is_file() and not path.is_symlink() else ""))


def _runner_checks(
    modules: Mapping[str, str], trees: tuple[Path, Path], files: Sequence[Mapping[str, object]]
) -> Iterator[tuple[str, list[str]]]:
    """Yield each changed Python file of the judged modules that newly checks who runs it, and the words it uses."""
    places = [file.removesuffix("__init__.py") for file in modules.values()]
    for name in files[AFTER]:
        paths = [tree / name for tree in trees]
        if name.endswith(".py") and name.startswith(tuple(places)) and not any(path.is_symlink() for path in paths):
            before, after = (path.read_bytes() if path.is_file() else b"" for path in paths)
            if before != after and (
                words := set(LOOKS_AT_RUNNER.findall(after)) - set(LOOKS_AT_RUNNER.findall(before))
            ):
                yield name, sorted(word.decode(errors="replace") for word in words)
