"""When runs take off, with those that never do: Kaplan-Meier's curve, and exact tests of two arms.

A run takes off at its first evaluation with at least half of the answers right. One that has not by its end is censored
there: it may have been late, and it may be stuck.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.statistics.learning import to_threshold
from suite.statistics.paired import ALPHA
from suite.statistics.scores import Estimate

LEVEL = 0.5
"""The accuracy from which a run has taken off."""
MOST_SPLITS = 200_000
"""Two arms of up to ten runs are split in all ways; of more runs a tenth of this is drawn."""


@dataclass(frozen=True, kw_only=True)
class TakeOff:
    """What a run had spent when it took off, or by its end where it did not."""

    spent: float
    happened: bool


@dataclass(frozen=True, kw_only=True)
class ExactTest:
    """A two-sided exact test of no difference, with the fields by which `judge_together` corrects it."""

    p: float
    least_p: float
    """The least that any split of the same runs among the arms could have given."""
    direction: int
    """1 where the first arm has more (a larger share, a later take-off), -1 where it has less, 0 for neither."""
    adjusted_p: float | None = None

    @property
    def is_tested(self) -> bool:
        """Whether it could be clear at all. If not, a table is not corrected for it: what this depends on says nothing
        of which runs belong to which arm (R. Tarone, Biometrics 46, 1990)."""
        return self.least_p < ALPHA

    @property
    def is_clear(self) -> bool:
        return self.adjusted_p is not None and self.adjusted_p < ALPHA


def take_off(spent: Sequence[float], values: ArrayLike) -> TakeOff:
    """When a run's curve first reaches LEVEL. Raises ValueError as `to_threshold`."""
    first = to_threshold(spent, values, LEVEL)
    return TakeOff(spent=spent[-1] if first is None else first, happened=first is not None)


def kaplan_meier(runs: Sequence[TakeOff]) -> dict[float, Estimate]:
    """The share that has not taken off, from 0 and from each spend at which any run did, with its 95% interval by
    Greenwood's variance on the scale log(-log S). Where all or none are left it has no width, as usual."""
    z = NormalDist().inv_cdf(1 - ALPHA / 2)
    share, variance = 1.0, 0.0
    shares = {0.0: Estimate(estimate=1.0, low=1.0, high=1.0, level=1 - ALPHA, runs=len(runs))}
    for spent in sorted({run.spent for run in runs if run.happened}):
        at_risk = sum(run.spent >= spent for run in runs)
        events = sum(run.happened and run.spent == spent for run in runs)
        share *= 1 - events / at_risk
        low = high = 0.0
        if events < at_risk:
            variance += events / (at_risk * (at_risk - events))
            power = math.exp(z * math.sqrt(variance) / -math.log(share))
            low, high = share**power, share ** (1 / power)
        shares[spent] = Estimate(estimate=share, low=low, high=high, level=1 - ALPHA, runs=len(runs))
    return shares


def median_take_off(shares: Mapping[float, Estimate]) -> tuple[float, float, float]:
    """The first spend by which at most half of the runs have not taken off, and those at which the ends of the interval
    get there (R. Brookmeyer and J. Crowley, Biometrics 38, 1982); infinity for one that never does."""
    ends = [(spent, (share.estimate, share.low, share.high)) for spent, share in shares.items()]
    # The shares are products, whose last bits may stand above a half.
    first, low, high = (
        next((spent for spent, values in ends if values[place] <= 0.5 + 1e-9), math.inf) for place in range(3)
    )
    return first, low, high


def log_rank(ours: Sequence[TakeOff], theirs: Sequence[TakeOff]) -> ExactTest:
    """The log-rank test that both arms take off alike, by all ways to split the runs among them, or by a sample with a
    fixed seed. Exact where all could spend as much.

    An arm's take-offs less those expected are a sum of one score a run: 1 if it took off, less the hazard of all
    runs for as long as it waited.
    """
    runs = [*ours, *theirs]
    spent_R, happened_R = np.array([run.spent for run in runs]), np.array([run.happened for run in runs])
    score_R = happened_R.astype(float)
    for spent in np.unique(spent_R[happened_R]):
        at_risk_R = spent_R >= spent
        score_R -= at_risk_R * (np.sum(happened_R & (spent_R == spent)) / np.sum(at_risk_R))
    excess, sums = float(score_R[: len(ours)].sum()), np.abs(_split_sums(score_R, len(ours)))
    slack = 1e-9 * len(runs)  # for sums that are equal on paper
    return ExactTest(
        p=float(np.mean(sums >= abs(excess) - slack)),
        least_p=float(np.mean(sums >= sums.max() - slack)),
        direction=int(excess < -slack) - int(excess > slack),
    )


def _split_sums(score_R: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The sums of `size` of the scores in all ways; of more than MOST_SPLITS a sample, with the first ones' sum."""
    if math.comb(len(score_R), size) > MOST_SPLITS:
        drawn = np.random.default_rng(0).permuted(np.tile(score_R, (MOST_SPLITS // 10, 1)), axis=1)
        return np.append(drawn[:, :size].sum(axis=1), score_R[:size].sum())
    sums = [np.zeros(1), *[np.empty(0)] * size]
    for score in score_R:
        sums[1:] = [np.concatenate([with_it, without + score]) for without, with_it in pairwise(sums)]
    return sums[size]


def fisher(ours: int, theirs: int, *, runs: int) -> ExactTest:
    """Fisher's exact test of two counts, each among so many runs: the chance of a table with their sum that is at most
    as likely."""
    total = ours + theirs
    counts = range(max(0, total - runs), min(runs, total) + 1)
    ways = {count: math.comb(runs, count) * math.comb(runs, total - count) for count in counts}
    p, least_p = (
        sum(way for way in ways.values() if way <= most) / math.comb(2 * runs, total)
        for most in (ways[ours], min(ways.values()))
    )
    return ExactTest(p=p, least_p=least_p, direction=int(ours > theirs) - int(ours < theirs))
