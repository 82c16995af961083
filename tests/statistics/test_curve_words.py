"""The word for an arm's curves, by cells that were measured and by simulated arms."""

import numpy as np
import pytest

from suite.statistics.curve_words import CurveWord, judge_curves, read_curve
from tools.benchmarks.curve_words import NO_WORDS, STEPS, Arm, coverage, words


def curve(middle, final, steepness=4.0):
    """Accuracies that rise to a final level; never where the middle is None."""
    if middle is None:
        return np.zeros(len(STEPS))
    return final / (1 + (middle / np.maximum(STEPS, 1e-9)) ** steepness)


def arm(*curves):
    return {str(seed): read_curve(STEPS.tolist(), values.tolist()) for seed, values in enumerate(curves)}


def word(ours, theirs):
    (judged,) = judge_curves([(ours, theirs)], (0.07, 1.0))
    (mirrored,) = judge_curves([(theirs, ours)], (0.07, 1.0))
    return judged.word, mirrored.word


EARLY = arm(*(curve(middle, final) for middle, final in [(14, 0.95), (20, 0.97), (17, 0.93), (24, 0.96), (19, 0.94)]))
# Four runs that were late at step 80 of rl_why, and one that had not begun by step 320.
LATE = arm(*(curve(middle, final) for middle, final in [(None, 0), (50, 0.99), (40, 0.97), (140, 0.98), (45, 0.99)]))
RISE_AND_FALL = np.where(STEPS <= 181, curve(60, 0.5), 0.0)
TRAPPED = arm(RISE_AND_FALL, *[curve(None, 0)] * 3, curve(150, 0.97))


def test_the_two_cells_at_step_320_are_late_and_trapped():
    assert word(LATE, EARLY) == (CurveWord.LATE, CurveWord.EARLY)
    assert word(TRAPPED, EARLY) == (CurveWord.TRAPPED, CurveWord.ESCAPES)
    together = judge_curves([(LATE, EARLY), (TRAPPED, EARLY)], (0.07, 1.0))
    assert [row.word for row in together] == [CurveWord.LATE, CurveWord.TRAPPED]


def test_of_many_arms_one_that_never_takes_off_is_trapped():
    stuck, alike = arm(*[curve(None, 0)] * 5), (EARLY, EARLY)
    first, *others = judge_curves([(stuck, EARLY), *[alike] * 8], (0.07, 1.0))
    assert not first.never.is_clear
    assert first.word == CurveWord.TRAPPED
    mirrored, *_ = judge_curves([(EARLY, stuck), *[alike] * 8], (0.07, 1.0))
    assert mirrored.word == CurveWord.ESCAPES
    assert {row.word for row in others}.isdisjoint({CurveWord.TRAPPED, CurveWord.LOWER})


def test_an_arm_that_levels_off_below_is_lower():
    below = arm(*(curve(middle, final) for middle, final in [(15, 0.7), (19, 0.75), (18, 0.68), (23, 0.74), (20, 0.7)]))
    assert word(below, EARLY) == (CurveWord.LOWER, CurveWord.HIGHER)


def test_an_arm_whose_runs_fall_below_half_collapses():
    fallen = arm(*(np.where(STEPS <= 181, curve(middle, 0.95), 0.1) for middle in (14, 20, 17, 24, 19)))
    assert [run.is_collapsed for run in fallen.values()] == [True] * 5
    assert {run.plateau for run in fallen.values()} == {0.1}
    assert word(fallen, EARLY) == (CurveWord.COLLAPSES, CurveWord.HOLDS)


def test_alike_needs_both_a_level_and_a_rise_that_are_near():
    near = arm(
        *(curve(middle, final) for middle, final in [(15, 0.96), (19, 0.96), (18, 0.93), (23, 0.95), (20, 0.95)])
    )
    assert word(near, EARLY) == (CurveWord.ALIKE, CurveWord.ALIKE)
    wide = arm(*(curve(middle, final) for middle, final in [(9, 0.96), (45, 0.96), (11, 0.93), (40, 0.95), (30, 0.95)]))
    assert word(wide, EARLY) == (CurveWord.OPEN, CurveWord.OPEN)
    noisy = arm(*(curve(middle, final) for middle, final in [(15, 0.99), (9, 0.8), (40, 0.9), (12, 0.99), (33, 0.9)]))
    assert word(noisy, EARLY) == (CurveWord.OPEN, CurveWord.OPEN)


def test_of_four_seeds_nothing_is_said():
    four = dict(list(LATE.items())[1:])
    assert word(four, EARLY) == (CurveWord.FEW, CurveWord.FEW)
    assert word({}, EARLY) == (CurveWord.FEW, CurveWord.FEW)
    words_of_table = [row.word for row in judge_curves([(LATE, EARLY), *[(four, EARLY)] * 6], (0.07, 1.0))]
    assert words_of_table == [CurveWord.LATE, *[CurveWord.FEW] * 6]


def test_among_many_arms_more_is_asked_of_each():
    assert [row.word for row in judge_curves([(LATE, EARLY)] * 6, (0.07, 1.0))] == [CurveWord.OPEN] * 6


def test_a_rise_that_nobody_saw_has_no_middle():
    at_once = read_curve(STEPS.tolist(), [0.0, *[0.9] * (len(STEPS) - 1)])
    assert (at_once.take_off.spent, at_once.sigmoid, at_once.plateau) == (1, None, pytest.approx(0.9, abs=0.02))


def test_equal_arms_seldom_get_a_word_and_intervals_hold():
    told = [row[0] for row in words(Arm(), Arm(), 5, 30)]
    assert sum(each not in NO_WORDS for each in told) <= 3
    assert min(coverage(Arm(spread=1.0), 5, 30, many=300)) >= 0.85
    assert [row[0] for row in words(Arm(stuck=0.9), Arm(), 10, 5)] == [CurveWord.TRAPPED] * 5
