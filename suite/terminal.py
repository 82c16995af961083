"""What a person sees while cases run: plain lines, one a case, and the whole answer where there is only one."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from suite.records.case import Case
from suite.records.quantities import bytes_text, flops_text, seconds_text
from suite.records.record import Record, Status
from suite.statistics.intervals import median_interval
from suite.theory.roofline import Ceilings

COLOURS = {Status.OK: "32", Status.UNSUPPORTED: "33", Status.OUT_OF_MEMORY: "33"}
BAD = "31"
CLOCKS = {"thread_cpu": "thread CPU time", "wall": "wall time"}


class Terminal:
    """Prints to standard output; colour only for a terminal and never under NO_COLOR."""

    def __init__(self, *, total: int, is_sweep: bool) -> None:
        self._total, self._is_sweep, self._done = total, is_sweep, 0
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def starting(self, case: Case) -> None:
        if not self._is_sweep:
            print(case.id, flush=True)

    def finished(self, record: Record, folder: Path) -> None:
        self._done += 1
        if self._is_sweep:
            varied = " ".join(str(value) for value in _shown_axes(record.case))
            print(f"[{self._done}/{self._total}] {varied}  {self._status(record)}  {_brief(record)}", flush=True)
        else:
            print("\n".join(self._whole(record, folder)), flush=True)

    def summary(self, records: Sequence[Record], folder: Path) -> None:
        if not self._is_sweep:
            return
        counts = Counter(record.status for record in records)
        print(", ".join(f"{counts[status]} {status}" for status in Status if counts[status]) or "no case", end="")
        print(f"; records in {folder}; page: suite report --results {folder}")

    def _status(self, record: Record) -> str:
        colour = COLOURS.get(record.status, BAD)
        return f"\x1b[{colour}m{record.status}\x1b[0m" if self._colour else str(record.status)

    def _whole(self, record: Record, folder: Path) -> list[str]:
        facts = record.provenance
        lines = [f"status         {self._status(record)}" + (f": {record.reason}" if record.reason else "")]
        if "shape" in facts:
            lines.append(f"shape          {facts['shape']}")
        if "backend" in facts:
            operators = facts.get("operators", {}).get("kernel", [])
            ran = f", whose kernel ran {', '.join(operators)}" if operators else ""
            lines.append(f"what ran       backend {facts['backend']}{ran}")
        error, allowed = _constant(record, "kernel", "relative_error"), _constant(record, "kernel", "allowed_error")
        if error is not None and allowed is not None:
            lines.append(f"check          relative error {error:.2e} against float64 (allowed {allowed:.2e})")
        lines += [line for span in ("layer", "kernel") if (line := _span_line(record, span))]
        cache, mha = _constant(record, "case", "cache_bytes"), _constant(record, "case", "cache_bytes_mha")
        if cache is not None and mha:
            lines.append(f"cache          {bytes_text(cache)} a layer, {cache / mha:.1%} of MHA's {bytes_text(mha)}")
        lines += [f"warning        {warning}" for warning in facts.get("warnings", [])]
        return [*lines, f"record         {folder / 'record.json'}"]


def _shown_axes(case: Case) -> list[object]:
    """The values that tell cases of a sweep apart at a glance; the id has them all."""
    names = ("attention", "geometry", "phase", "seq_len", "dtype", "backend")
    shown = [case.axes[name] for name in names if case.axes.get(name) is not None]
    return [*shown, *(f"{name}={value}" for name, value in case.extras.items())]


def _brief(record: Record) -> str:
    if record.status is not Status.OK:
        return record.reason or ""
    return "   ".join(f"{span} {text}" for span in ("layer", "kernel") if (text := _latency_text(record, span)))


def _latency_text(record: Record, span: str) -> str | None:
    values = [r.value for r in record.readings if r.span == span and r.metric == "latency_s"]
    if not values:
        return None
    interval = median_interval(values)
    if interval.count == 1:
        return f"{seconds_text(interval.median)} (n = 1)"
    return f"{seconds_text(interval.median)} ±{interval.relative_half_width:.1%}"


def _span_line(record: Record, span: str) -> str | None:
    values = [r.value for r in record.readings if r.span == span and r.metric == "latency_s"]
    flops, traffic = _constant(record, span, "flops"), _constant(record, span, "traffic_bytes")
    peak_flops = _constant(record, span, "ceiling_flops_per_s")
    peak_bytes = _constant(record, span, "ceiling_bytes_per_s")
    if not values or flops is None or traffic is None or peak_flops is None or peak_bytes is None:
        return None
    interval = median_interval(values)
    ceilings = Ceilings(flops_per_s=peak_flops, bytes_per_s=peak_bytes)
    share = ceilings.bound_s(flops=flops, traffic_bytes=traffic) / interval.median
    clock = CLOCKS[record.provenance["clock"]]
    within = f"{interval.level:.0%} interval {seconds_text(interval.low)} – {seconds_text(interval.high)}, "
    return (
        f"{span:<15}{seconds_text(interval.median)} median of {clock} "
        f"({within if interval.count > 1 else ''}n = {interval.count}); "
        f"{share:.2g} of the {ceilings.regime(flops=flops, traffic_bytes=traffic)} roofline "
        f"({flops_text(flops / interval.median)}/s of {flops_text(peak_flops)}/s, "
        f"{bytes_text(traffic / interval.median)}/s of {bytes_text(peak_bytes)}/s)"
    )


def _constant(record: Record, span: str, metric: str) -> float | None:
    return next((r.value for r in record.readings if r.span == span and r.metric == metric), None)
