"""What a person sees while cases run: plain lines, one a case, and the whole answer where there is only one."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from suite.answer import SPANS, answer, latency, row
from suite.records import numbers
from suite.records.case import Case
from suite.records.derived import constant
from suite.records.record import Record, Status

COLOURS = {Status.OK: "32", Status.UNSUPPORTED: "33", Status.OUT_OF_MEMORY: "33"}
BAD = "31"


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
        return [*answer(record, self._status(record)), row("record", str(folder / "record.json"))]


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
    spans = [text for span in SPANS if (text := _span_text(record, span))]
    return "   ".join([*spans, *(f"! {warning}" for warning in record.provenance.get("warnings", []))])


def _span_text(record: Record, span: str) -> str | None:
    bound_s, warm = constant(record, span, "bound_s"), latency(record, span)
    if warm is None:
        return None if bound_s is None else f"{span} ≥ {numbers.seconds(bound_s)}"
    width = "(n = 1)" if warm.count == 1 else f"±{warm.relative_half_width:.1%}"
    return f"{span} {numbers.seconds(warm.median)} {width}"
