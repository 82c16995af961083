"""What the page holds: a small frame, and compressed its views in both languages, its runs and two libraries."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from suite.configuration.files import read_yaml
from suite.machine.privacy import scrubbed
from suite.records.record import Status
from suite.report.blocks import Figure, Head, Section, Table, View, say
from suite.report.command import report
from suite.report.page import page as page_module
from suite.report.page.content import SharedObjects, ran_content, runs_content, view_content
from suite.report.page.page import difference
from suite.report.page.page import page as written
from suite.report.page.texts import load_texts
from tests.records.factory import build, store
from tests.report.reading import blocks_of, figures_of, patched, results_of

EN, ZH = load_texts("en"), load_texts("zh")


def page_of(tmp_path, *records, **options):
    store(tmp_path / "results", *records)
    path, _ = report([tmp_path / "results"], [], out=tmp_path / "page.html", **options)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def small_page(tmp_path_factory):
    """The page of one record."""
    return page_of(tmp_path_factory.mktemp("small"), build())


def frame_of(page):
    return json.loads(re.search(r'id="frame">(.*?)</script>', page)[1])


def plotly_in(page):
    (packed,) = re.findall(r'data-library="plotly">(.*?)</script>', page)
    return gzip.decompress(base64.b64decode(packed)).decode()


def test_the_small_plotly_stands_in_the_page_as_published(small_page):
    source = plotly_in(small_page)
    readme = (Path(page_module.__file__).parent / "vendor/README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(source.encode()).hexdigest() in readme
    major = get_plotlyjs_version().split(".")[0]
    assert source.startswith(f"/**\n* plotly.js (cartesian - minified) v{major}.")


def test_a_figure_of_another_kind_gets_the_whole_plotly(tmp_path):
    view = View(title="", figure={"data": [{"type": "scatterpolar", "r": [1]}], "layout": {}})
    section = replace(a_section(), figures=[Figure(title="F", caption="", views=[view], height_px=1)])
    assert plotly_in(written({"speed": [section]}, results_of(tmp_path, build()))) == get_plotlyjs()


def test_the_first_view_stands_before_the_script_the_rest_behind(tmp_path):
    before, behind = page_of(tmp_path, build()).split("<script>")
    assert re.findall(r'data-block="(.*?)"', before) == ["en/answers", "zh/answers"]
    assert {"runs", "numbers", "records", "en/speed"} < set(re.findall(r'data-block="(.*?)"', behind))
    assert 'data-library="plotly"' in behind


def test_a_language_is_english_but_for_what_differs():
    english = {"same": [1, {"a": 2}], "title": "A", "rows": [["x", "y"], ["x"]], "terms": {}, "none": None}
    other = {"same": [1, {"a": 2}], "title": "B", "rows": [["x", "z"], ["x", "v"]], "terms": {"x": "w"}, "none": []}
    changes = json.loads(json.dumps(difference(english, other)))
    assert "same" not in changes
    assert patched(english, changes) == other


def test_the_licences_of_what_the_page_holds_are_there_to_read(small_page):
    notices = re.search(r"<pre lang=\"en\">(.*?)</pre>", small_page, re.DOTALL)[1]
    for text in ("Copyright 2012", "Plotly, Inc.", "hyparquet", "Permission is hereby granted"):
        assert text in notices


def test_a_page_that_is_written_twice_is_the_same(tmp_path):
    first = page_of(tmp_path, build())
    page_module.packed_text.cache_clear()  # that of tests, which would give the same again
    path, _ = report([tmp_path / "results"], [], out=tmp_path / "again.html")
    assert path.read_text(encoding="utf-8") == first


def test_a_page_without_figures_has_one_script_and_no_plotly(tmp_path):
    page = written({"speed": [a_section()]}, results_of(tmp_path, build()))
    assert page.count("<script>") == 1
    assert 'data-library="plotly"' not in page


def a_section(**facets):
    table = Table(title="A", columns=[Head(title="Variant", facet="variant")], rows=[["MLA"], ["–"]], **facets)
    return Section(id="a", title="A", explanation="", tables=[table])


def test_every_view_stands_in_both_languages(small_page):
    views = frame_of(small_page)["views"]
    assert list(views) == list(read_yaml("report.yaml")["views"])
    shown = ("answers", *(view for view, sections in views.items() if sections))
    assert {f"{lang}/{view}" for lang in ("en", "zh") for view in shown} < blocks_of(small_page).keys()


def test_the_page_opens_in_the_language_that_was_asked_for(tmp_path):
    page = page_of(tmp_path, build(), lang="zh")
    assert '<html lang="zh-CN">' in page
    assert frame_of(page)["lang"] == "zh"


def test_facets_are_english_whatever_the_language():
    facets = {"phase": say("phase.decode")}
    view = View(title="", figure={"data": [], "layout": {}})
    figure = Figure(title="F", caption="", views=[view], height_px=1, facets=facets)
    content = view_content([replace(a_section(facets=facets), figures=[figure])], ZH, EN, {})
    (section,) = content["sections"]
    assert [block["facets"] for block in (*section["tables"], *section["figures"])] == [{"phase": "decode"}] * 2
    assert content["terms"] == {"decode": ZH("phase.decode")}


def test_the_first_line_tells_ones_own_runs_from_references(tmp_path):
    own = ran_content(results_of(tmp_path / "mine", build()), EN)
    references = ran_content(results_of(tmp_path / "results" / "reference", build()), EN)
    assert own["own"].startswith("Your runs")
    assert own["references"] == references["own"] == ""
    assert references["references"].startswith("The reference records")


def test_points_name_runs_that_the_page_has(tmp_path):
    page = page_of(tmp_path, *(build(attention=name, seq_len=size) for name in ("gqa", "mla") for size in (64, 4096)))
    lines = blocks_of(page)["runs"]
    numbers = [trace.get("customdata", ()) for figure in figures_of(page) for trace in figure["data"]]
    assert len(lines) == 4
    assert {number for part in numbers for runs in part for number in runs} <= set(range(4))


def test_a_runs_record_stands_in_the_page_without_digests_of_files(tmp_path):
    results = results_of(
        tmp_path,
        build(provenance={"duration_s": 1.0000000499}),
        build(attention="mha"),
        build(status=Status.FAILED, reason="it broke"),
    )
    held = runs_content(results)["records"]

    def back(value):
        if isinstance(value, dict):
            return back(held["pool"][value["@"]]) if value.keys() == {"@"} else {k: back(v) for k, v in value.items()}
        return value

    expected = [json.loads(json.dumps(scrubbed(record.as_json(), is_ours=False))) for _, record in results.all_records]
    expected[0]["provenance"]["duration_s"] = 1.0  # numbers have seven digits
    for record in expected:
        record.pop("files")
    assert [back(run["record"]) for run in held["runs"]] == expected
    _, first = results.all_records[0]
    for span, metric, values in held["runs"][0]["readings"]:
        assert values == pytest.approx(first.series(metric, span).column("value"), rel=1e-6)


def test_a_text_is_scrubbed_by_the_key_it_lies_under():
    path, pool = "build in some/folder/x", SharedObjects()
    records = [{"settings": {"task": {"checkpoint": path, "name": path}}} for _ in range(2)]
    first, second = map(pool.put, records)
    assert first == second
    assert {"checkpoint": "<path>/x", "name": path} in pool.values
    assert len(pool.values) == 2
