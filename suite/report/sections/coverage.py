"""What ran, what did not and why: a case that could not run is a row with a reason, never a gap."""

from collections import Counter

from suite.records import numbers
from suite.records.privacy import scrub
from suite.records.record import Status
from suite.report.blocks import MOST_ROWS_OPEN, Column, Kind, Section, Table, joined, say
from suite.report.facets import record_facets
from suite.report.model.results import CurrentRecord, Results
from suite.report.rl_run import tracks_memory


def build(results: Results) -> Section | None:
    tables = [table for table in (_counts(results), *_refused(results)) if table.rows]
    tables += [table for table in (_damaged(results), _unfinished(results)) if table.rows]
    if not results.records and not results.damaged and not results.unfinished:
        return None
    tracked = sum(tracks_memory(current.record) for current in results.records)
    said = [say("coverage.explanation")]
    said += [say("coverage.tracked", count=numbers.count(tracked))] if tracked else []
    return Section(
        id="coverage",
        title=say("coverage.title"),
        explanation=joined("sentence", said),
        tables=tables,
    )


def _counts(results: Results) -> Table:
    """A label is a column."""
    by_label = {
        label: Counter(c.record.status for c in results.records if c.label == label) for label in results.labels
    }
    present = [status for status in Status if status is Status.OK or any(n[status] for n in by_label.values())]
    superseded = Counter[str]()
    for current in results.records:
        superseded[current.label] += current.superseded
    counts = {
        "column.cases": {label: number.total() for label, number in by_label.items()},
        **{f"status.{status}": {label: number[status] for label, number in by_label.items()} for status in present},
        "column.superseded": superseded,
        "column.damaged": Counter(unread.label for unread in results.damaged),
        "column.unfinished": Counter(unread.label for unread in results.unfinished),
    }
    columns = [Column(title=say("column.runs")), *(Column(title=label, kind=Kind.NUMBER) for label in results.labels)]
    rows = [
        [say(name), *(numbers.count(count.get(label, 0)) for label in results.labels)] for name, count in counts.items()
    ]
    return Table(title=say("coverage.counts"), columns=columns, rows=rows)


def _refused(results: Results) -> list[Table]:
    """Every case without a result; of many, how many each reason has before them."""
    refused = [current for current in results.records if current.record.status is not Status.OK]
    label = [Column(title=say("column.label"), facet="label")] if results.several else []
    why = [Column(title=say("column.status")), Column(title=say("column.reason"), kind=Kind.LONG), *label]
    rows = [_refused_row(current, results) for current in refused]
    cases = Table(
        title=say("coverage.refused"),
        columns=[*why, Column(title=say("column.case"), kind=Kind.CASE)],
        rows=[[*row, current.record.case.id] for row, current in zip(rows, refused, strict=True)],
        row_facets=[record_facets(current.record) for current in refused],
        folded=len(rows) > MOST_ROWS_OPEN,
    )
    if not cases.folded:
        return [cases]
    reasons = Table(
        title=say("coverage.reasons"),
        columns=[*why, Column(title=say("column.cases"), kind=Kind.NUMBER)],
        rows=[[*row, numbers.count(count)] for row, count in Counter(map(tuple, rows)).most_common()],
    )
    return [reasons, cases]


def _refused_row(current: CurrentRecord, results: Results) -> list[str]:
    record = current.record
    return [
        say(f"status.{record.status}"),
        scrub(record.reason or numbers.NOTHING, is_ours=False),
        *([current.label] if results.several else []),
    ]


def _damaged(results: Results) -> Table:
    return Table(
        title=say("coverage.damaged"),
        columns=[
            Column(title=say("column.label"), facet="label"),
            Column(title=say("column.folder"), kind=Kind.CODE),
            Column(title=say("column.wrong"), kind=Kind.LONG),
        ],
        rows=[[unread.label, unread.name, scrub(unread.reason, is_ours=False)] for unread in results.damaged],
        note=say("coverage.damaged_note"),
    )


def _unfinished(results: Results) -> Table:
    return Table(
        title=say("coverage.unfinished"),
        columns=[
            Column(title=say("column.label"), facet="label"),
            Column(title=say("column.folder"), kind=Kind.CODE),
        ],
        rows=[[unread.label, unread.name] for unread in results.unfinished],
        note=say("coverage.unfinished_note"),
    )
