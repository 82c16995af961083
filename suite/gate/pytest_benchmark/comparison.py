"""Two revisions of somebody's benchmarks: collected, run once side by side, then timed until each is decided.

A benchmark is judged if its test is the same in both revisions, and if code of both revisions ran for it. Whatever
stands against that is its verdict, so that none is passed over in silence.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from suite.gate.output.sentences import SETTINGS
from suite.gate.pytest_benchmark.answers import checked_collection, checked_opening
from suite.gate.pytest_benchmark.callgrind import USUAL, CountedRevisions, InstructionCounting
from suite.gate.pytest_benchmark.clock import Clock, clock_of
from suite.gate.pytest_benchmark.project import ProjectPython, ProjectRevisions, prepare
from suite.gate.pytest_benchmark.timing import SuiteTiming, least_s
from suite.gate.rules.decision import AFTER, BEFORE, LEAST_LAUNCHES, Benchmark, launches_for_change
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.revisions import SIDES, BenchmarkCase, Tree
from suite.gate.side_by_side.rounds import SAMPLES, SURROUNDINGS
from suite.gate.side_by_side.timing import Say, most_launches
from suite.gate.side_by_side.worker_client import FailedError, UnsupportedHereError, WorkerClient, WorkerError
from suite.gate.verdict import LATENCY, Judgement, Outcome, Verdict

TO_MEND = (
    "let the tree's own files be imported: an editable install (pip install -e .), pytest's setting pythonpath, or "
    "--prepare COMMAND, which builds in each tree, as 'python setup.py build_ext --inplace'"
)
MOST_NAMED = 3
USUAL_S = 120.0
"""The least cap on measuring time, where none is said; as for the suite's own cases."""
SHORT_S = 2e-5
"""To read the clocks takes about a microsecond."""
Opened = Mapping[str, Any] | Exception


@dataclass(kw_only=True)
class SuiteComparison:
    """The comparison of two revisions of a suite as far as it has come, so that an interruption loses nothing of it."""

    before: Tree
    after: Tree
    revisions: ProjectRevisions
    python: ProjectPython
    seconds: float | None
    """The cap on measuring time; None for as much as all benchmarks need to be called slower, and USUAL_S at least."""
    tolerances: Tolerances
    trusts_candidate: bool
    """True if a benchmark is judged though its test changed."""
    prepared: str = ""
    """The command that ran in each tree before."""
    verdicts: list[Verdict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    code: dict[str, str] = field(default_factory=dict)
    """Code of the two revisions that ran for each benchmark."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    counted: CountedRevisions | None = None
    """Workers that count instructions, where these judge in place of time."""
    timing: SuiteTiming | InstructionCounting | None = None
    _start_s: float = 0.0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def run(self, say: Say) -> None:
        """Compare the revisions. Raises WorkerError where a worker does not start."""
        say(f"run by {self.python.versions} ({self.python.reason})")
        if self.prepared:
            say(f"prepared in each tree by: {self.prepared}")
            prepare(self.prepared, self.revisions.trees, self.revisions.logs, self.python)
        begun_s = time.monotonic()
        with self.revisions.launched() as workers:
            cases = self._paired(*self._collected(workers))
            self._start_s = time.monotonic() - begun_s
            say(f"{len(cases)} benchmarks to compare; to start and to collect them took {self._start_s:.1f} s")
            found = self._run_once_each(workers, cases)
        told = [verdict for verdict in self.verdicts if verdict.case != SETTINGS]
        if not found and told and all(verdict.outcome is Outcome.UNJUDGED for verdict in told):
            self.verdicts = [*(verdict for verdict in self.verdicts if verdict.case == SETTINGS), self._refusal(told)]
            return
        if self.counted is not None:
            self.timing = InstructionCounting(
                revisions=self.counted, cases=self._countable(found), tolerances=self.tolerances
            )
            self.timing.run(say)
            return
        seconds = enough_s(found) if self.seconds is None else self.seconds
        if found:
            self._say_costs(found, seconds, say)
        self.timing = SuiteTiming(
            revisions=self.revisions,
            cases=[BenchmarkCase(id=one.case, settings=({}, {})) for one in found],
            benchmarks=[one.benchmark for one in self._fitting(found, seconds)],
            tolerances=self.tolerances,
            seconds=seconds,
        )
        self.timing.run(say)

    def judgement(self, *, inconclusive_fails: bool, interrupted: bool) -> Judgement:
        """Return the judgement of whatever has been found by now."""
        rounds = self.timing.rounds if self.timing else None
        timed = self.timing.verdicts() if self.timing else []
        return Judgement(
            form="against",
            before=self.before.side,
            after=self.after.side,
            verdicts=[self._told(verdict) for verdict in (*self.verdicts, *timed)],
            warnings=self.warnings,
            facts={
                "started_at": self.started_at.isoformat(timespec="seconds"),
                "suite": "pytest-benchmark",
                "python": self.python.versions,
                "chosen": list(self.revisions.paths),
                "prepared": self.prepared,
                "code": ", ".join(dict.fromkeys(self.code.values())),
                "seconds": rounds.measured_s if rounds else 0.0,
                "most_seconds": self.timing.seconds if isinstance(self.timing, SuiteTiming) else None,
                "launches": rounds.launches if rounds else 0,
                "floor": USUAL.minimum_effect if self.counted else self.tolerances.default_minimum_effect,
                "target": USUAL.equivalence_margin if self.counted else self.tolerances.default_equivalence_margin,
                "clock": ", ".join(sorted({verdict.clock for verdict in timed if verdict.clock})),
            },
            inconclusive_fails=inconclusive_fails,
            interrupted=interrupted,
        )

    def tables(self) -> dict[str, bytes]:
        """Return every sample and the state of the machine beside it, as files by name."""
        if isinstance(self.timing, InstructionCounting):
            return self.timing.tables()
        if self.timing is None or not self.timing.rounds.samples:
            return {}
        rounds = self.timing.rounds
        return {
            SAMPLES.name: SAMPLES.content(rounds.samples),
            SURROUNDINGS.name: SURROUNDINGS.content(rounds.surroundings),
        }

    def _told(self, verdict: Verdict) -> Verdict:
        notes = [*self.notes.get(verdict.case, ()), *verdict.notes]
        return replace(verdict, code=self.code.get(verdict.case, ""), notes=notes)

    def _add(self, case: str, outcome: Outcome, reason: str, **more: Any) -> None:
        self.verdicts.append(Verdict(case=case, outcome=outcome, reason=reason, **more))

    def _collected(self, workers: Sequence[WorkerClient]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return what each side collects: its benchmarks, its files, and what cannot be collected."""
        for worker in workers:
            worker.begin("collect")
        answers = []
        for side, worker in zip(SIDES, workers, strict=True):
            try:
                answers.append(checked_collection(worker.answer()))
            except (FailedError, WorkerError) as error:
                raise WorkerError(f"pytest cannot collect {side}: {error}") from error
        return answers[BEFORE], answers[AFTER]

    def _paired(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """Return the ids of the benchmarks that both have and that are the same. The others get verdicts here."""
        old, new = ({one["id"]: one for one in side["benchmarks"]} for side in (before, after))
        for place, reason in after["failed"].items():
            self._add(place, Outcome.BROKEN, f"cannot be collected now: {reason}")
        for place, reason in before["failed"].items():
            self.warnings.append(f"{place} cannot be collected in the revision before: {reason}")
        for id in old.keys() - new.keys():
            self._add(id, Outcome.MISSING, "a benchmark before, and none now")
        for id in new.keys() - old.keys():
            self._add(id, Outcome.NEW, "there is no such benchmark before")
        self._warn_of_files(before, after)
        both = [id for id in new if id in old]
        for id in both:
            if new[id]["timer"]:
                self._note(id, "its own timer is not used, but the gate's clocks")
        return [id for id in both if self._is_same_test(id, old[id]["parts"], new[id]["parts"])]

    def _is_same_test(self, id: str, old: Mapping[str, str], new: Mapping[str, str]) -> bool:
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if not changed:
            return True
        reason = f"the benchmark itself changed: its {', '.join(changed)}"
        if self.trusts_candidate:
            self._note(id, reason)
            return True
        self._add(id, Outcome.INCOMPARABLE, f"{reason}; --trust-candidate-settings judges it all the same")
        return False

    def _warn_of_files(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Name the files of tests that differ, of which a benchmark that is the same may use a part that is not."""
        names = sorted({**before["files"], **after["files"]})
        if changed := [name for name in names if before["files"].get(name) != after["files"].get(name)]:
            self.warnings.append(f"benchmarks may use what differs in the files of tests: {', '.join(changed)}")

    def _note(self, id: str, text: str) -> None:
        self.notes.setdefault(id, []).append(text)

    def _run_once_each(self, workers: Sequence[WorkerClient], cases: Sequence[str]) -> list["FoundBenchmark"]:
        """Run each test once on both sides. One that takes a worker down is broken; the rest go on in another."""
        found: list[FoundBenchmark] = []
        for index, case in enumerate(cases):
            following = cases[index + 1] if index + 1 < len(cases) else None
            try:
                found += self._run_once(workers, case, following)
            except WorkerError as error:
                self._add(case, Outcome.BROKEN, str(error))
                with self.revisions.launched() as others:
                    self._collected(others)
                    return found + self._run_once_each(others, cases[index + 1 :])
        return found

    def _run_once(self, workers: Sequence[WorkerClient], case: str, following: str | None) -> list["FoundBenchmark"]:
        old, new = (_run_to_end(workers[side], side, case, following) for side in (BEFORE, AFTER))
        if isinstance(old, Exception) or isinstance(new, Exception):
            self._add(case, *_not_run(old, new))
            return []
        if old["is_set_up"] != new["is_set_up"]:
            self._add(case, Outcome.BROKEN, "its call has a set-up of its own in one of the two revisions alone")
            return []
        unheld = _unheld(old["code"], new["code"])
        if unheld is not None:
            self._add(case, *unheld)
            return []
        self.code[case] = _in_words(old["code"], new["code"])
        if not old["code"]["ran"] and not new["code"]["ran"]:
            self._note(case, "no Python code of the revisions was seen to run in its call; named is what was imported")
        clock = clock_of((old["probes"], new["probes"]))
        if clock.note:
            self._note(case, clock.note)
        if new["is_set_up"] and new["call_s"] < SHORT_S:
            self._note(
                case, f"a call takes {1e6 * new['call_s']:.2g} µs and is timed by itself: a part is the clock's own"
            )
        return [FoundBenchmark(case=case, clock=clock, sides=(old, new))]

    def _refusal(self, told: Sequence[Verdict]) -> Verdict:
        """Return the verdict on a suite of which no benchmark runs code of the revisions. `told`: one on each."""
        reasons = list(dict.fromkeys(verdict.reason for verdict in told))
        more = f"; and {len(reasons) - MOST_NAMED} other reasons" * (len(reasons) > MOST_NAMED)
        return Verdict(
            case="every benchmark",
            outcome=Outcome.BROKEN,
            reason=f"none of {len(told)} can be judged: {'; '.join(reasons[:MOST_NAMED])}{more}",
        )

    def _countable(self, found: Sequence["FoundBenchmark"]) -> list[str]:
        """Return the benchmarks that can be repeated between two counts; the others are named."""
        for one in found:
            if one.sides[AFTER]["is_set_up"]:
                reason = "its call has a set-up of its own, and instructions are counted of many calls in a row"
                self._add(one.case, Outcome.UNJUDGED, reason)
        return [one.case for one in found if not one.sides[AFTER]["is_set_up"]]

    def _say_costs(self, found: Sequence["FoundBenchmark"], seconds: float, say: Say) -> None:
        setup_s, first_s, call_s = (
            sum(one.largest(name) for one in found) for name in ("setup_s", "first_s", "call_s")
        )
        say(
            f"each of {len(found)} ran once and passed: fixtures took {setup_s:.2g} s in all, first calls "
            f"{first_s:.2g} s, later calls {call_s:.2g} s"
        )
        launch_s, launches = self._start_s + setup_s + first_s, most_launches(seconds)
        say(
            f"timing: about {seconds:.0f} s of measuring at most, in {LEAST_LAUNCHES} to {launches} launches, each "
            f"with about {launch_s:.1f} s to start: {seconds + launches * launch_s:.0f} s in all at most"
        )

    def _fitting(self, found: Sequence["FoundBenchmark"], seconds: float) -> list["FoundBenchmark"]:
        """Return the benchmarks of which a change can be called within the time; the longer ones are inconclusive.

        Raises ValueError where that is none.
        """
        launches, fitting, needed_s = launches_for_change(len(found)), [], 0.0
        for one in sorted(found, key=lambda one: least_s(one.calls_s)):
            needed_s += least_s(one.calls_s, launches)
            fitting += [one] if needed_s <= seconds else []
        if found and not fitting:
            raise ValueError(
                f"seconds must be at least {math.ceil(launches * min(least_s(one.calls_s, 1) for one in found))} for "
                f"one of the {len(found)} benchmarks, and about {math.ceil(needed_s)} for all; got {seconds:g}"
            )
        reason = (
            f"{len(found)} benchmarks need {math.ceil(needed_s)} s or more, and {seconds:g} s are enough for the "
            f"{len(fitting)} of the shortest calls: more --seconds, or fewer benchmarks"
        )
        for one in found:
            if one not in fitting:
                self._add(one.case, Outcome.INCONCLUSIVE, reason, metric=LATENCY, clock=one.clock.name)
        return [one for one in found if one in fitting]


@dataclass(frozen=True, kw_only=True)
class FoundBenchmark:
    """A benchmark that ran on both sides, with what was seen."""

    case: str
    clock: Clock
    sides: tuple[Mapping[str, Any], Mapping[str, Any]]

    @property
    def benchmark(self) -> Benchmark:
        return Benchmark(case=self.case, span="", clock=self.clock.name)

    @property
    def calls_s(self) -> Sequence[float]:
        return [side["call_s"] for side in self.sides]

    def largest(self, name: str) -> float:
        return max(float(side[name]) for side in self.sides)


def _run_to_end(worker: WorkerClient, side: int, case: str, following: str | None) -> Opened:
    """Return a side's answer on a benchmark once its test has passed, or the error that it met."""
    try:
        answer = checked_opening(worker.ask("open", id=case, following=following, examine=True), examined=True)
        worker.ask("close")
    except (FailedError, UnsupportedHereError) as error:
        return error
    except WorkerError as error:
        raise WorkerError(f"{SIDES[side]}: {error}") from error
    return answer


def _not_run(old: Opened, new: Opened) -> tuple[Outcome, str]:
    """Return the outcome and the reason of a benchmark that at least one side could not run."""
    if isinstance(new, FailedError):
        when = "before and now" if isinstance(old, FailedError) else "now"
        return Outcome.BROKEN, f"{when} {new}"
    if isinstance(new, UnsupportedHereError):
        if isinstance(old, UnsupportedHereError):
            return Outcome.UNJUDGED, str(new)
        return Outcome.MISSING, f"ran before, and now {new}"
    return Outcome.NEW, f"runs now; before, {old}"


def _unheld(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Outcome, str] | None:
    """Return the outcome and the reason of a benchmark for which code of elsewhere runs in place of a revision's."""
    elsewhere = {**old["elsewhere"], **new["elsewhere"]}
    if elsewhere:
        listed = [f"{name} {reason}" for name, reason in sorted(elsewhere.items())]
        more = f", and {len(listed) - MOST_NAMED} more" * (len(listed) > MOST_NAMED)
        return Outcome.UNJUDGED, f"{', '.join(listed[:MOST_NAMED])}{more}; {TO_MEND}"
    if not old["imported"] or not new["imported"]:
        sides = [side for side, code in zip(SIDES, (old, new), strict=True) if not code["imported"]]
        where = "neither revision" if len(sides) == len(SIDES) else f"the revision {sides[0]}"
        return Outcome.UNJUDGED, f"it runs no code of {where} but its own test; {TO_MEND}"
    return None


def _in_words(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return `fastpkg (src/fastpkg/__init__.py)`, with both files where it moved."""
    seen = [code["ran"] or code["imported"] for code in (old, new)]
    files: dict[str, list[str]] = {}
    for code in seen:
        for name, file in code.items():
            files.setdefault(name, []).append(file)
    return ", ".join(f"{name} ({' → '.join(dict.fromkeys(found))})" for name, found in files.items())


def enough_s(found: Sequence[FoundBenchmark]) -> float:
    """Return a cap under which each benchmark has twice the time for the launches that a change needs."""
    launches = launches_for_change(len(found))
    return max(USUAL_S, math.ceil(2 * sum(least_s(one.calls_s, launches) for one in found)))
