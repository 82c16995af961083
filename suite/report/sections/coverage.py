"""What ran, what did not and why: a case that could not run is a row with a reason, never a gap."""

from collections import Counter

from suite.records import numbers
from suite.records.privacy import scrub
from suite.records.record import Status
from suite.report.facets import record_facets
from suite.report.results import CurrentRecord, Results
from suite.report.rl_run import tracks_memory
from suite.report.section import MOST_ROWS_OPEN, Column, Kind, Section, Table
from suite.report.words import Words


def build(results: Results, words: Words) -> Section | None:
    tables = [table for table in (_counts(results, words), *_refused(results, words)) if table.rows]
    tables += [table for table in (_damaged(results, words), _unfinished(results, words)) if table.rows]
    if not results.records and not results.damaged and not results.unfinished:
        return None
    tracked = sum(tracks_memory(current.record) for current in results.records)
    said = [words("coverage.explanation")]
    said += [words("coverage.tracked", count=numbers.count(tracked))] if tracked else []
    return Section(
        id="coverage",
        title=words("coverage.title"),
        explanation=words("punctuation.sentence").join(said),
        tables=tables,
    )


def _counts(results: Results, words: Words) -> Table:
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
    columns = [Column(title=words("column.runs")), *(Column(title=label, kind=Kind.NUMBER) for label in results.labels)]
    rows = [
        [words(name), *(numbers.count(count.get(label, 0)) for label in results.labels)]
        for name, count in counts.items()
    ]
    return Table(title=words("coverage.counts"), columns=columns, rows=rows)


def _refused(results: Results, words: Words) -> list[Table]:
    """Every case without a result; of many, how many each reason has before them."""
    refused = [current for current in results.records if current.record.status is not Status.OK]
    label = [Column(title=words("column.label"), facet="label")] if results.several else []
    why = [Column(title=words("column.status")), Column(title=words("column.reason"), kind=Kind.LONG), *label]
    rows = [_refused_row(current, results, words) for current in refused]
    cases = Table(
        title=words("coverage.refused"),
        columns=[*why, Column(title=words("column.case"), kind=Kind.CASE)],
        rows=[[*row, current.record.case.id] for row, current in zip(rows, refused, strict=True)],
        row_facets=[record_facets(current.record, words) for current in refused],
        folded=len(rows) > MOST_ROWS_OPEN,
    )
    if not cases.folded:
        return [cases]
    reasons = Table(
        title=words("coverage.reasons"),
        columns=[*why, Column(title=words("column.cases"), kind=Kind.NUMBER)],
        rows=[[*row, numbers.count(count)] for row, count in Counter(map(tuple, rows)).most_common()],
    )
    return [reasons, cases]


def _refused_row(current: CurrentRecord, results: Results, words: Words) -> list[str]:
    record = current.record
    return [
        words(f"status.{record.status}"),
        scrub(record.reason or numbers.NOTHING, is_ours=False),
        *([current.label] if results.several else []),
    ]


def _damaged(results: Results, words: Words) -> Table:
    return Table(
        title=words("coverage.damaged"),
        columns=[
            Column(title=words("column.label"), facet="label"),
            Column(title=words("column.folder"), kind=Kind.CODE),
            Column(title=words("column.wrong"), kind=Kind.LONG),
        ],
        rows=[[unread.label, unread.name, scrub(unread.reason, is_ours=False)] for unread in results.damaged],
        note=words("coverage.damaged_note"),
    )


def _unfinished(results: Results, words: Words) -> Table:
    return Table(
        title=words("coverage.unfinished"),
        columns=[
            Column(title=words("column.label"), facet="label"),
            Column(title=words("column.folder"), kind=Kind.CODE),
        ],
        rows=[[unread.label, unread.name] for unread in results.unfinished],
        note=words("coverage.unfinished_note"),
    )
