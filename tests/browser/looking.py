"""What a test looks at in an open page."""

import csv
import io

PATIENCE_MS, PAUSE_MS = 8000, 25
VIEW_OF = "id => Object.entries(JSON.parse(document.getElementById('frame').textContent).views)"
VIEW_OF += ".find(([, sections]) => sections.includes(id))[0]"


def wait_until(page, expression, arg=None):
    """Playwright's own wait_for_function evaluates text inside the page, which the page's policy forbids."""
    for _ in range(PATIENCE_MS // PAUSE_MS):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(PAUSE_MS)
    raise AssertionError(f"never true within {PATIENCE_MS} ms: {expression}")


def go(page, address):
    """Show what an address behind the # names, once it is there."""
    before = page.evaluate("document.querySelector('#main').firstElementChild.dataset.seen = '1'")
    if page.evaluate("address => location.hash === address", f"#/{address}"):
        return
    page.evaluate("address => { location.hash = address; }", f"#/{address}")
    wait_until(page, "seen => document.querySelector('#main').firstElementChild?.dataset.seen !== seen", before)


def section(page, name, query=""):
    """The section of a name, shown."""
    go(page, f"{page.evaluate(VIEW_OF, name)}/{name}{query}")
    return page.locator(f"#section-{name}")


def sections(page):
    """Each section of the page, as view and name."""
    views = page.evaluate("JSON.parse(document.getElementById('frame').textContent).views")
    return [(view, name) for view, names in views.items() for name in names]


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


def table_of(page, name, place=0):
    """A table of a section, opened and with all its columns."""
    table = section(page, name).locator("details.table").nth(place)
    if table.get_attribute("open") is None:
        table.locator("summary").click()
    table.locator("table").wait_for(state="visible")
    more = table.locator(".tools button", has_text="more columns")
    if more.is_visible():
        more.click()
    return table


def tool(block, text):
    """A button below a figure or above a table."""
    return block.locator(".tools button", has_text=text)


def figure_of(page, name, place=0):
    """A figure of a section, once it is drawn."""
    figure = section(page, name).locator("figure:not(.lead)").nth(place)
    drawn(figure)
    return figure


def drawn(figure):
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for(state="attached")


def traces(figure):
    """What is drawn, as plotly holds it."""
    return figure.locator(".plot").evaluate("plot => plot.data")


def names(figure):
    return [trace["name"] for trace in traces(figure)]


def wait_for_names(page, expected):
    """Until the first figure has these traces, and no others: it is drawn anew some moments after a choice."""
    found = "document.querySelector('#main .plot').data?.map(trace => trace.name)"
    wait_until(page, f"expected => String({found}) === String(expected)", expected)


def choose(page, facet, value):
    page.locator(f".choices select[name={facet}]").select_option(value)


def chosen(page, facet):
    return page.locator(f".choices select[name={facet}]").input_value()
