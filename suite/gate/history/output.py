"""The history for a terminal, as Markdown, and as plain data."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from suite.gate.history.findings import EXACT, STORED, Chain, Finding, History, Subject, Values
from suite.gate.output.github import clip_text
from suite.gate.output.sentences import in_unit, percent
from suite.gate.verdict import BROKEN, CANNOT_JUDGE, PASSED, WORSE
from suite.records.labels import short_names
from suite.records.plain_text import in_markdown, one_line
from suite.statistics.change_points import FEWEST_STEPS, FEWEST_VALUES

SCHEMA = 1
COMMIT_LENGTH, LONGEST_SUBJECT = 9, 60
MOST_LISTED = 20
"""Remarks, unreadable files and totals in the terminal; history.json has all findings."""
MOST_ROWS = 200
MEANINGS = {
    PASSED: "no change for the worse",
    WORSE: "a change for the worse",
    CANNOT_JUDGE: "cannot judge: too few points in every series",
    BROKEN: "something cannot be read, or no commit of this line was measured",
}
HEAD = ("", "change", "quantity", "at", "by")


def lines(history: History) -> list[str]:
    """Lay out the whole answer for a terminal, one change a line, worst first."""
    rows, more = _rows(history), len(history.findings) - MOST_ROWS
    listed = [
        *_columns(rows),
        *([f"and {more:,} more, in history.json"] if more > 0 else []),
        *_evidence(history),
        *_totals(history),
    ]
    return [
        about(history),
        *(f"cannot be read: {one_line(text)}" for text in _some(history.unreadable)),
        *(f"note: {one_line(text)}" for text in _some(history.remarks)),
        *(f"note: {text}" for text in _short(history)),
        *(["", *listed] if listed else []),
        "",
        f"exit code {history.exit_code}: {_meaning(history)}",
    ]


def markdown(history: History) -> str:
    """Lay out the same for the summary of a job."""
    cells = [f"| {' | '.join(in_markdown(clip_text(cell, 400)) for cell in row)} |" for row in _rows(history)]
    texts = [
        *_evidence(history),
        *_totals(history),
        *_short(history),
        *(f"cannot be read: {text}" for text in _some(history.unreadable)),
        *_some(history.remarks),
    ]
    parts = [
        f"## Performance history: {_meaning(history)}",
        f"{in_markdown(about(history))} (exit code {history.exit_code}).",
        "\n".join([*cells[:1], "|---|---:|---|---|---|", *cells[1:]]) if cells else "",
        "\n".join(f"- {in_markdown(clip_text(text, 600))}" for text in texts),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def as_json(history: History) -> dict[str, Any]:
    commits = history.line.commits

    def placed(part: Any) -> dict[str, Any]:
        return {**asdict(part), "old": commits[part.old].id, "new": commits[part.new].id}

    return {
        "schema": SCHEMA,
        "exit_code": history.exit_code,
        "revision": history.line.revision,
        "commits": [commit.id for commit in commits],
        "measured": [commits[place].id for place in sorted(history.laid.measured)],
        "since": history.since,
        "findings": [{**placed(finding), "is_worse": finding.is_worse} for finding in history.findings],
        "totals": list(map(placed, history.totals)),
        "visible": [
            {**asdict(visible), "ratio": visible.ratio if math.isfinite(visible.ratio) else None}
            for visible in history.visible
        ],
        "unreadable": list(history.unreadable),
        "remarks": list(history.remarks),
    }


def about(history: History) -> str:
    """Say what was looked at: the line, its commits, how many have no measurement, and the series."""
    commits, laid = len(history.line.commits), history.laid
    kinds = [
        (sum(chain.is_enough for chain in laid.chains), "of chained ratios against the parent"),
        (sum(values.is_enough for values in laid.stored), "of stored values"),
        (len(laid.exact), "of exact quantities that ever changed"),
    ]
    series = ", ".join(f"{count:,} {kind}" for count, kind in kinds if count) or "none with enough points"
    return (
        f"{one_line(history.line.revision)}: {commits:,} commits by first parents, {commits - len(laid.measured):,} "
        f"without a measurement; series: {series}"
    )


def _rows(history: History) -> list[tuple[str, ...]]:
    """The heading and a row for each finding; nothing where there is none."""
    names = _names(history)
    rows = []
    for finding in history.findings[:MOST_ROWS]:
        word = ("worse" if finding.is_worse else "better") + "?" * bool(finding.drift)
        if finding.by == EXACT:
            metric = finding.quantity.metric
            change = f"{in_unit(finding.before, metric)} → {in_unit(finding.after, metric)}"
        else:
            change = _ratio(finding.ratio, finding.low, finding.high)
        rows.append((word, change, names[finding.quantity], _where(finding, history), finding.by))
    return [HEAD, *rows] if rows else []


def _ratio(ratio: float | None, low: float | None, high: float | None) -> str:
    assert ratio is not None
    if low is None or high is None:
        return percent(ratio)
    return f"{percent(ratio)} ({percent(low).removesuffix(' %')} to {percent(high).removesuffix(' %')})"


def _where(finding: Finding, history: History) -> str:
    """The commit, or the range of which each may have brought the change or a part of it."""
    commits = history.line.commits
    new, count = commits[finding.new], finding.new - finding.old
    if count == 1:
        return f"{new.id[:COMMIT_LENGTH]} {clip_text(one_line(new.subject), LONGEST_SUBJECT)}"
    parts = f" in {finding.measured} comparisons" if finding.measured > 1 else ""
    return f"{commits[finding.old].id[:COMMIT_LENGTH]}..{new.id[:COMMIT_LENGTH]}, {count} commits{parts}"


def _evidence(history: History) -> list[str]:
    """Say what may be drift, and how small a change would have been found: without that, no change means nothing."""
    drifting, answer = [finding.drift for finding in history.findings if finding.drift], []
    if drifting:
        answer.append(
            f"warning: {len(drifting):,} changes with a question mark may be drift, and count for no exit code: "
            f"neighbouring values resemble each other (correlation up to {max(drifting):.1f})"
        )
    changed = {finding.quantity for finding in history.findings}
    calm = [visible for visible in history.visible if visible.quantity not in changed]
    if not calm:
        return answer
    sentences = [f"no change in {len(calm):,} series" + (", in the others as listed" if changed else "")]
    for is_stored, what in ((False, "losses that add up over a chain"), (True, "a step halfway through stored values")):
        seen = [one.ratio for one in calm if (one.by == STORED) is is_stored and math.isfinite(one.ratio)]
        if seen:
            sentences.append(
                f"{what} would have been found 9 times in 10 from {percent(max(seen))} on in every series "
                f"({percent(min(seen))} in the calmest)"
            )
    if blind := sum(not math.isfinite(visible.ratio) for visible in calm):
        sentences.append(f"{blind:,} series are too short to show any step among so many")
    return [*answer, "; ".join(sentences)]


def _totals(history: History) -> list[str]:
    names, rows = _names(history), []
    for total in history.totals[:MOST_LISTED]:
        commits = total.new - total.old
        uncovered = commits - total.covered
        gap = f", {uncovered:,} of them in no comparison" if uncovered else ""
        span = f"{total.links:,} comparisons over {commits:,} commits{gap}"
        rows.append((_ratio(total.ratio, total.low, total.high), names[total.quantity], span))
    more = len(history.totals) - len(rows)
    title = "accumulated, whether beyond chance or not:"
    return ["", title, *_columns(rows), *([f"and {more:,} more, in history.json"] if more else [])] if rows else []


def _short(history: History) -> list[str]:
    """Name each machine whose series are too short."""
    by_machine: dict[str, list[int]] = {}
    for series in history.short:
        by_machine.setdefault(series.quantity.machine, []).append(series.points)
    need = f"{FEWEST_STEPS} ratios or {FEWEST_VALUES} stored values are needed"
    return [
        f"{one_line(machine) or 'a machine without a name'}: {len(points):,} series of at most {max(points):,} points "
        f"are too short to be judged; {need}"
        for machine, points in by_machine.items()
    ]


def _meaning(history: History) -> str:
    code = history.exit_code
    if code in (PASSED, WORSE) and history.since is not None:
        return f"{MEANINGS[code]} in the newest {history.since:,} commits"
    if code == PASSED and any(finding.is_worse for finding in history.findings):
        return "listed only; with --since N a change for the worse in the newest N commits is exit code 1"
    return MEANINGS[code]


def _names(history: History) -> dict[Subject, str]:
    """The short name of each series' subject, with the clock and the machine where there are several."""
    laid = history.laid
    every: list[Chain | Values] = [*laid.chains, *laid.stored, *laid.exact]
    subjects = {series.quantity for series in every}
    cases = short_names(sorted({subject.case for subject in subjects}))
    machines, clocks = ({getattr(subject, name) for subject in subjects} for name in ("machine", "clock"))
    names = {}
    for subject in subjects:
        clock = subject.clock if len(clocks - {""}) > 1 else ""
        machine = subject.machine if len(machines) > 1 else ""
        parts = (cases[subject.case], subject.span, subject.metric, clock, machine)
        names[subject] = one_line(" · ".join(filter(None, parts)))
    return names


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _some(texts: Sequence[str]) -> list[str]:
    more = len(texts) - MOST_LISTED
    return [*texts[:MOST_LISTED], *([f"and {more:,} more"] if more > 0 else [])]
