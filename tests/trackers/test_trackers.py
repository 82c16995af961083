"""Runs in MLflow, by its own library, which `make trackers` installs."""

import subprocess
import sys
from dataclasses import replace

import pytest

from suite.commands.export import export
from suite.records.record import Reading
from tests.records.factory import build, store


@pytest.fixture
def results(tmp_path):
    """A timed run, a run with a curve, and one with a fault."""
    curve = [Reading(step=step, span="evaluate", metric="heldout_accuracy", value=step / 4) for step in range(3)]
    curve.append(Reading(step=0, span="rewards of cispo, float32", metric="entropy", value=0.0))
    learnt = replace(build(seed=3), readings=curve)
    store(tmp_path / "results", build(provenance={"launches": {"count": 1}}), learnt, build(latencies_s=(-1.0,)))
    return tmp_path / "results"


def test_mlflow_has_each_whole_run_once(results, tmp_path, capsys):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    for written in (2, 0):
        assert export([results], uri) == 4
        assert capsys.readouterr().out.splitlines()[-1] == f"{written} runs written, 1 left out"
    client = MlflowClient(tracking_uri=uri)
    (experiment,) = [one for one in client.search_experiments() if one.name == "attention"]
    learnt, timed = sorted(client.search_runs([experiment.experiment_id]), key=lambda run: len(run.data.metrics))
    assert timed.data.metrics["layer/latency_s"] == 1.49e-3
    assert timed.data.params["attention"] == "mla"
    assert timed.data.tags["machine_id"] == "a1b2c3d4"
    assert (timed.info.start_time, timed.info.status) == (1772359200000, "FINISHED")
    assert learnt.data.metrics["rewards of cispo_ float32/entropy"] == 0.0
    history = client.get_metric_history(learnt.info.run_id, "evaluate/heldout_accuracy")
    assert [(point.step, point.value) for point in history] == [(0, 0.0), (1, 0.25), (2, 0.5)]


def test_two_exports_at_once_write_each_run_once(results, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = "import sys, pathlib, suite.commands.export as e; e.export([pathlib.Path(sys.argv[1])], sys.argv[2])"
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(results), uri], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert sorted(one.communicate()[0].splitlines()[-1] for one in both) == [
        "0 runs written, 1 left out",
        "2 runs written, 1 left out",
    ]


def test_what_mlflow_does_not_know_is_refused(results):
    with pytest.raises(ValueError, match="MLflow refused: "):
        export([results], "nope://x")
