"""Error rates: what is run, what is kept of it and what it comes to. No worker runs here."""

from types import SimpleNamespace

import pytest

from suite.gate.rules.decision import Benchmark
from tools.benchmarks import gate_error_rates
from tools.benchmarks.gate_error_rates import (
    RUNS,
    ErrorRatePlan,
    PlannedRun,
    read_runs,
    table,
)
from tools.benchmarks.proportions import wilson

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
