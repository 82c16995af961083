"""What a section gives to the page: text, figures and tables, all of it unescaped plain text."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from suite.records import numbers
from suite.report.results import Results
from suite.report.words import Words

MOST_ROWS_OPEN = 16
"""A longer table is a line that opens: the figures have said it already."""


class Kind(StrEnum):
    """How a column's cells are set."""

    TEXT = "text"
    NUMBER = "number"
    CODE = "code"
    """A short identifier."""
    CASE = "case"
    """A case's id: an identifier that takes several lines."""
    LONG = "long"
    """Sentences."""


@dataclass(frozen=True, kw_only=True)
class Column:
    title: str
    kind: Kind = Kind.TEXT
    facet: str = ""
    """One of `facets.FACETS`, where a cell is what its row is about."""


@dataclass(frozen=True, kw_only=True)
class Table:
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str = ""
    folded: bool = False
    """Shown as a line that opens: for a table beside a more important one."""
    facets: Mapping[str, str] = field(default_factory=dict)
    """What every row is about."""
    row_facets: Sequence[Mapping[str, str | Sequence[str]]] = ()
    """For each row what no column of its own says: a text, or all that hold for it."""


def cell(value: float | None, text: Callable[[float], str]) -> str:
    """A number in a table: a dash where it is unknown, or none that can be shown."""
    return numbers.NOTHING if value is None or not math.isfinite(value) else text(value)


@dataclass(frozen=True, kw_only=True)
class View:
    """One state of a figure: plotly data and layout, as plain data. Colours of text and grid are the page's."""

    title: str
    figure: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figure:
    title: str
    caption: str
    """One plain sentence that says what the figure shows."""
    views: Sequence[View]
    height_px: int
    wide: bool = False
    facets: Mapping[str, str] = field(default_factory=dict)
    """What every view of it is about; a trace says the rest by `facets.trace_facets`."""


@dataclass(frozen=True, kw_only=True)
class Section:
    id: str
    title: str
    explanation: str
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


BuildSection = Callable[[Results, Words], Section | None]
"""None where there is nothing to say."""
