"""Which choice of estimator, KL or aggregation is unbiased, by exact enumeration: no training run tells so finely."""

import math
from collections.abc import Sequence
from functools import partial

from suite.records import numbers
from suite.records.metrics import METRICS
from suite.records.record import Record
from suite.report.blocks import Section, Table, Text, dotted, joined, say, say_or, section
from suite.report.model.experiment import grouped
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import axis, cut, extras
from suite.report.table import Column, column, table

WORKLOAD = "rl_conformance"
EXACT = 1e-9
"""Below it a difference is rounding: expectations are enumerated in float64."""
NOT_SHOWN = ("latency_s", "energy_j")
VALUE_BIAS, GRADIENT_BIAS, RATIO, COSINE = "value_bias", "gradient_bias", "gradient_norm_ratio", "gradient_cosine"
DIFFERENCE = "largest_difference"
JUDGED = (VALUE_BIAS, GRADIENT_BIAS)
MOST_CELLS, LONGEST_SPAN = 4000, 120

Values = dict[str, float]
Choice = tuple[str, Values]
"""A choice, or a check, and its numbers."""


def build(results: Results) -> Section | None:
    """Build it from the records of its workload."""
    found = [(one, choices) for one in results.records if (choices := _choices(one.record))]
    if not found:
        return None
    names = _names([current for current, _ in found], has_labels=results.several)
    tables = [
        _tables(names[place], current.label, choices, is_first=place == 0)
        for place, (current, choices) in enumerate(found)
    ]
    return section("rl_conformance", tables=[one for of_record in tables for one in of_record])


def _choices(record: Record) -> list[Choice]:
    """Return the numbers of each span, in the record's order; none for a record of another workload."""
    if record.case.workload != WORKLOAD:
        return []
    readings = [reading for reading in record.readings[:MOST_CELLS] if reading.metric not in NOT_SHOWN]
    of_span = grouped(readings, lambda reading: reading.span)
    return [(span, {reading.metric: reading.value for reading in same}) for span, same in of_span.items()]


def _names(records: Sequence[CurrentRecord], *, has_labels: bool) -> list[Text]:
    """Return what tells each record from the others; nothing where there is one."""
    axes = dict.fromkeys(name for current in records for name in current.record.case.axes)
    differ = [name for name in axes if len({axis(current.record, name) for current in records}) > 1]
    return [
        dotted(
            current.label if has_labels else "",
            *(f"{name}={cut(axis(current.record, name))}" for name in differ),
            *map(cut, extras(current.record) if len(records) > 1 else []),
        )
        for current in records
    ]


def _tables(name: Text, label: str, choices: Sequence[Choice], *, is_first: bool) -> list[Table]:
    """Lay out each family of choices with a bias, which their first word names; then what must be equal."""
    by_bias = grouped(choices, lambda one: not one[1].keys().isdisjoint(JUDGED))
    families = grouped(by_bias.get(True, []), lambda one: one[0].partition(" ")[0])
    equal = by_bias.get(False, [])
    # The last of the open ones says how to read them.
    note = say("rl_conformance.note", exact=f"{EXACT:.0e}") if is_first else ""
    tables = []
    for place, (family, of_family) in enumerate(families.items(), start=1):
        rows = [(span.partition(" ")[2] or family, values) for span, values in of_family]
        title = say_or(f"rl_conformance.family.{family}", cut(family))
        noted = note if place == len(families) else ""
        tables.append(_table(title, name, label, rows, is_open=is_first, note=noted))
    return [*tables, _table(say("rl_conformance.equal_table"), name, label, equal, is_open=is_first)]


def _table(
    title: Text, settings: Text, label: str, choices: Sequence[Choice], *, is_open: bool, note: Text = ""
) -> Table:
    metrics = dict.fromkeys(metric for _, values in choices for metric in values)
    columns: list[Column[Choice]] = [
        column("rl_conformance.choice", lambda one: cut(one[0], LONGEST_SPAN)),
        column("rl_efficiency.in_words", lambda one: joined("notes", _verdicts(one[1]))),
        *(column(_label(metric), partial(_value, metric), _number) for metric in metrics),
    ]
    facets = {"label": label}
    return table(title, choices, columns, settings=settings, folded=not is_open, note=note, facets=facets)


def _value(metric: str, choice: Choice) -> float | None:
    return choice[1].get(metric)


def _label(metric: str) -> Text:
    """Return a metric's name: short where the page has a word for it, else as the table of metrics names it."""
    known = METRICS.get(metric)
    return say_or(f"rl_conformance.metric.{metric}", known.label if known else cut(metric) or numbers.NOTHING)


def _number(value: float) -> str:
    return "0" if abs(value) < EXACT else f"{value:,.3g}"


def _verdicts(values: Values) -> list[Text]:
    return [text for judge in (_of_value, _of_gradient, _of_difference) if (text := judge(values)) is not None]


def _of_value(values: Values) -> Text | None:
    bias = values.get(VALUE_BIAS)
    if bias is None:
        return None
    return say("rl_conformance.value_biased", bias=f"{bias:+.3g}") if abs(bias) > EXACT else say("rl_conformance.value")


def _of_gradient(values: Values) -> Text | None:
    bias, ratio, cosine = (values.get(metric) for metric in (GRADIENT_BIAS, RATIO, COSINE))
    if bias is None:
        return None
    if abs(bias) <= EXACT:
        return say("rl_conformance.gradient")
    if ratio is not None and abs(ratio) <= EXACT:
        return say("rl_conformance.no_gradient")
    if ratio is not None and cosine is not None and cosine >= 1 - EXACT:
        return say("rl_conformance.scaled", ratio=numbers.times(ratio))
    if cosine is None:
        return say("rl_conformance.gradient_biased", bias=numbers.percent(bias))
    if cosine <= 0:
        return say("rl_conformance.wrong_way")
    # What no learning rate makes up for: the part across the true direction, of the gradient's own length.
    return say("rl_conformance.astray", share=numbers.percent(math.sqrt(max(0.0, 1 - cosine**2))))


def _of_difference(values: Values) -> Text | None:
    difference = values.get(DIFFERENCE)
    if difference is None:
        return None
    is_equal = abs(difference) <= EXACT
    return say("rl_conformance.equal") if is_equal else say("rl_conformance.differs", by=f"{difference:.3g}")
