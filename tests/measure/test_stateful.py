"""A stateful workload without torch: steps, checkpoints, failures and joules as the runner takes them."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from suite.measure import stateful
from suite.measure.meter import Meter
from suite.measure.stateful import StepEnergy, WorkloadFailedError, run_stateful
from suite.measure.telemetry.counters import CounterLostError, EnergyCounter
from suite.measure.workload import IncorrectError, UnsupportedError
from suite.records.record import Reading, Status

SETTINGS = {"workload": {"_target_": "counting.Counting"}, "matmul_precision": None, "device": "cpu"}


class Counting:
    """Adds the step's index to a sum, and notes it."""

    steps, checkpoint_seconds, ends = 4, 1e-9, None

    def __init__(self, settings):
        self.plan = SimpleNamespace(device="cpu", threads=1, facts=lambda: {"planned": True})
        self.sum = 0

    def prepare(self, shared):
        if isinstance(self.ends, UnsupportedError):
            raise self.ends

    def constants(self):
        return [Reading(step=0, span="case", metric="policy_parameter_count", value=7.0)]

    def facts(self):
        return {"ran": True}

    def step(self, meter):
        self.sum += meter.step
        meter.note("step", reward=float(self.sum))
        if meter.step == 2 and self.ends is not None:
            raise self.ends

    def state(self):
        return {"sum": self.sum}

    def restore(self, state):
        self.sum = state["sum"]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "counting", ModuleType("counting"))
    sys.modules["counting"].Counting = Counting

    def run_(ends=None, no_energy="off", run_key="this run"):
        monkeypatch.setattr(Counting, "ends", ends)
        sent = {"readings": [], "facts": {}, "warnings": []}

        def send(**message):
            sent["readings"] += message.get("readings", [])
            sent["facts"] |= message.get("facts", {})
            sent["warnings"] += [message["warning"]] if "warning" in message else []

        checkpoint = tmp_path / "checkpoints" / "one.pt"
        asked = {"settings": SETTINGS, "shared": tmp_path, "checkpoint": checkpoint, "run_key": run_key}
        try:
            outcome = run_stateful(send, **asked, no_energy=no_energy)
        except KeyboardInterrupt:
            outcome = None
        rewards = [one.value for one in sent["readings"] if one.metric == "reward"]
        return SimpleNamespace(outcome=outcome, rewards=rewards, **sent, checkpoint=checkpoint)

    return run_


def test_each_step_runs_once_and_what_it_notes_is_sent(run):
    ran = run()
    assert ran.outcome == (Status.OK, None)
    assert ran.rewards == [0, 1, 3, 6]
    assert ran.facts == {
        "planned": True,
        "ran": True,
        "clock": ran.facts["clock"],
        "float32_matmul": ran.facts["float32_matmul"],
        "energy": {"state": "off"},
    }
    assert not ran.checkpoint.parent.exists()


def test_after_a_death_it_goes_on_from_the_last_checkpoint(run):
    died = run(ends=KeyboardInterrupt())
    assert died.outcome is None
    assert died.checkpoint.exists()
    went_on = run()
    assert went_on.rewards == [0, 1, 3, 6]
    assert went_on.facts["resumed_at_steps"] == [2]


def test_a_damaged_checkpoint_warns_and_the_run_begins_anew(run):
    undisturbed = run()
    died = run(ends=KeyboardInterrupt())
    written = died.checkpoint.read_bytes()
    died.checkpoint.write_bytes(written[: len(written) // 2])
    anew = run()
    assert anew.outcome == (Status.OK, None)
    assert anew.warnings == ["one.pt is damaged (its sha256 differs); its work starts again"]
    assert anew.readings == undisturbed.readings
    assert "resumed_at_steps" not in anew.facts
    assert not anew.checkpoint.exists()


def test_a_checkpoint_of_another_case_is_not_gone_on_from(run):
    run(ends=KeyboardInterrupt(), run_key="another run")
    anew = run()
    assert anew.warnings == ["one.pt belongs to another case; its work starts again"]
    assert anew.rewards == [0, 1, 3, 6]
    assert "resumed_at_steps" not in anew.facts


@pytest.mark.parametrize(
    ("ends", "status", "reason"),
    [
        (WorkloadFailedError("step 2: the loss is nan"), Status.FAILED, "step 2: the loss is nan"),
        (IncorrectError("they differ"), Status.INCORRECT, "they differ"),
        (UnsupportedError("not here"), Status.UNSUPPORTED, "not here"),
    ],
)
def test_what_ends_it_is_the_status_and_what_was_read_is_kept(run, ends, status, reason):
    ran = run(ends)
    assert ran.outcome == (status, reason)
    assert ran.rewards == ([] if status is Status.UNSUPPORTED else [0, 1, 3])


def test_joules_are_those_between_a_steps_ends(run, monkeypatch):
    read = iter([10.0, 12.5, 20.0, 21.0, 30.0, 30.5, 40.0, 47.0])
    counter = EnergyCounter(source="rapl", read_j=lambda: next(read))
    monkeypatch.setattr(stateful, "energy_counter", lambda identity: counter)
    ran = run(no_energy=None)
    joules = [(one.step, one.span, one.value) for one in ran.readings if one.metric == "energy_j"]
    assert joules == [(0, "step", 2.5), (1, "step", 1.0), (2, "step", 0.5), (3, "step", 7.0)]
    assert ran.facts["energy"] == {"state": "measured", "source": "rapl"}


def test_a_counter_that_is_lost_costs_the_joules_and_not_the_run(run, monkeypatch):
    def lost():
        raise CounterLostError("gone")

    monkeypatch.setattr(stateful, "energy_counter", lambda identity: EnergyCounter(source="nvml", read_j=lost))
    ran = run(no_energy=None)
    assert ran.rewards == [0, 1, 3, 6]
    assert ran.facts["energy"]["state"] == "lost"


def test_a_counter_is_read_once_the_device_is_idle(monkeypatch):
    log = []
    counter = EnergyCounter(source="nvml", read_j=lambda: log.append("read") or 1.0)
    monkeypatch.setattr(stateful, "energy_counter", lambda identity: counter)
    with StepEnergy(None, None, lambda: log.append("finished")).charged(Meter()):
        log.append("step")
    assert log == ["finished", "read", "step", "finished", "read"]
