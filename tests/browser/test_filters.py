"""What is chosen in the bar holds for figures, tables and rows."""

import re

import pytest

from tests.browser.conftest import Watch, written
from tests.browser.looking import choose, figure_of, names, shown, traces, wait_for_names, wait_until
from tests.records.factory import build

ROWS_BY_FACET = """facet => [...document.querySelectorAll(".table:not([hidden])")].flatMap(table => {
  const place = [...table.querySelectorAll("th")].findIndex(th => th.dataset.facet === facet);
  return place < 0 ? [] : [...table.querySelectorAll("tbody tr")].map(row => row.cells[place].textContent);
})"""

COUNTED = r"(\d+) of (\d+) figures, ([\d,]+) of ([\d,]+) rows"


@pytest.fixture(scope="module")
def left_open(browser, ordinary):
    watch = Watch(browser)
    yield watch.open(ordinary)
    watch.end()


@pytest.fixture
def page(left_open):
    """The same page for every test, without a choice."""
    reset(left_open)
    return left_open


def reset(page):
    if page.locator(".filters button").is_enabled():
        page.locator(".filters button").click()
    wait_until(page, "document.querySelector('.filters button').disabled")


def seen(page):
    return page.locator("figure:not([hidden])").count(), page.locator(".table:not([hidden]) tbody tr").count()


def test_a_variant_leaves_its_lines_and_its_rows(page):
    every = seen(page)
    choose(page, "variant", "MLA (latent)")
    assert set(page.evaluate(ROWS_BY_FACET, "variant")) == {"MLA (latent)"}
    wait_for_names(page, "latency", ["MLA (latent) · after", "MLA (latent) · before"])
    said = page.locator(".filters output").inner_text()
    figures, all_figures, rows, all_rows = (int(text.replace(",", "")) for text in re.fullmatch(COUNTED, said).groups())
    assert (figures, all_figures) == (seen(page)[0], every[0])
    assert 0 < rows < all_rows


@pytest.mark.parametrize(("facet", "value"), [("geometry", "llama-3.2-1b"), ("phase", "prefill"), ("dtype", "float32")])
def test_what_a_figure_is_about_shows_or_hides_the_whole_of_it(page, facet, value):
    every = page.locator("#latency figure").count()
    choose(page, facet, value)
    titles = shown(page, "#latency figure").locator("h3").all_inner_texts()
    assert len(titles) == every // 2
    assert all(value in title for title in titles)
    assert set(page.evaluate(ROWS_BY_FACET, facet)) <= {value}
    about = shown(page, "#latency .table").evaluate_all("tables => tables.map(table => table.dataset.facets)")
    assert all(value in facets for facets in about)


def test_a_geometry_leaves_its_points_of_a_trace(page):
    choose(page, "geometry", "llama-3.2-1b")
    figure = figure_of(page, "roofline")
    said = "document.querySelector('#roofline .plot').data.flatMap(trace => trace.meta?.geometry ?? [])"
    wait_until(page, f"{said}.every(name => name === 'llama-3.2-1b')")
    points = [trace for trace in traces(figure) if "geometry" in trace.get("meta", {})]
    assert points
    assert all("llama-3.2-1b" in text for trace in points for text in trace["hovertext"])
    assert all(len(trace["x"]) == len(trace["y"]) == len(trace["hovertext"]) for trace in points)


def test_a_label_leaves_its_lines_and_its_rows(page):
    choose(page, "label", "before")
    assert set(page.evaluate(ROWS_BY_FACET, "label")) == {"before"}
    wait_for_names(page, "latency", ["GQA · before", "MLA · before", "MLA (latent) · before"])


def test_choices_hold_together_and_reset_restores_everything(page):
    every, drawn = seen(page), names(figure_of(page, "latency"))
    assert page.locator(".filters button").is_disabled()
    choose(page, "variant", "MLA")
    choose(page, "label", "after")
    wait_for_names(page, "latency", ["MLA · after"])
    reset(page)
    assert seen(page) == every
    wait_for_names(page, "latency", drawn)


def test_a_section_without_a_match_says_so_in_a_line(page):
    choose(page, "geometry", "tiny")
    section = page.locator("#latency")
    assert section.get_by_text("Nothing here matches the filters.").is_visible()
    assert section.locator("figure:visible, .table:visible, .explanation:visible").count() == 0
    assert page.locator("#coverage").get_by_text("it broke").first.is_visible()
    assert page.locator("#cache figure").first.is_visible()


def test_rows_found_by_typing_are_filtered_too(page):
    choose(page, "variant", "MLA")
    table = page.locator("#roofline .table").first
    table.evaluate("table => (table.open = true)")
    table.locator("input").fill("llama")
    both = table.locator("tbody tr").all_inner_texts()
    assert both
    assert all("llama" in text and "MLA" in text and "latent" not in text for text in both)


def test_what_is_left_of_a_figure_keeps_its_scale_and_its_ticks(page):
    figure = figure_of(page, "latency")
    spread = "document.querySelector('#latency .plot')._fullLayout.yaxis.range"
    wait_until(page, "document.querySelector('#latency .plot').data.length === 6")
    before = page.evaluate(spread)
    choose(page, "variant", "MLA")
    wait_for_names(page, "latency", ["MLA · after", "MLA · before"])
    assert page.evaluate(spread) == pytest.approx(before, abs=0.2)
    assert figure.locator(".ytick").count() > 1


def test_bars_that_are_gone_leave_no_names(open_page, tmp_path):
    forms = [
        build(attention=attention, backend=backend, provenance={"backend": backend})
        for attention, backend in (("mla", "sdpa"), ("mla", "eager"), ("mla_latent", "sdpa"))
    ]
    page = open_page(written(tmp_path, ("forms", forms)))
    figure_of(page, "callstyle")
    choose(page, "variant", "MLA")
    names_shown = "[...document.querySelectorAll('#callstyle .ytick')].map(tick => tick.textContent).sort()"
    wait_until(page, f"String({names_shown}) === 'MLA · eager,MLA · sdpa'")
