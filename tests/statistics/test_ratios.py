"""Ratios of sums over clusters, by hand and against equal clusters, whose ratio is a plain mean."""

import math

import numpy as np
import pytest

from suite.statistics.ratios import ratio_by_cluster
from suite.statistics.seeds import mean_of_seeds


def test_the_mean_is_the_ratio_of_the_sums_and_not_of_the_ratios():
    # (1 + 9) / (1 + 3) = 2.5, where the mean of 1 and 3 is 2; 2.5 + 2 (1 - 2.5) / 4 and 2.5 + 2 (9 - 7.5) / 4.
    assert ratio_by_cluster([1.0, 9.0], [1.0, 3.0]) == pytest.approx([1.75, 3.25])


def test_of_equal_clusters_it_is_each_one_s_own_ratio():
    assert ratio_by_cluster([2.0, 4.0, 9.0], [2.0, 2.0, 2.0]) == pytest.approx([1.0, 2.0, 4.5])


def test_a_cluster_with_nothing_to_count_moves_nothing_by_itself():
    assert ratio_by_cluster([0.0, 3.0, 1.0], [0.0, 1.0, 1.0])[0] == pytest.approx(2.0)


def test_the_interval_covers_the_ratio_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(600):
        words = generator.poisson(20, size=12)
        loss = words * 3.0 + generator.standard_normal(12) * np.sqrt(words)
        found = mean_of_seeds(ratio_by_cluster(loss.tolist(), words.tolist()))
        covered.append(found.low <= 3.0 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize(
    ("numerators", "denominators"),
    [([], []), ([1.0], [1.0, 2.0]), ([1.0], [0.0]), ([math.nan], [1.0]), ([1.0], [math.inf])],
)
def test_what_has_no_ratio_is_refused(numerators, denominators):
    with pytest.raises(ValueError, match="as many finite numbers"):
        ratio_by_cluster(numerators, denominators)
