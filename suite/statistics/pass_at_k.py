"""pass@k: the share of prompts that at least one of k samples solves, and what training did to it.

A policy that only samples more often what it could already do gains at k = 1 and not at large k. One that has learnt
something new solves prompts that its base model does not solve in any of many tries (Yue et al., arXiv 2504.13837).
"""

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.statistics.paired import ALL_BUT, SHARE_MARGIN, ArmOutcome, Comparison


def pass_at_k(right: ArrayLike, samples: int, k: int) -> NDArray[np.float64]:
    """The chance that one of k samples of a prompt is right, for each number of right ones among all `samples`: the
    unbiased 1 - C(n - c, k) / C(n, k) of Chen et al., arXiv 2107.03374.

    As the product over i = n - c + 1 .. n of 1 - k/i: no binomial coefficient overflows. Exactly 0 for none right and 1
    where fewer than k are wrong. Raises ValueError unless 1 <= k <= samples and every number of right ones is whole and
    between 0 and `samples`.
    """
    counts = np.asarray(right)
    if not 1 <= k <= samples:
        raise ValueError(f"k must lie between 1 and the number of samples, {samples}; got {k}")
    if counts.size and not (np.issubdtype(counts.dtype, np.integer) and 0 <= counts.min() <= counts.max() <= samples):
        raise ValueError(f"right must be whole numbers from 0 to {samples}; got {counts.tolist()}")
    factors = 1 - k / np.arange(samples, 0, -1)  # 0 at i = k, so what follows, below 0, counts no more
    misses = np.concatenate([[1.0], np.cumprod(factors)])  # by number of right ones, none first
    return np.asarray(1 - misses[counts.astype(np.intp)])


class Effect(StrEnum):
    """What training did to the samples of its base model."""

    TEACHES = "teaches"  # it solves what the base model does not solve in so many tries
    SHARPENS = "sharpens"  # it finds at once what the base model finds in many tries, and no more than that
    SHARPENS_AND_NARROWS = "sharpens_and_narrows"
    NARROWS = "narrows"  # it no longer solves all that the base model solves
    OPEN = "open"
    FEW = "few"


def training_effect(first: Comparison, last: Comparison) -> Effect:
    """The effect by the comparisons with the base model at k = 1 and at the largest k, judged together.

    "Sharpens" needs a gain at k = 1, and evidence that at the largest k there is none: its interval rules out the
    margin, or the base model is saturated.
    """
    if ArmOutcome.FEW in (first.outcome, last.outcome):
        return Effect.FEW
    is_sharper = first.outcome is ArmOutcome.HIGHER
    if last.outcome is ArmOutcome.HIGHER:
        return Effect.TEACHES
    if last.outcome is ArmOutcome.LOWER:
        return Effect.SHARPENS_AND_NARROWS if is_sharper else Effect.NARROWS
    assert last.interval is not None
    rules_out_gain = is_saturated(last) or last.interval.high < SHARE_MARGIN
    return Effect.SHARPENS if is_sharper and rules_out_gain else Effect.OPEN


def is_saturated(last: Comparison) -> bool:
    """Whether the base model, the second of the two, already solves everything: there is nothing to teach."""
    return sum(last.theirs) / last.pairs >= 1 - ALL_BUT
