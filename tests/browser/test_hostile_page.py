"""A page whose records are hostile runs nothing and sends nothing, whatever a reader does with it."""

import pytest

from tests.browser.looking import figure_of, saved_rows, table_of, tool, wait_until
from tests.browser.test_tables import CATCH_CLIPBOARD


def assert_harmless(page):
    assert page.evaluate("window.pwned") is None
    assert page.locator("a").count() == page.locator("nav a").count()
    assert page.locator("img, iframe, object, [onerror], [onclick]").count() == 0


@pytest.mark.parametrize("records", ["hostile", "two_hundred"])
def test_sorting_filtering_hovering_and_copying_run_nothing(open_page, request, records):
    page = open_page(request.getfixturevalue(records), script=CATCH_CLIPBOARD)
    assert_harmless(page)
    page.evaluate("document.querySelectorAll('details').forEach(details => (details.open = true))")
    page.evaluate("document.querySelectorAll('th button').forEach(button => button.click())")
    assert_harmless(page)
    for place in range(page.locator("figure").count()):
        plot = page.locator("figure .plot").nth(place)
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for(state="attached")
        for point in plot.locator(".point path, .scatterlayer .point").all()[:2]:
            point.hover(force=True)
    assert_harmless(page)
    for select in page.locator(".filters select").all():
        for place in range(1, select.locator("option").count()):
            select.select_option(index=place)
            assert_harmless(page)
        select.select_option(index=0)
    page.evaluate("document.querySelectorAll('.tools button:first-of-type').forEach(button => button.click())")
    assert page.evaluate("window.copied")
    assert_harmless(page)


def test_no_saved_or_copied_cell_is_a_formula(open_page, hostile):
    page = open_page(hostile, script=CATCH_CLIPBOARD)
    table = table_of(page, "latency")
    tables = [saved_rows(page, button)[0] for button in tool(table, "CSV").all()]
    tables += [saved_rows(page, figure_of(page, "latency").locator(".head button"))[0]]
    tool(table, "Copy").click()
    wait_until(page, "window.copied")
    tables.append([line.split("\t") for line in page.evaluate("window.copied").split("\r\n")])
    cells = [cell.strip('"') for rows in tables for row in rows for cell in row]
    assert not any(cell.startswith(("=", "+", "@")) for cell in cells)
    assert any(cell.startswith("'=cmd") for cell in cells)
