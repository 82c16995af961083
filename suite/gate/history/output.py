"""The history for a terminal, as Markdown, and as plain data."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from suite.gate.history.findings import CHAIN, EXACT, STORED, Finding, History, Subject
from suite.gate.output.sentences import aligned, capitalised, in_unit, percent
from suite.gate.verdict import BROKEN, CANNOT_JUDGE, PASSED, WORSE
from suite.records.labels import short_names
from suite.records.plain_text import in_markdown, one_line, shortened
from suite.statistics.change_points import FEWEST_STEPS, FEWEST_VALUES

SCHEMA = 1
COMMIT_LENGTH, LONGEST_SUBJECT = 9, 60
# Remarks, unreadable files and totals; findings, all of which history.json has.
MOST_LISTED, MOST_ROWS = 20, 200
MEANINGS = {
    PASSED: "nothing became worse",
    WORSE: "something became worse",
    CANNOT_JUDGE: "no series has enough points to be judged",
}
KINDS = {
    CHAIN: "of ratios against the parent",
    STORED: "of stored values",
    EXACT: "of exact quantities that changed",
}
SEEN = {CHAIN: "losses that add up over several commits", STORED: "a step in the middle of stored values"}
HEAD = ("", "change", "quantity", "commits", "evidence")


def lines(history: History) -> list[str]:
    """Lay a history out as lines for a terminal: what was examined, notes, one change a line, totals, the result."""
    more = len(history.findings) - MOST_ROWS
    changes = [
        *aligned(_rows(history)),
        *([f"and {more:,} more, in history.json"] if more > 0 else []),
        *_evidence(history),
        *_totals(history),
    ]
    return [
        _overview(history),
        *(f"cannot be read: {one_line(text)}" for text in _first(history.unreadable)),
        *(f"note: {one_line(text)}" for text in _first(history.remarks)),
        *(f"note: {text}" for text in _short_series(history)),
        *(["", *changes] if changes else []),
        "",
        f"{capitalised(_meaning(history))}. Exit code {history.exit_code}.",
    ]


def markdown(history: History) -> str:
    """Lay a history out in Markdown for the summary of a CI job, with long lists and texts cut."""
    rows = [f"| {' | '.join(in_markdown(shortened(cell, 400)) for cell in row)} |" for row in _rows(history)]
    texts = [
        *_evidence(history),
        *_totals(history),
        *_short_series(history),
        *(f"cannot be read: {text}" for text in _first(history.unreadable)),
        *_first(history.remarks),
    ]
    parts = [
        f"## Performance history: {_meaning(history)}",
        f"{in_markdown(_overview(history))} Exit code {history.exit_code}.",
        "\n".join([*rows[:1], "|---|---:|---|---|---|", *rows[1:]]) if rows else "",
        "\n".join(f"- {in_markdown(shortened(text, 600))}" for text in filter(None, texts)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def as_json(history: History) -> dict[str, Any]:
    """The history as plain data; commits stand by their ids, and infinite ratios are None."""
    commits = history.line.commits

    def with_commits(part: Any) -> dict[str, Any]:
        """A finding or a total as a dictionary, with the ids of commits in place of their positions."""
        return {**asdict(part), "old": commits[part.old].id, "new": commits[part.new].id}

    return {
        "schema": SCHEMA,
        "exit_code": history.exit_code,
        "revision": history.line.revision,
        "commits": [commit.id for commit in commits],
        "measured": [commits[place].id for place in sorted(history.measured)],
        "since": history.since,
        "findings": [{**with_commits(finding), "is_worse": finding.is_worse} for finding in history.findings],
        "totals": list(map(with_commits, history.totals)),
        "visible": [
            {**asdict(visible), "ratio": visible.ratio if math.isfinite(visible.ratio) else None}
            for visible in history.visible
        ],
        "unreadable": list(history.unreadable),
        "remarks": list(history.remarks),
    }


def _overview(history: History) -> str:
    """Two sentences on what was examined: the commits, how many were not measured, and the series of each kind."""
    num_commits = len(history.line.commits)
    counts = {kind: sum(series.is_enough for series in history.series if series.by == kind) for kind in KINDS}
    series = ", ".join(f"{counts[kind]:,} {words}" for kind, words in KINDS.items() if counts[kind])
    return (
        f"{one_line(history.line.revision)}: {num_commits:,} commits along first parents, "
        f"{num_commits - len(history.measured):,} of them not measured. Series: {series or 'none with enough points'}."
    )


def _rows(history: History) -> list[tuple[str, ...]]:
    """The heading and a row for each of the first MOST_ROWS findings; empty without findings. A `?` marks drift."""
    names, rows = _names(history), []
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
    """Write `+12.5% (+8.2 to +17.0)`, or without an interval `+12.5%`."""
    assert ratio is not None
    if low is None or high is None:
        return percent(ratio)
    return f"{percent(ratio)} ({percent(low).removesuffix('%')} to {percent(high).removesuffix('%')})"


def _where(finding: Finding, history: History) -> str:
    """The commit of a change with its subject, or a range `OLD..NEW` of commits that may each have brought a part."""
    commits = history.line.commits
    new, count = commits[finding.new], finding.new - finding.old
    if count == 1:
        return f"{new.id[:COMMIT_LENGTH]} {shortened(one_line(new.subject), LONGEST_SUBJECT)}"
    parts = f" in {finding.measured} comparisons" if finding.measured > 1 else ""
    return f"{commits[finding.old].id[:COMMIT_LENGTH]}..{new.id[:COMMIT_LENGTH]}, {count} commits{parts}"


def _evidence(history: History) -> Iterator[str]:
    """Yield a warning on changes that may be drift, and how large an unfound change would have had to be."""
    if drifts := [finding.drift for finding in history.findings if finding.drift]:
        yield (
            f"warning: {len(drifts):,} changes with a question mark may be drift and do not affect the exit code: "
            f"neighbouring values are correlated (up to {max(drifts):.1f})"
        )
    changed = {finding.quantity for finding in history.findings}
    calm = [visible for visible in history.visible if visible.quantity not in changed]
    if not calm:
        return
    sentences = [f"no change in {len(calm):,} series"]
    for kind, words in SEEN.items():
        if ratios := [visible.ratio for visible in calm if visible.by == kind and math.isfinite(visible.ratio)]:
            sentences.append(
                f"{words} would have been found in 9 of 10 cases from {percent(max(ratios))} on in every series (from "
                f"{percent(min(ratios))} on in the least noisy one)"
            )
    if blind := sum(not math.isfinite(visible.ratio) for visible in calm):
        sentences.append(f"{blind:,} series are too short to show a step, because so many are tested together")
    yield "; ".join(sentences)


def _totals(history: History) -> list[str]:
    """Lines with the product of each chain's newest ratios, as a table under a title; empty without chains."""
    names, rows = _names(history), []
    for total in history.totals[:MOST_LISTED]:
        commits = total.new - total.old
        uncovered = commits - total.covered
        gap = f", {uncovered:,} of them in no comparison" if uncovered else ""
        span = f"{total.links:,} comparisons over {commits:,} commits{gap}"
        rows.append((_ratio(total.ratio, total.low, total.high), names[total.quantity], span))
    more = len(history.totals) - len(rows)
    title = "total change, significant or not:"
    return ["", title, *aligned(rows), *([f"and {more:,} more, in history.json"] if more else [])] if rows else []


def _short_series(history: History) -> list[str]:
    """One line for each machine that has series of too few points: how many, and how many points are needed."""
    points_by_machine: dict[str, list[int]] = {}
    for series in history.series:
        if not series.is_enough:
            points_by_machine.setdefault(series.quantity.machine, []).append(len(series.points))
    return [
        f"{one_line(machine) or 'a machine without a name'}: {len(points):,} series of at most {max(points):,} points "
        f"are too short to be judged; {FEWEST_STEPS} ratios or {FEWEST_VALUES} stored values are needed"
        for machine, points in points_by_machine.items()
    ]


def _meaning(history: History) -> str:
    """The result in one sentence without its full stop."""
    code = history.exit_code
    if code == BROKEN:
        return "some measurements cannot be read" if history.unreadable else "no commit of this line was measured"
    if code in (PASSED, WORSE) and history.since is not None:
        return f"{MEANINGS[code]} in the newest {history.since:,} commits"
    if code == PASSED and any(finding.is_worse for finding in history.findings):
        return "changes for the worse are listed; with --since N, one in the newest N commits gives exit code 1"
    return MEANINGS[code]


def _names(history: History) -> dict[Subject, str]:
    """A short name for each series' subject; the clock and the machine are in it if there are several of them."""
    subjects = {series.quantity for series in history.series}
    cases = short_names(sorted({subject.case for subject in subjects}))
    machines, clocks = ({getattr(subject, name) for subject in subjects} for name in ("machine", "clock"))
    names = {}
    for subject in subjects:
        clock = subject.clock if len(clocks - {""}) > 1 else ""
        machine = subject.machine if len(machines) > 1 else ""
        parts = (cases[subject.case], subject.span, subject.metric, clock, machine)
        names[subject] = one_line(" · ".join(filter(None, parts)))
    return names


def _first(texts: Sequence[str]) -> list[str]:
    """The first MOST_LISTED texts, and one that counts the others."""
    more = len(texts) - MOST_LISTED
    return [*texts[:MOST_LISTED], *([f"and {more:,} more"] if more > 0 else [])]
