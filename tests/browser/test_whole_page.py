"""The page as a whole, on a desk and on a phone, in light and dark. What it asks of the network and what fails in it is
watched in every test (conftest.py)."""

import pytest

from suite.report.page.page import OWN_TRACES
from tests.browser.conftest import CATCH_CLIPBOARD, DESKTOP, PHONE
from tests.browser.looking import figure_of, go, section, sections, table_of, wait_until

TALLEST_PX, MOST_NODES, MOST_WORDS = 6000, 10_000, 150
WORDS_BEFORE_A_FIGURE = """() => {
  const figure = document.querySelector("#main figure");
  if (!figure) return 0;
  const range = document.createRange();
  range.setStart(document.querySelector("#main"), 0);
  range.setEndBefore(figure);
  const before = range.cloneContents();
  before.querySelectorAll("option").forEach((option) => option.remove());
  return before.textContent.split(/\\s+/).filter(Boolean).length;
}"""
SCROLLS_WITHOUT_A_SIGN = """() => [...document.querySelectorAll(".scroll")].filter(
  (box) => box.scrollWidth > box.clientWidth + 1 && !box.parentElement.hasAttribute("data-right")).length"""


@pytest.mark.parametrize(
    ("width", "scheme", "lang"),  # each pair of them together
    [(DESKTOP, "light", "en"), (DESKTOP, "dark", "zh"), (PHONE, "light", "zh"), (PHONE, "dark", "en")],
)
def test_no_view_is_too_tall_too_wide_or_too_wordy(open_page, ordinary, width, scheme, lang):
    page = open_page(ordinary, width=width, scheme=scheme)
    assert page.evaluate("document.querySelectorAll('*').length") < MOST_NODES
    for view, name in [*sections(page), ("answers", ""), ("decide", ""), ("trust", "runs")]:
        go(page, f"{view}/{name}?lang={lang}" if name else f"{view}?lang={lang}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate(WORDS_BEFORE_A_FIGURE) <= MOST_WORDS, name
        assert page.evaluate("document.querySelectorAll('*').length") < MOST_NODES, name
        if width == DESKTOP:
            assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST_PX, name
        page.evaluate("document.querySelectorAll('main details').forEach(details => (details.open = true))")
        wait_until(page, "!document.querySelector('details.table:not(:has(table))')")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        wait_until(page, f"({SCROLLS_WITHOUT_A_SIGN})() === 0")


def test_each_view_has_an_address_and_the_back_button_leads_back(open_page, ordinary):
    page = open_page(ordinary)
    for name in ("Decide", "Speed", "Memory", "Trust"):
        page.locator(".views a", has_text=name).click()
        wait_until(page, "name => document.querySelector('.views [aria-current]').textContent === name", name)
        assert page.evaluate("location.hash").startswith(f"#/{name.lower()}")
    page.go_back()
    wait_until(page, "document.querySelector('.views [aria-current]').textContent === 'Memory'")
    page.go_back()
    wait_until(page, "document.querySelector('.views [aria-current]').textContent === 'Speed'")


@pytest.mark.parametrize("address", ["#/nowhere/at/all", "#/%", "#/%E0%A4%A?lang=constructor", "#/?lang=__proto__"])
def test_an_address_of_nothing_shows_the_answers(open_page, ordinary, address):
    page = open_page(ordinary, address=address)
    assert page.locator(".views [aria-current]").inner_text() == "Answers"
    assert page.locator("html").get_attribute("lang") == "en"


def test_language_and_theme_are_switched_and_last(open_page, ordinary):
    page = open_page(ordinary)
    page.locator(".switches button", has_text="中文").click()
    wait_until(page, "document.documentElement.lang === 'zh-CN'")
    page.locator(".switches button").last.click()
    wait_until(page, "document.documentElement.dataset.theme === 'dark'")
    page.locator(".views a").nth(2).click()
    wait_until(page, "document.querySelector('#section-latency') !== null")
    assert page.evaluate("location.hash") == "#/speed?lang=zh&theme=dark"
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_a_copied_link_leads_to_the_figure_as_it_is(open_page, ordinary):
    page = open_page(ordinary, script=CATCH_CLIPBOARD)
    figure = figure_of(page, "latency", 0)
    page.locator(".choices select[name=dtype]").select_option("float32")
    figure.locator(".tools button", has_text="Link").click()
    wait_until(page, "window.copied")
    address = page.evaluate("window.copied")
    assert address.startswith("file://")
    again = open_page(ordinary, address="#" + address.split("#")[1])
    assert again.locator(".choices select[name=dtype]").input_value() == "float32"
    assert again.evaluate("decodeURIComponent(location.hash)").split("?")[0].endswith(f"/{figure.get_attribute('id')}")


def test_a_hidden_line_stays_hidden_when_the_colours_change(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    figure.locator(".legendtoggle").first.click()
    wait_until(page, "document.querySelector('#main .plot').data[0].visible === 'legendonly'")
    page.emulate_media(color_scheme="dark")
    wait_until(page, "document.querySelector('#main .plot').layout.font.color === '#e4e7eb'")
    state = figure.locator(".plot").evaluate("plot => plot._fullData.map(trace => trace.visible)")
    assert state[0] == "legendonly"
    assert set(state[1:]) == {True}


def test_a_print_has_every_figure_what_was_opened_and_no_tools(open_page, ordinary):
    page = open_page(ordinary)
    opened = table_of(page, "latency")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    wait_until(page, "document.querySelectorAll('.plot:not(:has(.main-svg))').length === 0")
    assert page.locator("main details.table[open]").count() == 1
    assert opened.locator("tbody").is_visible()
    for tools in (".choices", ".tools", "nav", ".switch"):
        assert not page.locator(tools).first.is_visible()


def test_without_decompression_the_page_says_so(watch, ordinary):
    page = watch.open(ordinary, script="delete window.DecompressionStream", is_whole=False)
    page.get_by_text("This browser cannot unpack the page").wait_for()


def test_the_page_runs_no_script_but_its_own(open_page, ordinary, watch):
    page = open_page(ordinary)
    page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'window.pwned = 1';"
        " document.head.append(one); }"
    )
    assert page.evaluate("window.pwned") is None
    assert "Content Security Policy" in watch.take_complaint()


def test_a_page_without_records_says_how_to_make_some(open_page, tmp_path):
    from suite.report.command import report

    (tmp_path / "results").mkdir()
    path, _ = report([tmp_path / "results"], [], out=tmp_path / "page.html")
    page = open_page(path)
    assert page.get_by_text("suite demo").is_visible()
    go(page, "quality")
    assert page.get_by_text("These records hold nothing about this.").is_visible()


def test_the_keyboard_alone_leads_everywhere(open_page, ordinary):
    page = open_page(ordinary)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator(".views a").nth(2).focus()
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelector('#section-latency') !== null")
    page.locator(".choices select").first.focus()
    page.keyboard.press("ArrowDown")
    wait_until(page, "location.hash.includes('?')")
    summary = page.locator("details.table summary").first
    summary.focus()
    page.keyboard.press("Enter")
    page.locator("details.table[open] table").first.wait_for(state="visible")
    page.locator("details.table[open] th button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort=ascending]").count() == 1


def test_figures_out_of_sight_are_drawn_without_scrolling(open_page, ordinary):
    page = open_page(ordinary)
    page.set_viewport_size({"width": PHONE, "height": 50})
    section(page, "latency")
    wait_until(page, "document.querySelector('.plot .main-svg')")
    assert page.evaluate("[scrollY, document.querySelector('.plot').getBoundingClientRect().top > 500]") == [0, True]


def test_the_small_plotly_draws_all_that_it_is_taken_for(open_page, ordinary):
    page = open_page(ordinary)
    figure_of(page, "latency")
    assert set(page.evaluate("Object.keys(Plotly.PlotSchema.get().traces)")) >= OWN_TRACES
