"""Columns that say which case a timing is of, and how near it comes to the roofline."""

from typing import Any

from suite.records import numbers
from suite.report.attention.timings import Timing
from suite.report.blocks import Kind, Text, say
from suite.report.model.labels import phase_name, shown
from suite.report.model.results import Results
from suite.report.table import Column, column

CONTEXT: Column[Timing] = column("latency.context", lambda timing: timing.tokens, numbers.count)
VARIANT: Column[Timing] = column("column.variant", lambda timing: shown(timing.variant), facet="variant")
LINE: Column[Timing] = column("column.backend", lambda timing: ", ".join(timing.line), kind=Kind.CODE)
BACKEND: Column[Timing] = column("column.backend", lambda timing: timing.backend, kind=Kind.CODE)
PHASE: Column[Timing] = column("column.phase", lambda timing: phase_name(timing.axis("phase")), facet="phase")
GEOMETRY: Column[Timing] = column("column.geometry", lambda timing: timing.axis("geometry"))
DTYPE: Column[Timing] = column("column.dtype", lambda timing: timing.axis("dtype"))


def regime(timing: Timing) -> Text:
    """Return what limits a timing, where that is known."""
    limit = timing.roofline[1]
    return say(f"regime.{limit}") if limit else ""


REGIME: Column[Timing] = column("column.regime", regime)
ROOFLINE = [column("column.roofline", lambda timing: timing.roofline[0], numbers.percent), REGIME]


def label_column(results: Results) -> list[Column[Any]]:
    """Return a column for the results' label, where there are several; of any runs."""
    return [column("column.label", lambda run: run.label, facet="label")] if results.several else []
