"""pass@k against every subset, against chance, and the word for what training did."""

import math
from itertools import combinations

import numpy as np
import pytest

from suite.statistics.paired import SHARE_MARGIN, compare
from suite.statistics.pass_at_k import Effect, pass_at_k, training_effect


@pytest.mark.parametrize("samples", range(1, 13))
def test_it_is_the_share_of_all_subsets_with_a_right_sample(samples):
    for k in range(1, samples + 1):
        subsets = np.asarray(list(combinations(range(samples), k)))
        # Of c right ones the first c are right: a subset holds one if its smallest index is below c.
        shares = [(subsets.min(axis=1) < right).mean() for right in range(samples + 1)]
        assert pass_at_k(range(samples + 1), samples, k) == pytest.approx(shares, abs=1e-14)


def test_it_is_unbiased_over_samples_that_are_drawn():
    chance, samples, k, draws = 0.03, 32, 8, 200_000
    estimates = pass_at_k(np.random.default_rng(0).binomial(samples, chance, draws), samples, k)
    error = estimates.std(ddof=1) / math.sqrt(draws)
    assert abs(estimates.mean() - (1 - (1 - chance) ** k)) < 4 * error
    # To put c / n in the place of the chance is not: it is too low by twenty times as much.
    plugged = 1 - (1 - np.random.default_rng(0).binomial(samples, chance, draws) / samples) ** k
    assert (1 - (1 - chance) ** k) - plugged.mean() > 20 * error


def test_many_samples_overflow_nothing():
    exact = [1 - math.comb(4096 - right, 1024) / math.comb(4096, 1024) for right in (0, 1, 2, 40, 3072, 3073, 4096)]
    assert pass_at_k([0, 1, 2, 40, 3072, 3073, 4096], 4096, 1024) == pytest.approx(exact, rel=1e-12)
    assert pass_at_k([0, 3073], 4096, 1024).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("right", "k", "words"),
    [
        ([5], 1, "right must be whole numbers from 0 to 4"),
        ([-1], 1, "right must be whole numbers"),
        ([0.5], 1, "right must be whole"),
        ([1], 0, "k must lie between 1 and the number of samples, 4; got 0"),
        ([1], 5, "k must lie between 1"),
    ],
)
def test_counts_that_cannot_be_are_refused(right, k, words):
    with pytest.raises(ValueError, match=words):
        pass_at_k(right, 4, k)


def against(*differences, base=0.4):
    """Five seeds against a base of about `base`, with these differences."""
    theirs = {str(seed): base + 0.001 * seed for seed in range(len(differences))}
    ours = {seed: value + difference for (seed, value), difference in zip(theirs.items(), differences, strict=True)}
    comparison = compare(ours, theirs, bounds=(None, 1.0), margin=SHARE_MARGIN)
    assert comparison is not None
    return comparison


UP, DOWN = against(0.2, 0.21, 0.2, 0.19, 0.2), against(-0.2, -0.21, -0.2, -0.19, -0.2)
SAME, WIDE = against(0.0, 0.001, -0.001, 0.0, 0.0), against(0.3, -0.1, 0.4, -0.1, 0.0)
SLIGHTLY_DOWN = against(-0.05, -0.01, -0.06, 0.0, 0.005)  # a gain of two points is ruled out, a loss is not
SOLVED, LESS_SOLVED = (against(*differences, base=0.995) for differences in ([0.0] * 5, [-0.1, 0.0, 0.0, -0.1, 0.001]))
FEW = against(0.2, 0.2)


@pytest.mark.parametrize(
    ("first", "last", "effect"),
    [
        (UP, UP, Effect.TEACHES),
        (WIDE, UP, Effect.TEACHES),
        (UP, SAME, Effect.SHARPENS),
        (UP, SOLVED, Effect.SHARPENS),
        (UP, LESS_SOLVED, Effect.SHARPENS),
        (UP, SLIGHTLY_DOWN, Effect.SHARPENS),
        (UP, DOWN, Effect.SHARPENS_AND_NARROWS),
        (WIDE, DOWN, Effect.NARROWS),
        (DOWN, DOWN, Effect.NARROWS),
        (UP, WIDE, Effect.OPEN),
        (SAME, SAME, Effect.OPEN),
        (FEW, UP, Effect.FEW),
    ],
)
def test_one_rule_names_what_training_did(first, last, effect):
    assert training_effect(first, last) is effect
