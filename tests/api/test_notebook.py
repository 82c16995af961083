"""Records in a notebook: frames with units and types, arms compared by the one rule, and the page's figures."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import suite
from suite.report.model.results import read_results
from suite.statistics.paired import compare
from tests.records.factory import build, in_launches, store, with_readings
from tests.report.quality_records import quality_record

ROOT = Path(__file__).parents[2]
FEEDBACK = ROOT / "results/reference/cpu_rl_feedback"


@pytest.fixture(scope="module")
def feedback():
    return suite.load(FEEDBACK)


@pytest.mark.parametrize("name", ["suite.api.runs", "suite.api.plot"])
def test_the_examples_of_the_docstrings_hold(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_package_shows_what_it_offers():
    assert dir(suite) == ["REFERENCE", "Runs", "__version__", "load", "plot"]
    assert dir(suite.plot) == ["forest", "latency", "learning", "pareto", "roofline", "sign_map"]
    assert (ROOT / "suite" / "py.typed").exists()


def test_a_table_has_a_row_a_case_and_span_with_units_and_types(tmp_path):
    store(tmp_path, build(latencies_s=(1e-3, 2e-3, 3e-3, 2e-3, 2e-3, 2e-3)), build(attention="mha"))
    table = suite.load(tmp_path).table("attention")
    (row,) = table[(table.attention == "mla") & (table.span == "layer")].to_dict("records")
    assert (row["latency_s"], row["latency_s_low"], row["latency_s_high"]) == (2e-3, 1e-3, 3e-3)
    assert row["latency_s_count"] == 6
    assert table.seq_len.dtype == "Int64"
    assert table.attention.map({"mla": 1, "mha": 2}).unique().tolist() == [1, 2]
    assert table.attrs["units"]["latency_s_low"] == table.attrs["units"]["latency_s"] == "s"


def test_each_setting_that_was_swept_has_a_column(tmp_path):
    store(tmp_path, *(build(attention="gqa", extras={"attention.kv_heads": heads}) for heads in (2, 4)), build())
    table = suite.load(tmp_path).table().drop_duplicates("case_id")
    assert table["attention.kv_heads"].dropna().tolist() == [2, 4]


def test_a_run_by_default_has_the_value_of_a_swept_setting(tmp_path):
    default, named = build(settings={"lr": 0.1}), build(settings={"lr": 0.2}, extras={"lr": 0.2}, seq_len=64)
    store(tmp_path, default, named)
    runs = suite.load(tmp_path)
    for frame in (runs.table(), runs.cases()):
        assert frame.groupby("case_id").lr.first().to_dict() == {default.case.id: 0.1, named.case.id: 0.2}
    assert [record.case.id for record in runs.where(lr=0.1)] == [default.case.id]


def test_a_setting_that_is_a_metric_too_has_its_value_where_the_metric_has_none(tmp_path):
    store(tmp_path, with_readings(build(extras={"updates": 9}), "step", updates=4.0))
    updates = suite.load(tmp_path).table().set_index("span").updates
    assert (updates.pop("step"), *updates.unique()) == (4.0, 9.0)


def test_runs_are_iterated_and_filtered(tmp_path):
    store(tmp_path / "a", build(), build(attention="mha"), build(attention="mha", seq_len=64))
    store(tmp_path / "b", build(attention="gqa"), build())
    runs = suite.load(tmp_path / "a")
    assert sorted(record.case.axes["attention"] for record in runs) == ["mha", "mha", "mla"]
    assert all(record.readings for record in runs)
    short, mla = runs.where(attention="mha", seq_len=[64, 128]), runs.where(attention="mla")
    assert (len(short), len(mla)) == (1, 1)
    assert short.table().seq_len.unique().tolist() == [64]
    with pytest.raises(ValueError, match=r"where takes settings of the runs .*attention.*; got colour"):
        runs.where(colour="red")
    both = suite.load([tmp_path / "a", tmp_path / "b"])
    assert (len(both), both.labels) == (5, ["a", "b"])
    again = suite.load([tmp_path / "a", tmp_path / "b" / ".." / "a"])
    assert (len(again), again.labels) == (3, ["a"])
    assert len(suite.load([tmp_path, tmp_path / "b"])) == len(suite.load(tmp_path))


def test_a_case_that_did_not_run_has_a_row_with_its_status(tmp_path):
    store(tmp_path, build(status="failed", reason="no room"))
    (row,) = suite.load(tmp_path).table().to_dict("records")
    assert row["status"] == "failed"


def test_curves_hold_what_changes_from_step_to_step(feedback):
    curves = feedback.curves()
    evaluated = curves[curves.span == "evaluate"]
    assert evaluated.heldout_accuracy.between(0, 1).all()
    assert evaluated.groupby("case_id", observed=True).step.is_monotonic_increasing.all()
    assert "latency_s" not in curves


def test_a_table_holds_the_last_of_several_steps(feedback):
    table, curves = (frame[frame.span == "evaluate"] for frame in (feedback.table(), feedback.curves()))
    last = curves.sort_values("step").groupby("case_id").heldout_accuracy.last()
    assert table.set_index("case_id").heldout_accuracy.to_dict() == last.to_dict()


def test_arms_are_compared_by_the_one_rule(tmp_path):
    shares = {"mha": (0.9, 0.91, 0.92, 0.9, 0.93), "mla": (0.5, 0.52, 0.55, 0.5, 0.53)}
    records = [
        quality_record(share, attention=name, seed=seed) for name, of in shares.items() for seed, share in enumerate(of)
    ]
    store(tmp_path, *records)
    (row,) = suite.load(tmp_path).compare(by="attention").to_dict("records")
    ours, theirs = ({str(seed): share for seed, share in enumerate(shares[name])} for name in ("mla", "mha"))
    found = compare(ours, theirs, margin=0.02)
    assert (row["arm"], row["other"], row["pairs"], row["outcome"]) == ("mla", "mha", 5, str(found.outcome))
    assert (row["low"], row["high"], row["p"]) == (found.interval.low, found.interval.high, found.p)
    assert row["adjusted_p"] == found.p  # by Holm, over one comparison
    with pytest.raises(ValueError, match="by must be a setting in which otherwise equal runs differ"):
        suite.load(tmp_path).compare(by="dtype")


def test_times_are_compared_and_drawn_by_their_ratio(tmp_path):
    steady = [1e-3 * (1 + wobble / 100) for wobble in (0, 1, -1, 2, 0, -2, 1, 0)]
    records = [
        in_launches(build(attention=name), *(times * value for value in steady), spans=("layer", "kernel"))
        for name, times in (("mha", 3), ("mla", 1))
    ]
    store(tmp_path, *records)
    runs = suite.load(tmp_path)
    (row,) = runs.compare(by="attention").to_dict("records")
    assert (row["arm"], row["other"], row["outcome"], row["seq_len"]) == ("mla", "mha", "faster", "4096")
    assert row["low"] < row["ratio"] < row["high"]
    (kernel,) = runs.compare(by="attention", span="kernel", against="mla").to_dict("records")
    assert (kernel["arm"], kernel["outcome"]) == ("mha", "slower")
    assert list(suite.plot.forest(runs).data[0].x) == [pytest.approx(3.0)]


def test_readings_are_every_reading(feedback):
    readings = feedback.readings()
    assert len(readings) == sum(len(one.record.readings) for one in read_results([FEEDBACK]).records)
    cases = feedback.cases()
    assert {*readings.merge(cases, on="run").supervision} == {*cases.supervision} == {"outcome", "process"}
    assert (readings.value.dtype, readings.launch.dtype, readings.metric.dtype) == ("float64", "Int64", "category")


def test_a_notebook_shows_runs_as_a_table(feedback):
    cells = re.findall(r"<td>(.*?)</td>", feedback._repr_html_())
    assert cells == ["rl", "cpu_rl_feedback", "80", "0"]
    assert "without a result" in feedback.where(status="failed")._repr_html_()  # no runs


def test_a_figure_is_chosen_by_what_it_is_about(tmp_path):
    contexts = [build(attention=name, dtype=dtype) for name in ("mla", "mha") for dtype in ("float32", "bfloat16")]
    store(tmp_path, *contexts)
    runs = suite.load(tmp_path)
    assert "float32" in suite.plot.latency(runs, dtype="float32", view="Kernel").layout.title.text
    with pytest.raises(ValueError, match="no such figure; they have: deepseek-v2-lite"):
        suite.plot.latency(runs, dtype="float16")
    with pytest.raises(ValueError, match="view must be one of Whole layer, Kernel; got 'x'"):
        suite.plot.latency(runs, view="x")


def test_every_plot_draws_what_the_page_draws(feedback):
    assert suite.plot.learning(feedback, view="Completions").data
    assert suite.plot.sign_map(feedback).data[0].type == "heatmap"
    assert len(suite.plot.forest(feedback, by="supervision").data[0].x) > 0


def test_no_folder_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="path must be a folder of results; got"):
        suite.load(tmp_path / "none")


def test_a_run_whose_readings_are_damaged_is_left_out_and_named(tmp_path):
    _, bad = store(tmp_path, build(), build(attention="mha"))
    (bad / "samples.parquet").write_bytes(b"PAR1")
    runs = suite.load(tmp_path)
    with pytest.warns(UserWarning, match=f"left out as damaged: {bad.name}"):
        assert set(runs.table().attention) == {"mla"}
