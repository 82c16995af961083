"""What `suite results export` hands to MLflow, and what it refuses; `make trackers` tries MLflow itself."""

import sys
from dataclasses import replace

import pytest

from suite.commands.export import export, scalar_points
from suite.records.record import Reading
from tests.records.factory import build


def test_repeated_timings_are_a_median_and_steps_a_curve():
    record = build(provenance={"launches": {"count": 1}})
    curve = [Reading(step=step, span="evaluate", metric="accuracy", value=step / 4) for step in range(3)]
    points = scalar_points(replace(record, readings=[*record.readings, *curve]))
    assert [point for point in points if point[0] == "layer/latency_s"] == [("layer/latency_s", 0, 1.49e-3)]
    assert [point[1:] for point in points if point[0] == "evaluate/accuracy"] == [(0, 0.0), (1, 0.25), (2, 0.5)]


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # an import of it fails
    with pytest.raises(ValueError, match=r"pip install -e .*\[mlflow\]"):
        export([tmp_path], f"sqlite:///{tmp_path / 'mlflow.db'}")
