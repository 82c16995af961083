"""A card, the sentence and the figure that its link opens speak of one case; over the committed records, and over a
person's runs beside them, as `make demo` has them.
"""

import math
import re
from dataclasses import replace
from itertools import product

import pytest

from suite.report.answers.answers import build_answers
from suite.report.attention.groups import case_timings
from suite.report.command import _garbage_collector_off, build_views
from suite.report.model.experiment import grouped
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts
from suite.report.timings import LAYER
from tests.records.factory import ENVIRONMENT, REFERENCE, build, in_launches, store
from tests.report.test_headlines import is_ratio, numbers_in

EN = load_texts("en")
PARTS = (
    *("cpu/attention", "cpu/served", "cpu/rl_memory", "cpu/rl_memory_8b", "cpu/quality_controls"),
    *("cpu/recipes", "cpu_rl_feedback", "cpu/rl"),
)
"""What every card of the sample page is made of, in part."""
NUMBER = re.compile(r"\d[\d,.]*")


def own_timings():
    """The demo's decode steps: MLA is clearly faster than MHA with one model, and too close to call with the other."""
    times = {"mqa": 1e-3, "gqa": 1.2e-3, "mla": 2e-3, "mha": 4e-3}
    models = {"deepseek-v2-lite": times, "llama-3.2-1b": times | {"mha": 2.01e-3}}
    for number, (geometry, size, name) in enumerate(product(models, (1024, 16_384), times)):
        record = build(attention=name, geometry=geometry, seq_len=size, dtype="float32", batch=1)
        launches = [models[geometry][name] * noise for noise in (0.98, 1.0, 1.02)]
        here = {"environment": {**ENVIRONMENT, "machine_id": "here"}, "run_key": f"{number:064x}"}
        yield replace(in_launches(record, *launches), **here)


@pytest.fixture(scope="module", params=["sample", "demo"])
def page(request, tmp_path_factory):
    """The results of a page, its answers, and its sections by their id, rendered in English."""
    with _garbage_collector_off():
        if request.param == "sample":
            results, here = read_results([REFERENCE / part for part in PARTS]), ""
        else:
            own, here = tmp_path_factory.mktemp("own"), "here"
            store(own, *own_timings())
            results = read_results([own, REFERENCE / "cpu/attention"], ["this machine", "reference CPU"])
        views = build_views(results, here)
        sections = {section.id: EN.section(section) for sections in views.values() for section in sections}
        return results, EN.render_block(build_answers(results, here)), sections


def families(section):
    return list(grouped(section.figures, lambda figure: figure.family or figure.title).values())


def opened(section, link):
    """The figures that the page shows at a link: of each family the first that fits best, as choices.js picks."""
    names = ["label", *(name for name in link if name != "label")]

    def misfit(figure):
        return [figure.facets.get(name) != link[name] for name in names if name in link]

    return [min(family, key=misfit) for family in families(section)]


def values_of(facets):
    for name, said in facets.items():
        yield from ((name, value) for value in ([said] if isinstance(said, str) else said))


def choices(section):
    """All that a reader can choose in a section, by facet."""
    figures, tables = section.figures, section.tables
    metas = [trace.get("meta", {}) for figure in figures for view in figure.views for trace in view.figure["data"]]
    cells = [
        (column.facet, row[place])
        for table in tables
        for place, column in enumerate(table.columns)
        for row in table.rows
        if column.facet
    ]
    facets = [block.facets for block in (*figures, *tables)] + [row for table in tables for row in table.row_facets]
    return {*cells, *(pair for part in (*facets, *metas) for pair in values_of(part))}


def test_a_cards_link_names_choices_that_its_section_has(page):
    _, answers, sections = page
    for ruling in (card.ruling for card in answers.cards):
        if ruling.lead and ruling.lead.link:
            known = choices(sections[ruling.section])
            offered = {name for name, _ in known}
            assert {pair for pair in ruling.lead.link.items() if pair[0] in offered} <= known, ruling.id
            assert offered & set(ruling.lead.link), ruling.id


def states(figure, ruling):
    """Whether a figure says or draws a card's number: in its headline, as a ratio of two points, or as a point."""
    lead, said = ruling.lead, numbers_in(figure.finding)
    ways = {lead.written.split()[0].lstrip("+-−")} | (
        {f"{100 * (1 - lead.value):.0f}%"} if lead.neutral == 1 else set()
    )
    points = [
        value
        for view in figure.views
        for trace in view.figure["data"]
        for value in (*trace.get("x", ()), *trace.get("y", ()))
        if isinstance(value, int | float)
    ]
    is_drawn = any(math.isclose(value, scale * lead.value, rel_tol=1e-3) for value in points for scale in (1, 100))
    return bool(ways & said) or is_ratio(lead.written, figure) or is_drawn


def is_in_a_row(section, lead):
    """Whether a table's row holds a number with its interval, as section.js marks it."""
    wanted = set(NUMBER.findall(f"{lead.written} {lead.interval}"))
    return len(wanted) > 2 and any(
        wanted <= set(NUMBER.findall(" ".join(map(str, row)))) for table in section.tables for row in table.rows
    )


def test_what_a_cards_link_opens_says_the_cards_number(page):
    _, answers, sections = page
    for ruling in (card.ruling for card in answers.cards):
        figures = opened(sections[ruling.section], ruling.lead.link)
        stating = [figure for figure in figures if states(figure, ruling)]
        is_stated = stating or is_in_a_row(sections[ruling.section], ruling.lead)
        assert is_stated, (ruling.id, ruling.lead, [figure.finding for figure in figures])
        sizes = re.findall(r"[\d.]+ [KMGT]iB", ruling.lead.count)
        assert not sizes or any(all(size in figure.finding for size in sizes) for figure in stating), ruling.id


def test_the_speed_card_opens_its_case_with_its_ratio(page):
    results, answers, sections = page
    (ruling,) = [card.ruling for card in answers.cards if card.ruling.id == "mla-faster-inference"]
    (figure,) = [one for one in opened(sections["latency"], ruling.lead.link) if "time" in one.family.lower()][:1]
    assert f"({ruling.lead.written} GQA’s time" in figure.finding
    tokens = re.search(r"([\d,]+) tokens", ruling.lead.about)[1]
    assert f"At {tokens} tokens" in figure.finding
    drawn = {key for trace in figure.views[0].figure["data"] for keys in trace.get("customdata", ()) for key in keys}
    cases = [t for t in case_timings(results) if t.record.run_key in drawn and t.span == LAYER]
    assert {(t.axis("geometry"), t.axis("phase"), t.axis("dtype"), t.label) for t in cases} == {
        (figure.facets["geometry"], "decode", figure.facets["dtype"], figure.facets.get("label", cases[0].label))
    }


def test_a_card_admits_the_models_with_which_it_is_not_clear(page):
    _, answers, _ = page
    (card,) = [card for card in answers.cards if card.ruling.id == "mla-faster-inference"]
    if answers.own:
        assert card.answer == "faster than MHA (no clear difference with llama-3.2-1b), slower than GQA"


def test_the_speed_card_has_its_case_on_a_gpu_marked_as_computed(page):
    _, answers, _ = page
    peers = {card.ruling.id: card.ruling.peer for card in answers.cards if card.ruling.peer}
    assert set(peers) == {"mla-faster-inference"}
    (peer,) = peers.values()
    assert "1.73× GQA’s time at batch 1 (1.30–2.32×) and 1.19× at batch 32 (1.00–1.41×)" in peer
