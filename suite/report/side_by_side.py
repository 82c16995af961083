"""The same cases under several labels, a label a column: what differs between two machines, or before and after.

Only cases that at least two labels have. The first label that has a case is what the others are held against.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Kind, Table, cell, dotted, joined, say
from suite.report.facets import case_facets
from suite.report.lines import SPANS_FIRST, span_title
from suite.report.model.results import Results
from suite.report.palette import shown
from suite.report.timings import Timing, one_launch_reach

Row = dict[str, tuple[str, Timing]]
"""By label: the group's title and the timing."""


def side_by_side(
    title: str,
    span: str,
    timings: Sequence[tuple[str, Timing]],
    results: Results,
    *,
    value: Callable[[Timing], float | None],
    text: Callable[[float], str],
    may_be_equal: Callable[[Timing, Timing], bool] | None = None,
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
            title=say("side_by_side.title", title=dotted(title, span_title(span))),
            columns=[
                *([Column(title=say("column.group"))] if has_groups else []),
                Column(title=say("latency.context"), kind=Kind.NUMBER),
                Column(title=say("column.variant"), facet="variant"),
                Column(title=say("column.settings"), kind=Kind.CODE),
                *(Column(title=label, kind=Kind.NUMBER) for label in labels),
                *(
                    Column(title=say("side_by_side.over", label=label, first=labels[0]), kind=Kind.NUMBER)
                    for label in labels[1:]
                ),
            ],
            rows=[
                [
                    *([_first(row)[0]] if has_groups else []),
                    *_case_cells(_first(row)[1]),
                    *(cell(value(row[label][1]) if label in row else None, text) for label in labels),
                    *(_ratio(row.get(labels[0]), row.get(label), value, may_be_equal) for label in labels[1:]),
                ]
                for row in shared
            ],
            row_facets=[case_facets(_first(row)[1].record.case.axes) for row in shared],
            note=joined(
                "sentence",
                [
                    say("side_by_side.note", label=labels[0]),
                    *([say("side_by_side.open", reach=one_launch_reach())] if may_be_equal else []),
                    say("side_by_side.next"),
                ],
            ),
            folded=span != SPANS_FIRST[0] or len(shared) > MOST_ROWS_OPEN,
        )
    ]


def _case_cells(timing: Timing) -> list[str]:
    return [cell(timing.seq_len, numbers.count), shown(timing.variant), ", ".join(timing.chosen_line)]


def _ratio(
    first: tuple[str, Timing] | None,
    other: tuple[str, Timing] | None,
    value: Callable[[Timing], float | None],
    may_be_equal: Callable[[Timing, Timing], bool] | None,
) -> str:
    if first is None or other is None:
        return numbers.NOTHING
    over, under = value(other[1]), value(first[1])
    if not over or not under:
        return numbers.NOTHING
    is_open = may_be_equal is not None and may_be_equal(first[1], other[1])
    return f"{'≈ ' * is_open}{numbers.times(over / under)}"


def _first(row: Row) -> tuple[str, Timing]:
    return next(iter(row.values()))
