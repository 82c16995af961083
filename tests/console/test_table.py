"""A table has no line that is wider than it may be, and no number that is broken."""

import pytest

from suite.console import table
from suite.console.table import ConsoleColumn, fits, row_lines, status_text, table_lines
from tools.hostile.texts import TEXTS, harmful

COLUMNS = (
    ConsoleColumn(title="setting", cells=["short", "a long text of many words that can be folded"]),
    ConsoleColumn(title="status", cells=["ok", "failed"], is_status=True),
    ConsoleColumn(title="layer", cells=["1.49 ms ±7.4%", "12.0 ms ±10.2%"], is_number=True),
    ConsoleColumn(title="kernel", cells=["596 µs ±7.4%", "-"], is_number=True, rank=1),
    ConsoleColumn(title="cache", cells=["1.12 KiB", "-"], is_number=True, rank=2),
)


@pytest.mark.parametrize("width", range(30, 100, 7))
def test_no_line_is_wider_and_no_number_broken(width):
    lines = table_lines(COLUMNS, width=width)
    assert max(map(len, lines)) <= width
    assert any("12.0 ms ±10.2%" in line for line in lines)


def test_columns_go_by_their_rank_and_are_named():
    assert "no room" not in table_lines(COLUMNS, width=None)[-1]
    assert table_lines(COLUMNS, width=90)[-1] == "(not shown: cache)"
    assert table_lines(COLUMNS, width=60)[-1] == "(not shown: kernel, cache)"
    assert fits(COLUMNS, None)
    assert not fits(COLUMNS, 60)


def test_a_rows_last_cell_is_folded_below_itself():
    first, *rest = row_lines(["[1/2]", "mla", status_text("ok", behind="  word" * 20)], [5, 9], width=60, colour=False)
    assert first.startswith("[1/2]  mla        ok  word")
    assert rest
    assert all(line.startswith(" " * 18) and len(line) <= 60 for line in rest)


def test_only_a_terminal_with_colour_gets_colour():
    assert any("\x1b[32mok" in line for line in table_lines(COLUMNS, width=90, colour=True))
    assert not any("\x1b" in line for line in table_lines(COLUMNS, width=90))


def test_markup_and_control_characters_do_nothing():
    texts = [text for text in TEXTS if "::" not in text and "##" not in text] + ["[red]x[/red]", ":smile:"]
    lines = table_lines(
        [ConsoleColumn(title="x", cells=texts), ConsoleColumn(title="[b]", cells=texts, is_number=True)], width=None
    )
    assert harmful("\n".join(lines)) == []
    assert "[red]x[/red]" in "".join(lines)
    assert ":smile:" in "".join(lines)


@pytest.mark.parametrize("colour", [True, False])
def test_what_needs_no_folding_stands_as_rich_has_it(colour, monkeypatch):
    columns = [
        ConsoleColumn(title="run", cells=["a\u200b", "中文", "👍 b"], is_name=True),
        ConsoleColumn(title="status", cells=["ok", "failed", ""], is_status=True),
        ConsoleColumn(title="n", cells=["1 ", "", "1,000"], is_number=True),
        ConsoleColumn(title="why", cells=["", "[b]x[/b]", " a word"]),
    ]
    lines = table_lines(columns, width=None, colour=colour)
    monkeypatch.setattr(table, "fits", lambda columns, width: width is None)
    assert lines == table_lines(columns, width=None, colour=colour)
    assert fits(columns, None)
