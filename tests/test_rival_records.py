"""What the scripts in .ci/tools/benchmarks make of a folder of gate_error_rates, from a few made runs."""

import json
import re
from dataclasses import asdict

import numpy as np
import pytest

from suite.gate.rules.decision import LEAST_ROUNDS, Benchmark, Sample
from suite.gate.side_by_side.rounds import csv_table
from tools.benchmarks import gate_few_launches, gate_shifts, rival_rules
from tools.benchmarks.gate_error_rates import ABOUT, RUNS, TABLE, PlannedRun

BENCHMARKS = [Benchmark(case=case, span="layer", clock="thread_cpu") for case in ("a", "b")]


def samples(generator, slower, launches=2, rounds=12, between=0.0):
    """Rounds that spread by 1% on thread CPU time, and by 20% on wall time."""
    found = []
    for one in BENCHMARKS:
        for launch in range(1, launches + 1):
            moved = between * generator.normal()
            for number in range(rounds):
                for arm in (1, 0):
                    cpu_s = (1 + slower * arm) * np.exp(0.01 * generator.normal() + moved * arm)
                    found.append(
                        Sample(
                            launch=launch,
                            round=number,
                            case=one.case,
                            span=one.span,
                            arm=arm,
                            position=arm,
                            involuntary_switches=0,
                            calls=1,
                            device_s=None,
                            wall_s=cpu_s * np.exp(0.2 * generator.normal()),
                            thread_cpu_s=cpu_s,
                            process_cpu_s=7.0,
                        )
                    )
    return found


def write_table(folder, kind, slower, seed, **more):
    content = csv_table(Sample, samples(np.random.default_rng(seed), slower, **more))
    (folder / f"{kind.name}{TABLE}").write_bytes(content)


def write_line(folder, kind, outcomes):
    benchmarks = [
        {"case": one.case, "span": one.span, "outcome": outcome}
        for one, outcome in zip(BENCHMARKS, outcomes, strict=False)
    ]
    with (folder / RUNS).open("a") as file:
        file.write(json.dumps({"name": kind.name, **asdict(kind), "measured_s": 1.0, "benchmarks": benchmarks}) + "\n")


def write_run(folder, slowed, index, outcomes, **more):
    kind = PlannedRun(slowed=slowed, index=index)
    write_table(folder, kind, slowed, index, **more)
    write_line(folder, kind, outcomes)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ABOUT).write_text(json.dumps({"benchmarks": [asdict(one) for one in BENCHMARKS]}))
    for index in range(3):
        write_run(tmp_path, 0.0, index, ("same", "slower" if index == 0 else "faster"))
    write_run(tmp_path, 0.1, 0, ("slower", "inconclusive"))
    return tmp_path


def test_rules_are_counted_by_injected_change_beside_the_gate(folder):
    runs, skipped = rival_rules.read(folder)
    assert (len(runs), skipped) == (4, 0)
    lines = list(rival_rules.report(runs, skipped, ["thread_cpu_s"]))
    assert lines[0] == "runs: 3 identical, 1 +10%; 0 left out, without a table or a line"
    assert lines[1] == "times a benchmark, run and side: 24 to 24, median 24"
    at = lines.index("  pytest-benchmark median:5%")
    assert lines[at + 1].startswith(
        "    identical: runs with any slower 0 of 3, 0.0% [0.0%, 56.1%]; benchmarks 0 of 6,"
    )
    assert lines[at + 2].startswith("    +10%: found 2 of 2, 100.0% [34.2%, 100.0%]")
    assert lines[-3] == f"  {rival_rules.OURS}"
    assert lines[-2].startswith("    identical: runs with any slower 1 of 3, 33.3% [6.1%, 79.2%]; benchmarks 1 of 6,")
    assert lines[-1].startswith("    +10%: found 1 of 2,")


def test_each_clock_has_its_own_times(folder):
    runs, _ = rival_rules.read(folder)
    for clock, spread in (("thread_cpu_s", 0.01), ("wall_s", 0.2)):
        before, after = runs[-1].pairs[clock][0]
        assert np.std(np.log(before)) == pytest.approx(spread, rel=0.5)
        assert np.median(after / before) == pytest.approx(1.1, abs=0.2)


def test_a_run_without_a_table_or_a_line_is_left_out_and_counted(folder):
    write_table(folder, PlannedRun(slowed=0.0, index=8), 0.0, 8)
    write_line(folder, PlannedRun(slowed=0.0, index=9), ("slower", "slower"))
    with (folder / RUNS).open("a") as file:
        file.write('{"name": "00-0010", "for')
    runs, skipped = rival_rules.read(folder)
    assert [len(runs), skipped] == [4, 2]


def test_a_benchmark_that_the_gate_left_out_is_left_out(folder):
    write_run(folder, 0.0, 5, ("same",))
    runs, _ = rival_rules.read(folder)
    assert [len(run.pairs["wall_s"]) for run in runs if run.name.endswith("0005")] == [1]


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        rival_rules.read(tmp_path)
    with pytest.raises(ValueError, match=r"it has no error_rates\.json"):
        gate_shifts.read(tmp_path)
    (tmp_path / ABOUT).write_text('{"benchmarks": []}')
    with pytest.raises(ValueError, match="holds no launch of identical code"):
        gate_shifts.read(tmp_path)


def test_simulation_takes_the_launches_in_which_all_ran(folder):
    write_run(folder, 0.0, 6, ("same", "same"), launches=3, rounds=9)
    write_run(folder, 0.0, 7, ("same", "same"), launches=1, rounds=LEAST_ROUNDS - 1)
    recorded = gate_shifts.read(folder)
    assert recorded.log_ratios_LBR.shape == (3 * 2 + 3, 2, 9)
    # Log-ratios of after over before, on the clock that judges.
    taken = samples(np.random.default_rng(0), 0.0)
    assert recorded.log_ratios_LBR[0, 0, 0] == pytest.approx(np.log(taken[0].thread_cpu_s / taken[1].thread_cpu_s))
    # The runs took 1 s each, whatever their rounds.
    assert recorded.round_s_B.mean() == pytest.approx(5 / (3 * 48 + 54 + 8))


def test_simulation_prints_a_row_for_each_shift(folder):
    shifts = gate_shifts.SHIFTS[:2]
    lines = list(gate_shifts.report(gate_shifts.read(folder), runs=2, slowed_runs=2, seconds=3.0, shifts=shifts))
    assert lines[0].startswith("2 timings, their rounds from 6 recorded launches of 12; 2 runs of identical code and 2")
    assert [line.split("  ")[0] for line in lines[3:]] == ["none", "one timing: normal, sd 1%"]
    assert {len(re.split(r"\s{2,}", line)) for line in lines[2:]} == {12}


def test_few_launches_print_a_row_for_each_shift(folder, monkeypatch):
    monkeypatch.setattr(gate_few_launches, "SHIFTS", gate_few_launches.SHIFTS[:2])
    lines = list(gate_few_launches.report(gate_shifts.read(folder), runs=2, slowed_runs=2))
    assert lines[0].startswith("2 timings in launches of 5 rounds; 2 runs of identical code and 2 of each slowdown")
    assert len(lines) == 2 + (2 + 3) * 4
    assert {len(re.split(r"\s{2,}", line)) for line in lines[1:]} == {8}
