"""The sequential decision on timings that were measured side by side.

Interim analyses begin with the second launch, and the error is spent over them and over all benchmarks. Slower is a
difference beyond chance and above the minimum effect. The same is an interval within the equivalence margin. Anything
else is measured on, and is inconclusive at the cap.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import LATENCY, Outcome
from suite.statistics.holm import holm
from suite.statistics.launches import Effect, effects

BEFORE, AFTER = 0, 1
FAMILYWISE_ERROR = 0.01
"""Chance of any false alarm in a run of identical code, over all benchmarks and analyses; as much for a false gain."""
LEVEL = 0.98
"""Confidence of the interval that is shown, and that must lie within the equivalence margin where nothing changed."""
LEAST_LAUNCHES = 2
LEAST_ROUNDS = 8
"""Rounds of a launch. With four the spread is so badly known that p-values came out several times too small in
simulation; with eight they are near what they say."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One span of one case, which is judged by time."""

    case: str
    span: str
    clock: str

    @property
    def column(self) -> str:
        """Return the field of a sample that holds the judging clock."""
        return f"{self.clock}_s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The turn of one side in a round. Times are medians of `calls` calls."""

    launch: int
    round: int
    case: str
    span: str
    arm: int
    """BEFORE or AFTER."""
    position: int
    """0 for the side that was first in its round."""
    wall_s: float
    thread_cpu_s: float
    process_cpu_s: float
    device_s: float | None
    involuntary_switches: int
    calls: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The outcome of one benchmark, and the effect it rests on."""

    outcome: Outcome
    effect: Effect
    rounds: int
    launches: int


@dataclass(kw_only=True)
class Decisions:
    """Benchmarks and the decisions on them so far."""

    benchmarks: Sequence[Benchmark]
    tolerances: Tolerances
    seconds: float
    """The cap on measuring time."""
    decided: dict[Benchmark, Decision] = field(default_factory=dict)
    _spent: float = 0.0

    @property
    def open(self) -> list[Benchmark]:
        return [benchmark for benchmark in self.benchmarks if benchmark not in self.decided]

    def interim_analysis(self, samples: Sequence[Sample], measured_s: float) -> None:
        """Decide what can be decided now. `measured_s`: measuring time so far, which shares out the error."""
        found = effects_of(samples, self.benchmarks)
        if not found:  # of a first launch nothing can be said, and so nothing is spent
            return
        share = min(1.0, measured_s / self.seconds)
        alpha, self._spent = FAMILYWISE_ERROR * max(0.0, share - self._spent), max(share, self._spent)
        # A decided benchmark keeps its place among the tests, and rejects nothing more.
        every = [found[benchmark][0] if benchmark in found else None for benchmark in self.benchmarks]
        slower = holm([effect.p_above_zero() if effect else 1.0 for effect in every])
        faster = holm([effect.p_below_zero() if effect else 1.0 for effect in every])
        for benchmark, p_slower, p_faster in zip(self.benchmarks, slower, faster, strict=True):
            if benchmark in found and benchmark not in self.decided:
                effect, rounds, launches = found[benchmark]
                outcome = self._outcome(benchmark, effect, is_change=min(p_slower, p_faster) < alpha)
                if outcome is not None:
                    self.decided[benchmark] = Decision(outcome=outcome, effect=effect, rounds=rounds, launches=launches)

    def close(self, samples: Sequence[Sample]) -> dict[Benchmark, Decision]:
        """Return the final decisions; undecided benchmarks that have an effect become inconclusive."""
        found = effects_of(samples, self.benchmarks)  # all, as before: each lends its launches to the others
        undecided = {
            benchmark: Decision(outcome=Outcome.INCONCLUSIVE, effect=effect, rounds=rounds, launches=launches)
            for benchmark, (effect, rounds, launches) in found.items()
            if benchmark not in self.decided
        }
        return self.decided | undecided

    def _outcome(self, benchmark: Benchmark, effect: Effect, *, is_change: bool) -> Outcome | None:
        tolerance = self.tolerances.tolerance(benchmark.case, benchmark.span, LATENCY)
        if is_change and abs(effect.estimate) > math.log1p(tolerance.minimum_effect):
            return Outcome.SLOWER if effect.estimate > 0 else Outcome.FASTER
        low, high = effect.bounds(LEVEL)
        margin = math.log1p(tolerance.equivalence_margin)
        return Outcome.SAME if -margin < low and high < margin else None


def effects_of(
    samples: Sequence[Sample], benchmarks: Sequence[Benchmark], column: str | None = None
) -> dict[Benchmark, tuple[Effect, int, int]]:
    """Return the effects of the benchmarks that ran in enough launches, with their rounds and launches.

    `column`: a clock other than the one that judges.
    """
    pairs: dict[tuple[str, str], dict[int, dict[int, dict[int, Sample]]]] = {}
    for sample in samples:
        launches = pairs.setdefault((sample.case, sample.span), defaultdict(lambda: defaultdict(dict)))
        launches[sample.launch][sample.round][sample.arm] = sample
    ratios = {}
    for benchmark in benchmarks:
        clock, launches = column or benchmark.column, pairs.get((benchmark.case, benchmark.span), {})
        series = [
            [math.log(getattr(pair[AFTER], clock) / getattr(pair[BEFORE], clock)) for pair in rounds.values()]
            for rounds in launches.values()
            if len(rounds) >= LEAST_ROUNDS
        ]
        if len(series) >= LEAST_LAUNCHES:
            ratios[benchmark] = series
    return {
        benchmark: (effect, sum(map(len, series)), len(series))
        for (benchmark, series), effect in zip(ratios.items(), effects(list(ratios.values())), strict=True)
    }
