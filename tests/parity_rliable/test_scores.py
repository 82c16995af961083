"""Our statistics of scores against rliable's, to the last bit; and the intervals, as far as chance lets them agree."""

import numpy as np
import pytest
from rliable import library, metrics

from suite.statistics.scores import iqm, mean, stratified_bootstrap

SHAPES = [(1, 1), (3, 1), (5, 1), (5, 3), (10, 6), (7, 26), (100, 55)]
STATISTICS = {
    "mean": (mean, metrics.aggregate_mean),
    "iqm": (iqm, metrics.aggregate_iqm),
}

every_statistic = pytest.mark.parametrize(("ours", "theirs"), STATISTICS.values(), ids=STATISTICS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draws(shape):
    """Scores of all kinds: skewed, shares of 8 prompts with many ties, and of both signs."""
    for seed in range(5):
        generator = np.random.default_rng([seed, *shape])
        yield generator.lognormal(mean=-0.5, size=shape)
        yield generator.binomial(8, 0.6, size=shape) / 8
        yield generator.normal(size=shape)


@every_statistic
@every_shape
def test_a_statistic_is_rliables_to_the_last_bit(ours, theirs, shape):
    for scores in draws(shape):
        assert ours(scores) == theirs(scores)


@pytest.fixture
def repeatable():
    """rliable takes a random_state and draws from numpy's global one all the same."""
    state = np.random.get_state()
    np.random.seed(0)
    yield
    np.random.set_state(state)


def assert_same_bounds(ours, theirs):
    """Within a twentieth of the width, which is what two bootstraps of 4000 resamples differ by at most."""
    low, high = np.ravel(theirs)
    assert (ours.low, ours.high) == (
        pytest.approx(low, abs=(high - low) / 20),
        pytest.approx(high, abs=(high - low) / 20),
    )


@every_statistic
def test_an_interval_is_rliables_but_for_chance(ours, theirs, repeatable):
    scores = np.random.default_rng(1).lognormal(mean=-0.5, size=(5, 3))
    _, bounds = library.get_interval_estimates({"arm": scores}, lambda drawn: np.array([theirs(drawn)]), reps=4000)
    assert_same_bounds(stratified_bootstrap(ours, scores, resamples=4000), bounds["arm"])
