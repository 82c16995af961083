"""The answer for the summary of a job on GitHub: all that is not `same` in a table, the rest behind a line that opens.

GitHub takes no summary above 1 MiB, and then shows none at all: what is too long is cut here, and says so.
"""

from collections.abc import Mapping, Sequence

from suite.gate.sentences import (
    ACCEPT,
    MEANINGS,
    accept_command,
    advice,
    change,
    compared,
    differences,
    facts,
    most,
    quantity,
    tally,
    values,
)
from suite.gate.short_names import shared_settings, short_names
from suite.gate.verdict import Judgement, Outcome, Verdict
from suite.records import numbers
from suite.records.plain_text import in_markdown

MOST_BYTES = 1 << 20
FOR_ROWS = MOST_BYTES // 3
"""Bytes for each of the two tables."""
LONGEST_CELL, MOST_LINES = 600, 20
"""In characters, of which escaping makes up to eight bytes each: so what stands around the tables fits too."""
COLUMNS = ("Verdict", "Case", "Quantity", "Change", "Allowed", "Before", "After", "Why")
RULE = "|---|---|---|---:|---:|---:|---:|---|"
WHERE_ALL_STAND = "judgement.json has them all."


def markdown(judgement: Judgement) -> str:
    """The whole summary, at most 1 MiB as UTF-8."""
    names = short_names(verdict.case for verdict in judgement.verdicts)
    not_same = [verdict for verdict in judgement.worst_first if verdict.outcome is not Outcome.SAME]
    same = [verdict for verdict in judgement.worst_first if verdict.outcome is Outcome.SAME]
    shared = shared_settings(verdict.case for verdict in judgement.verdicts)
    parts = [
        f"## Performance gate: {MEANINGS[judgement.exit_code]}",
        f"{_text(compared(judgement))}: **{tally(judgement)}** (exit code {judgement.exit_code}).",
        *([f"Every case: {_text(shared)}"] if shared else []),
        _table(not_same, names) if not_same else "",
        _folded(f"{len(same):,} same", _table(same, names)) if same else "",
        _lines("Warnings", judgement.warnings),
        _lines("What differs around them", [f"{name}: {one} → {other}" for name, one, other in differences(judgement)]),
        _lines("Judged with", facts(judgement)),
        _advice(judgement),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(verdicts: Sequence[Verdict], names: Mapping[str, str]) -> str:
    """As many rows as there is room for, and a sentence on the others."""
    rows, room = [], FOR_ROWS
    for verdict in verdicts:
        row = _row(verdict, names[verdict.case])
        room -= len(row.encode()) + 1
        if room < 0:
            break
        rows.append(row)
    left_out = len(verdicts) - len(rows)
    note = f"\n\n{left_out:,} more rows are left out, since GitHub shows no longer summary; {WHERE_ALL_STAND}"
    return "\n".join([_cells(COLUMNS), RULE, *rows]) + (note if left_out else "")


def _row(verdict: Verdict, name: str) -> str:
    why = "; ".join([verdict.reason, *verdict.notes])
    said = [
        name,
        quantity(verdict),
        change(verdict),
        most(verdict),
        *values(verdict),
        why,
    ]
    outcome = str(verdict.outcome)
    told = outcome if verdict.outcome in (Outcome.SAME, Outcome.NEW) else f"**{outcome}**"
    return _cells([told, *(_text(one) or numbers.NOTHING for one in said)])


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    cut = text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
    return in_markdown(cut)


def _folded(title: str, content: str) -> str:
    """Markdown inside HTML is read as such behind an empty line."""
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _lines(title: str, texts: Sequence[str]) -> str:
    listed = [f"- {_text(text)}" for text in texts[:MOST_LINES]]
    more = [f"- and {len(texts) - MOST_LINES:,} more; {WHERE_ALL_STAND}"] if len(texts) > MOST_LINES else []
    return "\n".join([f"**{title}**", "", *listed, *more]) if texts else ""


def _advice(judgement: Judgement) -> str:
    said = advice(judgement)
    command = accept_command(judgement.worst_first) if said == ACCEPT else ""
    return f"{_text(said)} {_text(command)}".rstrip()
