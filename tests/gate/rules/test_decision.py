"""When a timing is decided, on made samples: no worker runs here."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest

from suite.gate.rules import decision
from suite.gate.rules.decision import (
    AFTER,
    BEFORE,
    FAMILYWISE_ERROR,
    LEAST_ROUNDS,
    Benchmark,
    Decisions,
    Sample,
    effects_of,
)
from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import Outcome

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


def launches_of(one, middle, spread, launches=4, count=9):
    """Launches that agree in every round: `middle`, and evenly to both sides of it by up to `spread`."""
    series = middle + np.linspace(-spread, spread, count)
    return [taken for launch in range(1, launches + 1) for taken in rounds_of(one, series, launch)]


def decisions(*benchmarks, tolerances=None):
    return Decisions(benchmarks=list(benchmarks), tolerances=tolerances or Tolerances(), seconds=SECONDS)


def decided(middle, spread, *, tolerances=None, measured_s=SECONDS, **more):
    """Return what one analysis makes of one benchmark."""
    one = benchmark()
    made = decisions(one, tolerances=tolerances)
    made.interim_analysis(launches_of(one, middle, spread, **more), measured_s)
    return made.decided[one].outcome if made.decided else None


def test_no_decision_comes_before_two_launches_of_enough_rounds():
    one = benchmark()
    made = decisions(one)
    first = rounds_of(one, [0.5] * 50)
    made.interim_analysis(first, 2.0)
    made.interim_analysis(first + rounds_of(one, [0.5] * (LEAST_ROUNDS - 1), launch=2), 4.0)
    assert made.open == [one]
    assert made.close(first) == {}
    made.interim_analysis(first + rounds_of(one, [0.5] * LEAST_ROUNDS, launch=2), 5.0)
    assert made.decided[one].outcome is Outcome.SLOWER
    assert (made.decided[one].rounds, made.decided[one].launches) == (50 + LEAST_ROUNDS, 2)
    assert made.open == []


@pytest.mark.parametrize(
    ("middle", "spread", "outcome"),
    [
        (math.log(1.1), 0.01, Outcome.SLOWER),
        (math.log(1.019), 0.0001, Outcome.SAME),  # sure, but below the floor of 2 %
        (math.log(1.021), 0.0001, Outcome.SLOWER),
        (-math.log(1.1), 0.01, Outcome.FASTER),
        (-math.log(1.019), 0.0001, Outcome.SAME),
        (0.0, 0.02, Outcome.SAME),
        (0.0, 0.2, None),  # both sides open
        (math.log(1.04), 0.1, None),  # above the target is possible, below it nothing is
        (-math.log(1.04), 0.1, None),
    ],
)
def test_slower_is_above_the_minimum_effect_same_within_margin(middle, spread, outcome):
    assert decided(middle, spread) is outcome


def test_the_same_needs_both_bounds_within_the_margin():
    one = benchmark()
    effect = effects_of(launches_of(one, 0.0, 0.05), [one])[one][0]
    room = math.log(1.05) - effect.bounds(decision.LEVEL)[1]
    assert room > 0
    for side in (1, -1):
        # Early, when the error that is spent lets nothing be called a change.
        assert decided(0.99 * side * room, 0.05, measured_s=1e-9) is Outcome.SAME
        assert decided(1.01 * side * room, 0.05, measured_s=1e-9) is None


def test_a_chosen_minimum_effect_and_margin_count():
    loose = Tolerances(default_minimum_effect=0.2, default_equivalence_margin=0.3)
    assert decided(math.log(1.1), 0.01, tolerances=loose) is Outcome.SAME
    assert decided(0.0, 0.2, tolerances=loose) is Outcome.SAME
    strict = Tolerances(default_minimum_effect=0.001, default_equivalence_margin=0.002)
    assert decided(0.0, 0.01, tolerances=strict) is None


def test_learnt_noise_raises_the_minimum_effect():
    noisy, quiet = benchmark("noisy"), benchmark("quiet")
    made = decisions(noisy, quiet, tolerances=Tolerances(noise={("noisy", "layer", "latency_s"): 0.06}))
    change = math.log(1.055)
    made.interim_analysis(launches_of(noisy, change, 0.001) + launches_of(quiet, change, 0.001), SECONDS)
    assert made.decided[noisy].outcome is Outcome.SAME
    assert made.decided[quiet].outcome is Outcome.SLOWER


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


def test_undecided_benchmarks_become_inconclusive_at_the_cap():
    one, other = benchmark("one"), benchmark("other")
    made = decisions(one, other)
    samples = launches_of(one, 0.1, 0.01) + launches_of(other, 0.0, 0.3)
    made.interim_analysis(samples, SECONDS)
    closed = made.close(samples)
    assert closed[other].outcome is Outcome.INCONCLUSIVE
    # The decided one still lends its launches.
    assert closed[other].effect == effects_of(samples, [one, other])[other][0]
    assert made.open == [other]


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
    monkeypatch.setattr(decision, "effects_of", lambda samples, benchmarks: {one: (effect, LEAST_ROUNDS, 2)})
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


MODERATE = {"middle": 0.1, "spread": 0.3576, "launches": 12}
"""Launches whose effect has a p of about 0.7 %: by hand, 0.1 over 1.2533 0.3576 / 1.349 / sqrt(96) is 2.95."""


def test_the_error_comes_with_measuring_time():
    assert decided(**MODERATE, measured_s=1.0) is None
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


def simulated(generator, benchmarks, launches, slowed=0.0, rounds=LEAST_ROUNDS, spread=0.012, between=0.003):
    """Rounds spread by 1.2 % and launches by 0.3 %, about as on a calm machine."""
    samples = []
    for one in benchmarks:
        for launch in range(1, launches + 1):
            middle = math.log1p(slowed) + between * generator.normal()
            samples += rounds_of(one, middle + spread * generator.normal(size=rounds), launch)
    return samples


def outcomes(seed, runs, slowed):
    """Count outcomes of analyses after the second and the third launch, by when all the error is spent."""
    generator, benchmarks = np.random.default_rng(seed), [benchmark(f"case {index}") for index in range(16)]
    found = []
    for _ in range(runs):
        made = decisions(*benchmarks)
        samples = simulated(generator, benchmarks, 3, slowed)
        made.interim_analysis([one for one in samples if one.launch <= 2], SECONDS / 2)
        made.interim_analysis(samples, SECONDS)
        found.append(Counter(one.outcome for one in made.close(samples).values()))
    return found


def test_identical_runs_hardly_ever_raise_an_alarm():
    runs = outcomes(1, 60, slowed=0.0)
    assert sum(run[Outcome.SLOWER] > 0 for run in runs) <= 3  # more would come once in 300 times, at 1 % a run
    assert sum(run[Outcome.SAME] for run in runs) > 0.9 * 60 * 16


def test_five_percent_are_mostly_found_and_hardly_ever_same():
    runs = outcomes(2, 15, slowed=0.05)
    assert sum(run[Outcome.SLOWER] for run in runs) > 0.9 * 15 * 16
    assert sum(run[Outcome.SAME] + run[Outcome.FASTER] for run in runs) <= 0.03 * 15 * 16


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_benchmarks_own_clock_judges_and_others_can_be_asked(clock):
    one = benchmark(clock=clock)
    samples = [
        sample(one, launch, number, arm, **{f"{clock}_s": 2.0 if arm == AFTER else 1.0})
        for launch in (1, 2)
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


def test_a_first_launch_spends_no_error():
    one = benchmark()
    samples = launches_of(one, **MODERATE)
    late, early = decisions(one), decisions(one)
    early.interim_analysis([taken for taken in samples if taken.launch == 1], 0.5 * SECONDS)
    for made in (late, early):
        made.interim_analysis(samples, SECONDS)
    assert late.decided == early.decided != {}
