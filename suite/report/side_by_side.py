"""The same cases under several labels, a label a column: what differs between two machines, or before and after.

Only cases that at least two labels have. The first label that has a case is what the others are held against.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from suite.records import numbers
from suite.report.facets import case_facets
from suite.report.lines import SPANS_FIRST, span_title
from suite.report.palette import shown
from suite.report.results import Results
from suite.report.section import MOST_ROWS_OPEN, Column, Kind, Table, cell
from suite.report.timings import Timing
from suite.report.words import Words

Row = dict[str, tuple[str, Timing]]
"""By label: the group's title and the timing."""


def side_by_side(
    title: str,
    span: str,
    timings: Sequence[tuple[str, Timing]],
    results: Results,
    words: Words,
    *,
    value: Callable[[Timing], float | None],
    text: Callable[[float], str],
) -> list[Table]:
    """At most one table. `timings` are of one span, in order, each with its group's title where the table's is not."""
    rows: dict[str, Row] = defaultdict(dict)
    for group, timing in timings:
        if value(timing) is not None:
            rows[timing.record.case.id][timing.label] = group, timing
    shared = [row for row in rows.values() if len(row) > 1]
    if not shared:
        return []
    labels = [label for label in results.labels if any(label in row for row in shared)]
    has_groups = any(group for row in shared for group, _ in row.values())
    return [
        Table(
            title=words("side_by_side.title", title=f"{title} · {span_title(span, words)}"),
            columns=[
                *([Column(title=words("column.group"))] if has_groups else []),
                Column(title=words("latency.context"), kind=Kind.NUMBER),
                Column(title=words("column.variant"), facet="variant"),
                Column(title=words("column.settings"), kind=Kind.CODE),
                *(Column(title=label, kind=Kind.NUMBER) for label in labels),
                *(
                    Column(title=words("side_by_side.over", label=label, first=labels[0]), kind=Kind.NUMBER)
                    for label in labels[1:]
                ),
            ],
            rows=[_cells(row, labels, has_groups, value, text) for row in shared],
            row_facets=[case_facets(_first(row)[1].record.case.axes, words) for row in shared],
            note=words("side_by_side.note", label=labels[0]),
            folded=span != SPANS_FIRST[0] or len(shared) > MOST_ROWS_OPEN,
        )
    ]


def _cells(
    row: Row,
    labels: Sequence[str],
    has_groups: bool,
    value: Callable[[Timing], float | None],
    text: Callable[[float], str],
) -> list[str]:
    group, timing = _first(row)
    values = [value(row[label][1]) if label in row else None for label in labels]
    held_against = values[0]
    return [
        *([group] if has_groups else []),
        cell(timing.seq_len, numbers.count),
        shown(timing.variant),
        ", ".join(timing.chosen_line),
        *(cell(one, text) for one in values),
        *(cell(one / held_against if one and held_against else None, numbers.times) for one in values[1:]),
    ]


def _first(row: Row) -> tuple[str, Timing]:
    return next(iter(row.values()))
