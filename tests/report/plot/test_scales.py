"""Ticks at round numbers."""

import pytest

from suite.report.plot.plots import decimal_ticks


@pytest.mark.parametrize(("low", "high"), [(1.31e-3, 1.7e-3), (1.49, 1.49), (7.1, 9.8), (94e-6, 99e-6), (1, 1.4)])
def test_a_narrow_axis_has_some_ticks_within_it(low, high):
    within = [value for value, _ in decimal_ticks([low, high], str) if 0.93 * low <= value <= 1.07 * high]
    assert 1 <= len(within) <= 11
