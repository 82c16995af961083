"""Joules a token: what each variant's step takes from the socket or the card, by the difference of a counter.

No record has it by guessing: where no counter could resolve a step, there is no reading, and so no point here.
"""

from collections.abc import Sequence

from suite.records import numbers
from suite.records.derived import cost_per_million_tokens, joules_per_token
from suite.report.attention.groups import groups
from suite.report.attention.lines import Metric, line_figure, span_tables
from suite.report.attention.timings import Timing, timings
from suite.report.blocks import Kind, Section, Text, joined, say, section
from suite.report.model.formats import plain
from suite.report.model.results import Results
from suite.report.model.run import clip_text, mapping
from suite.report.plot.scales import decimal_ticks, log
from suite.report.table import Column, column

PLAUSIBLE_J = (1e-12, 1e12)


def build(results: Results) -> Section | None:
    """Build it from the energies that records note; None where none does."""
    known = [timing for timing in timings(results) if _joules(timing) is not None]
    found = groups(known, lambda timing: timing.tokens is not None)
    costs = say("energy.cost_note") if any(_cost(timing) is not None for timing in known) else ""
    note = joined("sentence", [say("energy.note"), costs])
    figures = [line_figure(METRIC, group) for group in found]
    tables = [table for group in found for table in span_tables(METRIC, group, results, COLUMNS, note)]
    return section("energy", figures=figures, tables=tables) if found else None


def _joules(timing: Timing) -> float | None:
    """The energy of one token; None where it is not noted or not plausible."""
    joules = joules_per_token(timing.record, timing.span)
    return joules if joules is not None and PLAUSIBLE_J[0] < joules < PLAUSIBLE_J[1] else None


def finding(order: Sequence[Timing]) -> Text:
    """Say which variant takes least; a counter's difference over one window has no interval, so no order is claimed."""
    if len(order) < 2:
        return ""
    least, *_, most = order
    low_j, high_j = _joules(least) or 0.0, _joules(most) or 0.0
    fields = {"tokens": numbers.count(least.tokens or 0), "least": least.full_name, "most": most.full_name}
    return say("energy.finding", low=numbers.joules(low_j), high=numbers.joules(high_j), **fields)


METRIC = Metric(
    family="energy.family",
    caption="energy.caption",
    title="energy.axis",
    hover="energy.hover",
    value=_joules,
    text=numbers.joules,
    axis=lambda title, joules: log(title, decimal_ticks(joules, numbers.joules_tick)),
    finding=finding,
)


def _cost(timing: Timing) -> float | None:
    return cost_per_million_tokens(timing.record, timing.median_s)


COLUMNS: list[Column[Timing]] = [
    column("energy.per_token", _joules, numbers.joules),
    column("energy.per_step", lambda timing: timing.amount("energy_j"), numbers.joules),
    column("energy.power", lambda timing: timing.amount("energy_power_w"), numbers.watts),
    column("energy.window", lambda timing: timing.amount("energy_window_s"), numbers.seconds),
    column("energy.cost", _cost, plain, only_where_known=True),
    column(
        "energy.source",
        lambda timing: clip_text(mapping(timing.record.provenance, "energy").get("source")),
        kind=Kind.CODE,
    ),
]
