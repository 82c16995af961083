from dataclasses import replace

import pytest

from suite.measure.meter import Meter
from suite.measure.repeats import Effort, repeat, shortfall
from suite.records.record import Reading

PATIENT = Effort(precision=0.05, launches=1, max_seconds=60, min_steps=5, max_steps=400, cold_steps=0)


class Readings:
    """A step whose latencies are given, so that when to stop depends on nothing else."""

    def __init__(self, values):
        self.values, self.calls = values, 0

    def __call__(self, meter):
        value = self.values[self.calls % len(self.values)]
        self.calls += 1
        meter.readings.append(Reading(step=meter.step, span="work", metric="latency_s", value=value))


def repeated(step, effort, predicted_s=0.0):
    meter = Meter()
    repeat(step, meter, effort, predicted_s=predicted_s, keep=lambda: None)
    return shortfall(meter.readings, effort, predicted_s=predicted_s), meter


def test_steady_steps_end_at_the_least_number_without_warning():
    warning, meter = repeated(Readings([1.0]), PATIENT)
    assert (warning, len(meter.readings)) == (None, 6)  # five do not reach 95%, whatever they show


def test_unsteady_steps_go_on_until_the_interval_is_narrow():
    warning, meter = repeated(Readings([0.9, 1.0, 1.1]), PATIENT)
    assert warning is None or "less precise" in warning
    assert len(meter.readings) > 20


def test_the_widest_span_decides():
    spans = {"steady": [1.0] * 9, "noisy": [1.0, 2.0, 3.0] * 3}
    readings = [
        Reading(step=step, span=span, metric="latency_s", value=value)
        for span, values in spans.items()
        for step, value in enumerate(values)
    ]
    assert "±50.0%" in shortfall(readings, PATIENT, predicted_s=0.0)


def test_a_spent_budget_is_said_with_the_width_that_was_reached():
    warning, meter = repeated(Readings([1.0, 2.0]), replace(PATIENT, precision=1e-9, min_steps=3, max_steps=9))
    assert len(meter.readings) == 9
    assert "n = 9" in warning
    assert "±" in warning


def test_too_few_samples_for_an_interval_are_said_to_be_too_few():
    warning, _ = repeated(Readings([1.0]), replace(PATIENT, precision=0.5, min_steps=3, max_steps=3))
    assert "too few for a 95% interval" in warning


def test_a_step_over_the_budget_is_run_once_and_said_to_be_one():
    step = Readings([1.0])
    warning, meter = repeated(step, PATIENT, predicted_s=61.0)
    assert (step.calls, len(meter.readings)) == (1, 1)
    assert "n = 1" in warning
    assert "61" in warning


def test_readings_begin_behind_the_warming_step():
    _, meter = repeated(Readings([100.0, *[1.0] * 7]), PATIENT)
    assert [(reading.step, reading.value) for reading in meter.readings] == [(step, 1.0) for step in range(6)]


@pytest.mark.parametrize("name", ["precision", "launches", "max_seconds", "min_steps", "max_steps"])
def test_efforts_that_make_no_sense_are_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"measure\.{name}"):
        Effort.from_settings({"measure": vars(PATIENT) | {name: 0}})


IN_THREE = replace(PATIENT, launches=3, max_seconds=3.0, min_steps=10, max_steps=30)


def of_launches(*medians):
    return [
        Reading(step=step, span="work", metric="latency_s", value=median * (1 + step / 1000), launch=launch)
        for launch, median in enumerate(medians)
        for step in range(6)
    ]


def test_launches_share_the_budget_and_the_steps():
    assert IN_THREE.per_launch(1) == IN_THREE
    # Each is to be twice as narrow as all together.
    assert IN_THREE.per_launch(3) == replace(IN_THREE, precision=0.025, max_seconds=1.0, min_steps=4, max_steps=10)


@pytest.mark.parametrize(("predicted_s", "launches"), [(0.0, 3), (0.01, 3), (0.99, 3), (1.2, 1), (2.9, 1), (5.0, 1)])
def test_launches_that_leave_no_room_for_a_step_are_not_made(predicted_s, launches):
    assert IN_THREE.launches_for(predicted_s) == launches


def test_five_launches_shrink_to_three_before_to_one():
    effort = replace(IN_THREE, launches=5, max_seconds=5.0)
    assert [effort.launches_for(step_s) for step_s in (0.9, 1.2, 1.6, 2.4)] == [5, 4, 3, 1]


def test_the_wanted_precision_is_that_over_all_launches():
    assert shortfall(of_launches(1.0, 1.001, 1.002), IN_THREE, predicted_s=0.1) is None
    warning = shortfall(of_launches(1.0, 1.1, 1.2), IN_THREE, predicted_s=0.1)
    assert "n = 18 in 3 launches" in warning
    assert "±22" in warning
