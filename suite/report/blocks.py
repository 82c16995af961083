"""Blocks of a section: texts, figures and tables. Nothing here is in a language: a sentence is a key of
suite/texts/report/ and the values that fill it in, and page/texts.py renders it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Say:
    """A sentence that has yet to be rendered in a language."""

    key: str
    fields: tuple[tuple[str, object], ...] = ()
    otherwise: "Text | None" = None
    """Stands for a key that no language has: a name from a record that we do not know."""

    def __str__(self) -> str:
        raise TypeError(f"{self.key} is no text before page/texts.py has rendered it")


@dataclass(frozen=True)
class Joined:
    """Texts one after the other, as a language joins the parts of a list, or sentences."""

    by: str
    """One of PUNCTUATION, or what stands between them in every language."""
    parts: tuple["Text", ...]

    def __str__(self) -> str:
        raise TypeError("joined texts are no text before page/texts.py has rendered them")


Text = str | Say | Joined
Facets = Mapping[str, Text | Sequence[Text]]
"""The subject of a block, by `labels.FACETS`: a text, or all texts that hold for it."""
PUNCTUATION = ("list", "notes", "sentence")
"""Ways to join parts that each language has of its own."""


def say(key: str, **fields: object) -> Say:
    """Return the sentence under `key`, to be filled in with texts and plain values."""
    return Say(key, tuple(fields.items()))


def say_or(key: str, otherwise: Text) -> Text:
    """Return the sentence under `key`, or `otherwise` for a name from a record that we do not know; of none nothing."""
    return Say(key, otherwise=otherwise) if otherwise else ""


def joined(by: str, parts: Iterable[Text]) -> Text:
    """Join texts by the `punctuation` of a language (list, notes, sentence) or by a mark; without empty ones."""
    kept = tuple(part for part in parts if part != "")
    if by not in PUNCTUATION and all(isinstance(part, str) for part in kept):
        return by.join(map(str, kept))
    return kept[0] if len(kept) == 1 else Joined(by, kept) if kept else ""


def dotted(*parts: Text) -> Text:
    """Join the parts of a title or a name."""
    return joined(" · ", parts)


LONGEST_TITLE = 90
"""Characters that a title or a headline stays below, in every language."""


class Kind(StrEnum):
    """The way in which a column's cells are set."""

    TEXT = "text"
    NUMBER = "number"
    CODE = "code"
    """A short identifier."""
    CASE = "case"
    """A case's id: an identifier that takes several lines."""
    LONG = "long"
    """Sentences."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head of a column."""

    title: Text
    kind: Kind = Kind.TEXT
    facet: str = ""
    """One of `labels.FACETS`, where a cell is what its row is about."""


@dataclass(frozen=True, kw_only=True)
class Table:
    title: Text
    columns: Sequence[Head]
    rows: Sequence[Sequence[Text]]
    note: Text = ""
    settings: Text = ""
    """The settings that tell it from tables of the same title."""
    folded: bool = False
    """Shown as a line that opens: for a table beside a more important one."""
    facets: Mapping[str, Text] = field(default_factory=dict)
    """The subject of every row."""
    row_facets: Sequence[Facets] = ()
    """For each row the facets that no column of its own says."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One state of a figure: plotly data and layout, as plain data. Colours of text and grid are the page's."""

    title: Text
    figure: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figure:
    title: Text
    caption: Text
    """One plain sentence that says what the figure shows."""
    views: Sequence[View]
    height_px: int
    wide: bool = False
    settings: Text = ""
    """The settings that tell it from figures of the same title."""
    facets: Mapping[str, Text] = field(default_factory=dict)
    """The subject of every view; a trace says the rest in its `meta`."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A finding of a section, for the top of the page."""

    text: Text
    """The point, in fewer than LONGEST_TITLE characters."""
    detail: Text = ""
    """The numbers behind it, with their conditions."""


@dataclass(frozen=True, kw_only=True)
class Section:
    id: str
    title: Text
    explanation: Text
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    headlines: Sequence[Headline] = ()


def section(
    id: str,
    *,
    explanation: Text | None = None,
    figures: Iterable[Figure | None] = (),
    tables: Iterable[Table | None] = (),
    headlines: Iterable[Headline | None] = (),
) -> Section:
    """Lay out a section, whose title and explanation stand under its id in the texts. What is empty is left out."""
    return Section(
        id=id,
        title=say(f"{id}.title"),
        explanation=say(f"{id}.explanation") if explanation is None else explanation,
        figures=[figure for figure in figures if figure is not None and figure.views],
        tables=[table for table in tables if table is not None and table.rows],
        headlines=[headline for headline in headlines if headline is not None],
    )
