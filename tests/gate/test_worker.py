"""What a worker does with a case: checks it, tells what is exact, and takes samples."""

import os

import pytest

from suite.gate.worker import CLOCKS, MOST_CALLS, RefusedError, Side
from tests.conftest import FOREIGN

SETTINGS = {"seq_len": 1, "seed": 0}


def side(tree):
    made = Side()
    made._tree = os.path.realpath(tree)
    return made


def build(made, workload, *, examine=True, slowed=0.0):
    told = {"workload": {"_target_": f"misbehaving.{workload}"}, **SETTINGS}
    return made.build("a case", told, examine, slowed)


def test_a_case_is_examined_once_and_then_sampled_by_every_clock():
    pytest.importorskip("torch")
    made = side(FOREIGN)
    built = build(made, "Behaving")
    assert (built["spans"], built["clock"]) == (["work"], "thread_cpu")
    assert built["readings"]["case"]["flops"] == 10.0
    assert built["operators"] == {"work": ["fill_", "sum"]}
    assert built["ran_tree"]
    sample = made.sample("a case", "work")
    assert all(0 < sample[clock] < 0.1 for clock in CLOCKS)
    assert 1 < sample["calls"] <= MOST_CALLS


def test_code_that_is_found_elsewhere_is_said_not_to_be_the_trees(tmp_path):
    pytest.importorskip("torch")
    assert not build(side(tmp_path), "Behaving")["ran_tree"]


def test_an_injected_slowdown_takes_that_share_longer(monkeypatch):
    """By a clock that each look moves by a millisecond, and the work by a second."""
    pytest.importorskip("torch")
    now_s = 0.0

    def passes(seconds):
        nonlocal now_s
        now_s += seconds
        return now_s

    made = side(FOREIGN)
    build(made, "Behaving", examine=False, slowed=0.5)
    made._built["a case"]._parts = {"work": lambda: passes(1.0)}
    monkeypatch.setattr("time.thread_time", lambda: passes(0.001))
    assert made.sample("a case", "work")["thread_cpu_s"] == pytest.approx(1.5, abs=0.01)


def test_what_a_tree_refuses_is_told_apart_from_what_fails_in_it():
    pytest.importorskip("torch")
    with pytest.raises(RefusedError, match="no flux capacitor"):
        build(side(FOREIGN), "Unsupported")
    with pytest.raises(RuntimeError, match="cannot read"):
        build(side(FOREIGN), "Raising")


def test_a_projection_is_its_closed_forms_and_no_clock_judges_it():
    told = {"workload": {"plan": "misbehaving_plan.Plan"}, **SETTINGS}
    built = Side().build("a case", told, True, 0.0)
    assert built["readings"] == {"work": {"flops": 10.0, "traffic_bytes": 10.0}}
    assert (built["spans"], built["clock"]) == ([], None)
