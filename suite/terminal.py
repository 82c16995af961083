"""What a person sees while cases run: plain lines, one a case, and the whole answer where there is only one."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from suite.records import numbers
from suite.records.case import Case
from suite.records.derived import ceilings_of, constant, noted, roofline
from suite.records.record import Record, Status
from suite.statistics.intervals import Interval, median_interval

COLOURS = {Status.OK: "32", Status.UNSUPPORTED: "33", Status.OUT_OF_MEMORY: "33"}
BAD = "31"
SPANS = ("layer", "kernel")
BOUND_BY = {"compute": "arithmetic", "memory": "memory traffic"}
CLOCKS = {"thread_cpu": "thread CPU time", "wall": "wall time"}


class Terminal:
    """Prints to standard output; colour only for a terminal and never under NO_COLOR."""

    def __init__(self, cases: Sequence[Case], *, is_sweep: bool) -> None:
        self._total, self._is_sweep, self._done = len(cases), is_sweep, 0
        self._names = _telling_apart(cases)
        self._widths = [max(len(name), *(len(_value(case, name)) for case in cases)) for name in self._names]
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        if is_sweep:
            margin = " " * len(self._count())
            print(self._in_columns(margin, self._names, "result"), flush=True)

    def starting(self, case: Case) -> None:
        if not self._is_sweep:
            print(case.id, flush=True)

    def finished(self, record: Record, folder: Path) -> None:
        self._done += 1
        print("\n".join([self._one_line(record)] if self._is_sweep else self._whole(record, folder)), flush=True)

    def summary(self, records: Sequence[Record], folder: Path) -> None:
        if self._is_sweep:
            counts = Counter(record.status for record in records)
            print(", ".join(f"{counts[status]} {status}" for status in Status if counts[status]), end="; ")
            print(f"records below {folder}; for the page: suite report --results {folder}", flush=True)

    def _one_line(self, record: Record) -> str:
        values = [_value(record.case, name) for name in self._names]
        return self._in_columns(self._count(), values, f"{self._status(record)}  {_brief(record)}")

    def _count(self) -> str:
        return f"[{self._done:>{len(str(self._total))}}/{self._total}]"

    def _in_columns(self, first: str, values: Sequence[str], last: str) -> str:
        padded = [value.ljust(width) for value, width in zip(values, self._widths, strict=True)]
        return "  ".join([first, *padded, last]).rstrip()

    def _status(self, record: Record) -> str:
        colour = COLOURS.get(record.status, BAD)
        return f"\x1b[{colour}m{record.status}\x1b[0m" if self._colour else str(record.status)

    def _whole(self, record: Record, folder: Path) -> list[str]:
        facts = record.provenance
        reason = f": {record.reason}" if record.reason else ""
        lines = [_row("status", f"{self._status(record)}{reason}")]
        if "shape" in facts:
            lines.append(_row("shape", facts["shape"]))
        if "backend" in facts:
            operators = facts.get("operators", {}).get("kernel", [])
            ran = f", whose kernel ran {', '.join(operators)}" if operators else ""
            lines.append(_row("what ran", f"backend {facts['backend']}{ran}"))
        error, allowed = (noted(record, "kernel", metric) for metric in ("relative_error", "allowed_error"))
        if error is not None and allowed is not None:
            lines.append(_row("check", f"relative error {error:.2g} against float64, {allowed:.2g} allowed"))
        lines += [line for span in SPANS for line in _span_lines(record, span)]
        cache, mha = (constant(record, "case", metric) for metric in ("cache_bytes", "cache_bytes_mha"))
        if cache and mha:
            share = f"{numbers.percent(cache / mha)} of the {numbers.bytes_iec(mha)} that MHA keeps"
            lines.append(_row("cache", f"{numbers.bytes_iec(cache)} a layer, {share}"))
        lines += [_row("warning", warning) for warning in facts.get("warnings", [])]
        return [*lines, _row("record", str(folder / "record.json"))]


def _telling_apart(cases: Sequence[Case]) -> list[str]:
    """The axes and settings that differ between the cases of a sweep; the id has them all."""
    names = dict.fromkeys(name for case in cases for name in ("workload", *case.axes, *case.extras))
    return [name for name in names if len({_value(case, name) for case in cases}) > 1]


def _value(case: Case, name: str) -> str:
    named = {"workload": case.workload, **case.axes, **case.extras}
    value = named.get(name)
    return "-" if value is None else str(value)


def _brief(record: Record) -> str:
    if record.status is not Status.OK:
        return record.reason or ""
    spans = [f"{span} {text}" for span in SPANS if (text := _latency_text(record, span))]
    return "   ".join([*spans, *(f"! {warning}" for warning in record.provenance.get("warnings", []))])


def _latency(record: Record, span: str) -> Interval | None:
    values = [reading.value for reading in record.readings if reading.span == span and reading.metric == "latency_s"]
    return median_interval(values) if values else None


def _latency_text(record: Record, span: str) -> str | None:
    interval = _latency(record, span)
    if interval is None:
        return None
    width = "(n = 1)" if interval.count == 1 else f"±{interval.relative_half_width:.1%}"
    return f"{numbers.seconds(interval.median)} {width}"


def _span_lines(record: Record, span: str) -> list[str]:
    interval = _latency(record, span)
    if interval is None:
        return []
    spread = f"n = {interval.count}"
    if interval.count > 1:
        spread = f"{interval.level:.0%} interval {numbers.seconds_range(interval.low, interval.high)}, {spread}"
    lines = [
        _row(span, f"{numbers.seconds(interval.median)} median of {CLOCKS[record.provenance['clock']]} ({spread})")
    ]
    share, regime = roofline(record, span, interval.median)
    ceilings, flops = ceilings_of(record, span), constant(record, span, "flops")
    traffic = constant(record, span, "traffic_bytes")
    if share is not None and ceilings and flops and traffic:
        reached = (
            f"{flops / interval.median / 1e9:.3g} of {ceilings.flops_per_s / 1e9:.3g} GFLOP/s, "
            f"{traffic / interval.median / 1e9:.3g} of {ceilings.bytes_per_s / 1e9:.3g} GB/s"
        )
        lines.append(
            _row("", f"{numbers.percent(share)} of the roofline, bound by {BOUND_BY[regime or '']}: {reached}")
        )
    return lines


def _row(name: str, text: str) -> str:
    return f"{name:<10} {text}"
