"""Ticks at round numbers."""

import pytest

from suite.report.plot.plots import byte_ticks, decimal_ticks


@pytest.mark.parametrize(("low", "high"), [(1.31e-3, 1.7e-3), (1.49, 1.49), (7.1, 9.8), (94e-6, 99e-6), (1, 1.4)])
def test_a_narrow_axis_has_some_ticks_within_it(low, high):
    within = [value for value, _ in decimal_ticks([low, high], str) if 0.93 * low <= value <= 1.07 * high]
    assert 1 <= len(within) <= 11


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([3 << 20], ["2 MiB", "4 MiB"]),
        ([1 << 20], ["1 MiB", "2 MiB"]),
        ([40_000, 9_000_000], ["16 KiB", "64 KiB", "256 KiB", "1 MiB", "4 MiB", "16 MiB"]),
        ([1, 3], ["1 B", "2 B", "4 B"]),
    ],
)
def test_byte_ticks_are_powers_of_two_around_the_values(values, texts):
    assert [text for _, text in byte_ticks(values)] == texts
