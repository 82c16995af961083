"""When a timing is decided, on made samples: no worker runs here."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from suite.gate.rules import decision
from suite.gate.rules.decision import (
    AFTER,
    BEFORE,
    FAMILYWISE_ERROR,
    LEAST_LAUNCHES,
    LEAST_ROUNDS,
    Benchmark,
    Decisions,
    Sample,
    effects_of,
)
from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import Outcome
from tools.benchmarks import gate_few_launches

SECONDS = 30.0
CLOCKS = ("wall", "thread_cpu", "process_cpu", "device")


def benchmark(case="a", clock="thread_cpu"):
    return Benchmark(case=case, span="layer", clock=clock)


def sample(one, launch, number, arm, **times_s):
    clocks = dict.fromkeys((f"{clock}_s" for clock in CLOCKS), 1.0) | times_s
    facts = {"launch": launch, "round": number, "case": one.case, "span": one.span, "arm": arm}
    return Sample(position=arm, involuntary_switches=0, calls=3, **facts, **clocks)


def rounds_of(one, log_ratios, launch=1):
    """Rounds of a launch with these log-ratios, on the clock that judges."""
    return [
        sample(one, launch, number, arm, **{one.column: math.exp(log_ratio) if arm == AFTER else 1.0})
        for number, log_ratio in enumerate(log_ratios)
        for arm in (AFTER, BEFORE)  # in whichever order they came
    ]


def launches_of(one, middle, spread, launches=8, count=LEAST_ROUNDS):
    """Launches whose medians lie evenly to both sides of `middle` by up to `spread`, as do the rounds of each.

    Low and high ones take turns, so that they do not drift.
    """
    evenly, turns = (
        np.linspace(-spread, spread, launches),
        [(-1) ** place * ((place + 1) // 2) for place in range(launches)],
    )
    return [
        taken
        for launch, own in enumerate(middle + evenly[turns], start=1)
        for taken in rounds_of(one, own + np.linspace(-spread, spread, count), launch)
    ]


def decisions(*benchmarks, tolerances=None):
    return Decisions(benchmarks=list(benchmarks), tolerances=tolerances or Tolerances(), seconds=SECONDS)


def decided(middle, spread, *, tolerances=None, measured_s=SECONDS, **more):
    """Return what one analysis makes of one benchmark."""
    one = benchmark()
    made = decisions(one, tolerances=tolerances)
    made.interim_analysis(launches_of(one, middle, spread, **more), measured_s)
    return made.decided[one].outcome if made.decided else None


def test_nothing_is_the_same_before_three_launches_of_rounds():
    one = benchmark()
    made = decisions(one)
    samples = launches_of(one, 0.0, 0.001, launches=LEAST_LAUNCHES - 1)
    made.interim_analysis(samples, 2.0)
    made.interim_analysis(samples + rounds_of(one, [0.0] * (LEAST_ROUNDS - 1), launch=LEAST_LAUNCHES), 4.0)
    assert made.open == [one]
    assert made.close(samples)[one].outcome is Outcome.INCONCLUSIVE
    assert made.close(rounds_of(one, [0.0] * (LEAST_ROUNDS - 1))) == {}
    made.interim_analysis(samples + rounds_of(one, [0.0] * LEAST_ROUNDS, launch=LEAST_LAUNCHES), 5.0)
    assert made.decided[one].outcome is Outcome.SAME
    assert (made.decided[one].rounds, made.decided[one].launches) == (LEAST_LAUNCHES * LEAST_ROUNDS, LEAST_LAUNCHES)
    assert made.open == []


@pytest.mark.parametrize(("count", "needed"), [(1, 4), (2, 5), (16, 6), (20, 6), (21, 7), (100, 8)])
def test_a_change_needs_launches_that_no_layout_explains(count, needed):
    """Two layouts, a half each and one a side, may look like a change in 1 of 4^k; over all in half of the error."""
    every = [benchmark(f"case {index}") for index in range(count)]
    made = decisions(*every)
    assert made.launches_for_change == needed
    assert count / 4**needed <= FAMILYWISE_ERROR / 2 < count / 4 ** (needed - 1)
    slower = every[0]
    for launches in range(1, needed + 1):
        samples = launches_of(slower, 0.5, 0.001, launches=launches)
        made.interim_analysis(samples, SECONDS)
        assert (slower in made.decided) == (launches == needed)
    assert made.decided[slower].outcome is Outcome.SLOWER


LOOSE = Tolerances(default_minimum_effect=0.2, default_equivalence_margin=0.3)
STRICT = Tolerances(default_minimum_effect=0.001, default_equivalence_margin=0.002)


@pytest.mark.parametrize(
    ("middle", "spread", "tolerances", "outcome"),
    [
        (math.log(1.1), 0.01, None, Outcome.SLOWER),
        (math.log(1.019), 0.0001, None, Outcome.SAME),  # sure, but below the floor of 2%
        (math.log(1.021), 0.0001, None, Outcome.SLOWER),
        (-math.log(1.1), 0.01, None, Outcome.FASTER),
        (-math.log(1.019), 0.0001, None, Outcome.SAME),
        (0.0, 0.02, None, Outcome.SAME),
        (0.0, 0.2, None, None),  # both sides open
        (math.log(1.04), 0.1, None, None),  # above the target is possible, below it nothing is
        (-math.log(1.04), 0.1, None, None),
        (math.log(1.1), 0.01, LOOSE, Outcome.SAME),
        (0.0, 0.2, LOOSE, Outcome.SAME),
        (0.0, 0.01, STRICT, None),
        # A case's own floor raises the minimum effect, of that case alone.
        (math.log(1.055), 0.001, Tolerances.from_settings({"cases": [{"case": "a", "floor": 0.06}]}), Outcome.SAME),
        (math.log(1.055), 0.001, Tolerances.from_settings({"cases": [{"case": "b", "floor": 0.06}]}), Outcome.SLOWER),
    ],
)
def test_slower_is_above_the_minimum_effect_same_within_margin(middle, spread, tolerances, outcome):
    assert decided(middle, spread, tolerances=tolerances) is outcome


def test_the_same_needs_both_bounds_within_the_margin():
    one = benchmark()
    effect = effects_of(launches_of(one, 0.0, 0.05), [one])[one][0]
    room = math.log(1.05) - effect.bounds(decision.LEVEL)[1]
    assert room > 0
    for side in (1, -1):
        # Early, when the error that is spent lets nothing be called a change.
        assert decided(0.99 * side * room, 0.05, measured_s=1e-9) is Outcome.SAME
        assert decided(1.01 * side * room, 0.05, measured_s=1e-9) is None


def test_what_is_decided_stays_decided():
    one, other = benchmark("one"), benchmark("other")
    made = decisions(one, other)
    early = launches_of(one, 0.1, 0.01) + launches_of(other, 0.0, 0.3)
    made.interim_analysis(early, 10.0)
    assert made.open == [other]
    before = made.decided[one]
    made.interim_analysis(launches_of(one, 0.0, 0.001, launches=4) + launches_of(other, 0.0, 0.3, launches=4), 20.0)
    assert made.decided[one] is before
    assert made.close(early)[one] is before


@pytest.mark.parametrize(
    ("ratio", "spread", "launches", "outcome"),
    [
        (19.0, 0.01, 1, Outcome.SLOWER),
        (19.0, 0.01, 2, Outcome.SLOWER),
        (1 / 19.0, 0.01, 1, Outcome.FASTER),
        (2.1, 0.01, 1, Outcome.SLOWER),
        (1.95, 0.01, 1, Outcome.INCONCLUSIVE),  # another launch may lie 30% off
        (1.95, 0.01, 2, Outcome.SLOWER),
        (19.0, 1.0, 1, Outcome.INCONCLUSIVE),  # rounds that lie so far apart tell nothing
        (19.0, 1.0, 2, Outcome.INCONCLUSIVE),  # nor such launches
        (1.3, 0.001, 3, Outcome.INCONCLUSIVE),  # a change of this size waits for its launches
    ],
)
def test_far_slower_is_called_however_few_the_launches(ratio, spread, launches, outcome):
    one = benchmark()
    made = decisions(one, benchmark("other"), benchmark("another"))
    samples = launches_of(one, math.log(ratio), spread, launches=launches)
    made.interim_analysis(samples, SECONDS)
    assert made.open == made.benchmarks
    closed = made.close(samples)[one]
    low, high = closed.effect.bounds(decision.LEVEL)
    assert closed.outcome is outcome
    assert (low > math.log(1.5) or high < -math.log(1.5)) is (outcome is not Outcome.INCONCLUSIVE)
    assert closed.launches == launches
    if ratio == 2.1:  # which a larger floor may hide, where the launches are few
        noisy = decisions(one, tolerances=Tolerances(default_minimum_effect=0.1))
        assert noisy.close(samples)[one].outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("launches", [1, 2, 5])
def test_the_simulated_interval_is_the_shipped_one(launches):
    generator = np.random.default_rng(2)
    rounds_LTN = 0.1 * generator.normal(size=(launches, 300, LEAST_ROUNDS)) + np.linspace(0, 2, 300)[:, None]
    shipped = [decision.far_outcome(decision.cautious_effect(rounds_LTN[:, one].tolist())) for one in range(300)]
    called = gate_few_launches.far_slower(rounds_LTN)
    assert called.tolist() == [outcome is Outcome.SLOWER for outcome in shipped]
    assert 0 < called.sum() < 300


@pytest.mark.parametrize("launches", [1, 2, 3])
def test_shifts_of_few_launches_raise_no_alarms(launches):
    """Launches that shift by 3%, or between two layouts 20% apart, with rounds that spread by 5%."""
    generator = np.random.default_rng(0)
    layouts = generator.integers(2, size=(200, launches, 2)) @ [0.2, -0.2]
    for shifts in (0.03 * generator.standard_t(3, size=(200, launches)), layouts):
        rounds = shifts[..., None] + 0.05 * generator.normal(size=(200, launches, LEAST_ROUNDS))
        outcomes = [decision.far_outcome(decision.cautious_effect(one)) for one in rounds.tolist()]
        assert set(outcomes) == {Outcome.INCONCLUSIVE}


@dataclass
class FakeEffect:
    """A slowdown that has this p."""

    p: float
    estimate = 0.5

    def p_above_zero(self):
        return self.p

    def p_below_zero(self):
        return 1.0

    def bounds(self, level):
        return -1.0, 1.0


@pytest.mark.parametrize(
    "times_s",
    [
        [2, 4, 6, 8, 30],
        [30, 30, 30],
        [10, 5, 20, 90],  # fewer seconds than before, and a round that ended beyond the cap
        [0.5 * number for number in range(1, 70)],
    ],
)
def test_any_schedule_of_analyses_spends_the_familywise_error(monkeypatch, times_s):
    one, spent = benchmark(), 0.0
    effect = FakeEffect(p=1.0)
    monkeypatch.setattr(decision, "effects_of", lambda samples, benchmarks: {one: (effect, LEAST_ROUNDS, 8)})
    made = decisions(one)
    for measured_s in times_s:
        # The largest p that is significant in an analysis is what it spends.
        low, high = 0.0, 1.0
        while high - low > 1e-7:
            trial, effect.p = replace(made, decided={}), (low + high) / 2
            trial.interim_analysis([], measured_s)
            low, high = (effect.p, high) if trial.decided else (low, effect.p)
        spent += low
        effect.p = 1.0
        made.interim_analysis([], measured_s)
    assert spent == pytest.approx(FAMILYWISE_ERROR, abs=2e-5)


MODERATE = {"middle": 0.1, "spread": 0.1263}
"""Launches whose effect has a p of about 0.7%: by hand, 0.1 over 0.7 0.1263 / sqrt(8) is 3.2, with 7 degrees."""


def test_the_error_comes_with_measuring_time():
    """A late analysis has most of it: at 0.8 of the time 0.64% are spent, at 0.9 0.81%."""
    assert decided(**MODERATE, measured_s=0.8 * SECONDS) is None
    assert decided(**MODERATE, measured_s=0.9 * SECONDS) is Outcome.SLOWER
    assert decided(**MODERATE, measured_s=SECONDS) is Outcome.SLOWER


def test_a_moderate_finding_counts_alone_and_not_among_many():
    """Holm: of sixteen tests the smallest p counts sixteenfold."""
    one, others = benchmark(), [benchmark(f"other {index}") for index in range(15)]
    samples = launches_of(one, **MODERATE)
    assert 0.005 < effects_of(samples, [one])[one][0].p_above_zero() < 0.01
    assert decided(**MODERATE) is Outcome.SLOWER

    samples += [taken for other in others for taken in launches_of(other, **MODERATE | {"middle": 0.0})]
    among_many = decisions(one, *others)
    among_many.interim_analysis(samples, SECONDS)
    assert effects_of(samples, among_many.benchmarks)[one][0].p_above_zero() < 0.01
    assert one in among_many.open


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_benchmarks_own_clock_judges_and_others_can_be_asked(clock):
    one = benchmark(clock=clock)
    samples = [
        sample(one, launch, number, arm, **{f"{clock}_s": 2.0 if arm == AFTER else 1.0})
        for launch in range(LEAST_LAUNCHES)
        for number in range(LEAST_ROUNDS)
        for arm in (BEFORE, AFTER)
    ]
    assert effects_of(samples, [one])[one][0].estimate == pytest.approx(math.log(2))
    for other in CLOCKS:
        expected = math.log(2) if other == clock else 0
        assert effects_of(samples, [one], f"{other}_s")[one][0].estimate == pytest.approx(expected)


def test_samples_of_other_benchmarks_do_not_count():
    one, other = benchmark("one"), Benchmark(case="one", span="kernel", clock="thread_cpu")
    samples = launches_of(one, 0.1, 0.01) + launches_of(other, -0.1, 0.01)
    found = effects_of(samples, [one, benchmark("absent")])
    assert list(found) == [one]
    assert found[one][0].estimate == pytest.approx(0.1)


def test_an_effect_is_over_the_medians_of_launches():
    one = benchmark()
    middles = [0.1, 0.2, 0.6]
    samples = [
        taken
        for launch, middle in enumerate(middles)
        # Two of five disturbed rounds, and a launch that is longer, change nothing.
        for taken in rounds_of(one, [middle, 9.0, middle, -7.0, middle] + [middle] * 20 * launch, launch)
    ]
    effect, rounds, launches = effects_of(samples, [one])[one]
    assert (effect.estimate, effect.freedom) == (pytest.approx(0.3), 2)
    assert (rounds, launches) == (3 * 5 + 60, 3)
