"""When a timing is decided: looks from the second launch on, the error spent over looks and benchmarks, and a floor.

Slower is what differs from no change by more than chance allows and by more than the floor. The same is what cannot be
as much slower, or faster, as the target. Whatever is neither is measured on, and at the cap it is inconclusive.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from suite.gate.rounds import AFTER, BEFORE, LEAST_ROUNDS, Benchmark, Sample
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome
from suite.statistics.holm import holm
from suite.statistics.launches import Effect, effects

FAMILY_ERROR = 0.01
"""Chance of any false alarm in a run of identical code, over all its benchmarks and looks; as much for a false gain."""
LEVEL = 0.98
"""Of the interval that is shown, and that must lie within the target where nothing changed."""
LEAST_LAUNCHES = 2
METRIC = "latency_s"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the looks have come to for one benchmark."""

    outcome: Outcome
    effect: Effect
    rounds: int
    launches: int


@dataclass(kw_only=True)
class Decisions:
    """Benchmarks and what is decided of them so far."""

    benchmarks: Sequence[Benchmark]
    tolerances: Tolerances
    seconds: float
    """The cap on measuring time."""
    decided: dict[Benchmark, Decided] = field(default_factory=dict)
    _spent: float = 0.0

    @property
    def open(self) -> list[Benchmark]:
        return [one for one in self.benchmarks if one not in self.decided]

    def look(self, samples: Sequence[Sample], measured_s: float) -> None:
        """Decide what can be decided now. `measured_s`: measuring time so far, which shares out the error."""
        found = effects_of(samples, self.benchmarks)
        if not found:  # of a first launch nothing can be said, and so nothing is spent
            return
        share = min(1.0, measured_s / self.seconds)
        alpha, self._spent = FAMILY_ERROR * max(0.0, share - self._spent), max(share, self._spent)
        slower = holm([self._p(found, one, slower=True) for one in self.benchmarks])
        faster = holm([self._p(found, one, slower=False) for one in self.benchmarks])
        for one, p_slower, p_faster in zip(self.benchmarks, slower, faster, strict=True):
            if one not in self.decided and one in found:
                effect, rounds, launches = found[one]
                outcome = self._outcome(one, effect, min(p_slower, p_faster) < alpha)
                if outcome is not None:
                    self.decided[one] = Decided(outcome=outcome, effect=effect, rounds=rounds, launches=launches)

    def close(self, samples: Sequence[Sample]) -> dict[Benchmark, Decided]:
        """Everything that has an effect, what is still open as inconclusive."""
        found = effects_of(samples, self.benchmarks)  # all, as at the looks: each lends its launches to the others
        left = {
            one: Decided(outcome=Outcome.INCONCLUSIVE, effect=effect, rounds=rounds, launches=launches)
            for one, (effect, rounds, launches) in found.items()
            if one not in self.decided
        }
        return self.decided | left

    def _p(self, found: Mapping[Benchmark, tuple[Effect, int, int]], one: Benchmark, *, slower: bool) -> float:
        """One that is decided keeps its place among the tests, and rejects nothing more."""
        if one not in found:
            return 1.0
        effect = found[one][0]
        return effect.p_above_zero() if slower else effect.p_below_zero()

    def _outcome(self, one: Benchmark, effect: Effect, is_change: bool) -> Outcome | None:
        floor = math.log1p(self.tolerances.floor(one.case, one.span, METRIC))
        target = math.log1p(self.tolerances.target(one.case, one.span, METRIC))
        if is_change and abs(effect.estimate) > floor:
            return Outcome.SLOWER if effect.estimate > 0 else Outcome.FASTER
        low, high = effect.bounds(LEVEL)
        return Outcome.SAME if -target < low and high < target else None


def effects_of(
    samples: Sequence[Sample], benchmarks: Sequence[Benchmark], column: str | None = None
) -> dict[Benchmark, tuple[Effect, int, int]]:
    """Effects of those benchmarks that ran in enough launches, with their rounds and launches.

    `column`: a clock other than the one that judges.
    """
    ratios: dict[tuple[str, str], dict[int, dict[int, dict[int, Sample]]]] = {}
    for sample in samples:
        launches = ratios.setdefault((sample.case, sample.span), defaultdict(lambda: defaultdict(dict)))
        launches[sample.launch][sample.round][sample.arm] = sample
    by_benchmark = {}
    for one in benchmarks:
        launches = ratios.get((one.case, one.span), {})
        launches = {number: rounds for number, rounds in launches.items() if len(rounds) >= LEAST_ROUNDS}
        if len(launches) >= LEAST_LAUNCHES:
            clock = column or one.column
            by_benchmark[one] = [
                [math.log(getattr(pair[AFTER], clock) / getattr(pair[BEFORE], clock)) for pair in rounds.values()]
                for rounds in launches.values()
            ]
    computed = effects(list(by_benchmark.values()))
    return {
        one: (effect, sum(map(len, series)), len(series))
        for (one, series), effect in zip(by_benchmark.items(), computed, strict=True)
    }
