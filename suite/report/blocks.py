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
    otherwise: "Text | None" = None  # stands for a key that no language has: a name from a record that we do not know

    def __str__(self) -> str:
        raise TypeError(f"{self.key} is no text before page/texts.py has rendered it")


@dataclass(frozen=True)
class Joined:
    """Texts one after the other, as a language joins the parts of a list, or sentences."""

    separator: str  # one of PUNCTUATION, or the mark that stands between the parts in every language
    parts: tuple["Text", ...]

    def __str__(self) -> str:
        raise TypeError("joined texts are no text before page/texts.py has rendered them")


Text = str | Say | Joined
Facets = Mapping[str, Text | Sequence[Text]]
"""The subject of a block, by `labels.FACETS`: a text, or all texts that hold for it."""
PUNCTUATION = ("list", "and", "notes", "stop", "sentence")  # ways to join parts that each language has of its own


def say(key: str, **fields: object) -> Say:
    """A sentence for later: the key of a text and the values that fill it in, which may be texts themselves."""
    return Say(key, tuple(fields.items()))


def say_or(key: str, otherwise: Text) -> Text:
    """The sentence under `key`, or the name `otherwise` where no text has that key; empty for an empty name."""
    return Say(key, otherwise=otherwise) if otherwise else ""


def joined(separator: str, parts: Iterable[Text]) -> Text:
    """Join the texts that are not empty, by a mark or as each language joins a `list`, `notes` or a `sentence`."""
    texts = tuple(part for part in parts if part != "")
    if separator not in PUNCTUATION and all(isinstance(text, str) for text in texts):
        return separator.join(map(str, texts))
    return texts[0] if len(texts) == 1 else Joined(separator, texts) if texts else ""


def dotted(*parts: Text) -> Text:
    """Join the parts of a title or a name that are not empty: `MLA · decode`."""
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
    facet: str = ""  # one of `labels.FACETS`, where the cell is a facet of its row


@dataclass(frozen=True, kw_only=True)
class Table:
    title: Text
    columns: Sequence[Head]
    rows: Sequence[Sequence[Text]]
    family: Text = ""  # the title of tables that differ in their subject alone; a reader sees one, and chooses
    note: Text = ""
    settings: Text = ""  # the settings that tell it from tables of the same title
    folded: bool = False  # shown as a line that opens: for a table beside a more important one
    facets: Mapping[str, Text] = field(default_factory=dict)  # the subject of every row
    row_facets: Sequence[Facets] = ()  # for each row the facets that no column shows


@dataclass(frozen=True, kw_only=True)
class View:
    """One state of a figure: plotly data and layout, as plain data. Colours of text and grid are the page's."""

    title: Text
    figure: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figure:
    title: Text
    caption: Text  # one plain sentence that says what the figure shows
    views: Sequence[View]
    height_px: int
    family: Text = ""  # the title of figures that differ in their subject alone; a reader sees one, and chooses
    finding: Text = ""
    """The headline: what these records show, in one sentence with its number; empty where they show nothing clear."""
    source: Text = ""  # where its numbers come from, for a figure without runs
    settings: Text = ""  # the settings that tell it from figures of the same title
    facets: Mapping[str, Text] = field(default_factory=dict)
    """The subject of every view; a trace says the rest in its `meta`."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A finding of a section, for the top of the page."""

    text: Text  # the point, in fewer than LONGEST_TITLE characters
    detail: Text = ""  # the numbers behind it, with their conditions


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

    about: Text  # the quantity and the case, in one short phrase
    written: Text  # the number as people read it
    interval: Text = ""  # its 95% interval as people read it; empty where nothing varies
    count: Text = ""  # the number of its pairs, seeds or launches, with the word for them
    value: float
    ends: tuple[float, float] | None = None
    neutral: float = 0.0  # the value that says neither way: 0 of a difference, 1 of a ratio, whose axis is logarithmic
    link: Mapping[str, Text] = field(default_factory=dict)
    """Facets with which its section shows the number, such as those of the figure or table that holds it."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A claim of the article beside what records say of it."""

    id: str
    claim: Text
    outcome: str  # one of suite.report.answers.claims.Standing
    word: Text  # the verdict, in a word or with what it depends on
    badge: Badge | None = None  # None where nothing was measured
    machine: Text = ""
    lead: Lead | None = None
    card_lead: Lead | None = None  # leads the card in place of `lead`
    flips: Text = ""  # the settings or sizes at which the verdict changes
    peer: Text = ""  # the lead's case as it is computed for a machine that nobody here measured
    answer: Text = ""  # the verdict as an answer to the claim's question; empty where the word says it
    evidence: Sequence[Text] = ()  # the numbers behind it, a sentence each
    rule: Text = ""  # the rule by which it was decided, in a sentence or two
    supporting: Sequence[Text] = ()  # the literature's evidence for the claim, each with its source
    opposing: Sequence[Text] = ()  # the literature against the claim, or qualifying it, each with its source
    commands: Sequence[str] = ()  # commands that measure it again
    section: str = ""  # id of the section that shows the evidence
    beside: "Ruling | None" = None  # the verdict of this machine's records or of all others, whichever did not decide


@dataclass(frozen=True, kw_only=True)
class Card:
    """A question that people come with, and its answer."""

    question: Text
    answer: Text  # the verdict as an answer to the question
    ruling: Ruling


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Runs of one case, or arms of one experiment, the best first."""

    view: str  # the view with their figures: speed, rl or quality
    finding: Text  # a sentence on which rows are best, and how sure that is
    table: Table
    commands: Sequence[str]  # commands that measure them again


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The first view of the page."""

    own: Sequence[Ranking] = ()  # the person's own runs
    cards: Sequence[Card]  # questions that records or closed forms answer
    rulings: Sequence[Ruling]  # all claims, in the order of conf/claims.yaml
    reproduced: Sequence[Text] = ()
    """How many claims agree with the reference records, then which differ and which cannot be told here."""


@dataclass(frozen=True, kw_only=True)
class Section:
    id: str
    title: Text
    explanation: Text
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    headlines: Sequence[Headline] = ()
    leading: int = 0  # figures of its own that stand before the estimates that decide its claims
    claim: str = ""  # the claim of a card whose answer is its first headline
    view: str = ""  # the view of conf/report.yaml that shows it, for a section of another package


def section(
    id: str,
    *,
    explanation: Text | None = None,
    figures: Iterable[Figure | None] = (),
    tables: Iterable[Table | None] = (),
    headlines: Iterable[Headline | None] = (),
    leading: int = 0,
    claim: str = "",
) -> Section:
    """Lay out a section, whose title and, if none is given, explanation stand under its id in the texts.

    Figures without views, tables without rows and blocks that are None are left out.
    """
    return Section(
        id=id,
        title=say(f"{id}.title"),
        explanation=say(f"{id}.explanation") if explanation is None else explanation,
        figures=[figure for figure in figures if figure is not None and figure.views],
        tables=[table for table in tables if table is not None and table.rows],
        headlines=[headline for headline in headlines if headline is not None],
        leading=leading,
        claim=claim,
    )
