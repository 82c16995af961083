"""`suite report` writes what was asked for, whatever lies in the results."""

import csv
import os

import pytest

from suite.records.record import Status
from suite.report.command import default_folders, report
from suite.report.page.written_tables import RUNS_IN_A_SPREADSHEET
from tests.records.factory import build, store
from tests.report.reading import blocks_of, whole_text
from tools.hostile.texts import FORMULAS


def pages(tmp_path, results, labels=(), **options):
    """The page and the exit code; nothing else is left beside it."""
    path, code = report(results, labels, out=tmp_path / "out" / "page", **options)
    assert [item.name for item in path.parent.iterdir()] == ["page"]
    return path.read_text(encoding="utf-8"), code


def rows_of_csv(tmp_path, results, labels=(), **options):
    text, code = pages(tmp_path, results, labels, **options)
    assert code == 0
    return list(csv.DictReader(text.splitlines()))


def test_no_records_give_a_page_that_says_how_to_make_some(tmp_path):
    (tmp_path / "results").mkdir()
    page, code = pages(tmp_path, [tmp_path / "results"])
    assert code == 0
    assert "suite demo" in whole_text(page)


def test_an_unfinished_run_is_named_and_not_an_error(tmp_path):
    root = tmp_path / "results"
    _, half = store(root, build(), build())
    (half / "record.json").unlink()
    page, code = pages(tmp_path, [root])
    assert code == 0
    assert f'"{half.name}"' in whole_text(page)


@pytest.mark.parametrize(
    ("folders", "labels", "shown"),
    [(("a", "b"), ["before", "after"], {"before", "after"}), (("a/run", "b/run"), [], {"run", "run (2)"})],
)
def test_several_results_stand_side_by_side_under_their_labels(tmp_path, folders, labels, shown):
    for folder, version in zip(folders, ("0.1.0", "0.2.0"), strict=True):
        store(tmp_path / folder, build(provenance={"suite_version": version}))
    page, code = pages(tmp_path, [tmp_path / folder for folder in folders], labels)
    assert code == 0
    assert {line["label"] for line in blocks_of(page)["runs"]} == shown
    assert all(version in whole_text(page) for version in ("0.1.0", "0.2.0"))


def test_markdown_holds_the_tables_and_no_figures(tmp_path):
    store(tmp_path / "results", build(), build(status=Status.FAILED, reason="a | b", seq_len=8192))
    text, code = pages(tmp_path, [tmp_path / "results"], format="markdown")
    assert code == 0
    assert "| MLA | 4,096 |" in text.replace("\\_", "_")
    assert "a \\| b" in text
    assert "plotly" not in text


def test_the_csv_holds_every_cell_of_the_pages_tables(tmp_path):
    store(tmp_path / "results", build(), build(attention="mha"))
    rows = rows_of_csv(tmp_path, [tmp_path / "results"], format="csv")
    latency = [row for row in rows if row["section"] == "latency" and row["row"] == "2"]
    assert {row["column"]: row["cell"] for row in latency if "Whole layer" in row["table"]}["Variant"] == "MLA"


def test_the_csv_holds_no_formula(tmp_path):
    """Behind spaces or wide signs neither, in whatever cell."""
    hostile = [
        build(status=Status.FAILED, reason=text, seq_len=number, attention=text.strip())
        for number, text in enumerate(FORMULAS)
    ]
    store(tmp_path / "results", build(), *hostile)
    rows = rows_of_csv(tmp_path, [tmp_path / "results"], ["+label"], format="csv")
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.lstrip().startswith(RUNS_IN_A_SPREADSHEET)]
    assert sum(row["cell"].startswith("'") for row in rows if row["column"] == "Reason") >= len(FORMULAS)


@pytest.mark.parametrize(
    ("folder", "labels", "options", "words"),
    [
        ("results", ["a", "b"], {}, "once for each results folder"),
        ("results", [""], {}, "not be empty"),
        ("results", [], {"format": "pdf"}, "html, markdown, csv; got"),
        ("results", [], {"lang": "fr"}, "en, zh"),
        ("nowhere", [], {}, "nowhere"),
        ("results", [], {"out": "results"}, "out must be a file"),
        ("circle", [], {}, "results must be folders that exist"),
    ],
)
def test_a_wrong_option_or_folder_is_refused_in_a_sentence(tmp_path, folder, labels, options, words):
    store(tmp_path / "results", build())
    (tmp_path / "circle").symlink_to("elcric")
    (tmp_path / "elcric").symlink_to("circle")
    with pytest.raises(ValueError, match=words):
        report([tmp_path / folder], labels, **{**options, "out": tmp_path / options.get("out", "page.html")})


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (("demo", "runs", "baseline", "reference"), ["results/demo", "results/runs"]),  # but for those that are kept
        (("",), ["results"]),
    ],
)
def test_by_default_all_runs_of_ones_own_are_shown(tmp_path, monkeypatch, stored, shown):
    monkeypatch.chdir(tmp_path)
    for name in stored:
        store(tmp_path / "results" / name, build())
    assert [folder.as_posix() for folder in default_folders()] == shown


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_page_replaces_no_pipe_and_follows_a_link(tmp_path):
    store(tmp_path / "results", build())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="out must be a file"):
        report([tmp_path / "results"], [], format="csv", out=tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to("page")
    report([tmp_path / "results"], [], format="csv", out=tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "page").read_text().startswith("section,table,")


def test_the_page_of_all_results_stays_that_while_they_grow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "results" / "a", build())
    page, _ = report([], [])
    store(tmp_path / "results" / "b", build(seq_len=64))
    assert report([], [])[0] == page
