"""The answer on GitHub: annotations on a commit, and the summary of a job.

Annotations are workflow commands: GitHub's documentation, "Workflow commands for GitHub Actions"; what is escaped, and
how: `escapeData` and `escapeProperty` of actions/toolkit, packages/core/src/command.ts. The summary has all that is not
`same` in a table, and the rest behind a line that opens. GitHub takes none above 1 MiB, and then shows none at all: a
longer one is cut here, and says so.
"""

from collections.abc import Mapping, Sequence

from suite.gate.output import sentences
from suite.gate.verdict import PASSED, Judgement, Outcome
from suite.machine.plain_text import in_markdown, one_line, shortened, without_log_commands
from suite.records import numbers
from suite.records.labels import shared_settings

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
COLUMNS = ("Verdict", "Case", "Quantity", "Change ({interval})", "Allowed change", "Before", "After", "Reason")
RULE = "|---|---|---|---:|---:|---:|---:|---|"
# The title of a remark on the whole.
GATE = "gate"
ALL_OF_THEM = "judgement.json lists all of them."


def annotations(judgement: Judgement) -> list[str]:
    """Write a judgement as GitHub's workflow commands, one a line, errors first. GitHub shows MOST_SHOWN of each level;
    if there are more, the last one names all that are left out."""
    remarks: dict[str, list[tuple[str, str]]] = {level: [] for level in LEVELS}  # titles and texts
    if text := sentences.whole(judgement):
        remarks["error"].append((GATE, text))
    if sentences.open_questions(judgement)[0] and judgement.exit_code == PASSED:
        remarks["warning"].append((GATE, sentences.meaning(judgement)))
    for row in sentences.judged_rows(judgement):
        title = " · ".join(filter(None, [f"{row.verdict.outcome}: {row.name}", row.quantity]))
        for level, outcomes in LEVELS.items():
            remarks[level] += [(title, row.why)] if row.verdict.outcome in outcomes else []
    remarks["warning"] += [(GATE, warning) for warning in judgement.warnings]
    for of_level in remarks.values():
        if rest := of_level[MOST_SHOWN - 1 :] if len(of_level) > MOST_SHOWN else []:
            of_level[MOST_SHOWN - 1 :] = [(f"{len(rest)} more results", _listed(rest))]
    return [
        f"::{level} title={_escaped(title, PROPERTY)}::{_escaped(text, DATA)}"
        for level, of_level in remarks.items()
        for title, text in of_level
    ]


def _listed(remarks: Sequence[tuple[str, str]]) -> str:
    """Join the titles of remarks (for those on the whole gate, the text) up to LONGEST_TEXT, then count the others."""
    listed = ""
    for place, (title, text) in enumerate(remarks):
        name = text if title == GATE else title
        if len(listed) + len(name) > LONGEST_TEXT - ROOM_FOR_COUNT:
            return f"{listed}; and {len(remarks) - place} others".removeprefix("; ")
        listed = f"{listed}; {name}" if listed else name
    return listed


def _escaped(text: str, signs: Mapping[int, str]) -> str:
    return without_log_commands(one_line(shortened(text, LONGEST_TEXT).translate(signs)))


def markdown(judgement: Judgement, most_bytes: int = MOST_BYTES) -> str:
    """Write a judgement as Markdown: heading, advice, verdicts that are not `same`, the others folded, warnings. Each
    of the two tables takes at most a third of `most_bytes` of UTF-8; rows beyond that are counted."""
    rows, room = sentences.judged_rows(judgement), most_bytes // TEXTS
    changed = [row for row in rows if row.verdict.outcome is not Outcome.SAME]
    unchanged = [row for row in rows if row.verdict.outcome is Outcome.SAME]
    shared = shared_settings(verdict.case for verdict in judgement.verdicts)
    command = sentences.accept_command(judgement)
    parts = [
        f"## Performance gate: {sentences.meaning(judgement)}",
        f"Result: **{sentences.tally(judgement)}** (exit code {judgement.exit_code}). "
        f"Compared: {_text(sentences.compared(judgement))}.",
        f"{_text(sentences.advice(judgement))} {_text(command)}".rstrip(),
        f"All cases: {_text(shared)}" if shared else "",
        _table(changed, room) if changed else "",
        # Markdown inside HTML is read as such behind an empty line.
        f"<details><summary>Unchanged results: {len(unchanged):,}</summary>\n\n{_table(unchanged, room)}\n\n</details>"
        if unchanged
        else "",
        _bullets("Warnings", judgement.warnings),
        _bullets("Judged with", sentences.facts(judgement)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(rows: Sequence[sentences.JudgedRow], room: int) -> str:
    """A Markdown table of as many rows as fit into `room` bytes, and a sentence that counts the rows left out."""
    levels = {f"{row.verdict.level:.0%}" for row in rows if row.verdict.level is not None and 0 < row.verdict.level < 1}
    level = f"{levels.pop()} interval" if len(levels) == 1 else "interval"
    lines = [_cells(COLUMNS).format(interval=level), RULE]
    for place, row in enumerate(rows):
        verdict, reasons = row.verdict, "; ".join([row.verdict.reason, *row.verdict.notes])
        outcome = str(verdict.outcome)
        is_calm = verdict.outcome in (Outcome.SAME, Outcome.NEW)
        texts = [row.name, row.quantity, row.change, sentences.most(verdict), *sentences.values(verdict), reasons]
        line = _cells([outcome if is_calm else f"**{outcome}**", *(_text(text) or numbers.NOTHING for text in texts)])
        room -= len(line.encode()) + 1
        if room < 0:
            lines.append(
                f"\n{len(rows) - place:,} more rows are left out: GitHub limits a summary's length; {ALL_OF_THEM}"
            )
            break
        lines.append(line)
    return "\n".join(lines)


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    return in_markdown(shortened(text, LONGEST_CELL))


def _bullets(title: str, texts: Sequence[str]) -> str:
    listed = [f"- {_text(text)}" for text in texts[:MOST_LINES]]
    more = [f"- and {len(texts) - MOST_LINES:,} more; {ALL_OF_THEM}"] if len(texts) > MOST_LINES else []
    return "\n".join([f"**{title}**", "", *listed, *more]) if texts else ""
