"""Student's interval of a few seeds, by hand."""

import math

import numpy as np
import pytest

from suite.statistics.seeds import mean_of_seeds


def test_the_interval_is_student_s():
    """t(2, 97.5 %) = 4.303 times the standard error of three values."""
    found = mean_of_seeds([0.1, 0.2, 0.3])
    reach = 4.303 * 0.1 / math.sqrt(3)
    assert (found.estimate, found.runs, found.level) == (pytest.approx(0.2), 3, 0.95)
    assert (found.low, found.high) == (pytest.approx(0.2 - reach, rel=1e-3), pytest.approx(0.2 + reach, rel=1e-3))


def test_values_that_agree_have_no_width():
    found = mean_of_seeds([0.5, 0.5])
    assert (found.low, found.high) == (0.5, 0.5)


def test_five_normal_values_are_covered_as_often_as_it_says():
    values = np.random.default_rng(0).standard_normal((1000, 5))
    covered = [interval.low <= 0 <= interval.high for interval in map(mean_of_seeds, values)]
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("values", [[], [0.5], [0.5, math.nan]])
def test_fewer_than_two_values_have_none(values):
    with pytest.raises(ValueError, match="at least two finite numbers"):
        mean_of_seeds(values)
