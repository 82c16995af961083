"""Tables as a terminal has room for them: rich lays them out, and what does not fit is left out by its rank."""

import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from suite.machine.plain_text import one_line, say
from suite.records import numbers

# Letters of a line where nobody's terminal says how many fit.
UNBOUNDED = 10_000
GAP = (0, 2, 0, 0)
# Letters of a folded last cell; with fewer the terminal breaks the line itself.
LEAST_ROOM = 25
COLOURS = {"ok": "green", "unsupported": "yellow", "out_of_memory": "yellow"}
BAD = "red"


@dataclass(frozen=True, kw_only=True)
class ConsoleColumn:
    """A column of texts, one a row."""

    title: str
    cells: Sequence[str]
    rank: int = 0
    """The column of the highest rank is left out first where there is no room, and one of rank 0 never."""
    is_number: bool = False
    """Stands to the right, and is never broken."""
    is_name: bool = False
    """Stands to the left, and is never broken."""
    is_status: bool = False


def number_column(
    title: str, values: Iterable[Any], write: Callable[[Any], str] = numbers.count, *, rank: int = 0
) -> ConsoleColumn:
    """A column of numbers, with a dash for None."""
    cells = [numbers.NOTHING if value is None else write(value) for value in values]
    return ConsoleColumn(title=title, cells=cells, rank=rank, is_number=True)


def terminal_width() -> int | None:
    """How many letters a line of standard output has room for; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def has_colour() -> bool:
    """Whether standard output is a terminal whose user wants colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say_folded(*lines: str) -> None:
    """Print sentences, folded where the terminal ends."""
    say(*folded(map(one_line, lines), terminal_width()))


def say_table(columns: Sequence[ConsoleColumn]) -> None:
    say(*table_lines(columns, width=terminal_width(), colour=has_colour()))


def table_lines(columns: Sequence[ConsoleColumn], *, width: int | None, colour: bool = False) -> list[str]:
    """Lay a table out in lines of at most `width` letters; the last says what was left out for it.

    Columns of a rank are left out until the rest fits; texts of what remains are folded, and numbers never are.
    """
    remaining, left_out = list(columns), list[str]()
    while not fits(remaining, width) and any(column.rank for column in remaining):
        least = max(remaining, key=lambda column: column.rank)
        remaining.remove(least)
        left_out.insert(0, one_line(least.title))
    if fits(remaining, width or UNBOUNDED):
        lines = _unfolded_lines(remaining, colour=colour)
    else:
        # Texts are folded, while numbers, names and statuses stay whole.
        table = Table(box=None, padding=GAP, pad_edge=False, header_style="", show_edge=False)
        for column in remaining:
            is_whole = column.is_number or column.is_name or column.is_status
            justify: Literal["right", "left"] = "right" if column.is_number else "left"
            table.add_column(Text(one_line(column.title)), justify=justify, no_wrap=is_whole, overflow="fold")
        texts = [[status_text(c) if each.is_status else Text(one_line(c)) for c in each.cells] for each in remaining]
        for row in zip(*texts, strict=True):
            table.add_row(*row)
        lines = _render_lines(table, width=width, colour=colour)
    return [*lines, *folded([f"(not shown: {', '.join(left_out)})"], width)] if left_out else lines


def fits(columns: Sequence[ConsoleColumn], width: int | None) -> bool:
    """Whether a table has room without folding anything."""
    return width is None or sum(map(_letters, columns)) + GAP[1] * (len(columns) - 1) <= width


def row_lines(cells: Sequence[str | Text], widths: Sequence[int], *, width: int | None, colour: bool) -> list[str]:
    """Lay out a row whose columns but the last are at least `widths` wide; a last cell that is too long is folded."""
    grid = Table.grid(padding=GAP, pad_edge=False)
    for least in widths:
        grid.add_column(min_width=least, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(*(cell if isinstance(cell, Text) else Text(one_line(cell)) for cell in cells))
    room = None if width is None else width - sum(widths) - GAP[1] * len(widths)
    return _render_lines(grid, width=width if room is not None and room >= LEAST_ROOM else None, colour=colour)


def folded(lines: Iterable[str], width: int | None) -> list[str]:
    """Fold sentences between their words; a word that is too long stays whole."""
    if width is None:
        return list(lines)
    wrap = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    return [part for line in lines for part in wrap.wrap(line) or [""]]


def status_text(status: str, behind: str = "") -> Text:
    """A status in its colour, which shows only where there is any."""
    return Text.assemble((one_line(status), COLOURS.get(status, BAD)), behind)


def _letters(column: ConsoleColumn) -> int:
    return max(cell_len(one_line(text)) for text in (column.title, *column.cells))


def _unfolded_lines(columns: Sequence[ConsoleColumn], *, colour: bool) -> list[str]:
    """The lines of a table that has room for all texts, as rich makes them in thirty times the time."""
    padded = []
    for column in columns:
        texts = [one_line(text) for text in (column.title, *column.cells)]
        texts = [text.rstrip() for text in texts] if column.is_number else texts
        width = _letters(column)
        blanks = [" " * (width - cell_len(text)) for text in texts]
        if column.is_status and colour:  # the title has none
            texts[1:] = [Style.parse(COLOURS.get(text, BAD)).render(text) for text in texts[1:]]
        pairs = zip(blanks, texts, strict=True) if column.is_number else zip(texts, blanks, strict=True)
        padded.append(list(map("".join, pairs)))
    return [(" " * GAP[1]).join(row).rstrip() for row in zip(*padded, strict=True)]


def _render_lines(table: Table, *, width: int | None, colour: bool) -> list[str]:
    """The lines of a table in this width, or unbounded without one, with blanks at their ends removed."""
    # It knows neither markup nor the real terminal: rich would else ask that for its width and its colours.
    console = Console(
        file=io.StringIO(),
        width=UNBOUNDED if width is None else width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]
