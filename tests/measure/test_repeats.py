import pytest

from suite.measure.meter import Meter
from suite.measure.repeats import Effort, repeat
from suite.records.record import Reading

PATIENT = Effort(precision=0.05, max_seconds=60, min_steps=5, max_steps=400, cold_steps=0)


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
    return repeat(step, meter, effort, predicted_s=predicted_s, keep=lambda: None), meter


def test_steady_steps_end_at_the_least_number_and_without_a_warning():
    warning, meter = repeated(Readings([1.0]), PATIENT)
    assert (warning, len(meter.readings)) == (None, 6)  # five do not reach 95 %, whatever they show


def test_unsteady_steps_go_on_until_the_interval_is_narrow():
    warning, meter = repeated(Readings([0.9, 1.0, 1.1]), PATIENT)
    assert warning is None or "budget" in warning
    assert len(meter.readings) > 20


def test_a_spent_budget_is_said_with_the_width_that_was_reached():
    effort = Effort(precision=1e-9, max_seconds=60, min_steps=3, max_steps=9, cold_steps=0)
    warning, meter = repeated(Readings([1.0, 2.0]), effort)
    assert len(meter.readings) == 9
    assert "n = 9" in warning
    assert "±" in warning


def test_too_few_samples_for_an_interval_are_said_to_be_too_few():
    warning, _ = repeated(
        Readings([1.0]), Effort(precision=0.5, max_seconds=60, min_steps=3, max_steps=3, cold_steps=0)
    )
    assert "too few for a 95 % interval" in warning


def test_a_step_over_the_budget_is_run_once_and_said_to_be_one():
    step = Readings([1.0])
    warning, meter = repeated(step, PATIENT, predicted_s=61.0)
    assert (step.calls, len(meter.readings)) == (1, 1)
    assert "n = 1" in warning
    assert "61" in warning


def test_the_warming_step_is_not_among_the_readings():
    step = Readings([100.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    _, meter = repeated(step, PATIENT)
    assert 100.0 not in [reading.value for reading in meter.readings]


def test_every_reading_has_the_step_it_came_from():
    _, meter = repeated(Readings([1.0]), PATIENT)
    assert [reading.step for reading in meter.readings] == list(range(len(meter.readings)))


@pytest.mark.parametrize("name", ["precision", "max_seconds", "min_steps", "max_steps"])
def test_efforts_that_make_no_sense_are_refused_by_name(name):
    measure = {"precision": 0.1, "max_seconds": 1.0, "min_steps": 3, "max_steps": 5, "cold_steps": 0, name: 0}
    with pytest.raises(ValueError, match=rf"measure\.{name}"):
        Effort.from_settings({"measure": measure})
