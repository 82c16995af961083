"""The answer on GitHub: annotations on a commit, and the summary of a job.

Annotations are workflow commands: GitHub's documentation, "Workflow commands for GitHub Actions"; what is escaped, and
how: `escapeData` and `escapeProperty` of actions/toolkit, packages/core/src/command.ts. The summary has all that is not
`same` in a table, and the rest behind a line that opens. GitHub takes none above 1 MiB, and then shows none at all: a
longer one is cut here, and says so.
"""

from collections.abc import Mapping, Sequence

from suite.gate.output.sentences import (
    ACCEPT,
    JudgedRow,
    accept_command,
    advice,
    compared,
    differences,
    facts,
    judged_rows,
    meaning,
    most,
    open_questions,
    tally,
    values,
    whole,
)
from suite.gate.verdict import PASSED, Judgement, Outcome
from suite.records import numbers
from suite.records.labels import shared_settings
from suite.records.plain_text import in_markdown, one_line, without_log_commands

LEVELS = {
    "error": (Outcome.BROKEN, Outcome.MISSING, Outcome.SLOWER),
    "warning": (Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE),
    "notice": (Outcome.ACCEPTED, Outcome.UNJUDGED, Outcome.FASTER),
}
# Annotations of each level and step that GitHub shows; it drops the others without a word.
MOST_SHOWN = 10
LONGEST_TEXT, ROOM_FOR_COUNT = 4000, 40
DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
PROPERTY = {**DATA, **str.maketrans({":": "%3A", ",": "%2C"})}
MOST_BYTES = 1 << 20
# Parts of about the same room: the two tables, and the text around them.
TEXTS = 3
# Characters of a cell and lines of a list. Escaping makes up to eight bytes of a character, so that the text around
# the tables fits too.
LONGEST_CELL, MOST_LINES = 600, 20
COLUMNS = ("Verdict", "Case", "Quantity", "Change", "Allowed", "Before", "After", "Why")
RULE = "|---|---|---|---:|---:|---:|---:|---|"
# The title of a remark on the whole.
GATE = "gate"
WHERE_ALL_STAND = "judgement.json has them all."


def clip_text(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def annotations(judgement: Judgement) -> list[str]:
    """Lay out one command a line, errors first. Beyond what GitHub shows, the last of a level names those left out."""
    remarks: dict[str, list[tuple[str, str]]] = {level: [] for level in LEVELS}  # titles and texts
    if text := whole(judgement):
        remarks["error"].append((GATE, text))
    if open_questions(judgement)[0] and judgement.exit_code == PASSED:
        remarks["warning"].append((GATE, meaning(judgement)))
    for row in judged_rows(judgement):
        title = " · ".join(filter(None, [f"{row.verdict.outcome}: {row.name}", row.quantity]))
        for level, outcomes in LEVELS.items():
            remarks[level] += [(title, row.why)] if row.verdict.outcome in outcomes else []
    remarks["warning"] += [(GATE, warning) for warning in judgement.warnings]
    for of_level in remarks.values():
        if rest := of_level[MOST_SHOWN - 1 :] if len(of_level) > MOST_SHOWN else []:
            of_level[MOST_SHOWN - 1 :] = [(f"{len(rest)} more", _listed(rest))]
    return [
        f"::{level} title={_escaped(title, PROPERTY)}::{_escaped(text, DATA)}"
        for level, of_level in remarks.items()
        for title, text in of_level
    ]


def _listed(remarks: Sequence[tuple[str, str]]) -> str:
    """List their titles, or the text of one without a title of its own, as far as there is room."""
    listed = ""
    for place, (title, text) in enumerate(remarks):
        name = text if title == GATE else title
        if len(listed) + len(name) > LONGEST_TEXT - ROOM_FOR_COUNT:
            return f"{listed}; and {len(remarks) - place} others".removeprefix("; ")
        listed = f"{listed}; {name}" if listed else name
    return listed


def _escaped(text: str, signs: Mapping[int, str]) -> str:
    """Escape a text first, so that a line end is kept, and then take away what else moves a cursor."""
    return without_log_commands(one_line(clip_text(text, LONGEST_TEXT).translate(signs)))


def markdown(judgement: Judgement, most_bytes: int = MOST_BYTES) -> str:
    """Lay out the whole summary. As UTF-8 each of its tables has at most a third of these bytes."""
    rows, room = judged_rows(judgement), most_bytes // TEXTS
    changed = [row for row in rows if row.verdict.outcome is not Outcome.SAME]
    unchanged = [row for row in rows if row.verdict.outcome is Outcome.SAME]
    shared = shared_settings(verdict.case for verdict in judgement.verdicts)
    command = accept_command(judgement.worst_first) if advice(judgement) == ACCEPT else ""
    parts = [
        f"## Performance gate: {meaning(judgement)}",
        f"{_text(compared(judgement))}: **{tally(judgement)}** (exit code {judgement.exit_code}).",
        f"Every case: {_text(shared)}" if shared else "",
        _table(changed, room) if changed else "",
        # Markdown inside HTML is read as such behind an empty line.
        f"<details><summary>{len(unchanged):,} same</summary>\n\n{_table(unchanged, room)}\n\n</details>"
        if unchanged
        else "",
        _lines("Warnings", judgement.warnings),
        _lines("What differs around them", [f"{name}: {old} → {new}" for name, old, new in differences(judgement)]),
        _lines("Judged with", facts(judgement)),
        f"{_text(advice(judgement))} {_text(command)}".rstrip(),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(rows: Sequence[JudgedRow], room: int) -> str:
    """As many rows as there is room for, in bytes, and a sentence on the others."""
    lines = [_cells(COLUMNS), RULE]
    for place, row in enumerate(rows):
        verdict, reasons = row.verdict, "; ".join([row.verdict.reason, *row.verdict.notes])
        outcome = str(verdict.outcome)
        is_calm = verdict.outcome in (Outcome.SAME, Outcome.NEW)
        texts = [row.name, row.quantity, row.change, most(verdict), *values(verdict), reasons]
        line = _cells([outcome if is_calm else f"**{outcome}**", *(_text(text) or numbers.NOTHING for text in texts)])
        room -= len(line.encode()) + 1
        if room < 0:
            lines.append(
                f"\n{len(rows) - place:,} more rows are left out, since GitHub takes no longer text; {WHERE_ALL_STAND}"
            )
            break
        lines.append(line)
    return "\n".join(lines)


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    return in_markdown(clip_text(text, LONGEST_CELL))


def _lines(title: str, texts: Sequence[str]) -> str:
    listed = [f"- {_text(text)}" for text in texts[:MOST_LINES]]
    more = [f"- and {len(texts) - MOST_LINES:,} more; {WHERE_ALL_STAND}"] if len(texts) > MOST_LINES else []
    return "\n".join([f"**{title}**", "", *listed, *more]) if texts else ""
