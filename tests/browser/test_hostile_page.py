"""A page whose records are hostile runs nothing and sends nothing, whatever a reader does with it."""

import pytest

from tests.browser.conftest import CATCH_CLIPBOARD
from tests.browser.looking import go, saved_rows, sections, table_of, tool, wait_until


def assert_harmless(page):
    assert page.evaluate("window.pwned") is None
    assert page.evaluate(
        "[...document.querySelectorAll('a')].every(link => link.getAttribute('href').startsWith('#/'))"
    )
    assert page.locator("img, iframe, object, [onerror], [onclick]").count() == 0


@pytest.mark.parametrize("records", ["hostile", "two_hundred"])
def test_sorting_choosing_hovering_and_copying_run_nothing(open_page, request, records):
    page = open_page(request.getfixturevalue(records), script=CATCH_CLIPBOARD)
    assert_harmless(page)
    for view, name in [("answers", ""), *sections(page), ("trust", "runs")]:
        go(page, f"{view}/{name}" if name else view)
        page.evaluate("document.querySelectorAll('details').forEach(details => (details.open = true))")
        wait_until(page, "!document.querySelector('details.table:not(:has(table))')")
        page.evaluate("document.querySelectorAll('th button').forEach(button => button.click())")
        plot = page.locator("#main .plot")
        if plot.count():
            plot.first.scroll_into_view_if_needed()
            wait_until(page, "document.querySelector('#main .plot').matches('.empty, :has(.main-svg)')")
            for point in plot.first.locator(".point path, .scatterlayer .point").all()[:2]:
                point.hover(force=True)
                point.click(force=True)
        for select in page.locator(".choices select").all():
            for place in range(min(3, select.locator("option").count())):
                select.select_option(index=place)
        assert_harmless(page)
    go(page, "trust/runs")
    page.locator(".every-run tbody a").first.click()
    page.get_by_text("Command that runs it again").wait_for()
    assert_harmless(page)


def test_no_saved_or_copied_cell_is_a_formula(open_page, hostile):
    page = open_page(hostile, script=CATCH_CLIPBOARD)
    table = table_of(page, "latency")
    tables = [saved_rows(page, button)[0] for button in tool(table, "CSV").all()]
    tool(table, "Copy").click()
    wait_until(page, "window.copied")
    tables.append([line.split("\t") for line in page.evaluate("window.copied").split("\r\n")])
    cells = [cell.strip('"') for rows in tables for row in rows for cell in row]
    assert not any(cell.startswith(("=", "+", "@")) for cell in cells)
    assert any(cell.startswith("'=cmd") for cell in cells)
