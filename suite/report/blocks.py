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
PUNCTUATION = ("list", "and", "notes", "stop", "sentence")  # ways to join parts that each language has of its own


def say(key: str, **fields: object) -> Say:
    """The sentence under `key`, to be filled in with texts and plain values."""
    return Say(key, tuple(fields.items()))


def say_or(key: str, otherwise: Text) -> Text:
    """The sentence under `key`, or `otherwise` for a name from a record that we do not know; of none nothing."""
    return Say(key, otherwise=otherwise) if otherwise else ""


def joined(by: str, parts: Iterable[Text]) -> Text:
    """Join texts by one of PUNCTUATION, as a language has it, or by a mark; without empty ones."""
    texts = tuple(part for part in parts if part != "")
    if by not in PUNCTUATION and all(isinstance(text, str) for text in texts):
        return by.join(map(str, texts))
    return texts[0] if len(texts) == 1 else Joined(by, texts) if texts else ""


def dotted(*parts: Text) -> Text:
    """Join the parts of a title or a name."""
    return joined(" · ", parts)


LONGEST_TITLE = 90  # characters that a title or a headline stays below, in every language


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
    family: Text = ""
    """The title of tables that differ in their subject alone; a reader sees one, and chooses."""
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
    family: Text = ""
    """The title of figures that differ in their subject alone; a reader sees one, and chooses."""
    finding: Text = ""
    """One sentence with what it shows of these records, the number in it; its headline. Empty where nothing is told."""
    source: Text = ""
    """The origin of its numbers, where no run stands behind it."""
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


class Badge(StrEnum):
    """The place where a verdict's numbers come from."""

    HERE = "here"
    """Measured on the machine that wrote the page."""
    ELSEWHERE = "elsewhere"
    """Measured on another machine."""
    PROJECTED = "projected"
    """Computed: no machine ran it."""


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The one number of a verdict, with what a small figure draws of it."""

    about: Text
    """The quantity and the case, in one short phrase."""
    written: Text
    """The number as people read it."""
    interval: Text = ""
    """Its 95 % interval as people read it; empty where nothing varies."""
    count: Text = ""
    """The number of its pairs, seeds or launches, with the word for them."""
    value: float
    ends: tuple[float, float] | None = None
    neutral: float = 0.0
    """The value that says neither way: 0 of a difference, 1 of a ratio, whose axis is logarithmic."""
    link: Mapping[str, Text] = field(default_factory=dict)
    """Facets with which its section shows the number, such as those of the figure or table that holds it."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A claim of the article beside what records say of it."""

    id: str
    claim: Text
    outcome: str
    """One of suite.report.answers.claims.Standing."""
    word: Text
    """The verdict, in a word or with what it depends on."""
    badge: Badge | None = None
    """None where nothing was measured."""
    machine: Text = ""
    lead: Lead | None = None
    flips: Text = ""
    """The settings or sizes from which the verdict is another."""
    answer: Text = ""
    """The verdict as an answer to the claim's question; empty where the word says it."""
    evidence: Sequence[Text] = ()
    """The numbers behind it, a sentence each."""
    rule: Text = ""
    """The rule by which it was decided, in a sentence or two."""
    supporting: Sequence[Text] = ()
    """The literature's evidence for the claim, each with its source."""
    opposing: Sequence[Text] = ()
    """Against it, or qualifying it."""
    commands: Sequence[str] = ()
    """Commands that measure it again."""
    section: str = ""
    """Id of the section that shows the evidence."""
    elsewhere: "Ruling | None" = None
    """The verdict of the reference records, where this one was measured here."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A question that people come with, and its answer."""

    question: Text
    answer: Text
    """The verdict as an answer to the question."""
    ruling: Ruling


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Runs of one case, or arms of one experiment, the best first."""

    view: str
    """The view with their figures: speed, rl or quality."""
    finding: Text
    """What may be said of the first rows."""
    table: Table
    commands: Sequence[str]
    """Commands that measure them again."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The first view of the page."""

    own: Sequence[Ranking] = ()
    """The person's own runs."""
    cards: Sequence[Card]
    """Questions that records or closed forms answer."""
    rulings: Sequence[Ruling]
    """All claims, in the order of conf/claims.yaml."""
    reproduced: Sequence[Text] = ()
    """How many verdicts of the reference records came out the same on this machine, then each that did not."""


@dataclass(frozen=True, kw_only=True)
class Section:
    id: str
    title: Text
    explanation: Text
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    headlines: Sequence[Headline] = ()
    view: str = ""
    """The view of conf/report.yaml that it stands in; of ours the file says it."""


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
