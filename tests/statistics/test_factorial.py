"""Effects and interactions beside sums made by hand."""

import pytest

from suite.statistics.factorial import effect, interaction, is_crossed, levels_in, simple_effects
from suite.statistics.paired import ArmOutcome

SEEDS = [str(seed) for seed in range(5)]
# In each seed: a base of its own, 0.1 for b, 0.2 for y, and 0.3 more for both together.
NOISE = (0.0, 0.01, 0.02, 0.03, 0.04)


def cells(noise=NOISE, both=0.3):
    worth = {("a", "x"): 0.0, ("b", "x"): 0.1, ("a", "y"): 0.2, ("b", "y"): 0.3 + both}
    return {
        cell: {seed: base + value for seed, base in zip(SEEDS, noise, strict=True)} for cell, value in worth.items()
    }


def test_an_effect_is_the_mean_over_the_other_factors_cells():
    comparison = effect(cells(), 0, "b", "a")
    # (0.1 + 0.4) / 2 in every seed, whatever its base.
    assert comparison.differences == pytest.approx([0.25] * 5)
    assert simple_effects(cells(), 0, "b", "a") == pytest.approx([0.1, 0.4])
    assert effect(cells(), 1, "y", "x").mean == pytest.approx((0.2 + 0.5) / 2)


def test_an_interaction_is_a_difference_of_differences():
    found = interaction(cells(), 0, ("b", "a"), 1, ("y", "x"))
    assert found.differences == pytest.approx([0.3] * 5)
    assert found.outcome is ArmOutcome.HIGHER
    exchanged = interaction(cells(), 1, ("y", "x"), 0, ("b", "a"))
    assert exchanged.differences == pytest.approx(found.differences)


def test_a_seed_counts_once_however_many_cells_it_has():
    table = cells()
    table["b", "x"] = {seed: 0.1 + 0.02 * place for place, seed in enumerate(SEEDS)}
    found = effect(table, 0, "b", "a")
    # Seed by seed: half of (0.1 + 0.01 k), half of 0.4.
    assert found.differences == pytest.approx([0.25 + 0.005 * place for place in range(5)])


def test_cells_that_one_level_lacks_are_left_out():
    table = cells()
    del table["b", "y"]
    assert effect(table, 0, "b", "a").mean == pytest.approx(0.1)
    assert interaction(table, 0, ("b", "a"), 1, ("y", "x")) is None
    assert effect(table, 0, "c", "a") is None


def test_a_seed_that_lacks_a_cell_is_left_out_of_both_levels():
    table = cells()
    del table["a", "y"]["2"]
    assert effect(table, 0, "b", "a").pairs == 4
    assert interaction(table, 0, ("b", "a"), 1, ("y", "x")).pairs == 4


def test_settings_are_crossed_where_all_four_combinations_are():
    assert is_crossed([("a", "x", "-"), ("b", "x", "-"), ("a", "y", "-"), ("b", "y", "-")])
    assert not is_crossed([("a", "x", "-"), ("b", "x", "-"), ("b", "y", "-")])
    assert not is_crossed([("a", "x", "-"), ("b", "x", "-"), ("a", "y", "*"), ("b", "y", "*")])
    assert levels_in([("b", "x"), ("a", "x"), ("b", "y")], 0) == ["b", "a"]
