"""A worker and its cases: it checks them, counts exact quantities, and takes samples."""

import itertools
from pathlib import Path

import pytest

from suite.gate.workers import case_worker
from suite.gate.workers import worker_loop as loop
from suite.gate.workers.case_worker import LONG_CALL_S, RevisionWorker, _code_files
from suite.gate.workers.worker_loop import CLOCKS, LEAST_SAMPLE_S, MOST_TURNS, RefusedError
from tests.conftest import FOREIGN

SWITCHES = {"involuntary_switches": 0}
SETTINGS = {"seq_len": 1, "seed": 0}


def worker_for(tree):
    made = RevisionWorker()
    made._tree = Path(tree).resolve()
    return made


def build(made, workload, *, examine=True, slowed=0.0):
    told = {"workload": {"_target_": f"misbehaving.{workload}"}, **SETTINGS}
    return made.build("a case", told, examine, slowed)


def with_clock(monkeypatch, thread_time):
    for module in (loop, case_worker):
        monkeypatch.setattr(module, "thread_time", thread_time)
    monkeypatch.setattr(loop, "check_clocks", lambda: None)


def test_a_case_is_examined_once_and_then_sampled_by_every_clock():
    pytest.importorskip("torch")
    made = worker_for(FOREIGN)
    built = build(made, "Behaving")
    assert (built["spans"], built["clock"]) == (["work"], "thread_cpu")
    assert built["readings"]["case"]["flops"] == 10.0
    assert built["operators"] == {"work": ["fill_", "sum"]}
    assert built["code"] == {"misbehaving": "misbehaving.py"}
    sample = made.sample("a case", "work")
    assert all(0 < sample[clock] < 0.1 for clock in CLOCKS)
    assert 1 < sample["calls"] <= MOST_TURNS


def test_a_sample_of_instant_calls_is_bounded(monkeypatch):
    pytest.importorskip("torch")
    made = worker_for(FOREIGN)
    build(made, "Behaving")
    monkeypatch.setattr(
        made._built["a case"], "_turns", lambda span: itertools.repeat(dict.fromkeys(CLOCKS, 0.0) | SWITCHES)
    )
    monkeypatch.setattr(loop, "check_clocks", lambda: None)
    monkeypatch.setattr(loop, "perf_counter", lambda: 0.0)
    assert made.sample("a case", "work")["calls"] == 200


def test_code_that_is_found_elsewhere_has_no_file_in_the_tree(tmp_path):
    pytest.importorskip("torch")
    assert build(worker_for(tmp_path), "Behaving")["code"] == {"misbehaving": None}


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ("flat.Layer", "flat/__init__.py"),
        ("flat.layers.Layer", "flat/layers.py"),
        ("flat.gone.Layer", "flat/__init__.py"),  # which fails when it is built, as the revision's own
        ("spaced.deep.Layer", "spaced/deep.py"),  # a namespace package
        ("spaced.gone.Layer", None),
        ("nowhere.Layer", None),
        ("linked.Layer", None),
        ("json.Layer", None),
    ],
)
def test_the_file_of_a_module_is_found_without_running_it(tmp_path, monkeypatch, named, file):
    tree = tmp_path / "tree"
    for name in ("flat/__init__.py", "flat/layers.py", "spaced/deep.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("raise SystemExit")
    (tmp_path / "elsewhere.py").touch()
    (tree / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    monkeypatch.syspath_prepend(tree)
    assert _code_files({"a": [{"_target_": named}]}, tree.resolve()) == {named.rpartition(".")[0]: file}


def test_a_module_whose_file_is_relative_lies_in_no_tree(tmp_path, monkeypatch):
    """torch.ops has such a one, and the tree is a worker's working directory."""
    torch = pytest.importorskip("torch")
    (tmp_path / torch.ops.__file__).touch()
    monkeypatch.chdir(tmp_path)
    assert _code_files({"_target_": "torch.ops.Layer"}, tmp_path.resolve()) == {"torch.ops": None}


def test_all_of_the_suite_is_one_module(tmp_path):
    told = {
        "_target_": "suite.attention.workload.Workload",
        "attention": {"shape": "suite.theory.layers.shapes.grouped_shape"},
    }
    assert _code_files(told, Path(__file__).resolve().parents[3]) == {"suite": "suite/__init__.py"}
    assert _code_files(told, tmp_path.resolve()) == {"suite": None}


@pytest.mark.parametrize("clock", ["perf_counter", "thread_time", "process_time"])
def test_a_clock_that_is_another_than_at_first_is_refused(monkeypatch, clock):
    loop.check_clocks()
    monkeypatch.setattr(loop, clock, lambda: 0.0)
    with pytest.raises(RuntimeError, match=r"^the tree replaced a clock of the worker$"):
        loop.check_clocks()


def test_a_case_is_checked_again_as_it_is_and_anew(monkeypatch):
    """What counts its calls does so for itself or for all that are ever built."""
    pytest.importorskip("torch")
    made, checked = worker_for(FOREIGN), []
    build(made, "Behaving", examine=False)
    timed = made._built["a case"].workload
    monkeypatch.setattr(type(timed), "check", lambda self: checked.append((self is timed, self.settings["seed"])) or [])
    assert made.recheck("a case", seed=7, calls=3) == {"parts": {"work": ["fill_", "sum"]}}
    assert checked == [(True, 0), (False, 7)]


def test_a_part_is_watched_at_the_call_that_the_judge_chose():
    pytest.importorskip("torch")
    made, calls = worker_for(FOREIGN), []
    build(made, "Behaving", examine=False)
    values = made._built["a case"].workload.values
    made._built["a case"]._parts = {
        "work": lambda: calls.append(1) or (values.sum() if len(calls) < 4 else values.sin())
    }
    assert made.recheck("a case", seed=0, calls=2)["parts"] == {"work": ["fill_", "sum"]}
    assert made.recheck("a case", seed=0, calls=0)["parts"] == {"work": ["sin"]}


@pytest.mark.parametrize(("call_s", "counted_s"), [(1.1 * LEAST_SAMPLE_S, 1.0), (1.1 * LONG_CALL_S, 9.0)])
def test_the_first_call_after_a_switch_counts_if_it_is_long(monkeypatch, call_s, counted_s):
    """It finds the other side's data in the caches, which is much of a short call. One call fills each sample here."""
    pytest.importorskip("torch")
    now_s, wall_s, taken_s = 0.0, 0.0, iter([9.0, 1.0, 9.0, 1.0])

    def work():
        nonlocal now_s, wall_s
        now_s, wall_s = now_s + next(taken_s), wall_s + call_s

    made = worker_for(FOREIGN)
    build(made, "Behaving", examine=False)
    made._built["a case"]._parts = {"work": work}
    with_clock(monkeypatch, lambda: now_s)
    monkeypatch.setattr(loop, "perf_counter", lambda: wall_s)
    sample = made.sample("a case", "work")
    assert (sample["thread_cpu_s"], sample["calls"]) == (counted_s, 1)


def test_an_injected_slowdown_takes_that_share_longer(monkeypatch):
    """Each reading moves the clock by a millisecond, and the work moves it by a second."""
    pytest.importorskip("torch")
    now_s = 0.0

    def passes(seconds):
        nonlocal now_s
        now_s += seconds
        return now_s

    made = worker_for(FOREIGN)
    build(made, "Behaving", examine=False, slowed=0.5)
    made._built["a case"]._parts = {"work": lambda: passes(1.0)}
    with_clock(monkeypatch, lambda: passes(0.001))
    assert made.sample("a case", "work")["thread_cpu_s"] == pytest.approx(1.5, abs=0.01)


def test_what_a_tree_refuses_is_told_apart_from_what_fails_in_it():
    pytest.importorskip("torch")
    with pytest.raises(RefusedError, match="no flux capacitor"):
        build(worker_for(FOREIGN), "Unsupported")
    with pytest.raises(RuntimeError, match="cannot read"):
        build(worker_for(FOREIGN), "Raising")


def test_a_projection_is_its_closed_forms_and_no_clock_judges_it():
    told = {"workload": {"plan": "misbehaving_plan.Plan"}, **SETTINGS}
    built = RevisionWorker().build("a case", told, True, 0.0)
    assert built["readings"] == {"work": {"flops": 10.0, "traffic_bytes": 10.0}}
    assert (built["spans"], built["clock"]) == ([], None)
