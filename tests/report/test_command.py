"""`suite report` writes what was asked for, whatever lies in the results."""

import csv
import io
import os
from pathlib import Path

import pytest

from suite.records.record import Status
from suite.report.command import default_folders, report
from tests.records.factory import build, store
from tests.report.reading import blocks_of, whole_text
from tools.hostile.texts import FORMULAS


def pages(tmp_path, results, labels=(), **options):
    path, code = report(results, labels, out=tmp_path / "out" / "page", **options)
    return path.read_text(encoding="utf-8"), code


def damage_every_way(root):
    """A results folder with one whole run and several spoilt ones; returns the names of the spoilt."""
    _, cut, foreign, garbage, bare = store(root, *[build()] * 5)
    (cut / "record.json").write_text('{"schema": 1, "case"')
    (foreign / "record.json").write_text('{"schema": 99}')
    (garbage / "samples.parquet").write_bytes(b"garbage")
    (bare / "samples.parquet").unlink()
    return [folder.name for folder in (cut, foreign, garbage, bare)]


def test_no_records_give_a_page_that_says_how_to_make_some(tmp_path):
    (tmp_path / "results").mkdir()
    page, code = pages(tmp_path, [tmp_path / "results"])
    assert code == 0
    assert "suite demo" in whole_text(page)
    assert "deepseek-v3" in whole_text(page)


def test_damaged_folders_are_named_on_the_page_and_in_the_code(tmp_path):
    root = tmp_path / "results"
    names = damage_every_way(root)
    page, code = pages(tmp_path, [root])
    assert code == 4
    assert all(f'"{name}"' in whole_text(page) for name in names)
    assert "schema must be 1; got 99" in whole_text(page)
    assert str(tmp_path) not in whole_text(page)


def test_an_unfinished_run_is_named_and_not_an_error(tmp_path):
    root = tmp_path / "results"
    _, half = store(root, build(), build())
    (half / "record.json").unlink()
    page, code = pages(tmp_path, [root])
    assert code == 0
    assert f'"{half.name}"' in whole_text(page)


def test_several_results_stand_side_by_side_under_their_labels(tmp_path):
    store(tmp_path / "a", build(provenance={"suite_version": "0.1.0"}))
    store(tmp_path / "b", build(provenance={"suite_version": "0.2.0"}, latencies_s=(1e-3,) * 7))
    page, code = pages(tmp_path, [tmp_path / "a", tmp_path / "b"], ["before", "after"])
    assert code == 0
    for text in ('"label": "before"', "0.1.0", "0.2.0", '"label": "after"'):
        assert text in whole_text(page)


def test_folders_of_one_name_get_labels_that_differ(tmp_path):
    store(tmp_path / "a" / "run", build())
    store(tmp_path / "b" / "run", build())
    page, _ = pages(tmp_path, [tmp_path / "a" / "run", tmp_path / "b" / "run"])
    assert {line["label"] for line in blocks_of(page)["runs"]} == {"run", "run (2)"}


def test_markdown_holds_the_tables_and_no_figures(tmp_path):
    store(tmp_path / "results", build(), build(status=Status.FAILED, reason="a | b", seq_len=8192))
    text, code = pages(tmp_path, [tmp_path / "results"], format="markdown")
    assert code == 0
    assert "| MLA | 4,096 |" in text.replace("\\_", "_")
    assert "a \\| b" in text
    assert "plotly" not in text


def test_the_csv_holds_every_cell_of_the_pages_tables(tmp_path):
    store(tmp_path / "results", build(), build(attention="mha"))
    text, _ = pages(tmp_path, [tmp_path / "results"], format="csv")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["section"] == "latency" and row["row"] == "2"]
    assert {row["column"]: row["cell"] for row in rows if "Whole layer" in row["table"]}["Variant"] == "MLA"


def test_the_readings_hold_no_formula(tmp_path):
    hostile = build(status=Status.FAILED, reason="=cmd|' /C calc'!A0", seq_len=8192, backend="@SUM(1)")
    record = build(attention="mla", latencies_s=(1e-3, 2e-3), batch=-1)
    store(tmp_path / "results", record, hostile)
    text, code = pages(tmp_path, [tmp_path / "results"], ["+label"], format="readings")
    rows = list(csv.DictReader(text.splitlines()))
    assert code == 0
    assert len(rows) == len(record.readings) + 1
    assert {row["label"] for row in rows} == {"'+label"}
    assert rows[0]["batch"] == "-1"
    assert {row["value"] for row in rows if row["metric"] == "latency_s" and row["span"] == "layer"} == {
        "0.001",
        "0.002",
    }
    assert rows[-1]["reason"].startswith("'=cmd")
    assert rows[-1]["backend"] == "'@SUM(1)"


def test_no_csv_cell_is_a_formula_behind_spaces_or_wide_signs(tmp_path):
    for number, text in enumerate(FORMULAS):
        store(tmp_path / "results", build(status=Status.FAILED, reason=text, seq_len=number, attention=text.strip()))
    text, _ = pages(tmp_path, [tmp_path / "results"], format="readings")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(FORMULAS)
    assert all(row[name].startswith("'") for row in rows for name in ("reason", "attention"))


def test_the_page_can_be_had_in_chinese(tmp_path):
    store(tmp_path / "results", build())
    page, _ = pages(tmp_path, [tmp_path / "results"], lang="zh")
    assert '<html lang="zh-CN">' in page
    assert "线程 CPU 时间" in page
    assert "Latency" not in page[: page.index("<script type")]


def test_writing_leaves_nothing_beside_the_page(tmp_path):
    store(tmp_path / "results", build())
    path, _ = report([tmp_path / "results"], [], out=tmp_path / "out" / "page.html")
    assert [item.name for item in path.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (["a", "b"], {}, "once for each results folder"),
        ([""], {}, "not be empty"),
        ([], {"format": "pdf"}, "html, markdown, csv, readings"),
        ([], {"lang": "fr"}, "en, zh"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(tmp_path, labels, options, words):
    with pytest.raises(ValueError, match=words):
        report([tmp_path], labels, out=tmp_path / "page.html", **options)


def test_a_results_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        report([tmp_path / "nowhere"], [])


def test_a_folder_as_output_is_refused(tmp_path):
    with pytest.raises(ValueError, match="out must be a file"):
        report([tmp_path], [], out=tmp_path)


def test_by_default_all_but_the_kept_folders_are_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("demo", "runs", "baseline", "reference"):
        store(tmp_path / "results" / name, build())
    assert [folder.name for folder in default_folders()] == ["demo", "runs"]


def test_by_default_runs_directly_in_results_are_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "results", build())
    assert default_folders() == [Path("results")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_page_replaces_no_pipe_and_follows_a_link(tmp_path):
    store(tmp_path / "results", build())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="out must be a file"):
        report([tmp_path / "results"], [], format="readings", out=tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to("page")
    report([tmp_path / "results"], [], format="readings", out=tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert "latency_s" in (tmp_path / "page").read_text()


def test_a_page_of_other_folders_is_not_replaced_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        store(tmp_path / name, build())
    page, _ = report([Path("a")], [], format="html")
    assert report([tmp_path / "a"], [])[0] == page
    before = page.read_bytes()
    with pytest.raises(ValueError, match=r"^reports/index.html is there .* --out, or replace it with --overwrite$"):
        report([Path("b")], [])
    with pytest.raises(ValueError, match="made of other folders"):
        report([Path("a"), Path("b")], [])
    assert page.read_bytes() == before
    assert str(tmp_path).encode() not in before
    report([Path("b")], [], overwrite=True)
    assert report([Path("b")], [])[0] == page
    assert report([Path("a")], [], out=page)[0] == page


def test_an_unknown_page_stays_and_tables_are_written_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "results" / "a", build())
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "index.html").write_text("<p>somebody's")
    with pytest.raises(ValueError, match="does not say of which"):
        report([], [])
    path, _ = report([], [], format="csv")
    assert report([], [], format="csv")[0] == path


def test_the_page_of_all_results_stays_that_while_they_grow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "results" / "a", build())
    page, _ = report([], [])
    store(tmp_path / "results" / "b", build(seq_len=64))
    assert report([], [])[0] == page


def test_links_that_lead_in_a_circle_are_no_folder(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ValueError, match="results must be folders that exist"):
        report([tmp_path / "a"], [], out=tmp_path / "page.html")
