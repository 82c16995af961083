"""Holm's adjustment on numbers that can be checked by hand."""

import pytest

from suite.statistics.holm import holm


def test_the_smallest_counts_for_all_and_the_largest_for_itself():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_nothing_exceeds_one_and_one_test_stays_what_it_is():
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
