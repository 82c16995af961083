"""The answer for a terminal: worst first, one line a verdict where it fits, and at the end what to do.

The caller, who knows the terminal and NO_COLOR, decides whether there is colour.
"""

import textwrap
from collections.abc import Mapping, Sequence

from suite.gate.output.sentences import (
    ACCEPT,
    accept_command,
    advice,
    change,
    compared,
    differences,
    facts,
    meaning,
    quantity,
    shared_settings,
    short_names,
    tally,
    values,
    worst_upper_end,
)
from suite.gate.verdict import Judgement, Outcome, Verdict
from suite.records.plain_text import obeyed_by_nobody, one_line

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
SUMMED_UP = (Outcome.UNJUDGED, Outcome.NEW, Outcome.SAME)
"""Outcomes that nobody has to act on: one line says how many there are, unless they are few."""
FEW = 4
OUTCOME_WIDTH = max(map(len, Outcome))
GAP, INDENT = "  ", " " * (OUTCOME_WIDTH + 2)
WIDEST_NAME, NARROWEST = 0.55, 40
"""A share of the width; columns."""


def lines(judgement: Judgement, *, width: int, colour: bool) -> list[str]:
    """Return the whole answer, without line ends."""
    width = max(width, NARROWEST)
    answer = [
        *_wrapped(compared(judgement), width),
        *_wrapped(tally(judgement), width),
        *_surroundings(judgement, width),
        "",
        *_verdicts(judgement, width, colour=colour),
        "",
        *_end(judgement, width),
    ]
    return list(map(obeyed_by_nobody, answer))


def _surroundings(judgement: Judgement, width: int) -> list[str]:
    shared = shared_settings(verdict.case for verdict in judgement.verdicts)
    texts = [
        *([f"every case: {shared}"] if shared else []),
        *([f"judged with: {', '.join(known)}"] if (known := facts(judgement)) else []),
        *(f"differs: {name}: {before} before, {after} after" for name, before, after in differences(judgement)),
        *(f"warning: {warning}" for warning in judgement.warnings),
    ]
    return [line for text in texts for line in _wrapped(text, width, hanging="  ")]


def _verdicts(judgement: Judgement, width: int, *, colour: bool) -> list[str]:
    by_outcome: dict[Outcome, list[Verdict]] = {}
    for verdict in judgement.worst_first:
        by_outcome.setdefault(verdict.outcome, []).append(verdict)
    summed_up = [group for outcome, found in by_outcome.items() for group in _summed_up(outcome, found)]
    told = {id(verdict) for group in summed_up for verdict in group}
    listed = [verdict for found in by_outcome.values() for verdict in found if id(verdict) not in told]
    names = _names(judgement)
    name_width = min(max((len(names[verdict.name]) for verdict in listed), default=0), int(WIDEST_NAME * width))
    change_width = max((len(_change(verdict)) for verdict in listed), default=0)
    rows = [
        line
        for verdict in listed
        for line in _verdict(verdict, names[verdict.name], (name_width, change_width), width, colour=colour)
    ]
    return rows + [line for group in summed_up for line in _sum(group, width, colour=colour)]


def _summed_up(outcome: Outcome, found: Sequence[Verdict]) -> list[Sequence[Verdict]]:
    """The verdicts of an outcome that one line tells of together.

    What is unjudged for reasons of its own is named one by one, and so is a timing that has an estimate.
    """
    if outcome is Outcome.INCONCLUSIVE:
        by_reason: dict[str, list[Verdict]] = {}
        for verdict in found:
            if verdict.ratio is None:
                by_reason.setdefault(verdict.reason, []).append(verdict)
        return [group for group in by_reason.values() if len(group) > FEW]
    reasons = {verdict.reason for verdict in found}
    is_many = len(found) > FEW * (len(reasons) if outcome is Outcome.UNJUDGED else 1)
    return [found] if outcome in SUMMED_UP and is_many else []


def _names(judgement: Judgement) -> Mapping[str, str]:
    cases = short_names(verdict.case for verdict in judgement.verdicts)
    return {
        verdict.name: one_line(" · ".join(filter(None, [cases[verdict.case], quantity(verdict)])))
        for verdict in judgement.verdicts
    }


def _verdict(verdict: Verdict, name: str, widths: tuple[int, int], width: int, *, colour: bool) -> list[str]:
    """Lay a verdict out on one line; where that is too narrow the reason goes below, and the change if it must."""
    change, reason = _change(verdict), one_line(verdict.reason)
    columns = INDENT + GAP.join([name.ljust(widths[0]), change.ljust(widths[1])])
    fits_whole, fits_head = len(columns + GAP + reason) <= width, len(columns.rstrip()) <= width
    if fits_whole:
        head, below = [(columns + GAP + reason).rstrip()], ""
    elif fits_head:
        head, below = [columns.rstrip()], reason
    else:
        head, below = _wrapped(name, width, INDENT, INDENT), GAP.join(filter(None, [change, reason]))
    head[0] = _coloured(verdict.outcome, head[0], colour=colour)
    under = [below, *(f"note: {note}" for note in verdict.notes)]
    return head + [line for text in under if text for line in _wrapped(text, width, INDENT + GAP, INDENT + GAP)]


def _change(verdict: Verdict) -> str:
    """The change, with both values of an exact quantity, which has no interval."""
    before, after = values(verdict)
    is_exact = verdict.low is None and (verdict.before is not None or verdict.after is not None)
    return " ".join(filter(None, [change(verdict), f"{before} → {after}" if is_exact else ""]))


def _sum(found: Sequence[Verdict], width: int, *, colour: bool) -> list[str]:
    """Say how many verdicts have an outcome, which is that of the first."""
    outcome, end = found[0].outcome, worst_upper_end(found)
    what = {Outcome.UNJUDGED: "cases", Outcome.INCONCLUSIVE: "timings"}.get(outcome, "quantities")
    reasons = "; ".join(dict.fromkeys(verdict.reason for verdict in found))
    more = f": {reasons}" if what != "quantities" else f"; by their intervals at most {end}" if end else ""
    first, *rest = _wrapped(f"{len(found):,} {what}{more}", width, INDENT, INDENT)
    return [_coloured(outcome, first, colour=colour), *rest]


def _end(judgement: Judgement, width: int) -> list[str]:
    """The advice, with a command on a line of its own, however long: it is there to be copied."""
    command = one_line(accept_command(judgement.worst_first)) if advice(judgement) == ACCEPT else ""
    last = _wrapped(f"exit code {judgement.exit_code}: {meaning(judgement)}", width)
    return [*_wrapped(advice(judgement), width), *([f"  {command}"] if command else []), *last]


def _coloured(outcome: Outcome, line: str, *, colour: bool) -> str:
    """Put the outcome into the room that a line leaves for it."""
    word, rest = str(outcome), line[OUTCOME_WIDTH:]
    padding = " " * (OUTCOME_WIDTH - len(word))
    painted = f"\x1b[{COLOURS[outcome]}m{word}\x1b[0m" if colour and outcome in COLOURS else word
    return painted + padding + rest


def _wrapped(text: str, width: int, first: str = "", hanging: str = "") -> list[str]:
    return textwrap.wrap(
        one_line(text), width, initial_indent=first, subsequent_indent=hanging, break_on_hyphens=False
    ) or [first]
