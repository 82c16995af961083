"""Effects from paired rounds in several launches of a program, many benchmarks at once.

Samples of one launch are alike: memory lies where it lies, and neighbours on the machine come and go. So the spread
between launches is asked as well as that between rounds, and the wider of the two counts. A few launches tell their own
spread badly; but the benchmarks ran in the same launches, so each takes a share of what all of them show together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suite.statistics.intervals import QUARTILES_OF_NORMAL
from suite.statistics.student import t_above, t_quantile

SHARED_LAUNCHES = 10
"""Launches of its own that the spread of all benchmarks counts for, where there are many benchmarks. Tried on 60
launches of identical code beside a busy process; `suite gate selftest` shows what comes of it."""
MEDIAN_OVER_MEAN = 1.2533
"""Standard error of a normal sample's median over that of its mean."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A log-ratio with its standard error, which has Student's t with these degrees of freedom."""

    estimate: float
    error: float
    freedom: int

    def bounds(self, level: float) -> tuple[float, float]:
        """The two-sided interval of this confidence."""
        half = t_quantile((1 + level) / 2, self.freedom) * self.error
        return self.estimate - half, self.estimate + half

    def p_above_zero(self) -> float:
        """One-sided p of an effect this large or larger where there is none."""
        return self._p(self.estimate)

    def p_below_zero(self) -> float:
        return self._p(-self.estimate)

    def _p(self, estimate: float) -> float:
        if self.error > 0:
            return t_above(estimate / self.error, self.freedom)
        return 0.5 if estimate == 0 else float(estimate < 0)


@dataclass(frozen=True, kw_only=True)
class _Spread:
    estimate: float
    of_a_round: float
    """Variance that one round gives the median: divided by the number of rounds, it is the median's own."""
    between: float
    """The same variance as the launches' medians show it."""
    excess: float
    """Variance between launches over what rounds alone would give it: about 1 where launches do not differ."""
    rounds: int
    launches: int


def effects(of_benchmarks: Sequence[Sequence[Sequence[float]]]) -> list[Effect]:
    """Return an effect for each benchmark from its log-ratios, by launch and round.

    Raises ValueError for a benchmark of fewer than two launches or with a launch of fewer than two rounds.
    """
    spreads = [_spread([np.asarray(launch, dtype=float) for launch in launches]) for launches in of_benchmarks]
    return [_effect(spread, spreads) for spread in spreads]


def _spread(launches: Sequence[NDArray[np.float64]]) -> _Spread:
    counts = np.array([len(launch) for launch in launches])
    if len(counts) < 2 or counts.min() < 2:
        raise ValueError(f"an effect needs two launches with two rounds each; got {counts.tolist()} rounds")
    estimate = np.median(np.concatenate(launches))
    medians = np.array([np.median(launch) for launch in launches])
    rests = np.concatenate([launch - median for launch, median in zip(launches, medians, strict=True)])
    # By quartiles, which a few disturbed rounds do not move, and no bootstrap: of eight rounds it comes out too narrow
    # (tests/benchmarks/gate_calibration.py). Each launch's median took a degree of freedom.
    deviation = np.subtract(*np.quantile(rests, [0.75, 0.25])) / QUARTILES_OF_NORMAL
    of_a_round = (MEDIAN_OVER_MEAN * deviation) ** 2 * counts.sum() / (counts.sum() - len(counts))
    between = np.sum(counts * (medians - estimate) ** 2) / (len(counts) - 1)
    return _Spread(
        estimate=float(estimate),
        of_a_round=float(of_a_round),
        between=float(between),
        excess=float(between / of_a_round) if of_a_round > 0 else 1.0,
        rounds=int(counts.sum()),
        launches=len(counts),
    )


def _effect(own: _Spread, of_all: Sequence[_Spread]) -> Effect:
    """Moderate the spreads as in G. K. Smyth, Linear models and empirical Bayes methods, Statistical Applications in
    Genetics and Molecular Biology 3 (2004), but by the excess over the rounds' own spread, which differs between
    benchmarks."""
    if own.of_a_round == 0:  # Most rounds are equal to a clock's tick. What its own launches show is then all there is.
        return Effect(estimate=own.estimate, error=math.sqrt(own.between / own.rounds), freedom=own.launches - 1)
    shared = min(SHARED_LAUNCHES, sum(spread.launches - 1 for spread in of_all) - (own.launches - 1))
    freedom = shared + own.launches - 1
    # Not their mean: of a benchmark whose rounds hardly differ the excess has no bounds, and would hide all others.
    common = float(np.median([spread.excess / _median_excess(spread.launches - 1) for spread in of_all]))
    excess = (shared * common + (own.launches - 1) * own.excess) / freedom
    return Effect(
        estimate=own.estimate,
        error=math.sqrt(max(1.0, excess) * own.of_a_round / own.rounds),
        freedom=freedom,
    )


def _median_excess(freedom: int) -> float:
    """Return the median of a chi-square over its degrees of freedom (E. B. Wilson and M. M. Hilferty, PNAS 17, 1931):
    what half of all benchmarks stay below where launches do not differ."""
    return (1 - 2 / (9 * freedom)) ** 3
