"""Two revisions on this machine, now: built and examined side by side, then timed until each case is decided.

A case is judged if each revision holds a module that its settings name code of. Otherwise installed code would be
compared with itself, and found to be the same.
"""

import math
import random
import sys
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from suite.gate.output.sentences import SETTINGS
from suite.gate.rules.decision import AFTER, BEFORE, LEAST_ROUNDS, Benchmark, launches_for_change
from suite.gate.rules.exact import Exact, judge_exact
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.answers import checked_ceilings, checked_operators
from suite.gate.side_by_side.pairing import (
    Expanded,
    changed_settings,
    check_can_be_timed,
    command_line,
    expanded_from,
    paired,
)
from suite.gate.side_by_side.revisions import BenchmarkCase, Revisions, Tree, file_states
from suite.gate.side_by_side.timing import Say, TimingComparison
from suite.gate.side_by_side.worker_client import SIDES, FailedError, UnsupportedHereError, WorkerClient, WorkerError
from suite.gate.verdict import LATENCY, Judgement, Outcome, Verdict
from suite.gate.workers.worker_loop import LEAST_SAMPLE_S
from suite.records.metrics import METRICS

CEILING_ROOM = 4.0
"""Times as fast as a product of matrices and a copy were measured here; nothing that was measured came near it."""
DEVICE_FLOPS_PER_S, DEVICE_BYTES_PER_S = 2e16, 1e14
"""Above any GPU that there is, in its lowest precision and out of its cache."""
LEAST_COVERED = 3.0
"""Between two runs of the same code, shares of times at their least were seen to differ by less than twice."""
Answer = Mapping[str, Any] | Exception
"""What a side answered, or the error that it met."""
Ask = Callable[[Sequence[WorkerClient], BenchmarkCase, int], Mapping[str, Any]]
Code = Mapping[str, str | None]
"""Modules as a worker lists them, each with its file in the tree; None for one that lies elsewhere."""


@dataclass(kw_only=True)
class GateComparison(ABC):
    """A comparison of two revisions as far as it has come, so that an interruption loses nothing of it."""

    before: Tree
    after: Tree
    tolerances: Tolerances
    interpreter: str = sys.executable
    verdicts: list[Verdict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    code: dict[str, str] = field(default_factory=dict)
    """Code of the two revisions that ran for each case."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    timing: TimingComparison | None = None
    first: bool = False
    """True if the older revision ran, and had nothing of what was chosen."""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @abstractmethod
    def run(self, say: Say) -> None:
        """Measure and judge everything that was chosen; the verdicts are added to this object as they are reached."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Further facts for the judgement, by name, as the sweep or the Python of the project."""

    @abstractmethod
    def _without_answer(self, old: Answer, new: Answer) -> tuple[Outcome, str]:
        """The outcome and reason for a case if `old` or `new` is an error in place of an answer."""

    @abstractmethod
    def _compare(self, case: BenchmarkCase, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Add the verdicts that need no clock, from the answers of both sides, and remember what is to be timed."""

    def judgement(self, *, inconclusive_fails: bool, interrupted: bool) -> Judgement:
        """The judgement by now: verdicts so far with code and notes, and facts. Cases not reached are left out."""
        timed = self.timing.verdicts() if self.timing else []
        verdicts = [
            replace(
                verdict,
                code=self.code.get(verdict.case, ""),
                notes=[*self.notes.get(verdict.case, ()), *verdict.notes],
            )
            for verdict in (*self.verdicts, *timed)
        ]
        return Judgement(
            form="against",
            before=self.before.side,
            after=self.after.side,
            verdicts=verdicts,
            warnings=self.warnings,
            facts={
                "started_at": self.started_at.isoformat(timespec="seconds"),
                "first": self.first,
                "code": ", ".join(dict.fromkeys(self.code.values())),
                "seconds": self.timing.rounds.measured_s if self.timing else 0.0,
                "launches": self.timing.rounds.launches if self.timing else 0,
                "floor": self.tolerances.default_minimum_effect,
                "target": self.tolerances.default_equivalence_margin,
                "clock": ", ".join(sorted({verdict.clock for verdict in timed if verdict.clock})),
                **self.facts(),
            },
            inconclusive_fails=inconclusive_fails,
            interrupted=interrupted,
        )

    def tables(self) -> dict[str, bytes]:
        """Tables of every sample and of the machine's state, as the bytes of files by name; none before any timing."""
        return self.timing.tables() if self.timing else {}

    def _add(self, case: str, outcome: Outcome, reason: str, **fields: Any) -> None:
        self.verdicts.append(Verdict(case=case, outcome=outcome, reason=reason, **fields))

    def _examine_each(
        self,
        revisions: Revisions,
        workers: Sequence[WorkerClient],
        cases: Sequence[BenchmarkCase],
        ask: Ask,
    ) -> None:
        """Call `ask` for each case and side, and judge both answers by `_compare`, or errors by `_without_answer`. If a
        worker dies, its case gets a broken verdict, and the other cases go on in fresh workers."""
        remaining, given = list(cases), [*workers]
        while remaining:
            with nullcontext(given) if given else revisions.launched() as running:
                while remaining:
                    case = remaining.pop(0)
                    try:
                        self._examine(running, case, ask)
                    except WorkerError as error:
                        self._add(case.id, Outcome.BROKEN, str(error))
                        given = []
                        break

    def _examine(self, workers: Sequence[WorkerClient], case: BenchmarkCase, ask: Ask) -> None:
        """Ask both sides about a case, and judge the two answers. Raises WorkerError if a worker dies."""
        answers: list[Answer] = []
        for side in (BEFORE, AFTER):
            try:
                answers.append(ask(workers, case, side))
            except (FailedError, UnsupportedHereError) as error:
                answers.append(error)
            except WorkerError as error:
                raise WorkerError(f"{SIDES[side]}: {error}") from error
        old, new = answers
        if isinstance(old, Exception) or isinstance(new, Exception):
            self._add(case.id, *self._without_answer(old, new))
        else:
            self._compare(case, old, new)

    def _refuse_if_all_unjudged(self, refusal: Callable[[Sequence[Verdict]], Verdict]) -> bool:
        """Whether there are verdicts on cases and all are `unjudged`; if so, one refusal replaces them."""
        settings = [verdict for verdict in self.verdicts if verdict.case == SETTINGS]
        cases = [verdict for verdict in self.verdicts if verdict.case != SETTINGS]
        if not cases or any(verdict.outcome is not Outcome.UNJUDGED for verdict in cases):
            return False
        self.verdicts = [*settings, refusal(cases)]
        return True


@dataclass(kw_only=True)
class RevisionComparison(GateComparison):
    """A comparison of the suite's own cases, or of variants that are made for it."""

    sweep: str
    chosen: Sequence[str]
    """Settings of the command line, as `key=value`."""
    seconds: float
    folder: Path
    """A folder for whatever the workers print."""
    installed: set[str] = field(default_factory=set)
    """Modules that cases name and that do not lie in both revisions."""
    compared: bool = False
    """True once any quantity of any case was there on both sides to be compared."""
    parts: dict[str, tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]]] = field(default_factory=dict)
    """Operators of each case's timed parts on both sides, before any timing."""
    least_s: dict[Benchmark, float] = field(default_factory=dict)
    """What is to be timed, with the time below which no machine does what it has to."""
    _ceilings: Mapping[str, float] = field(default_factory=dict)
    _random: random.Random = field(default_factory=random.SystemRandom)
    """The source of seeds and numbers that the code under test cannot foresee."""

    def run(self, say: Say) -> None:
        """Compare exact quantities of each case, then time the cases; verdicts are added to this object. Raises
        ValueError if the newer tree cannot compose the sweep or `seconds` is too short to call any change, and
        WorkerError if a worker does not start."""
        revisions = Revisions(
            trees=(self.before.folder, self.after.folder),
            logs=self.folder,
            python=self.interpreter,
            older_files=file_states(self.before.folder),
        )
        if _requirements(self.before.folder) != _requirements(self.after.folder):
            self.warnings.append(
                "the dependencies in pyproject.toml differ, but both revisions run with the packages installed here"
            )
        with revisions.launched() as workers:
            cases = self._cases(workers)
            if not cases and self._refuse_if_all_unjudged(self._refusal):
                return
            # Rates of a worker as it began; the older side's, which is not the candidate's.
            self._ceilings = checked_ceilings(workers[BEFORE].hello)
            self._examine_each(revisions, workers, cases, partial(revisions.build, examine=True))
            benchmarks = list(self.least_s)
            if self.verdicts and not self.compared and not self.first:  # as where all is unsupported on both sides
                reason = "no case ran on both sides with a quantity to compare, so nothing was judged"
                self._add("nothing", Outcome.BROKEN, reason)
            say(_untimed_summary(self.verdicts))
            launches = launches_for_change(len(benchmarks))
            least_s = len(benchmarks) * launches * LEAST_ROUNDS * len(SIDES) * LEAST_SAMPLE_S
            if self.seconds < least_s:
                raise ValueError(
                    f"seconds must be at least {math.ceil(least_s)}, because with {len(benchmarks)} timings a change "
                    f"is called only after {launches} launches; got {self.seconds:g}"
                )
            self.timing = TimingComparison(
                revisions=revisions,
                cases=cases,
                benchmarks=benchmarks,
                tolerances=self.tolerances,
                seconds=self.seconds,
                recheck=self._recheck,
            )
            self.timing.rounds.least_s = self.least_s
            say(f"timing: {len(benchmarks)} parts of cases, at most {self.seconds:g} s of measuring")
            if all(worker.is_alive for worker in workers):
                self.timing.launch(workers, say)
        self.timing.run(say)

    def facts(self) -> dict[str, Any]:
        return {"sweep": self.sweep, "chosen": list(self.chosen), "most_seconds": self.seconds}

    def _cases(self, workers: Sequence[WorkerClient]) -> list[BenchmarkCase]:
        """Let both trees compose the sweep, and return the cases that both can run with code of their own. Every
        other case gets its verdict here: missing, new, incomparable or unjudged. Raises ValueError if the newer tree
        cannot."""
        for worker in workers:
            worker.begin("expand", arguments=["-m", f"sweep={self.sweep}", *self.chosen])
        try:
            after = expanded_from(workers[AFTER].answer())
        except FailedError as error:
            raise ValueError(f"sweep={self.sweep} cannot be composed: {error}") from error
        check_can_be_timed(after, self.sweep)
        try:
            before = expanded_from(workers[BEFORE].answer())
        except FailedError as error:
            before = []
            self.warnings.append(
                f"the older revision cannot compose sweep={self.sweep}, so cases lost since are not noticed: {error}"
            )
        pairing = paired(before, after)
        for old in pairing.gone:
            self._add(old.id, Outcome.MISSING, "the sweep had this case before and has it no longer")
        for old, new in pairing.redefined:
            self._add(new.id, Outcome.INCOMPARABLE, f"settings changed: {_other_meaning(old)}")
        both = [*pairing.both, *self._composed_by_both(workers[BEFORE], pairing.added)]
        if not both and pairing.added:
            with suppress(FailedError):
                self.first = bool(expanded_from(workers[BEFORE].ask("expand", arguments=["-m", "sweep=gate"])))
        return [
            BenchmarkCase(id=new.id, settings=(old.settings, new.settings))
            for old, new in both
            if self._is_held(new.id, old.code, new.code)
        ]

    def _composed_by_both(self, worker: WorkerClient, added: Sequence[Expanded]) -> list[tuple[Expanded, Expanded]]:
        """Pairs, older first, of added cases that the older tree can compose; the others get `new` verdicts."""
        pairs = []
        for new in added:
            try:
                (old,) = expanded_from(worker.ask("expand", arguments=command_line(new.case, self.chosen)))
            except FailedError as error:
                self._add(new.id, Outcome.NEW, f"the older revision cannot compose it: {error}")
                continue
            if old.old_id:
                self._add(new.id, Outcome.NEW, _other_meaning(old))
            else:
                pairs.append((old, new))
        return pairs

    def _is_held(self, case: str, old: Code, new: Code) -> bool:
        """Whether both revisions hold the code of a case, which is then noted; if not, the case gets a verdict."""
        self.installed |= _installed(old) | _installed(new)
        if obstacle := _foreign_code(old, new):
            self._add(case, *obstacle)
            self.code.pop(case, None)
            return False
        self.code[case] = in_words(old, new)
        return True

    def _refusal(self, verdicts: Sequence[Verdict]) -> Verdict:
        """The one broken verdict on a sweep of which no case runs code of the revisions."""
        reason = (
            f"no case of sweep={self.sweep} runs code of the two revisions (at their top or in src/); all run "
            f"installed code, {_listed(self.installed)}. Choose other cases, as by --set attention=NAME or --sweep "
            f"NAME. For tests that use pytest-benchmark: suite gate pytest --against {self.before.side.label}"
        )
        return Verdict(case="every case", outcome=Outcome.BROKEN, reason=reason)

    def _without_answer(self, old: Answer, new: Answer) -> tuple[Outcome, str]:
        if isinstance(new, FailedError):
            return Outcome.BROKEN, f"fails now: {new}"
        if isinstance(new, UnsupportedHereError):
            if isinstance(old, UnsupportedHereError):
                return Outcome.SAME, f"unsupported on both sides: {new}"
            return Outcome.MISSING, f"ran before, but is unsupported now: {new}"
        return Outcome.NEW, f"runs now, but did not before: {old}"

    def _compare(self, case: BenchmarkCase, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        if not self._is_held(case.id, old["code"], new["code"]):  # as a package may import another than was found
            return
        exact = judge_exact(case.id, _exact_quantities(old), _exact_quantities(new), self.tolerances)
        if not exact and not old["spans"] and not new["spans"]:
            self._add(case.id, Outcome.BROKEN, "neither side has a quantity that can be judged")
            return
        self.compared = True
        self.verdicts += exact
        if changed := changed_settings(*case.settings):
            reason = f"settings changed, so the times cannot be compared: {', '.join(changed)}"
            self._add(case.id, Outcome.INCOMPARABLE, reason, metric=LATENCY)
            return
        if not old["spans"] and not new["spans"] and new["clock"] is not None:
            reason = "no part of it can be repeated by itself, so its time is not judged"
            self._add(case.id, Outcome.INCONCLUSIVE, reason, metric=LATENCY)
        for span in old["spans"]:
            if span not in new["spans"]:
                self._add(case.id, Outcome.MISSING, "was timed before, but is not timed now", span=span)
        if undone := [*work_undone(old, new)]:
            for span, reason in undone:
                self._add(case.id, Outcome.BROKEN, reason, span=span)
            return
        self.parts[case.id] = (old["parts"], new["parts"])
        for span in [span for span in new["spans"] if span in old["spans"]]:
            work = old["readings"].get(span, {})  # the older side's: a change of it is judged above
            benchmark = Benchmark(case=case.id, span=span, clock=old["clock"])
            self.least_s[benchmark] = least_s(work, self._ceilings, case.settings[BEFORE], benchmark.clock)

    def _recheck(self, workers: Sequence[WorkerClient], case: BenchmarkCase, side: int) -> None:
        """Check the output of a timed case again, on fresh inputs. Raises FailedError if its operators changed, too."""
        seed, calls = self._random.getrandbits(31), self._random.randrange(20)
        answer = workers[side].ask("recheck", id=case.id, seed=seed, calls=calls)
        parts = checked_operators(answer)
        for span, operators in self.parts[case.id][side].items():
            now = parts.get(span, ())
            if sorted(now) != sorted(operators):
                raise FailedError(f"{span} ran {_in_list(operators)} before the timing, and {_in_list(now)} after it")


def work_undone(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each span whose timed part no longer does the work that a step does, though it did before, and the
    reason. Known by operators that the part leaves out, and, for pure Python, by its share of the step's CPU time."""
    for span in [span for span in new["spans"] if span in old["spans"]]:
        left_out_before, left_out_now = (
            set(side["operators"].get(span, ())) - set(side["parts"].get(span, ())) for side in (old, new)
        )
        if more := left_out_now - left_out_before:
            yield span, f"its timed part no longer runs what a step runs: {_in_list(sorted(more))}"
        before, now = (side["coverage"].get(span, 0.0) for side in (old, new))
        if now < before / LEAST_COVERED:
            reason = f"takes {now:.2g} times the CPU time that a step spends there, and took {before:.2g} times before"
            yield span, f"its timed part {reason}"


def least_s(work: Mapping[str, float], ceilings: Mapping[str, float], settings: Mapping[str, Any], clock: str) -> float:
    """Seconds below which a sample cannot be true, from the FLOPs and bytes of `work`; 0 if they are not known.
    `ceilings`: rates of one thread that a worker measured before it could import its tree, raised by CEILING_ROOM."""
    if clock == "device":
        most_flops, most_bytes = DEVICE_FLOPS_PER_S, DEVICE_BYTES_PER_S
    else:
        is_whole = settings.get("dtype") == "float32" and settings.get("matmul_precision") in (None, "highest")
        names = ("float32_flops_per_s" if is_whole else "flops_per_s", "bytes_per_s")
        most_flops, most_bytes = (CEILING_ROOM * ceilings.get(name, math.inf) for name in names)
    return max(work.get("flops", 0.0) / most_flops, work.get("traffic_bytes", 0.0) / most_bytes)


def _in_list(operators: Sequence[str]) -> str:
    return ", ".join(operators) or "nothing"


def _foreign_code(old: Code, new: Code) -> tuple[Outcome, str] | None:
    """The outcome and reason of a case that would run installed code in place of a revision's; None if it would not.
    Code that only the older tree holds is missing, that only the newer holds is new, that neither holds unjudged."""
    installed_before, installed_now = _installed(old), _installed(new)
    in_tree_before, in_tree_now = old.keys() - installed_before, new.keys() - installed_now
    if lost := in_tree_before & installed_now:
        return Outcome.MISSING, f"the older revision holds {_listed(lost)}; now the installed copy would run instead"
    if gained := in_tree_now & installed_before:
        reason = f"the older revision does not hold {_listed(gained)}, so the installed copy would run there"
        return Outcome.NEW, reason
    if not in_tree_before or not in_tree_now:
        modules = _listed(installed_before | installed_now)
        return Outcome.UNJUDGED, f"it runs installed code, {modules}, and no code of the two revisions"
    return None


def _installed(code: Code) -> set[str]:
    return {module for module, file in code.items() if file is None}


def in_words(old: Code, new: Code) -> str:
    """Write each module with its file, as `normed (src/normed/__init__.py)`, or `old.py → new.py` if it moved."""
    paths: dict[str, list[str]] = {}
    for name, file in (*old.items(), *new.items()):
        paths.setdefault(name, []).extend([file] if file else [])
    return ", ".join(f"{name} ({' → '.join(dict.fromkeys(files))})" for name, files in paths.items() if files)


def _listed(modules: set[str]) -> str:
    return ", ".join(sorted(modules))


def _exact_quantities(built: Mapping[str, Any]) -> Exact:
    """The readings of a worker's answer whose metric is exact, and the operators."""
    exact = {
        span: {name: value for name, value in readings.items() if name in METRICS and METRICS[name].exact}
        for span, readings in built["readings"].items()
    }
    return Exact(readings=exact, operators=built["operators"])


def _other_meaning(old: Expanded) -> str:
    return f"in the older revision this name means another case, which is now called {old.id}"


def _untimed_summary(verdicts: Sequence[Verdict]) -> str:
    """The line shown before the timing: how many cases were compared, and how many verdicts are bad."""
    judged = [verdict for verdict in verdicts if verdict.outcome is not Outcome.UNJUDGED and verdict.case != SETTINGS]
    worse = [verdict for verdict in judged if verdict.outcome not in (Outcome.SAME, Outcome.NEW, Outcome.FASTER)]
    cases = len({verdict.case for verdict in judged})
    result = f"results to report: {len(worse)}" if worse else "nothing changed for the worse"
    return f"compared exact quantities, memory and operators of {cases} cases, before any timing: {result}"


def _requirements(tree: Path) -> Any:
    """`project.dependencies` of the tree's pyproject.toml; None if it cannot be read."""
    with suppress(OSError, tomllib.TOMLDecodeError):
        content = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
        return content.get("project", {}).get("dependencies")
    return None
