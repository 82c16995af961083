"""Error rates: what is run, what is kept of it and what it comes to. No worker runs here."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml

from suite.gate.rules.decision import LEAST_ROUNDS, Benchmark
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.revisions import BenchmarkCase
from suite.gate.side_by_side.worker_client import FailedError, Spent
from suite.records.stores.claim import alone_in
from suite.statistics.proportions import wilson
from tools.benchmarks import gate_error_rates
from tools.benchmarks.gate_error_rates import (
    ABOUT,
    RUNS,
    SHARES,
    ErrorRatePlan,
    PlannedRun,
    busy,
    learn_noise,
    planned_runs,
    read_runs,
    samples_of,
    save_noise,
    table,
)

PLAN = ErrorRatePlan(sweep="gate", seconds=30.0, identical_runs=3, slowed_runs=2, busy=0)
BENCHMARKS = [Benchmark(case="a", span="layer", clock="thread_cpu")]


def run(outcomes=("same",), *, slowed=0.0, index=0, measured_s=5.0, ratios=None, broken=None):
    """A line of the runs, with a benchmark for each outcome."""
    return {
        "name": PlannedRun(slowed=slowed, index=index).name,
        "slowed": slowed,
        "index": index,
        "measured_s": measured_s,
        "broken": broken or {},
        "benchmarks": [
            {"case": f"case {number}", "span": "layer", "outcome": outcome, "ratio": ratio}
            for number, (outcome, ratio) in enumerate(zip(outcomes, ratios or [1.0] * len(outcomes), strict=True))
        ],
    }


def test_a_plan_has_each_kind_of_run_as_often_as_it_says():
    planned = planned_runs(replace(PLAN, identical_runs=20, slowed_runs=5))
    assert Counter(run.slowed for run in planned) == {0.0: 20, **dict.fromkeys(SHARES, 5)}
    assert len({run.name for run in planned}) == len(planned)
    assert PlannedRun(slowed=0.05, index=3).name == "05-0003"


def test_kinds_take_turns_and_a_longer_plan_holds_a_shorter_one():
    plan = replace(PLAN, identical_runs=30, slowed_runs=10)
    assert planned_runs(plan) == planned_runs(plan) != planned_runs(plan, seed=1)
    first_half = Counter(run.slowed for run in planned_runs(plan)[:30])
    assert all(first_half[slowed] for slowed in (0.0, *SHARES))
    assert first_half[0.0] < 25
    none, short, long = ({run.name for run in planned_runs(replace(PLAN, identical_runs=count))} for count in (0, 3, 5))
    assert none < short < long


@pytest.fixture
def quick(monkeypatch):
    """A measurement whose runs are made at once; the names of those that were made."""
    names = []

    def make_run(planned, *ignored):
        names.append(planned.name)
        return run(slowed=planned.slowed, index=planned.index)

    monkeypatch.setattr(gate_error_rates.revisions, "after", lambda top, folder: SimpleNamespace(folder=folder))
    monkeypatch.setattr(gate_error_rates, "_expand", lambda identical, sweep: ([], BENCHMARKS))
    monkeypatch.setattr(gate_error_rates, "_run", make_run)
    monkeypatch.setattr(gate_error_rates, "environment", lambda: {"machine_id": "one"})
    monkeypatch.setattr(gate_error_rates, "commit", dict)
    monkeypatch.setattr(gate_error_rates, "source_digest", lambda: "digest")
    return names


def test_the_same_command_makes_each_missing_run_once(quick, tmp_path):
    lines = []
    runs = gate_error_rates.measure(PLAN, tmp_path, lines.append)
    names = [planned.name for planned in planned_runs(PLAN)]
    assert quick == names == [run["name"] for run in runs] == [run["name"] for run in read_runs(tmp_path)]
    assert lines[0] == f"[1/9] {names[0]}: 5.0 s measured, 1 same"
    assert (tmp_path / "table.txt").read_text().startswith("slowdown")

    assert gate_error_rates.measure(PLAN, tmp_path, lines.append) == runs
    assert quick == names

    longer = replace(PLAN, identical_runs=4)
    assert len(gate_error_rates.measure(longer, tmp_path, lines.append)) == 10
    assert quick[9:] == ["00-0003"]


@pytest.mark.parametrize("complete", [0, 4])
def test_a_torn_line_is_no_run_and_is_made_again(quick, tmp_path, complete):
    gate_error_rates.measure(PLAN, tmp_path, lambda text: None)
    lines = (tmp_path / RUNS).read_text().splitlines(keepends=True)
    for torn in (lines[complete][:-9], lines[complete][:-1]):
        (tmp_path / RUNS).write_text("".join(lines[:complete]) + torn)
        assert len(read_runs(tmp_path)) == complete
    assert len(gate_error_rates.measure(PLAN, tmp_path, lambda text: None)) == len(read_runs(tmp_path)) == 9
    assert quick[9:] == quick[complete:9]
    assert (tmp_path / RUNS).read_text() == "".join(lines)


def claim(folder, plan=PLAN, benchmarks=BENCHMARKS):
    gate_error_rates._claim(folder, plan, benchmarks)


@pytest.mark.parametrize(
    ("plan", "benchmarks", "digest", "what"),
    [
        (replace(PLAN, seconds=10.0), BENCHMARKS, "digest", "seconds"),
        (replace(PLAN, busy=1), BENCHMARKS, "digest", "busy"),
        (PLAN, [], "digest", "benchmarks"),
        (PLAN, BENCHMARKS, "other", "source_digest"),
    ],
)
def test_another_plans_folder_is_refused_in_one_sentence(quick, monkeypatch, tmp_path, plan, benchmarks, digest, what):
    claim(tmp_path)
    about = (tmp_path / ABOUT).read_bytes()
    claim(tmp_path, replace(PLAN, identical_runs=9, slowed_runs=0))  # more or fewer are the same
    monkeypatch.setattr(gate_error_rates, "source_digest", lambda: digest)
    with pytest.raises(
        ValueError, match=f"^out must be a new folder or that of the same measurement; {what} differs in"
    ):
        claim(tmp_path, plan, benchmarks)
    assert (tmp_path / ABOUT).read_bytes() == about


def test_a_folder_that_another_process_fills_is_refused(quick, tmp_path):
    with alone_in(tmp_path), pytest.raises(ValueError, match="another process writes into"):
        gate_error_rates.measure(PLAN, tmp_path, lambda text: None)
    assert gate_error_rates.read_runs(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"source_digest": "digest", "benchmarks": [], "plan": 3}'])
def test_a_file_of_that_name_that_is_none_of_ours_is_refused(quick, tmp_path, content):
    (tmp_path / ABOUT).write_text(content)
    with pytest.raises(
        ValueError, match=r"^out must be a new folder or that of the same measurement; .* belongs to no measurement$"
    ):
        claim(tmp_path)


@dataclass(frozen=True)
class FakeRevisions:
    """Revisions that take a while on every clock, the newer one `slowed` longer; or whose cases do not build."""

    slowed: tuple = (0.0, 0.0)
    fails = False
    asked = ()

    @contextmanager
    def launched(self, first=0):
        type(self).asked = self.slowed
        yield [SimpleNamespace(ask_timed=lambda do, id, span, side=side: self.sample(side)) for side in (0, 1)]

    def build(self, *ignored, examine):
        if self.fails:
            raise FailedError("it does not build")

    def sample(self, side):
        time.sleep(0.001)
        seconds = 1 + self.slowed[side]
        clocks = dict.fromkeys(("wall_s", "thread_cpu_s", "process_cpu_s"), seconds)
        return {**clocks, "involuntary_switches": 0, "calls": 1}, Spent(wall_s=1e9, cpu_s=None)


@pytest.fixture
def one_run(monkeypatch, tmp_path):
    """Make one run with FakeRevisions and return its line."""
    cases = [BenchmarkCase(id="a", settings=({}, {}))]

    def made(kind):
        return gate_error_rates._run(kind, replace(PLAN, seconds=1.0), FakeRevisions(), cases, BENCHMARKS, tmp_path)

    return made


def test_a_run_keeps_its_samples_and_what_the_gate_said(one_run, tmp_path):
    line = one_run(PlannedRun(slowed=0.1, index=7))
    assert FakeRevisions.asked == (0.0, 0.1)
    assert json.loads(json.dumps(line)) == line
    samples = list(samples_of(tmp_path / "10-0007.csv.gz"))
    assert len(samples) >= 2 * 4 * LEAST_ROUNDS
    assert (line["name"], line["slowed"], line["index"]) == ("10-0007", 0.1, 7)
    (one,) = line["benchmarks"]
    assert (one["case"], one["span"], one["outcome"], one["launches"]) == ("a", "layer", "slower", 4)
    assert one["ratio"] == pytest.approx(1.1)
    assert one["error"] == 0
    assert line["broken"] == {}


def test_a_run_in_which_everything_breaks_is_a_run_that_says_so(one_run, monkeypatch):
    monkeypatch.setattr(FakeRevisions, "fails", True)
    line = one_run(PlannedRun(slowed=0.0, index=0))
    assert line["broken"] == {"a": "before: it does not build"}
    assert (line["benchmarks"], line["load_1min"], line["cpu_pressure"]) == ([], None, None)
    assert "broken: 00-0000: before: it does not build" in table([line])


def test_noise_is_the_95th_percentile_of_identical_runs():
    others = [run(ratios=(1.5,), slowed=0.05), run(("broken",), ratios=(None,))]
    runs = [run(("same", "faster"), index=n, ratios=(1 + n / 1000, 1 - n / 500)) for n in range(1, 21)]
    assert learn_noise(runs + others) == {
        ("case 0", "layer", "latency_s"): 0.019,
        ("case 1", "layer", "latency_s"): 0.038,
    }
    assert learn_noise([]) == {}


def test_saved_noise_is_read_back_by_the_gate(tmp_path):
    path = tmp_path / "noise" / "a-processor-1-thread.yaml"
    noise = {("tests/a.py::t[x-1]", "layer", "latency_s"): 0.013, ("seq_len=4096", "kernel", "latency_s"): 1e-5}
    save_noise(path, noise, machine={"cpu": "A processor", "threads": 1}, made={"rounds": 100})
    assert Tolerances.load(path).noise == noise
    content = yaml.safe_load(path.read_text())
    assert content["machine"] == {"cpu": "A processor", "threads": 1}
    assert Tolerances.load(tmp_path / "not learnt yet.yaml").noise == {}


def test_few_runs_teach_no_noise(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tool", "--save", "--runs", "19", "--out", str(tmp_path)])
    assert gate_error_rates.main() == 2
    assert "runs must be at least 20 with --save; got 19" in capsys.readouterr().err


def cells(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table_counts_with_wilsons_intervals():
    runs = [
        run(("slower", "slower", "same", "faster"), index=0, measured_s=4.0),
        run(("same", "same", "same", "inconclusive"), index=1, measured_s=9.0),
        run(("same",) * 4, index=2, measured_s=5.0),
        run(("slower", "slower", "slower", "inconclusive"), slowed=0.05, measured_s=7.0),
    ]
    head, *rows = [cells(line) for line in table(runs)[:3]]
    assert head[:3] == ["slowdown", "runs", "runs with a slower timing"]

    def share(successes, trials):
        found = wilson(successes, trials)
        return f"{successes} of {trials} ({100 * found.low:.1f}–{100 * found.high:.1f}%)"

    assert head[3:] == ["slower timings", "faster timings", "same", "inconclusive", "median s", "longest s"]
    assert rows == [
        ["none", "3", share(1, 3), *(share(n, 12) for n in (2, 1, 8, 1)), "5", "9"],
        ["+5%", "1", share(1, 1), *(share(n, 4) for n in (3, 0, 0, 1)), "7", "7"],
    ]
    assert share(0, 150) == "0 of 150 (0.0–2.5%)"  # as published tables have it


def test_the_table_says_the_smallest_visible_slowdown():
    """Ten runs of each slowdown, and the number that found it, for three benchmarks."""
    hits = {0.03: (9, 0, 0), 0.05: (10, 9, 8), 0.10: (10, 10, 8)}
    runs = [
        run(["slower" if index < count else "same" for count in counts], slowed=slowed, index=index)
        for slowed, counts in hits.items()
        for index in range(10)
    ]
    runs += [run(("slower",) * 3)]  # identical code does not count
    found = ", ".join(f"{share} for 1 of 3 benchmarks" for share in ("+3%", "+5%", "none"))
    assert f"smallest injected slowdown that 90% of runs found: {found}" in table(runs)
    assert not any("smallest" in line for line in table([run()]))


def test_a_sweep_that_does_not_compose_is_refused_in_its_words():
    class Refusing:
        def ask(self, do, **arguments):
            raise FailedError(f"{do} of {arguments['arguments']}: no such sweep")

    class Launching:
        @contextmanager
        def launched(self):
            yield [Refusing()]

    with pytest.raises(ValueError, match=r"^sweep=nope cannot be composed: expand of .*sweep=nope.*: no such sweep$"):
        gate_error_rates._expand(Launching(), "nope")


ROOT = Path(__file__).parents[2]


def test_busy_processes_end_with_the_block():
    me = psutil.Process()
    before = set(me.children())
    with suppress(KeyError), busy(2):
        spinning = set(me.children()) - before
        assert len(spinning) == 2
        raise KeyError
    assert not any(one.is_running() for one in spinning)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_busy_processes_end_when_their_parent_is_killed():
    """A machine with one left behind would be slow for whoever comes next."""
    script = """
import time
from tools.benchmarks.gate_error_rates import busy
with busy(1):
    print(1, flush=True)
    time.sleep(60)
"""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / ".ci")))
    environment = {**os.environ, "PYTHONPATH": paths}
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    try:
        assert parent.stdout.readline() == b"1\n"
        (spinning,) = psutil.Process(parent.pid).children()
        assert spinning.is_running()
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    _, alive = psutil.wait_procs([spinning], timeout=10)
    states = [one.status() for one in alive]
    for one in alive:
        one.kill()  # where this fails, nothing may be left behind either
    # Where nobody reaps orphans, what has ended stays as a zombie.
    assert set(states) <= {psutil.STATUS_ZOMBIE}
