"""The answer for a terminal: worst first, one line a verdict where it fits, and at the end what to do.

The caller, who knows the terminal and NO_COLOR, decides whether there is colour.
"""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from suite.gate.output import sentences
from suite.gate.verdict import Judgement, Outcome
from suite.machine.plain_text import one_line, without_log_commands
from suite.records.labels import shared_settings

RED, YELLOW, GREEN = "31", "33", "32"
COLOURS = {
    Outcome.BROKEN: RED,
    Outcome.MISSING: RED,
    Outcome.SLOWER: RED,
    Outcome.INCOMPARABLE: YELLOW,
    Outcome.INCONCLUSIVE: YELLOW,
    Outcome.UNJUDGED: YELLOW,
    Outcome.FASTER: GREEN,
}
# Outcomes that nobody has to act on: one line says how many there are, unless they are few.
SUMMED_UP = (Outcome.UNJUDGED, Outcome.NEW, Outcome.SAME)
FEW = 4
OUTCOME_WIDTH = max(map(len, Outcome))
GAP, INDENT = "  ", " " * (OUTCOME_WIDTH + 2)
# A share of the width; columns.
WIDEST_NAME, NARROWEST = 0.55, 40


def lines(judgement: Judgement, *, width: int, colour: bool) -> list[str]:
    """Lay out the whole judgement for a terminal `width` columns wide, as lines without line ends."""
    width = max(width, NARROWEST)
    shared = shared_settings(verdict.case for verdict in judgement.verdicts)
    around = [
        *([f"all cases: {shared}"] if shared else []),
        *([f"judged with: {', '.join(conditions)}"] if (conditions := sentences.facts(judgement)) else []),
        *(f"warning: {warning}" for warning in judgement.warnings),
    ]
    # A command on a line of its own, however long: it is there to be copied.
    command, meaning = one_line(sentences.accept_command(judgement)), sentences.meaning(judgement)
    answer = [
        *_wrapped(sentences.compared(judgement), width),
        *_wrapped(sentences.tally(judgement), width),
        *(line for text in around for line in _wrapped(text, width, hanging="  ")),
        "",
        *_verdicts(sentences.judged_rows(judgement), width, colour=colour),
        "",
        *_wrapped(sentences.advice(judgement), width),
        *([f"  {command}"] if command else []),
        *_wrapped(f"{meaning[:1].upper()}{meaning[1:]}. Exit code {judgement.exit_code}.", width),
    ]
    return list(map(without_log_commands, answer))


def _verdicts(rows: Sequence[sentences.JudgedRow], width: int, *, colour: bool) -> Iterator[str]:
    """Yield the lines of each verdict, and below them one line for each group that is only counted."""
    groups = [
        group
        for outcome, outcome_rows in groupby(rows, key=lambda row: row.verdict.outcome)
        for group in _summed_up(outcome, list(outcome_rows))
    ]
    in_groups = {id(row) for group in groups for row in group}
    listed = [row for row in rows if id(row) not in in_groups]
    name_width = min(max((len(_name(row)) for row in listed), default=0), int(WIDEST_NAME * width))
    widths = name_width, max((len(_change(row)) for row in listed), default=0)
    for row in listed:
        yield from _row(row, widths, width, colour=colour)
    for group in groups:
        yield from _count_lines(group, width, colour=colour)


def _summed_up(outcome: Outcome, rows: Sequence[sentences.JudgedRow]) -> list[Sequence[sentences.JudgedRow]]:
    """Groups of rows of one outcome that a single line counts: more than FEW that nobody has to act on. Unjudged cases
    are listed one by one unless many share a reason, as incomparable ones are; so is every timing with an estimate."""
    by_reason: dict[str, list[sentences.JudgedRow]] = {}
    for row in rows:
        by_reason.setdefault(row.verdict.reason, []).append(row)
    if outcome in (Outcome.INCONCLUSIVE, Outcome.INCOMPARABLE):
        without_estimate = ([row for row in group if row.verdict.ratio is None] for group in by_reason.values())
        return [group for group in without_estimate if len(group) > FEW]
    is_many = len(rows) > FEW * (len(by_reason) if outcome is Outcome.UNJUDGED else 1)
    return [rows] if outcome in SUMMED_UP and is_many else []


def _name(row: sentences.JudgedRow) -> str:
    return one_line(" · ".join(filter(None, [row.name, row.quantity])))


def _change(row: sentences.JudgedRow) -> str:
    verdict, (before, after) = row.verdict, sentences.values(row.verdict)
    is_exact = verdict.low is None and (verdict.before is not None or verdict.after is not None)
    return " ".join(filter(None, [row.change, f"{before} → {after}" if is_exact else ""]))


def _row(row: sentences.JudgedRow, widths: tuple[int, int], width: int, *, colour: bool) -> list[str]:
    """Lay a verdict out on one line; where that is too narrow the reason goes below, and the change if it must."""
    name, change, reason = _name(row), _change(row), one_line(row.verdict.reason)
    columns = INDENT + GAP.join([name.ljust(widths[0]), change.ljust(widths[1])])
    if len(columns + GAP + reason) <= width:
        head, below = [(columns + GAP + reason).rstrip()], ""
    elif len(columns.rstrip()) <= width:
        head, below = [columns.rstrip()], reason
    else:
        head, below = _wrapped(name, width, INDENT, INDENT), GAP.join(filter(None, [change, reason]))
    head[0] = _coloured(row.verdict.outcome, head[0], colour=colour)
    under = [below, *(f"note: {note}" for note in row.verdict.notes)]
    return head + [line for text in under if text for line in _wrapped(text, width, INDENT + GAP, INDENT + GAP)]


def _count_lines(rows: Sequence[sentences.JudgedRow], width: int, *, colour: bool) -> list[str]:
    """One wrapped line for rows of the same outcome: how many they are, and why or how large their changes may be."""
    verdicts = [row.verdict for row in rows]
    outcome, end = verdicts[0].outcome, sentences.worst_upper_end(verdicts)
    what = {Outcome.UNJUDGED: "cases", Outcome.INCOMPARABLE: "cases", Outcome.INCONCLUSIVE: "timings"}.get(
        outcome, "quantities"
    )
    reasons = "; ".join(dict.fromkeys(verdict.reason for verdict in verdicts))
    more = f": {reasons}" if what != "quantities" else f"; no interval reaches above {end}" if end else ""
    first, *rest = _wrapped(f"{len(rows):,} {what}{more}", width, INDENT, INDENT)
    return [_coloured(outcome, first, colour=colour), *rest]


def _coloured(outcome: Outcome, line: str, *, colour: bool) -> str:
    """Write the outcome, in its colour if asked, over the first OUTCOME_WIDTH columns of a line."""
    word, rest = str(outcome), line[OUTCOME_WIDTH:]
    padding = " " * (OUTCOME_WIDTH - len(word))
    painted = f"\x1b[{COLOURS[outcome]}m{word}\x1b[0m" if colour and outcome in COLOURS else word
    return painted + padding + rest


def _wrapped(text: str, width: int, first: str = "", hanging: str = "") -> list[str]:
    return textwrap.wrap(
        one_line(text), width, initial_indent=first, subsequent_indent=hanging, break_on_hyphens=False
    ) or [first]
