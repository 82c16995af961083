"""Peak memory of a step, and a check of the cache against its closed form."""

import math
from collections.abc import Sequence
from functools import partial

from suite.records import numbers
from suite.records.derived import noted
from suite.report.attention.groups import groups
from suite.report.attention.lines import LineMetric, case_table, line_figure
from suite.report.blocks import Headline, Section, Text, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.results import Results
from suite.report.plot.plots import Axis, byte_axis, byte_ticks
from suite.report.table import column
from suite.report.timings import KERNEL, LAYER, Timing, one_per_record, timings

MOST_BYTES = 1 << 60
TITLE = say("table.cases")


def build(results: Results) -> Section | None:
    """Build the section on memory from the sizes that records note; None where none does."""
    case_groups = groups(timings(results), lambda timing: bool(timing.tokens and _peak_bytes(timing)))
    sizes = (COUNTED, LAYER_PEAK, KERNEL_PEAK)
    cases = [
        [timing for timing in one_per_record(group.timings) if any(size(timing) is not None for size in sizes)]
        for group in case_groups
    ]
    if not any(cases):
        return None
    errors = [_error_bytes(timing) for group_cases in cases for timing in group_cases]
    wrong = sum(map(bool, errors))
    warning = say("memory.differing", count=numbers.count(wrong), total=numbers.count(len(errors)))
    return section(
        "memory",
        figures=[line_figure(PEAK, group) for group in case_groups],
        tables=[
            case_table(group, group_cases, results, PEAK.columns, TITLE if group.facets else "", folded=not wrong)
            for group, group_cases in zip(case_groups, cases, strict=True)
        ],
        headlines=[Headline(text=warning)] if wrong else [],
    )


def _size(span: str, metric: str, timing: Timing) -> float | None:
    value = noted(timing.record, span, metric)
    return value if value is not None and 0 <= value < MOST_BYTES else None


BY_FORMULA, COUNTED = partial(_size, "case", "cache_bytes"), partial(_size, "case", "cache_bytes_counted")
KEPT = partial(_size, KERNEL, "kept_bytes")
LAYER_PEAK, KERNEL_PEAK = partial(_size, LAYER, "peak_bytes"), partial(_size, KERNEL, "peak_bytes")


def _peak_bytes(timing: Timing) -> float | None:
    return _size(timing.span, "peak_bytes", timing)


def _peak_axis(title: Text, peaks: Sequence[float]) -> Axis:
    (low, _), *_, (high, _) = byte_ticks(peaks)
    return byte_axis(title, peaks, range=[math.log10(low) - 0.05, math.log10(high) + 0.05])


def _least_text(order: Sequence[Timing]) -> Text:
    """Say which variants' step needs least; the peak is counted to the byte, so nothing of it is chance."""
    if len(order) < 2:
        return ""
    by_peak = grouped(order, lambda timing: _peak_bytes(timing) or 0.0)
    (low, least), *_, (high, most) = 2 * [*by_peak.items()]  # twice, since all may have one peak
    fields = {"tokens": numbers.count(order[0].tokens or 0), "size": numbers.bytes_iec(low)}
    fields |= {"ratio": numbers.times(high / low), "most": most[-1].full_name}
    names = joined("list", [timing.full_name for timing in least])
    return say("memory.finding" if high > low else "memory.alike", least=names, **fields)


def _error_bytes(timing: Timing) -> float | None:
    by_formula, counted = BY_FORMULA(timing), COUNTED(timing)
    return None if by_formula is None or counted is None else counted - by_formula


def _equality_text(timing: Timing) -> Text:
    error = _error_bytes(timing)
    return "" if error is None else say("memory.no", error=f"{error:+,.0f} B") if error else say("memory.yes")


PEAK = LineMetric(
    key="memory.peak",
    value=_peak_bytes,
    text=numbers.bytes_iec,
    axis=_peak_axis,
    finding=_least_text,
    columns=[
        column("memory.formula", BY_FORMULA, numbers.bytes_iec),
        column("memory.counted", COUNTED, numbers.bytes_iec),
        column("memory.equal", _equality_text),
        column("memory.kernel_peak", KERNEL_PEAK, numbers.bytes_iec),
        column("memory.layer_peak", LAYER_PEAK, numbers.bytes_iec),
        column("memory.kept", lambda timing: KEPT(timing) or None, numbers.bytes_iec, only_where_known=True),
    ],
)
