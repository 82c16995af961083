"""The largest batch of a model beside its weights, and the tokens a second that it gives. Computed, not measured."""

from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.records.derived import constant
from suite.records.record import Record, Status
from suite.report.blocks import Figure, Kind, Section, Text, View, joined, say, section
from suite.report.model.labels import BLUE
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import MOST_TOKENS
from suite.report.plot.marks import Point, Series
from suite.report.plot.rows import drawn_of, height_px, rows, told_apart
from suite.report.plot.scales import decimal_ticks, log
from suite.report.table import Column, column, label_column, table

MOST_DRAWN = 16
MOST = 1e18
"""Above it a size or a rate is no device's."""


def build(results: Results) -> Section | None:
    """Build it from records of workload=capacity; None without any."""
    found = [current for current in results.records if current.record.case.workload == "capacity"]
    fit = sorted((current for current in found if _most(current)), key=lambda current: -(_most(current) or 0))
    if not found:
        return None
    drawn, left_out = drawn_of(fit, MOST_DRAWN)
    names, common = told_apart([_parts(current) for current in drawn])
    finding: Text = ""
    if fit:
        best = fit[0]
        batch, rate = _amount("case", "largest_batch", best.record) or 0, _most(best) or 0
        fields = {"model": _axis(best, "geometry"), "share": _share(best), "batch": numbers.count(batch)}
        finding = say("capacity.finding", rate=numbers.count(rate), **fields)
    figure = Figure(
        title=say("capacity.figure"),
        finding=finding,
        caption=joined("sentence", [say("capacity.caption"), left_out]),
        settings=common,
        views=[View(title="", figure=_dots(drawn, names))] if drawn else [],
        height_px=height_px(len(drawn)),
    )
    kept = table(
        say("capacity.table"), fit, [*NAMED, *SIZES, *REST, *label_column(results.several)], note=say("capacity.note")
    )
    refused = [current for current in found if current.record.status is not Status.OK]
    reasons = table(say("capacity.refused"), refused, [*NAMED, WHY, *REST, *label_column(results.several)], folded=True)
    return section("capacity", figures=[figure], tables=[kept, reasons])


def _axis(current: CurrentRecord, name: str) -> str:
    value = current.record.case.axes.get(name)
    return "" if value is None else str(value)


def _tokens(current: CurrentRecord) -> int | None:
    value = current.record.case.axes.get("seq_len")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MOST_TOKENS else None


def _count(current: CurrentRecord) -> str:
    """How many devices there are, before their name; nothing for one."""
    count = _axis(current, "tp")
    return f"{count} × " if count not in ("", "1") else ""


def _share(current: CurrentRecord) -> Text:
    """The devices and how they share the model: 8 × h200-sxm-141gb, dp."""
    device = _count(current) + _axis(current, "hardware")
    return f"{device}, {_axis(current, 'parallel')}" if _count(current) else device


def _amount(span: str, metric: str, record: Record) -> float | None:
    value = constant(record, span, metric)
    return value if value is not None and value < MOST else None


def _most(current: CurrentRecord) -> float | None:
    return _amount("step", "most_tokens_per_s", current.record)


def _expected(current: CurrentRecord) -> float | None:
    return _amount("step", "expected_tokens_per_s", current.record)


def _parts(current: CurrentRecord) -> list[Text]:
    tokens = _tokens(current)
    context = say("callstyle.tokens", tokens=numbers.count(tokens)) if tokens else ""
    device, way = _axis(current, "hardware"), _axis(current, "parallel") if _count(current) else ""
    return [_axis(current, "geometry"), way, _count(current) + device, _axis(current, "weights"), context]


def _dots(found: Sequence[CurrentRecord], names: Sequence[Text]) -> dict[str, Any]:
    def series(key: str, symbol: str, value: Any) -> Series:
        points = [
            Point(
                x=rate,
                y=place,
                hover=say(f"capacity.hover_{key}", rate=numbers.count(rate)),
                facets={"geometry": _axis(current, "geometry")},
                runs=(current.record.run_key,),
            )
            for place, current in enumerate(found)
            if (rate := value(current)) is not None
        ]
        return Series(
            name=say(f"capacity.{key}"), points=points, more={"marker": {"symbol": symbol, "size": 11, "color": BLUE}}
        )

    drawn = [series("most", "circle-open", _most), series("expected", "circle", _expected)]
    rates = [float(point.x) for one in drawn for point in one.points]
    axis = log(say("capacity.axis"), decimal_ticks(rates, numbers.count))
    return rows(names, [one for one in drawn if one.points], xaxis=axis)


NAMED: list[Column[CurrentRecord]] = [
    column("column.model", lambda current: _axis(current, "geometry")),
    column("signmap.device", _share, kind=Kind.CODE),
    column("latency.context", _tokens, numbers.count),
]
REST: list[Column[CurrentRecord]] = [
    column("capacity.weights", lambda current: _axis(current, "weights"), kind=Kind.CODE)
]
SIZES: list[Column[CurrentRecord]] = [
    column("capacity.batch", lambda current: _amount("case", "largest_batch", current.record), numbers.count),
    column("capacity.most", _most, numbers.count),
    column("capacity.expected", _expected, numbers.count),
    column("capacity.weight_bytes", lambda current: _amount("case", "weight_bytes", current.record), numbers.bytes_iec),
    column(
        "capacity.sequence_bytes", lambda current: _amount("case", "sequence_bytes", current.record), numbers.bytes_iec
    ),
]
WHY: Column[CurrentRecord] = column("capacity.why", lambda current: current.record.reason or "", kind=Kind.LONG)
