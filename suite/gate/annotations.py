"""The answer as GitHub's workflow commands, which become annotations on a commit.

Format: GitHub's documentation, "Workflow commands for GitHub Actions"; what is escaped, and how: `escapeData` and
`escapeProperty` of actions/toolkit, packages/core/src/command.ts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suite.gate.sentences import CUT_SHORT, NOTHING_JUDGED, change, quantity
from suite.gate.short_names import short_names
from suite.gate.verdict import Judgement, Outcome, Verdict
from suite.records.plain_text import obeyed_by_nobody, one_line

LEVELS = {
    "error": (Outcome.BROKEN, Outcome.MISSING, Outcome.SLOWER),
    "warning": (Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE),
    "notice": (Outcome.ACCEPTED, Outcome.UNJUDGED, Outcome.FASTER),
}
MOST_SHOWN = 10
"""GitHub shows as many of each level and step, and drops the others without a word."""
LONGEST_TEXT, ROOM_FOR_COUNT = 4000, 40
DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
PROPERTY = {**DATA, **str.maketrans({":": "%3A", ",": "%2C"})}


@dataclass(frozen=True, kw_only=True)
class Annotation:
    title: str
    text: str


def annotations(judgement: Judgement) -> list[str]:
    """One command a line, errors first. Of more than GitHub shows, the last of a level names those that are left."""
    names = short_names(verdict.case for verdict in judgement.verdicts)
    found = {
        level: [_of(verdict, names[verdict.case]) for verdict in judgement.worst_first if verdict.outcome in outcomes]
        for level, outcomes in LEVELS.items()
    }
    found["error"][:0] = _of_the_whole(judgement)
    found["warning"] += [Annotation(title="gate", text=warning) for warning in judgement.warnings]
    return [_command(level, one) for level, every in found.items() for one in _shown(every)]


def _of(verdict: Verdict, name: str) -> Annotation:
    title = " · ".join(filter(None, [f"{verdict.outcome}: {name}", quantity(verdict)]))
    return Annotation(title=title, text=": ".join(filter(None, [change(verdict), verdict.reason])))


def _of_the_whole(judgement: Judgement) -> list[Annotation]:
    """What makes the answer bad without a verdict that says so."""
    said = [
        *([CUT_SHORT] if judgement.interrupted else []),
        *([NOTHING_JUDGED] if judgement.judged_nothing and not judgement.interrupted else []),
    ]
    return [Annotation(title="gate", text=text) for text in said]


def _shown(every: Sequence[Annotation]) -> Sequence[Annotation]:
    if len(every) <= MOST_SHOWN:
        return every
    rest = every[MOST_SHOWN - 1 :]
    return [*every[: MOST_SHOWN - 1], Annotation(title=f"{len(rest)} more", text=_named(rest))]


def _named(rest: Sequence[Annotation]) -> str:
    """Their titles, or the text of what has none of its own, as far as there is room."""
    text = ""
    for place, one in enumerate(rest):
        name = one.text if one.title == "gate" else one.title
        if len(text) + len(name) > LONGEST_TEXT - ROOM_FOR_COUNT:
            return f"{text}; and {len(rest) - place} others".removeprefix("; ")
        text = f"{text}; {name}" if text else name
    return text


def _command(level: str, one: Annotation) -> str:
    return f"::{level} title={_escaped(one.title, PROPERTY)}::{_escaped(one.text, DATA)}"


def _escaped(text: str, signs: Mapping[int, str]) -> str:
    """Escaped first: a line end is said, and only other characters that move a cursor are taken away."""
    cut = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return obeyed_by_nobody(one_line(cut.translate(signs)))
