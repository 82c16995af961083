"""Cases of two revisions, timed side by side: launch after launch, until each is decided or the time is over."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from suite.gate.output.sentences import percent
from suite.gate.rules.decision import (
    AFTER,
    BEFORE,
    FAR,
    LEVEL,
    Benchmark,
    Decision,
    Decisions,
    Sample,
    cautious_effect,
    effects_of,
    log_ratios,
)
from suite.gate.rules.tolerances import Tolerance, Tolerances
from suite.gate.side_by_side.revisions import BenchmarkCase, Revisions
from suite.gate.side_by_side.rounds import SAMPLES, BrokenSampleError, Rounds, csv_table
from suite.gate.side_by_side.worker_client import ANY_ERROR, SIDES, WorkerClient, WorkerError
from suite.gate.verdict import LATENCY, Outcome, Verdict
from suite.statistics.launches import Effect

Say = Callable[[str], None]
WAITING = 1.5
"""Wall time holds the work of others, which takes turns with both sides and moves their ratio by far less."""
Recheck = Callable[[Sequence[WorkerClient], BenchmarkCase, int], None]
LAUNCH_S = 2.5
"""Measuring time of a launch, about what its start costs: shorter ones would mostly start, and longer ones tell little
more, since a launch counts once."""
SHARE = 1 / 12
"""The share of a short cap that a launch takes instead, so that enough launches fit to call a change."""
GROWTH = 1 / 8
"""A later launch lasts at least this share of all time before it, so that a long cap is not spent on starts."""


@dataclass(kw_only=True)
class TimingComparison:
    """Times the benchmarks of two revisions launch after launch, and decides each as early as it can."""

    revisions: Revisions
    cases: Sequence[BenchmarkCase]
    benchmarks: Sequence[Benchmark]
    tolerances: Tolerances
    seconds: float
    """The cap on measuring time."""
    seed: int = 0
    recheck: Recheck | None = None
    """Checks a case of one side again after a launch; raises as WorkerClient.ask for one that computes otherwise."""
    rounds: Rounds = field(init=False)
    decisions: Decisions = field(init=False)
    broken: dict[str, str] = field(default_factory=dict)
    """Cases that failed while they were timed, with the reason."""
    _rechecked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rounds = Rounds(order=random.Random(self.seed))
        self.decisions = Decisions(benchmarks=list(self.benchmarks), tolerances=self.tolerances, seconds=self.seconds)

    def run(self, say: Say = lambda text: None) -> None:
        """Start launches until every benchmark is decided or the time is over. `say` gets a line after each."""
        while self._goes_on:
            try:
                with self.revisions.launched(first_side(self.rounds.launches)) as workers:
                    self._build_undecided(workers)
                    self.launch(workers, say)
            except BrokenSampleError as broken:
                self._leave_out(broken)

    def launch(self, workers: Sequence[WorkerClient], say: Say = lambda text: None) -> None:
        """Take the rounds of one launch, decide what can be decided, and check the timed cases again. The workers must
        have built every undecided case. A case that breaks is left out."""
        ends_s = self.rounds.measured_s + _launch_s(self.rounds.measured_s, self.seconds)
        self.rounds.begin_launch()
        try:
            self._take_rounds(workers, ends_s)
        except BrokenSampleError as broken:
            self._leave_out(broken)
            return
        self.decisions.interim_analysis(self.rounds.samples, self.rounds.measured_s)
        self._recheck_timed(workers)
        count, needed = len(self.decisions.benchmarks), self.decisions.launches_for_change
        measured_s, launches = self.rounds.measured_s, self.rounds.launches
        say(
            f"{measured_s:.0f} s measured in {launches} {'launch' if launches == 1 else 'launches'}: "
            f"{count - len(self.decisions.open)} of {count} timings decided"
        )
        if launches == 1 and (fitting := most_launches(self.seconds, measured_s)) < needed:
            say(
                f"at this pace only {fitting} of the {needed} launches that a change below {FAR}× needs fit into "
                f"{self.seconds:g} s; about {math.ceil(needed * measured_s)} s would be enough (--seconds)"
            )

    @property
    def _goes_on(self) -> bool:
        return bool(self.decisions.open) and self.rounds.measured_s < self.seconds

    def _take_rounds(self, workers: Sequence[WorkerClient], ends_s: float) -> None:
        """Sample the undecided benchmarks until the measuring time reaches `ends_s`, counted over all launches. A case
        whose answer cannot be true is left out. Raises BrokenSampleError if a worker is lost."""
        while self._goes_on and self.rounds.measured_s < ends_s:
            try:
                self.rounds.take(workers, self.decisions.open, seconds=ends_s - self.rounds.measured_s)
            except BrokenSampleError as broken:
                if not broken.is_disbelieved:
                    raise
                self._leave_out(broken)  # its worker lives on, and the other cases are sampled on

    def verdicts(self) -> list[Verdict]:
        """The verdict on each benchmark and on each case that broke."""
        samples, benchmarks = self.rounds.samples, self.decisions.benchmarks
        closed, wall_effects = self.decisions.close(samples), effects_of(samples, benchmarks, "wall_s")
        wall_ratios, verdicts = log_ratios(samples, benchmarks, "wall_s"), []
        for benchmark in benchmarks:
            verdict = self._verdict(benchmark, closed.get(benchmark), wall_effects.get(benchmark, (None,))[0])
            if benchmark in wall_ratios:
                verdict = _with_waiting(verdict, cautious_effect(wall_ratios[benchmark]))
            verdicts.append(verdict)
        return verdicts + [
            Verdict(case=case, outcome=Outcome.BROKEN, reason=f"failed while it was timed: {reason}")
            for case, reason in self.broken.items()
        ]

    def tables(self) -> dict[str, bytes]:
        """The gzipped CSV table of all samples, by its file's name; none before any sample."""
        return {SAMPLES: csv_table(Sample, self.rounds.samples)} if self.rounds.samples else {}

    def _build_undecided(self, workers: Sequence[WorkerClient]) -> None:
        """Build each case that is still undecided on both sides, without examining its output. Raises BrokenSampleError
        at the first that fails."""
        open_cases = {benchmark.case for benchmark in self.decisions.open}
        first = first_side(self.rounds.launches)
        for case in self.cases:
            for side in (first, 1 - first) if case.id in open_cases else ():
                try:
                    self.revisions.build(workers, case, side, examine=False)
                except ANY_ERROR as error:
                    raise BrokenSampleError(case.id, f"{SIDES[side]}: {error}") from error

    def _recheck_timed(self, workers: Sequence[WorkerClient]) -> None:
        """From the second launch on, check again each case that was just timed and has not been checked again before.
        Where there is none left, one at random. The first launch's cases were checked when they were built. A case that
        fails is left out of the comparison; if its worker died, no more cases are checked."""
        launch, unbroken = self.rounds.launches, {benchmark.case for benchmark in self.decisions.benchmarks}
        if self.recheck is None or launch < 2:
            return
        timed = {sample.case for sample in self.rounds.samples if sample.launch == launch} & unbroken
        cases = [case for case in self.cases if case.id in timed]
        unchecked = [case for case in cases if case.id not in self._rechecked]
        # The system's choice, which the code under test cannot foresee.
        for case in unchecked or random.SystemRandom().sample(cases, min(1, len(cases))):
            self._rechecked.add(case.id)
            for side in (BEFORE, AFTER):
                try:
                    self.recheck(workers, case, side)
                except ANY_ERROR as error:
                    is_dead = isinstance(error, WorkerError)
                    again = "" if is_dead else "checked again: "
                    self._leave_out(BrokenSampleError(case.id, f"{SIDES[side]}: {again}{error}"))
                    if is_dead:
                        return

    def _leave_out(self, broken: BrokenSampleError) -> None:
        """Time a case no more, and keep the reason for its broken verdict."""
        self.broken[broken.case] = broken.reason
        self.decisions.benchmarks = [
            benchmark for benchmark in self.decisions.benchmarks if benchmark.case != broken.case
        ]

    def _verdict(self, benchmark: Benchmark, decision: Decision | None, by_wall: Effect | None) -> Verdict:
        """The verdict of a benchmark with medians of both sides; inconclusive without a decision. `by_wall`: the effect
        on wall time, for a note if it contradicts the judging clock."""
        tolerance = self.tolerances.tolerance(benchmark.case, benchmark.span, LATENCY)
        times_s: tuple[list[float], list[float]] = [], []
        for sample in self.rounds.samples:
            if (sample.case, sample.span) == (benchmark.case, benchmark.span):
                times_s[sample.arm].append(getattr(sample, benchmark.column))
        before_s, after_s = (median(side_s) if side_s else None for side_s in times_s)
        verdict = Verdict(
            case=benchmark.case,
            span=benchmark.span,
            metric=LATENCY,
            outcome=Outcome.INCONCLUSIVE,
            reason="too few launches fit into the measuring time",
            clock=benchmark.clock,
            before=before_s,
            after=after_s,
            allowed=1 + tolerance.minimum_effect,
        )
        if decision is None:
            return verdict
        low, high = decision.effect.bounds(LEVEL)
        notes = list(_disagreement(benchmark, decision.effect, by_wall, tolerance))
        if decision.outcome in (Outcome.SLOWER, Outcome.FASTER) and decision.effect.shared:
            notes.insert(
                0,
                f"warning: launches shift all timings together, by {decision.effect.shared:.1%}; if such a shift lasts "
                "for minutes it looks like a change, so run the comparison again",
            )
        return replace(
            verdict,
            outcome=decision.outcome,
            reason=self._reason(decision, tolerance),
            # The sides' own medians drift with the machine between launches; the change is paired within them.
            after=None if verdict.before is None else verdict.before * math.exp(decision.effect.estimate),
            ratio=math.exp(decision.effect.estimate),
            low=math.exp(low),
            high=math.exp(high),
            level=LEVEL,
            rounds=decision.rounds,
            launches=decision.launches,
            notes=notes,
        )

    def _reason(self, decision: Decision, tolerance: Tolerance) -> str:
        """The sentence for a decision's outcome; for an inconclusive one also what would decide it."""
        effect, margin = f"{tolerance.minimum_effect:.1%}", f"{tolerance.equivalence_margin:.1%}"
        measured, needed = f"after {self.rounds.measured_s:.0f} s", self.decisions.launches_for_change
        if decision.outcome is Outcome.INCONCLUSIVE and decision.launches < needed:
            return (
                f"{measured} it has run in {decision.launches} of the {needed} launches that a change below {FAR}× "
                "needs: use more --seconds"
            )
        sentences: Mapping[Outcome, str] = {
            Outcome.SLOWER: f"slower by more than the {effect} that is allowed",
            Outcome.FASTER: f"faster by more than {effect}",
            Outcome.SAME: f"a change of {margin} is ruled out",
            Outcome.INCONCLUSIVE: f"{measured} the noise could still hide a change of {margin}: use more --seconds or "
            "a quieter machine",
        }
        if decision.outcome is Outcome.INCONCLUSIVE and decision.effect.is_drifting:
            return f"{measured} the ratio drifts from launch to launch, which a change of the code does not explain"
        return sentences[decision.outcome]


def first_side(launches: int) -> int:
    """BEFORE or AFTER: the side whose worker starts first in the next launch, in the order ABBA BAAB (Thue and Morse).
    So what the process that starts later suffers cancels, also if it grows from launch to launch."""
    return AFTER if launches.bit_count() % 2 else BEFORE


def most_launches(seconds: float, least_s: float = 0.0) -> int:
    """How many launches fit into `seconds` of measuring, which is the most a run can have. `least_s`: the seconds that
    the fewest allowed rounds of one launch take."""
    count, measured_s = 0, 0.0
    while measured_s < seconds - 1e-9:
        count, measured_s = count + 1, measured_s + max(least_s, _launch_s(measured_s, seconds))
    return count


def _launch_s(measured_s: float, seconds: float) -> float:
    at_first_s = min(LAUNCH_S, SHARE * seconds)
    return min(max(at_first_s, GROWTH * measured_s), seconds - measured_s)


def _with_waiting(verdict: Verdict, by_wall: Effect) -> Verdict:
    """Turn a verdict by CPU time into slower if wall time is WAITING times as long: it sleeps, or another process
    works. The lower end of the wall time's interval must reach it. Other verdicts are returned as they are."""
    if not verdict.clock.endswith("_cpu") or verdict.ratio is None:
        return verdict
    least = math.exp(by_wall.bounds(LEVEL)[0])
    if verdict.outcome is Outcome.SLOWER or least < WAITING * max(1.0, verdict.ratio):
        return verdict
    longer = f"takes {math.exp(by_wall.estimate):.3g} times as long by wall time"
    reason = f"{longer}, which the judging clock {verdict.clock} does not show"
    return replace(verdict, outcome=Outcome.SLOWER, reason=reason)


def _disagreement(benchmark: Benchmark, judged: Effect, by_wall: Effect | None, tolerance: Tolerance) -> Sequence[str]:
    """A note if the judging clock's estimate lies outside wall time's interval by more than the minimum effect."""
    if benchmark.clock == "wall" or by_wall is None:
        return []
    low, high = by_wall.bounds(LEVEL)
    difference = abs(by_wall.estimate - judged.estimate)
    if low <= judged.estimate <= high or difference <= math.log1p(tolerance.minimum_effect):
        return []
    estimate, *ends = (percent(math.exp(shift)) for shift in (by_wall.estimate, low, high))
    return [
        f"wall time changed by {estimate} ({' to '.join(ends)}); {benchmark.clock} counts neither waiting nor lost "
        "parallelism"
    ]
