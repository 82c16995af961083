"""The page as a whole, on a desk and on a phone, in light and dark. What it asks of the network and what fails in it is
watched in every test (conftest.py)."""

import pytest

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.looking import EVERY_RESULT, figure_of, saved_rows, shown, table_of, traces, wait_until

each_way = pytest.mark.parametrize(
    ("width", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")]
)


@each_way
def test_figures_are_drawn_when_near_and_nothing_is_too_wide(open_page, ordinary, width, scheme):
    page = open_page(ordinary, width=width, scheme=scheme)
    assert page.locator(".plot .main-svg").count() < page.locator(".plot").count()
    for place in range(page.locator("#memory figure").count()):
        figure_of(page, "memory", place)
    page.evaluate("document.querySelectorAll('details').forEach(details => (details.open = true))")
    table = table_of(page, "latency", EVERY_RESULT)
    table.locator("th button", has_text="Median").click()
    assert table.locator("th[aria-sort=ascending]").inner_text() == "Median"
    rows, _ = saved_rows(page, figure_of(page, "latency").locator(".head button"))
    assert len(rows) > 1
    page.locator(".filters select[name=variant]").select_option("MLA")
    assert page.locator(".filters output").inner_text().endswith(" rows")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_bar_stays_in_sight_on_a_desk_and_not_on_a_phone(open_page, ordinary):
    for width, stays in ((DESKTOP, True), (PHONE, False)):
        page = open_page(ordinary, width=width)
        page.evaluate("scrollTo({ top: 3000, behavior: 'instant' })")
        assert (page.locator(".filters").bounding_box()["y"] >= 0) == stays


def test_the_colours_follow_the_setting_while_the_page_is_open(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    before = figure.locator(".plot").evaluate("plot => plot.layout.font.color")
    page.emulate_media(color_scheme="dark")
    wait_until(page, "before => document.querySelector('#latency .plot').layout.font.color !== before", arg=before)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_a_hidden_line_stays_hidden_when_the_colours_change(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    figure.locator(".legendtoggle").first.click()
    wait_until(page, "document.querySelector('#latency .plot').data[0].visible === 'legendonly'")
    page.emulate_media(color_scheme="dark")
    wait_until(page, "document.querySelector('#latency .plot').layout.font.color === '#e4e7eb'")
    state = figure.locator(".plot").evaluate("plot => plot._fullData.map(trace => trace.visible)")
    assert state[0] == "legendonly"
    assert set(state[1:]) == {True}


def test_a_print_has_every_figure_and_open_table_and_no_tools(open_page, ordinary):
    page = open_page(ordinary)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".plot:not(:has(.main-svg))").count() == 0
    assert page.locator("main details:not([open])").count() == 0
    assert page.locator(".more:not([hidden])").count() == 0
    for tools in (".filters", ".tools", "nav", ".views", ".head button"):
        assert not page.locator(tools).first.is_visible()


def test_printing_draws_what_the_filters_leave(open_page, ordinary):
    page = open_page(ordinary)
    page.locator(".filters select[name=phase]").select_option("prefill")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    drawn = shown(page, "#latency figure")
    assert 0 < drawn.count() < page.locator("#latency figure").count()
    assert drawn.locator(".main-svg").count() >= drawn.count()


def test_without_decompression_the_tables_still_answer(open_page, ordinary):
    page = open_page(ordinary, script="delete window.DecompressionStream")
    assert page.get_by_text("This browser cannot unpack the figures").first.is_visible()
    table_of(page, "latency", EVERY_RESULT).locator("th button").first.click()
    assert page.locator("th[aria-sort]").count() == 1


def test_the_page_runs_no_script_but_its_own(open_page, ordinary, watch):
    page = open_page(ordinary)
    page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'window.pwned = 1';"
        " document.head.append(one); }"
    )
    assert page.evaluate("window.pwned") is None
    assert "Content Security Policy" in watch.complaints.pop()


def test_a_view_is_switched_by_its_button(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    layer = traces(figure)[0]["y"]
    kernel = figure.locator(".views button", has_text="Kernel")
    kernel.click()
    wait_until(page, "y => document.querySelector('#latency .plot').data[0].y[0] !== y", arg=layer[0])
    assert kernel.get_attribute("aria-pressed") == "true"
    assert traces(figure)[0]["y"] == pytest.approx([0.4 * value for value in layer], rel=1e-4)


def test_the_legend_hides_a_line_and_shows_one_alone(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    plot = "document.querySelector('#latency .plot')"
    figure.locator(".legendtoggle").first.click()
    wait_until(page, f"{plot}.data[0].visible === 'legendonly'")
    figure.locator(".legendtoggle").nth(1).dblclick()
    wait_until(page, f"{plot}._fullData.every((trace, place) => (trace.visible === true) === (place === 1))")
