"""A figure's CSV holds what its view shows: a row a point, under the names of its axes."""

import re

import pytest

from tests.browser.looking import choose, figure_of, saved_rows, traces


def csv_of(page, figure):
    (header, *rows), name = saved_rows(page, figure.locator(".head button"))
    return [dict(zip(header, row, strict=True)) for row in rows], name


def test_a_lines_points_have_their_interval_and_their_text(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    rows, name = csv_of(page, figure)
    assert name == "latency-deepseek-v2-lite-decode-bfloat16-cpu-whole-layer.csv"
    assert list(rows[0]) == ["Series", "Context (tokens)", "Median latency, thread CPU time", "Low", "High", "Text"]
    first = traces(figure)[0]
    assert [row["Series"] for row in rows][: len(first["x"])] == [first["name"]] * len(first["x"])
    assert [float(row["Median latency, thread CPU time"]) for row in rows][: len(first["y"])] == first["y"]
    for row in rows:
        assert float(row["Low"]) <= float(row["Median latency, thread CPU time"]) <= float(row["High"])
        assert row["Text"].startswith(f"{int(row['Context (tokens)']):,} tokens: ")


def test_the_view_shown_is_saved_with_the_filters_applied(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "latency")
    figure.locator(".views button", has_text="Kernel").click()
    choose(page, "variant", "MLA")
    rows, name = csv_of(page, figure)
    assert name.endswith("-kernel.csv")
    assert {row["Series"] for row in rows} == {"MLA · after", "MLA · before"}


def test_a_maps_cells_have_row_column_and_value(open_page, ordinary):
    page = open_page(ordinary)
    figure = figure_of(page, "signmap")
    rows, _ = csv_of(page, figure)
    cells = traces(figure)[0]
    assert len(rows) == sum(value is not None for line in cells["z"] for value in line)
    row, column, ratio, text = rows[0].values()
    assert (row, column) == (cells["y"][0], cells["x"][0])
    assert float(ratio) == pytest.approx(2 ** cells["z"][0][0], rel=1e-3)  # drawn by its logarithm
    assert float(ratio) == pytest.approx(float(re.search(r"([\d.]+)×", text)[1]), rel=0.05)


def test_bars_have_their_name_and_no_row_is_made_of_decoration(open_page, ordinary):
    page = open_page(ordinary)
    rows, _ = csv_of(page, figure_of(page, "cache"))
    assert rows[0]["Text"].endswith("KiB")
    assert float(rows[0]["KiB per token"]) == pytest.approx(float(rows[0]["Text"].split()[-2]), rel=0.01)
    rows, _ = csv_of(page, figure_of(page, "roofline"))
    assert all(row["Arithmetic intensity (FLOP/B)"] for row in rows)
