"""A sigmoid's parameters are found again, and levels stay between 0 and 1."""

import math

import numpy as np
import pytest

from suite.statistics.learning import fit_sigmoid

SPENT = 256.0 * np.array([0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 320])


def sigmoid(start, plateau, middle, steepness, spent=SPENT):
    return start + (plateau - start) / (1 + (middle / np.maximum(spent, 1e-9)) ** steepness)


@pytest.mark.parametrize(
    ("start", "plateau", "steps", "steepness"), [(0.05, 0.9, 30, 3), (0.0, 0.97, 100, 2), (0.3, 0.6, 10, 8)]
)
def test_the_parameters_of_a_sigmoid_are_found_again(start, plateau, steps, steepness):
    curve = fit_sigmoid(SPENT, sigmoid(start, plateau, 256 * steps, steepness))
    assert curve.plateau == pytest.approx(plateau, abs=2e-3)
    assert math.exp(curve.log_middle) == pytest.approx(256 * steps, rel=5e-3)
    assert curve.steepness == pytest.approx(steepness, rel=1e-2)


RISING = np.linspace(0, 0.95, len(SPENT)) ** 4  # without bounds A would be above 1


@pytest.mark.parametrize("values", [sigmoid(0.02, 0.99, 256 * 40, 4).round(1), RISING], ids=["rounded", "rising"])
def test_no_other_sigmoid_with_levels_of_shares_fits_better(values):
    generator = np.random.default_rng(0)
    curve = fit_sigmoid(SPENT, values)
    starts = np.linspace(0, 0.1, 401)[:, None]
    found = sigmoid(starts, curve.plateau, math.exp(curve.log_middle), curve.steepness)
    least = np.min(np.sum((found - values) ** 2, axis=1))
    for _ in range(1000):  # others near it, the best start for each
        plateau, change = min(1.0, curve.plateau + 0.05 * generator.normal()), np.exp(0.1 * generator.normal(size=2))
        middle = min(math.exp(curve.log_middle) * change[0], SPENT[-1])
        tried = sigmoid(starts[::10], plateau, middle, curve.steepness * change[1])
        assert least <= np.min(np.sum((tried - values) ** 2, axis=1)) + 1e-5


def test_level_and_middle_stay_within_what_was_evaluated():
    curve = fit_sigmoid(SPENT, RISING)
    assert curve.plateau <= 1
    assert math.log(SPENT[1]) <= curve.log_middle <= math.log(SPENT[-1])
    assert fit_sigmoid(SPENT, np.ones(len(SPENT))).plateau == pytest.approx(1)
    assert fit_sigmoid(SPENT, np.zeros(len(SPENT))).plateau == 0


@pytest.mark.parametrize("spent", [SPENT[:5], np.zeros(8), [0, 0, 0, 0, 0, 0, 9]])
def test_a_curve_that_is_too_short_is_refused(spent):
    with pytest.raises(ValueError, match="a sigmoid needs"):
        fit_sigmoid(spent, np.zeros(len(spent)))
