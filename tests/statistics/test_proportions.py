"""Wilson's interval is the published one."""

import pytest

from tools.benchmarks.proportions import wilson

# Newcombe 1998, Statistics in Medicine 17, 857–872, table I, method 3: score, without continuity correction.
PUBLISHED = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)]


@pytest.mark.parametrize(("successes", "trials", "low", "high"), PUBLISHED)
def test_the_bounds_are_those_of_newcombes_table(successes, trials, low, high):
    interval = wilson(successes, trials)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert (interval.share, interval.successes, interval.trials) == (successes / trials, successes, trials)


def test_never_in_300_trials_may_still_be_once_in_79():
    interval = wilson(0, 300)
    assert (interval.share, interval.low) == (0, 0)
    assert 1 / interval.high == pytest.approx(79.1, abs=0.1)


def test_all_of_all_mirrors_none_of_all():
    all_seen, none_seen = wilson(12, 12), wilson(0, 12)
    assert (all_seen.high, all_seen.low) == (1, pytest.approx(1 - none_seen.high))
    assert wilson(3, 15, level=0.8).high < wilson(3, 15).high


@pytest.mark.parametrize(("successes", "trials", "level"), [(0, 0, 0.95), (-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0)])
def test_what_is_no_share_is_refused(successes, trials, level):
    with pytest.raises(ValueError, match="must lie between"):
        wilson(successes, trials, level)
