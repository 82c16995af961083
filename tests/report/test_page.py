"""What the page holds besides its sections: one script, plotly.js compressed, and what a reader can filter by."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from suite.records.record import Status
from suite.report.blocks import Head, Section, Table
from suite.report.command import render_sections, report
from suite.report.model.labels import record_facets
from suite.report.page.filters import choices, table_facets
from suite.report.page.page import page as written
from suite.report.page.texts import load_texts
from tests.records.factory import build, store
from tests.report.reading import results_of

EN = load_texts("en")


def page_of(tmp_path, *records, **options):
    store(tmp_path / "results", *records)
    path, _ = report([tmp_path / "results"], [], out=tmp_path / "page.html", **options)
    return path.read_text(encoding="utf-8")


class Options(HTMLParser):
    """The selects of the page by name, with what can be chosen."""

    def __init__(self, page):
        super().__init__()
        self.selects = {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "select":
            self.selects[attributes["name"]] = []
        elif tag == "option":
            list(self.selects.values())[-1].append(attributes["value"])


def test_plotly_stands_in_the_page_compressed_and_whole(tmp_path):
    page = page_of(tmp_path, build())
    (packed,) = re.findall(r'id="plotly">(.*?)</script>', page)
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()
    assert len(packed) < 0.45 * len(get_plotlyjs())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_licences_of_what_the_page_holds_are_there_to_read(tmp_path, lang):
    page = page_of(tmp_path, build(), lang=lang)
    (version, notices) = re.search(
        r"plotly\.js (\d+\.\d+\.\d+).*?</summary><pre lang=\"en\">(.*?)</pre>", page, re.DOTALL
    ).groups()
    assert f"plotly.js v{version}" in get_plotlyjs()[:100]
    for text in ("Copyright 2012", "Plotly, Inc.", "MapLibre", "Permission is hereby granted", "WITHOUT WARRANTY"):
        assert text in notices


def test_a_page_that_is_written_twice_is_the_same(tmp_path):
    first = page_of(tmp_path, build())
    path, _ = report([tmp_path / "results"], [], out=tmp_path / "again.html")
    assert path.read_text(encoding="utf-8") == first


def test_a_page_without_figures_has_its_table_script_no_plotly(tmp_path):
    page = written([a_section()], results_of(tmp_path, build()), EN)
    assert page.count("<script>") == 1
    assert 'id="plotly"' not in page
    assert 'id="words"' in page


def a_section(**facets):
    table = Table(title="A", columns=[Head(title="Variant", facet="variant")], rows=[["MLA"], ["–"]], **facets)
    return Section(id="a", title="A", explanation="", tables=[table])


def test_only_what_has_two_values_can_be_chosen(tmp_path):
    page = page_of(tmp_path, build(), build(attention="mha"), build(dtype="float32", phase="prefill"))
    selects = Options(page).selects
    assert selects["dtype"] == ["", "bfloat16", "float32"]
    assert selects["phase"] == ["", "decode", "prefill"]
    assert {"MHA", "MLA"} < set(selects["variant"])
    assert "geometry" not in selects
    assert "label" not in selects


def test_a_dash_is_no_choice():
    two = a_section(row_facets=[{"geometry": "x"}, {"geometry": ["y", "z"]}])
    assert choices([two]) == {"geometry": ["x", "y", "z"]}


def test_what_all_rows_share_is_said_once_for_the_table():
    rows = [{"geometry": "x", "phase": "decode"}, {"geometry": "x", "phase": "prefill"}]
    (table,) = a_section(facets={"dtype": "float32"}, row_facets=rows).tables
    assert table_facets(table) == ({"dtype": "float32", "geometry": "x"}, [{"phase": "decode"}, {"phase": "prefill"}])


def test_facets_are_what_people_see():
    record = build(attention="mla_latent", phase="train", geometry=None)
    facets = {name: EN.render(text) for name, text in record_facets(record).items()}
    assert facets == {"variant": "MLA (latent)", "phase": "training", "dtype": "bfloat16"}


def test_every_trace_is_about_something_that_can_be_chosen(tmp_path):
    records = [
        build(attention=attention, seq_len=seq_len, dtype=dtype, phase=phase)
        for attention in ("gqa", "mla", "mla_latent")
        for seq_len in (1024, 4096)
        for dtype in ("float32", "bfloat16")
        for phase in ("decode", "prefill")
    ]
    refused = build(status=Status.FAILED, reason="it broke", seq_len=8192)
    sections = render_sections(results_of(tmp_path, a=[*records, refused], b=records), EN)
    offered = choices(sections)
    figures = [view.figure for section in sections for figure in section.figures for view in figure.views]
    told_by = [trace["meta"] for figure in figures for trace in figure["data"] if "meta" in trace]
    assert len(told_by) > 30
    for meta in told_by:
        for facet, said in meta.items():
            assert facet not in offered or set([said] if isinstance(said, str) else said) <= set(offered[facet])


def test_the_scripts_words_are_those_of_the_pages_language(tmp_path):
    page = page_of(tmp_path, build(), lang="zh")
    (words,) = re.findall(r'id="words">(.*?)</script>', page)
    assert json.loads(words)["show_all"] == "显示全部 {count} 行"
