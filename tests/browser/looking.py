"""What a test looks at in an open page."""

import csv
import io

PATIENCE_MS, PAUSE_MS = 5000, 25
EVERY_RESULT = 1
"""The place in a section, where several results stand side by side first, of the table with a row for each."""


def wait_until(page, expression, arg=None):
    """Playwright's own wait_for_function evaluates text inside the page, which the page's policy forbids."""
    for _ in range(PATIENCE_MS // PAUSE_MS):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(PAUSE_MS)
    raise AssertionError(f"never true within {PATIENCE_MS} ms: {expression}")


def saved_rows(page, button):
    """The rows of the CSV file that a button saves, and the file's name."""
    with page.expect_download() as download:
        button.click()
    text = download.value.path().read_bytes().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""))), download.value.suggested_filename


def column(table, title):
    """The cells of a column that are shown, by its title."""
    titles = table.locator("th").all_inner_texts()
    return table.locator(f"tbody td:nth-child({titles.index(title) + 1})").all_text_contents()


def table_of(page, section, place=0):
    """A table that is shown, opened where it was folded."""
    table = page.locator(f"#{section} .table").nth(place)
    table.evaluate("table => { if ('open' in table) table.open = true; }")
    return table


def tool(table, text):
    return table.locator(".tools button", has_text=text)


def figure_of(page, section, place=0):
    """A figure, once it is drawn."""
    figure = page.locator(f"#{section} figure").nth(place)
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for(state="attached")
    return figure


def traces(figure):
    """What is drawn, as plotly holds it."""
    return figure.locator(".plot").evaluate("plot => plot.data")


def names(figure):
    return [trace["name"] for trace in traces(figure)]


def wait_for_names(page, section, expected):
    """Until these traces are drawn, and no others: a figure is drawn anew some moments after a choice."""
    figure_of(page, section)
    drawn = f"document.querySelector('#{section} .plot').data.map(trace => trace.name)"
    wait_until(page, f"expected => String({drawn}) === String(expected)", expected)


def choose(page, facet, value):
    page.locator(f".filters select[name={facet}]").select_option(value)


def shown(page, selector):
    """The elements that are not hidden, folded tables included."""
    return page.locator(f"{selector}:not([hidden])")
