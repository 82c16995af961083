"""Joules a token: what each variant's step takes from the socket or the card, by the difference of a counter.

No record has it by guessing: where no counter could resolve a step, there is no reading, and so no point here.
"""

from functools import partial

from suite.records import numbers
from suite.records.derived import cost_per_million_tokens, joules_per_token
from suite.report.attention.groups import Group, groups
from suite.report.attention.lines import case_table, line_figure
from suite.report.attention.timings import Timing, by_span, timings
from suite.report.blocks import Figure, Kind, Section, joined, say, section
from suite.report.model.formats import plain
from suite.report.model.results import Results
from suite.report.model.run import cut, mapping
from suite.report.plot.marks import Point
from suite.report.plot.scales import decimal_ticks, log
from suite.report.table import Column, column

PLAUSIBLE_J = (1e-12, 1e12)


def build(results: Results) -> Section | None:
    """Build it from the energies that records note; None where none does."""
    known = [timing for timing in timings(results) if _joules(timing) is not None]
    found = groups(known, lambda timing: timing.tokens is not None)
    costs = say("energy.cost_note") if any(_cost(timing) is not None for timing in known) else ""
    note = joined("sentence", [say("energy.note"), costs])
    tables = [
        case_table(group, of_span, results, COLUMNS, span=span, note=note)
        for group in found
        for span, of_span in by_span(group.timings).items()
    ]
    return section("energy", figures=[_figure(group, results) for group in found], tables=tables) if found else None


def _figure(group: Group, results: Results) -> Figure | None:
    return line_figure(
        group,
        results,
        point=_point,
        yaxis=lambda joules: log(say("energy.axis"), decimal_ticks(joules, numbers.joules_tick)),
        caption=say("energy.caption"),
    )


def _joules(timing: Timing) -> float | None:
    """Return a token's energy."""
    joules = joules_per_token(timing.record, timing.span)
    return joules if joules is not None and PLAUSIBLE_J[0] < joules < PLAUSIBLE_J[1] else None


def _point(timing: Timing) -> Point:
    joules = _joules(timing) or 0
    hover = say("energy.hover", tokens=numbers.count(timing.tokens or 0), joules=numbers.joules(joules))
    return Point(x=timing.tokens, y=joules, hover=hover)


def _amount(metric: str, timing: Timing) -> float | None:
    return timing.amount(metric)


def _cost(timing: Timing) -> float | None:
    return cost_per_million_tokens(timing.record, timing.median_s)


def _source(timing: Timing) -> str:
    return cut(mapping(timing.record.provenance, "energy").get("source"))


COLUMNS: list[Column[Timing]] = [
    column("energy.per_token", _joules, numbers.joules),
    column("energy.per_step", partial(_amount, "energy_j"), numbers.joules),
    column("energy.power", partial(_amount, "energy_power_w"), numbers.watts),
    column("energy.window", partial(_amount, "energy_window_s"), numbers.seconds),
    column("energy.cost", _cost, plain, only_where_known=True),
    column("energy.source", _source, kind=Kind.CODE),
]
