"""A figure's CSV holds what its view shows: a row a point, under the names of its axes."""

import re

import pytest

from tests.browser.looking import choose, figure_of, saved_rows, tool, traces, wait_for_names


def csv_of(figure):
    (header, *rows), name = saved_rows(figure.page, tool(figure, "CSV"))
    return [dict(zip(header, row, strict=True)) for row in rows], name


def test_a_lines_points_have_their_interval_and_their_text(open_page, ordinary):
    figure = figure_of(open_page(ordinary), "latency")
    rows, name = csv_of(figure)
    assert name.startswith("latency-")
    assert name.endswith("-whole-layer.csv")
    assert list(rows[0]) == ["Series", "Context (tokens)", "Median latency, thread CPU time", "Low", "High", "Text"]
    first = traces(figure)[0]
    assert [row["Series"] for row in rows][: len(first["x"])] == [first["name"]] * len(first["x"])
    assert [float(row["Median latency, thread CPU time"]) for row in rows][: len(first["y"])] == first["y"]
    for row in rows:
        assert float(row["Low"]) <= float(row["Median latency, thread CPU time"]) <= float(row["High"])
        assert row["Text"].startswith(f"{int(row['Context (tokens)']):,} tokens: ")


def test_the_view_shown_is_saved_with_the_choices_applied(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    figure.locator(".switch button", has_text="Kernel").click()
    choose(page, "variant", "MLA")
    left = [name for name in ("MLA · before", "MLA · after", "MLA") if name in names_in(figure)]
    wait_for_names(page, left)
    rows, name = csv_of(figure)
    assert name.endswith("-kernel.csv")
    assert {row["Series"] for row in rows} == set(left)


def names_in(figure):
    return {trace["name"] for trace in traces(figure)}


def test_a_maps_cells_have_row_column_and_value(open_page, ordinary):
    figure = figure_of(open_page(ordinary), "signmap")
    rows, _ = csv_of(figure)
    cells = [trace for trace in traces(figure) if trace["type"] == "heatmap"]
    assert len(rows) == sum(value is not None for trace in cells for line in trace["z"] for value in line)
    _, column, ratio, text = rows[0].values()
    assert column in cells[0]["x"]
    assert float(ratio) == pytest.approx(float(re.search(r"([\d.]+)×", text)[1]), rel=0.05)


def test_a_figures_picture_is_saved_as_png(open_page, ordinary):
    figure = figure_of(open_page(ordinary), "latency")
    with figure.page.expect_download() as download:
        tool(figure, "Picture").click()
    assert download.value.suggested_filename.endswith("-whole-layer.png")
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
