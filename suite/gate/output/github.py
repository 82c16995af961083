"""The answer on GitHub: annotations on a commit, and the summary of a job.

Annotations are workflow commands: GitHub's documentation, "Workflow commands for GitHub Actions"; what is escaped, and
how: `escapeData` and `escapeProperty` of actions/toolkit, packages/core/src/command.ts. The summary has all that is not
`same` in a table, and the rest behind a line that opens. GitHub takes none above 1 MiB, and then shows none at all: a
longer one is cut here, and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suite.gate.output.sentences import (
    ACCEPT,
    accept_command,
    advice,
    change,
    compared,
    differences,
    facts,
    meaning,
    most,
    open_questions,
    quantity,
    shared_settings,
    short_names,
    tally,
    values,
    whole,
    why,
)
from suite.gate.verdict import PASSED, Judgement, Outcome, Verdict
from suite.records import numbers
from suite.records.plain_text import in_markdown, obeyed_by_nobody, one_line

LEVELS = {
    "error": (Outcome.BROKEN, Outcome.MISSING, Outcome.SLOWER),
    "warning": (Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE),
    "notice": (Outcome.ACCEPTED, Outcome.UNJUDGED, Outcome.FASTER),
}
MOST_SHOWN = 10
"""Annotations of each level and step that GitHub shows; it drops the others without a word."""
LONGEST_TEXT, ROOM_FOR_COUNT = 4000, 40
DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
PROPERTY = {**DATA, **str.maketrans({":": "%3A", ",": "%2C"})}
MOST_BYTES = 1 << 20
TEXTS = 3
"""Parts of about the same room: the two tables, and the text around them."""
LONGEST_CELL, MOST_LINES = 600, 20
"""Characters of a cell and lines of a list. Escaping makes up to eight bytes of a character, so that the text around
the tables fits too."""
COLUMNS = ("Verdict", "Case", "Quantity", "Change", "Allowed", "Before", "After", "Why")
RULE = "|---|---|---|---:|---:|---:|---:|---|"
WHERE_ALL_STAND = "judgement.json has them all."


def clip_text(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A remark of GitHub on a commit."""

    title: str
    text: str


def annotations(judgement: Judgement) -> list[str]:
    """Return one command a line, errors first. Beyond what GitHub shows, the last of a level names those left out."""
    names = short_names(verdict.case for verdict in judgement.verdicts)
    by_level = {
        level: [
            Annotation(
                title=" · ".join(filter(None, [f"{verdict.outcome}: {names[verdict.case]}", quantity(verdict)])),
                text=why(verdict),
            )
            for verdict in judgement.worst_first
            if verdict.outcome in outcomes
        ]
        for level, outcomes in LEVELS.items()
    }
    if text := whole(judgement):
        by_level["error"].insert(0, Annotation(title="gate", text=text))
    if open_questions(judgement)[0] and judgement.exit_code == PASSED:
        by_level["warning"].insert(0, Annotation(title="gate", text=meaning(judgement)))
    by_level["warning"] += [Annotation(title="gate", text=warning) for warning in judgement.warnings]
    return [
        f"::{level} title={_escaped(annotation.title, PROPERTY)}::{_escaped(annotation.text, DATA)}"
        for level, every in by_level.items()
        for annotation in _fitting(every)
    ]


def _fitting(every: Sequence[Annotation]) -> Sequence[Annotation]:
    if len(every) <= MOST_SHOWN:
        return every
    rest = every[MOST_SHOWN - 1 :]
    return [*every[: MOST_SHOWN - 1], Annotation(title=f"{len(rest)} more", text=_listed(rest))]


def _listed(rest: Sequence[Annotation]) -> str:
    """List their titles, or the text of one without a title of its own, as far as there is room."""
    text = ""
    for place, annotation in enumerate(rest):
        name = annotation.text if annotation.title == "gate" else annotation.title
        if len(text) + len(name) > LONGEST_TEXT - ROOM_FOR_COUNT:
            return f"{text}; and {len(rest) - place} others".removeprefix("; ")
        text = f"{text}; {name}" if text else name
    return text


def _escaped(text: str, signs: Mapping[int, str]) -> str:
    """Escape a text first, so that a line end is kept, and then take away what else moves a cursor."""
    return obeyed_by_nobody(one_line(clip_text(text, LONGEST_TEXT).translate(signs)))


def markdown(judgement: Judgement, most_bytes: int = MOST_BYTES) -> str:
    """Return the whole summary. As UTF-8 each of its tables has at most a third of these bytes."""
    names = short_names(verdict.case for verdict in judgement.verdicts)
    not_same = [verdict for verdict in judgement.worst_first if verdict.outcome is not Outcome.SAME]
    same = [verdict for verdict in judgement.worst_first if verdict.outcome is Outcome.SAME]
    shared = shared_settings(verdict.case for verdict in judgement.verdicts)
    command = accept_command(judgement.worst_first) if advice(judgement) == ACCEPT else ""
    room = most_bytes // TEXTS
    parts = [
        f"## Performance gate: {meaning(judgement)}",
        f"{_text(compared(judgement))}: **{tally(judgement)}** (exit code {judgement.exit_code}).",
        f"Every case: {_text(shared)}" if shared else "",
        _table(not_same, names, room) if not_same else "",
        # Markdown inside HTML is read as such behind an empty line.
        f"<details><summary>{len(same):,} same</summary>\n\n{_table(same, names, room)}\n\n</details>" if same else "",
        _lines("Warnings", judgement.warnings),
        _lines("What differs around them", [f"{name}: {old} → {new}" for name, old, new in differences(judgement)]),
        _lines("Judged with", facts(judgement)),
        f"{_text(advice(judgement))} {_text(command)}".rstrip(),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(verdicts: Sequence[Verdict], names: Mapping[str, str], room: int) -> str:
    """As many rows as there is room for, in bytes, and a sentence on the others."""
    rows = []
    for verdict in verdicts:
        row = _row(verdict, names[verdict.case])
        room -= len(row.encode()) + 1
        if room < 0:
            break
        rows.append(row)
    left_out = len(verdicts) - len(rows)
    note = f"\n\n{left_out:,} more rows are left out, since GitHub takes no longer text; {WHERE_ALL_STAND}"
    return "\n".join([_cells(COLUMNS), RULE, *rows]) + (note if left_out else "")


def _row(verdict: Verdict, name: str) -> str:
    reasons = "; ".join([verdict.reason, *verdict.notes])
    texts = [name, quantity(verdict), change(verdict), most(verdict), *values(verdict), reasons]
    is_calm = verdict.outcome in (Outcome.SAME, Outcome.NEW)
    outcome = str(verdict.outcome) if is_calm else f"**{verdict.outcome}**"
    return _cells([outcome, *(_text(text) or numbers.NOTHING for text in texts)])


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    return in_markdown(clip_text(text, LONGEST_CELL))


def _lines(title: str, texts: Sequence[str]) -> str:
    listed = [f"- {_text(text)}" for text in texts[:MOST_LINES]]
    more = [f"- and {len(texts) - MOST_LINES:,} more; {WHERE_ALL_STAND}"] if len(texts) > MOST_LINES else []
    return "\n".join([f"**{title}**", "", *listed, *more]) if texts else ""
