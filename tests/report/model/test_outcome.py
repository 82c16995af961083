"""The number that arms are compared by, as a workload's YAML says."""

import math
from dataclasses import replace

import pytest

from suite.records.record import Status
from suite.report.model.experiment import Arm
from suite.report.model.outcome import ScoredMetric, outcome_metric
from suite.report.model.results import CurrentRecord
from suite.report.model.run import Run
from suite.statistics.paired import NATS_MARGIN, SHARE_MARGIN
from tests.records.factory import build
from tests.report.compress_records import compress_record
from tests.report.quality_records import quality_record


def with_value(record, metric, value):
    readings = [replace(reading, value=value) if reading.metric == metric else reading for reading in record.readings]
    return replace(record, readings=readings)


def arm_of(record, tmp_path):
    current = CurrentRecord(label="", record=record, folder=tmp_path, superseded=0, settings_changed=False)
    return Arm(key=(), setting=(), runs=[Run(current=current)])


def test_a_workload_names_what_it_is_run_for():
    assert outcome_metric("quality").metric == "answer_accuracy"
    assert outcome_metric("attention") is None
    assert outcome_metric("attention", "layer", "latency_s") == ScoredMetric(span="layer", metric="latency_s")
    assert outcome_metric("quality", metric="answer_loss") == ScoredMetric(span="evaluate", metric="answer_loss")


def test_the_last_number_that_is_one_counts():
    outcome, record = outcome_metric("quality"), quality_record(0.75)
    assert outcome.scores(record) == {"": pytest.approx(0.75)}
    assert outcome.scores(replace(record, readings=outcome.readings(record))) == outcome.scores(record)
    assert outcome.scores(with_value(record, "answer_accuracy", math.nan)) == {}
    assert outcome.scores(replace(record, status=Status.FAILED)) == outcome.scores(build()) == {}


def test_a_ratio_has_a_number_for_each_window():
    outcome, record = outcome_metric("compress"), compress_record()
    scores = outcome.scores(record)
    assert list(scores) == ["0", "1", "2", "3", "4"]
    assert outcome.scores(with_value(record, "text_tokens", 0.0)) == {}
    assert outcome.scores(with_value(record, "text_loss", math.inf)) == {}


def test_margin_and_bounds_are_those_of_the_page(tmp_path):
    found = outcome_metric("quality").quantity(arm_of(quality_record(chance=0.25), tmp_path))
    assert (found.margin, found.bounds) == (SHARE_MARGIN, (0.25, 1.0))
    found = outcome_metric("compress").quantity(arm_of(compress_record(), tmp_path))
    assert (found.margin, found.bounds, found.pair) == (NATS_MARGIN, (None, None), "window of text")
