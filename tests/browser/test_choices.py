"""What is chosen in a section holds for its figures and tables, and stands in the address."""

import pytest

from tests.browser.looking import (
    choose,
    chosen,
    drawn,
    figure_of,
    names,
    section,
    traces,
    wait_for_names,
    wait_until,
)

SUBJECT = "document.querySelector('#main figure .settings').textContent"


@pytest.mark.parametrize("facet", ["geometry", "phase", "dtype"])
def test_a_subject_is_chosen_of_figures_that_differ_in_it(open_page, ordinary, facet):
    page = open_page(ordinary)
    figure_of(page, "latency")
    before, subject = chosen(page, facet), page.evaluate(SUBJECT)
    options = page.locator(f".choices select[name={facet}] option")
    values = options.evaluate_all("options => options.map(option => option.value)")
    other = next(value for value in values if value != before)
    choose(page, facet, other)
    wait_until(page, f"subject => {SUBJECT} !== subject", subject)
    assert f"{facet}={other}" in page.evaluate("location.hash")
    choose(page, facet, before)
    wait_until(page, f"subject => {SUBJECT} === subject", subject)


def test_a_choice_stays_within_its_view(open_page, ordinary):
    page = open_page(ordinary)
    section(page, "latency")
    choose(page, "dtype", "float32")
    hashed = page.evaluate("location.hash")
    page.locator("#sections").get_by_role(
        "link", name="How close does each case come to the limits of its machine?"
    ).click()
    wait_until(page, "document.querySelector('#section-roofline') !== null")
    assert "dtype=float32" in hashed
    assert "dtype=float32" in page.evaluate("location.hash")
    page.locator(".views a", has_text="Trust").click()
    wait_until(page, "!location.hash.includes('dtype')")


def test_the_view_that_is_switched_to_stands_in_the_address(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    layer = traces(figure)[0]["y"]
    figure.locator(".switch button", has_text="Kernel").click()
    wait_until(page, "y => document.querySelector('#main .plot').data[0].y[0] !== y", layer[0])
    assert traces(figure)[0]["y"] == pytest.approx([0.4 * value for value in layer], rel=1e-4)
    again = open_page(ordinary, address=page.evaluate("location.hash"))
    figure = again.locator("figure").first
    drawn(figure)
    assert traces(figure)[0]["y"] == pytest.approx([0.4 * value for value in layer], rel=1e-4)


def test_what_is_left_of_a_figure_keeps_its_scale(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    spread = "document.querySelector('#main .plot')._fullLayout.yaxis.range"
    before, every = page.evaluate(spread), names(figure)
    choose(page, "variant", "MLA")
    left = [name for name in every if name.split(" · ")[0] == "MLA"]
    wait_for_names(page, left)
    assert page.evaluate(spread) == pytest.approx(before, abs=0.2)
    choose(page, "variant", "")
    wait_for_names(page, every)


def test_a_click_pins_the_runs_of_a_point(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    box = figure.locator(".scatterlayer .point").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    card = figure.locator(".pinned")
    card.wait_for(state="visible")
    assert "suite run workload=attention" in card.inner_text()
    card.locator("a").first.click()
    wait_until(page, "location.hash.startsWith('#/trust/run/')")
    page.get_by_text("Command that runs it again").wait_for(state="visible")
