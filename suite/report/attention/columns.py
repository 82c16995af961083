"""Columns that say which case a timing is of, and how near it comes to the roofline."""

from typing import Any

from suite.records import numbers
from suite.report.attention.timings import Timing
from suite.report.blocks import Kind, say_or
from suite.report.model.labels import phase_name, variant_label
from suite.report.model.results import Results
from suite.report.table import Column, column

CONTEXT: Column[Timing] = column("latency.context", lambda timing: timing.tokens, numbers.count)
VARIANT: Column[Timing] = column("column.variant", lambda timing: variant_label(timing.variant), facet="variant")
LINE: Column[Timing] = column("column.backend", lambda timing: ", ".join(timing.line), kind=Kind.CODE)
BACKEND: Column[Timing] = column("column.backend", lambda timing: timing.backend, kind=Kind.CODE)
PHASE: Column[Timing] = column("column.phase", lambda timing: phase_name(timing.axis("phase")), facet="phase")
GEOMETRY: Column[Timing] = column("column.geometry", lambda timing: timing.axis("geometry"))
DTYPE: Column[Timing] = column("column.dtype", lambda timing: timing.axis("dtype"))
SHARE: Column[Timing] = column("column.roofline", lambda timing: timing.roofline[0], numbers.percent)
REGIME: Column[Timing] = column(
    "column.regime", lambda timing: say_or(f"regime.{timing.roofline[1]}", timing.roofline[1] or "")
)


def label_column(results: Results) -> list[Column[Any]]:
    """Return a column for the label of any run, where there are several."""
    return [column("column.label", lambda run: run.label, facet="label")] if results.several else []
