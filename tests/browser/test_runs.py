"""Every run can be found, opened, repeated and taken away as it was recorded; others join by being dropped."""

import json
import re

import pytest

from suite.records.stores.store import read_contents
from tests.browser.conftest import written
from tests.browser.looking import column, go, saved_rows, wait_until
from tests.records.factory import build, store


def test_runs_are_found_by_words_and_counted(open_page, ordinary):
    page = open_page(ordinary, address="#/trust/runs")
    page.locator(".every-run input[type=search]").fill("llama prefill float32 before")
    wait_until(page, "document.querySelectorAll('.every-run tbody tr').length === 6")
    assert page.locator(".every-run output").inner_text() == "6 of 98 rows"
    again = open_page(ordinary, address=page.evaluate("location.hash"))
    assert again.locator(".every-run tbody tr").count() == 6


def test_runs_sort_by_each_column_and_open(open_page, ordinary):
    page = open_page(ordinary, address="#/trust/runs")
    table = page.locator(".every-run")
    layer = column(table, "Whole layer")
    table.get_by_role("button", name="Whole layer").click()
    assert column(table, "Whole layer") != layer
    assert column(table, "Whole layer")[0] == "66.6 µs"
    assert set(column(table, "Status")) == {"OK", "Failed"}
    table.locator("tbody a").first.click()
    page.get_by_text("Command that runs it again").wait_for()
    assert re.fullmatch(r"\w+ · [\w.-]+ · decode · [\d,]+ tokens", page.locator("#main h1").inner_text())


def test_a_runs_downloads_are_its_record(open_page, tmp_path):
    path = written(tmp_path, ("runs", [build(latencies_s=(1.25e-3, 1.5e-3, 0.1 + 0.2))]))
    (stored,) = read_contents([tmp_path / "runs"]).stored
    page = open_page(path, address=f"#/trust/run/{stored.record.run_key[:12]}")
    with page.expect_download() as download:
        page.locator("button", has_text="record.json").click()
    expected = {name: part for name, part in stored.record.as_json().items() if name != "files"}
    assert json.loads(download.value.path().read_text()) == expected
    rows, _ = saved_rows(page, page.locator(".readings button").first)
    assert [float(row[3]) for row in rows[1:]] == [1.25e-3, 1.5e-3, 0.3]  # seven digits


def test_a_dropped_record_joins_the_runs_and_the_figures(open_page, tmp_path):
    known = [build(seq_len=size, attention=name) for size in (64, 4096) for name in ("gqa", "mla")]
    path = written(tmp_path, ("runs", known))
    store(tmp_path / "dropped", build(seq_len=512, latencies_s=(3e-3, 4e-3, 5e-3)))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "record.json").write_text('{"schema": 7}')
    page = open_page(path, address="#/trust/runs")
    page.locator("input[type=file]").set_input_files(tmp_path / "bad")
    page.get_by_text("is not a record of this suite").wait_for()
    page.locator("input[type=file]").set_input_files(tmp_path / "dropped")
    page.get_by_text("Runs added to this page: 1.").wait_for()
    page.locator(".every-run tbody a").first.click()
    page.get_by_text("Command that runs it again").wait_for()
    assert "n = 3" in page.locator(".readings").first.inner_text()
    go(page, "speed/latency")
    wait_until(page, "document.querySelector('#main .plot').data?.some(trace => trace.name.endsWith('added here'))")
    point = page.evaluate("document.querySelector('#main .plot').data.find(trace => trace.name.endsWith('added here'))")
    assert (point["x"], point["y"]) == ([512], [pytest.approx(4e-3)])


def test_a_run_that_is_not_there_is_said_to_be_missing(open_page, ordinary):
    page = open_page(ordinary, address="#/trust/run/abcdef")
    assert page.get_by_text("This page has no run abcdef.").is_visible()
