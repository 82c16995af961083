"""What a step allocates at its peak, and whether the cache is as large as its closed form says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.records import numbers
from suite.records.derived import noted
from suite.report.blocks import Column, Figure, Kind, Section, Table, Text, cell, joined, say
from suite.report.charts import byte_ticks, log_axis
from suite.report.facets import case_facets
from suite.report.lines import (
    SPANS_FIRST,
    Point,
    height_px,
    one_backend_each,
    plot,
    span_views,
    title_of,
    worth_drawing,
)
from suite.report.model.results import Results
from suite.report.palette import shown
from suite.report.side_by_side import side_by_side
from suite.report.timings import Timing, groups, in_order

MOST_BYTES = 1 << 60


@dataclass(frozen=True, kw_only=True)
class Case:
    """One record's sizes in bytes; None where it does not hold them."""

    timing: Timing

    @property
    def by_formula(self) -> float | None:
        return _size(self.timing, "case", "cache_bytes")

    @property
    def counted(self) -> float | None:
        return _size(self.timing, "case", "cache_bytes_counted")

    def peak(self, span: str) -> float | None:
        return _size(self.timing, span, "peak_bytes")

    @property
    def differs(self) -> bool:
        return self.by_formula is not None and self.counted is not None and self.by_formula != self.counted

    @property
    def says_something(self) -> bool:
        return self.counted is not None or any(self.peak(span) is not None for span in SPANS_FIRST)


def build(results: Results) -> Section | None:
    found = groups(results)
    cases = {group: [case for case in _cases(timings) if case.says_something] for group, timings in found.items()}
    if not any(cases.values()):
        return None
    with_peaks = {
        group: [timing for timing in timings if timing.seq_len and _peak(timing)] for group, timings in found.items()
    }
    drawn = worth_drawing({group: timings for group, timings in with_peaks.items() if timings})
    titles = {group: title_of(group, drawn if group in drawn else list(found)) for group in found}
    figures = [_figure(titles[group], with_peaks[group], dict(group), results) for group in drawn]
    tables = [
        table for group in drawn for table in _tables(titles[group], [("", case) for case in cases[group]], results)
    ]
    others = [(titles[group], case) for group in cases if group not in drawn for case in cases[group]]
    if others:
        tables += _tables(say("latency.others"), others, results)
    differing = [(titles[group], case) for group in cases for case in cases[group] if case.differs]
    return Section(
        id="memory",
        title=say("memory.title"),
        explanation=say("memory.explanation"),
        figures=figures,
        tables=[*([_differing(differing, results)] if differing else []), *tables],
    )


def _cases(timings: Sequence[Timing]) -> list[Case]:
    """One for each record, which has a timing for each span."""
    by_record = {id(timing.current): timing for timing in timings}
    return [Case(timing=timing) for timing in in_order(by_record.values())]


def _size(timing: Timing, span: str, metric: str) -> float | None:
    value = noted(timing.record, span, metric)
    return value if value is not None and 0 <= value < MOST_BYTES else None


def _peak(timing: Timing) -> float:
    return _size(timing, timing.span, "peak_bytes") or 0


def _figure(title: str, timings: Sequence[Timing], axes: Mapping[str, str], results: Results) -> Figure:
    drawn = one_backend_each(timings)
    views = span_views(drawn, lambda part: _plot(part, results))
    caption = [say("memory.caption"), *([say("latency.one_backend")] if len(drawn) < len(timings) else [])]
    text = joined("sentence", caption)
    return Figure(title=title, caption=text, views=views, height_px=height_px(views), facets=case_facets(axes))


def _plot(timings: Sequence[Timing], results: Results) -> dict[str, Any]:
    points = [
        Point(
            timing=timing,
            value=_peak(timing),
            hover=say(
                "memory.hover", tokens=cell(timing.seq_len, numbers.count), peak=numbers.bytes_iec(_peak(timing))
            ),
        )
        for timing in timings
    ]
    ticks = byte_ticks([point.value for point in points])
    # Peaks often differ little: an axis from tick to tick has two of them at least.
    ends = [math.log10(ticks[0][0]) - 0.05, math.log10(ticks[-1][0]) + 0.05]
    return plot(points, results, yaxis={**log_axis(say("memory.axis"), ticks), "range": ends})


def _tables(title: str, cases: Sequence[tuple[str, Case]], results: Results) -> list[Table]:
    """What several labels share, then all of it."""
    timings = [(group, case.timing) for group, case in cases]
    peaks = side_by_side(title, SPANS_FIRST[0], timings, results, value=_layer_peak, text=numbers.bytes_iec)
    return [*peaks, _table(title, cases, results)]


def _layer_peak(timing: Timing) -> float | None:
    return _size(timing, SPANS_FIRST[0], "peak_bytes")


def _table(title: str, cases: Sequence[tuple[str, Case]], results: Results) -> Table:
    """Of cases with what they belong to where the title does not say it."""
    has_groups = any(group for group, _ in cases)
    names = ("memory.formula", "memory.counted", "memory.equal", "memory.kernel_peak", "memory.layer_peak")
    return Table(
        title=title,
        columns=[
            *([Column(title=say("column.group"))] if has_groups else []),
            *_case_columns(results),
            *(Column(title=say(name), kind=Kind.TEXT if name == "memory.equal" else Kind.NUMBER) for name in names),
        ],
        rows=[
            [
                *([group] if has_groups else []),
                *_case_cells(case, results),
                cell(case.by_formula, numbers.bytes_iec),
                cell(case.counted, numbers.bytes_iec),
                _equal(case),
                cell(case.peak("kernel"), numbers.bytes_iec),
                cell(case.peak("layer"), numbers.bytes_iec),
            ]
            for group, case in cases
        ],
        row_facets=[case_facets(case.timing.record.case.axes) for _, case in cases],
        folded=True,
    )


def _case_columns(results: Results) -> list[Column]:
    return [
        Column(title=say("latency.context"), kind=Kind.NUMBER),
        Column(title=say("column.variant"), facet="variant"),
        Column(title=say("column.backend"), kind=Kind.CODE),
        *([Column(title=say("column.label"), facet="label")] if results.several else []),
    ]


def _case_cells(case: Case, results: Results) -> list[str]:
    timing = case.timing
    return [
        cell(timing.seq_len, numbers.count),
        shown(timing.variant),
        ", ".join(timing.line),
        *([timing.label] if results.several else []),
    ]


def _equal(case: Case) -> Text:
    if case.by_formula is None or case.counted is None:
        return numbers.NOTHING
    return say("memory.no") if case.differs else say("memory.yes")


def _differing(found: Sequence[tuple[str, Case]], results: Results) -> Table:
    return Table(
        title=say("memory.differing"),
        columns=[
            Column(title=say("column.group")),
            *_case_columns(results),
            *(Column(title=say(name), kind=Kind.NUMBER) for name in ("memory.formula", "memory.counted")),
        ],
        rows=[
            [title, *_case_cells(case, results), cell(case.by_formula, _exact), cell(case.counted, _exact)]
            for title, case in found
        ],
        row_facets=[case_facets(case.timing.record.case.axes) for _, case in found],
        note=say("memory.differing_note"),
    )


def _exact(size: float) -> str:
    return f"{numbers.count(size)} B"
