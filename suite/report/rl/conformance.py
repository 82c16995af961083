"""Which choice of estimator, KL or aggregation is unbiased, by exact enumeration: no training run tells so finely."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from suite.records import numbers
from suite.records.metrics import METRICS
from suite.records.record import Record
from suite.report.blocks import Section, Table, Text, dotted, joined, say, say_or, section
from suite.report.model.experiment import grouped, titles_of
from suite.report.model.results import Results
from suite.report.model.run import LABEL, case_key, cut, named_in
from suite.report.rl import design
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
    found = [(current, choices) for current in results.records if (choices := _choices(current.record))]
    if not found:
        return None
    named = named_in(current.record for current, _ in found)
    keys = [(*case_key(current.record, named), (LABEL, current.label)) for current, _ in found]
    # What tells each record from the others.
    titles = titles_of(keys, design.DESIGN, has_labels=results.several)
    tables = [
        _tables(dotted(*titles[key]), current.label, choices, is_first=place == 0)
        for place, (key, (current, choices)) in enumerate(zip(keys, found, strict=True))
    ]
    return section("rl_conformance", tables=[table for of_record in tables for table in of_record])


def _choices(record: Record) -> list[Choice]:
    """Return the numbers of each span, in the record's order; none for a record of another workload."""
    if record.case.workload != WORKLOAD:
        return []
    readings = [reading for reading in record.readings[:MOST_CELLS] if reading.metric not in NOT_SHOWN]
    of_span = grouped(readings, lambda reading: reading.span)
    return [(span, {reading.metric: reading.value for reading in same}) for span, same in of_span.items()]


def _tables(settings: Text, label: str, choices: Sequence[Choice], *, is_first: bool) -> list[Table]:
    """Lay out each family of choices with a bias, which their first word names; then what must be equal."""
    by_bias = grouped(choices, lambda choice: not choice[1].keys().isdisjoint(JUDGED))
    families = grouped(by_bias.get(True, []), lambda choice: choice[0].partition(" ")[0])
    parts = [
        (
            say_or(f"rl_conformance.family.{family}", cut(family) or numbers.NOTHING),
            [(span.partition(" ")[2] or family, values) for span, values in of_family],
        )
        for family, of_family in families.items()
    ]
    more: dict[str, Any] = {"settings": settings, "facets": {LABEL: label}}
    tables = [_table(title, rows, **more) for title, rows in parts]
    equal = _table(say("rl_conformance.equal_table"), by_bias.get(False, []), **more)
    # The last of the open ones says how to read them.
    note = say("rl_conformance.note", exact=f"{EXACT:.0e}") if is_first else ""
    tables = [*tables[:-1], *(replace(table, note=note) for table in tables[-1:]), equal]
    return tables if is_first else [replace(table, folded=True) for table in tables]


def _table(title: Text, choices: Sequence[Choice], **more: Any) -> Table:
    metrics = dict.fromkeys(metric for _, values in choices for metric in values)
    columns: list[Column[Choice]] = [
        column("rl_conformance.choice", lambda choice: cut(choice[0], LONGEST_SPAN)),
        column("rl_efficiency.in_words", lambda choice: joined("notes", _verdicts(choice[1]))),
        *(column(_label(metric), partial(_value, metric), _number) for metric in metrics),
    ]
    return table(title, choices, columns, **more)


def _value(metric: str, choice: Choice) -> float | None:
    return choice[1].get(metric)


def _label(metric: str) -> Text:
    """Return a metric's name: short where the page has a word for it, else as the table of metrics names it."""
    known = METRICS.get(metric)
    return say_or(f"rl_conformance.metric.{metric}", known.label if known else cut(metric) or numbers.NOTHING)


def _number(value: float) -> str:
    return "0" if abs(value) < EXACT else f"{value:,.3g}"


def _verdicts(values: Values) -> list[Text]:
    """Return what is said of the value, of the gradient and of what must be equal, of those that it has."""
    said: list[Text] = []
    if (bias := values.get(VALUE_BIAS)) is not None:
        biased = say("rl_conformance.value_biased", bias=f"{bias:+.3g}")
        said.append(biased if abs(bias) > EXACT else say("rl_conformance.value"))
    if (bias := values.get(GRADIENT_BIAS)) is not None:
        said.append(_of_gradient(bias, values.get(RATIO), values.get(COSINE)))
    if (difference := values.get(DIFFERENCE)) is not None:
        differs = say("rl_conformance.differs", by=f"{difference:.3g}")
        said.append(say("rl_conformance.equal") if abs(difference) <= EXACT else differs)
    return said


def _of_gradient(bias: float, ratio: float | None, cosine: float | None) -> Text:
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
