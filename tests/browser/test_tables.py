"""Tables sort by value, filter, and give what is seen to a spreadsheet."""

from pathlib import Path

import pytest

import suite.report
from suite.records import numbers
from tests.browser.conftest import CATCH_CLIPBOARD
from tests.browser.looking import column, saved_rows, table_of, tool, wait_until

VALUES_JS = Path(suite.report.__file__).parent / "page/scripts/values.js"
NO_CLIPBOARD = """
Object.defineProperty(navigator, "clipboard", { value: undefined });
document.addEventListener("copy", () => (window.copied = document.activeElement.value));
"""


def test_every_form_of_a_number_is_read_by_its_value(browser):
    page = browser.new_page()
    page.set_content('<html lang="en">')
    page.add_script_tag(content=VALUES_JS.read_text(encoding="utf-8"))
    amounts = [0.0, 1.2e-9, 3.4e-7, 9.99e-4, 5.13e-3, 0.74, 1.02, 12.0, 999.6, 4096.0, 123456.0]
    forms = {
        writer(amount): amount
        for writer in (numbers.seconds, numbers.times, numbers.percent)
        for amount in amounts
        if amount < 1e3
    }
    forms |= {numbers.bytes_iec(amount * 1024**power): amount * 1024**power for amount in (1, 36) for power in range(5)}
    forms |= {numbers.count(amount): float(f"{amount:.0f}") for amount in amounts}
    forms |= {
        "12.4–12.7 ms": 12.4e-3,
        "0.5–0.8×": 0.5,
        "512–1,024": 512,
        "above 512": 512,
        "-0.5": -0.5,
        "1,234 B": 1234,
    }
    read = page.evaluate("texts => texts.map(valueOf)", list(forms))
    for (text, value), found in zip(forms.items(), read, strict=True):
        # Three digits are written, or two, and at least as many as the smallest unit allows.
        assert found == pytest.approx(value, rel=0.06, abs=1e-9), text
    assert page.evaluate("texts => texts.map(valueOf)", ["–", "", "= warm", "no number"]) == [None] * 4
    page.close()


def test_what_is_unknown_stays_last_either_way(browser):
    page = browser.new_page()
    page.set_content('<html lang="en">')
    page.add_script_tag(content=VALUES_JS.read_text(encoding="utf-8"))
    texts = ["1.02 s", "–", "36 µs", "5.13 ms", "36 µs"]

    def order(**how):
        return page.evaluate("([texts, how]) => sortedIndices(texts, how)", [texts, how])

    assert order(isNumber=True, descending=False) == [2, 4, 3, 0, 1]
    assert order(isNumber=True, descending=True) == [0, 3, 2, 4, 1]
    texts = ["b10", "", "b9", "–"]
    assert order(isNumber=False, descending=False) == [2, 0, 1, 3]
    page.close()


def test_a_header_sorts_up_then_down_and_then_restores(open_page, ordinary):
    table = table_of(open_page(ordinary), "latency")
    before = column(table, "Median")
    header = table.locator("th", has_text="Median").first
    scale = {"µs": 1e-6, "ms": 1e-3}

    def values():
        parts = [text.split()[:2] for text in column(table, "Median")]
        return [float(number.replace(",", "")) * scale[unit] for number, unit in parts]

    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values())
    header.locator("button").press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") is None
    assert column(table, "Median") == before


@pytest.mark.parametrize("script", [CATCH_CLIPBOARD, NO_CLIPBOARD], ids=["clipboard", "no clipboard"])
def test_copy_gives_the_rows_that_are_seen_in_their_order(open_page, ordinary, script):
    page = open_page(ordinary, script=script)
    table = table_of(page, "callstyle")
    every = table.locator("tbody tr").count()
    table.locator("input").fill("llama")
    shown = table.locator("tbody tr").all_inner_texts()
    assert all("llama" in text for text in shown)
    assert table.locator(".tools output").inner_text() == f"{len(shown)} of {every} rows"
    table.locator("th button").nth(1).click()
    tool(table, "Copy").click()
    tool(table, "Copied").wait_for()
    header, *lines = page.evaluate("window.copied").splitlines()
    titles = header.split("\t")
    assert titles == table.locator("th").all_inner_texts()
    assert [line.split("\t")[1] for line in lines] == column(table, titles[1])
    tool(table, "Markdown").click()
    wait_until(page, "window.copied.includes('|')")
    assert "#/speed/callstyle" in page.evaluate("window.copied").splitlines()[-1]


def test_a_tables_file_holds_its_rows_and_is_named_after_it(open_page, ordinary):
    table = table_of(open_page(ordinary), "latency")
    (header, *rows), name = saved_rows(table.page, tool(table, "CSV"))
    assert header == table.locator("th").all_inner_texts()
    assert [row[0] for row in rows] == column(table, header[0])
    assert name.startswith("latency-")


def test_a_wide_table_shows_six_columns_until_asked(open_page, ordinary):
    page = open_page(ordinary, address="#/speed/latency")
    table = page.locator("details.table").first
    table.locator("summary").click()
    table.locator("table").wait_for(state="visible")
    shown = table.locator("th:visible")
    assert shown.count() == 6
    more = tool(table, "more columns")
    hidden = int(more.inner_text().split()[0])
    more.click()
    assert shown.count() == 6 + hidden
    assert not more.is_visible()


def test_a_long_table_shows_its_first_rows_and_all_on_demand(open_page, long):
    page = open_page(long)
    table = table_of(page, "callstyle")
    rows = table.locator("tbody tr")
    assert rows.count() == 200
    more = table.locator(".more")
    every = int(more.inner_text().removeprefix("Show all "))
    saved, _ = saved_rows(page, tool(table, "CSV"))
    assert len(saved) == every + 1
    more.click()
    assert rows.count() == every
    assert not more.is_visible()


def test_the_head_and_the_first_column_stay_in_sight(open_page, ordinary):
    table = table_of(open_page(ordinary, width=390), "callstyle")
    scroll = table.locator(".scroll")
    assert scroll.evaluate("box => box.scrollWidth > box.clientWidth")
    place = "box => [box.querySelector('tbody td'), box.querySelector('th')].map(cell => cell.getBoundingClientRect())"
    before = scroll.evaluate(place)
    scroll.evaluate("box => box.scrollTo(200, 150)")
    after = scroll.evaluate(place)
    assert after[0]["x"] == before[0]["x"]
    assert after[1]["y"] == before[1]["y"]
