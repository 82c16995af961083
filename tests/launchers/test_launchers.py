"""Launchers and sweepers of Hydra that other packages bring run cases of the suite unmodified."""

import subprocess
import sys
from pathlib import Path

import yaml

from suite.records.record import OVERRIDES, Status
from suite.records.stores.store import read_contents

ROOT = Path(__file__).parents[2]
SMALL = ("geometry=tiny", "measure=smoke", "telemetry=off")


def sweep(folder, *arguments):
    command = [sys.executable, "-m", "suite", "run", "-m", *SMALL, *arguments, f"hydra.sweep.dir={folder}"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=300)
    return ended.returncode, ended.stdout + ended.stderr


def records_in(folder):
    contents = read_contents([folder])
    assert not contents.damaged
    assert not contents.unfinished
    return [stored.record for stored in contents.stored]


def test_joblib_runs_each_case_of_a_sweep(tmp_path):
    code, said = sweep(tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "attention=mla,gqa", "seq_len=64")
    assert code == 0, said
    records = records_in(tmp_path)
    assert sorted(record.case.axes["attention"] for record in records) == ["gqa", "mla"]
    assert {record.status for record in records} == {Status.OK}
    assert not list(tmp_path.rglob("multirun.yaml"))
    for path in tmp_path.rglob(OVERRIDES):
        assert {"geometry=tiny", "seq_len=64"} < set(yaml.safe_load(path.read_text()))


def test_optuna_gets_the_objective_of_each_case(tmp_path):
    trials = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1")
    code, said = sweep(tmp_path, *trials, "seq_len=choice(32,64)", "objective=kernel.flops")
    assert code == 0, said
    best = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    flops = {record.case.axes["seq_len"]: value_of(record) for record in records_in(tmp_path)}
    assert best["best_value"] == min(flops.values()) == flops[best["best_params"]["seq_len"]]


def value_of(record):
    return next(one.value for one in record.readings if (one.span, one.metric) == ("kernel", "flops"))


def test_a_case_that_cannot_be_judged_ends_the_sweep_by_name(tmp_path):
    code, said = sweep(
        tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "seq_len=32,64", "objective=kernel.nothing"
    )
    assert code == 2
    assert "objective=kernel.nothing is no reading of workload=attention" in said


def test_a_sweep_of_parts_is_refused(tmp_path):
    code, said = sweep(tmp_path, "hydra/launcher=joblib", "sweep=gate")
    assert code == 2
    assert "a sweep of several parts needs Hydra's basic launcher and sweeper; got hydra/launcher=joblib" in said
