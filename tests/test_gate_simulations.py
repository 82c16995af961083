"""What the scripts in .ci/tools/benchmarks make of a folder of gate_error_rates, from a few made runs."""

import json
import re
from dataclasses import asdict

import numpy as np
import pytest

from suite.gate.rules.decision import LEAST_ROUNDS, Benchmark, Sample
from suite.gate.side_by_side.rounds import csv_table
from tools.benchmarks import gate_few_launches, gate_shifts
from tools.benchmarks.gate_error_rates import ABOUT, RUNS, TABLE, PlannedRun

BENCHMARKS = [Benchmark(case=case, span="layer", clock="thread_cpu") for case in ("a", "b")]


def samples(generator, slower, launches=2, rounds=12):
    """Rounds that spread by 1% on thread CPU time, and by 20% on wall time."""
    rows = []
    for benchmark in BENCHMARKS:
        for launch in range(1, launches + 1):
            for number in range(rounds):
                for arm in (1, 0):
                    cpu_s = (1 + slower * arm) * np.exp(0.01 * generator.normal())
                    rows.append(
                        Sample(
                            launch=launch,
                            round=number,
                            case=benchmark.case,
                            span=benchmark.span,
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
    return rows


def write_run(folder, slowed, index, outcomes, **sizes):
    run = PlannedRun(slowed=slowed, index=index)
    content = csv_table(Sample, samples(np.random.default_rng(index), slowed, **sizes))
    (folder / f"{run.name}{TABLE}").write_bytes(content)
    rows = [
        {"case": benchmark.case, "span": benchmark.span, "outcome": outcome}
        for benchmark, outcome in zip(BENCHMARKS, outcomes, strict=True)
    ]
    with (folder / RUNS).open("a") as file:
        file.write(json.dumps({"name": run.name, **asdict(run), "measured_s": 1.0, "benchmarks": rows}) + "\n")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ABOUT).write_text(json.dumps({"benchmarks": [asdict(one) for one in BENCHMARKS]}))
    for index in range(3):
        write_run(tmp_path, 0.0, index, ("same", "slower" if index == 0 else "faster"))
    write_run(tmp_path, 0.1, 0, ("slower", "inconclusive"))
    return tmp_path


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
