"""Which choice of estimator, KL or aggregation is unbiased, by exact enumeration: no training run tells so finely."""

import math
from collections.abc import Sequence
from dataclasses import replace

from suite.records import numbers
from suite.records.metrics import METRICS
from suite.records.record import Record
from suite.report.blocks import MOST_ROWS_OPEN, Column, Kind, Section, Table, Text, cell, joined, say, say_or
from suite.report.model.results import CurrentRecord, Results
from suite.report.timings import axis, extras
from suite.report.watched import cut

WORKLOAD = "rl_conformance"
EXACT = 1e-9
"""Below it a difference is rounding: expectations are enumerated in float64."""
NOT_SHOWN = ("latency_s", "energy_j")
VALUE_BIAS, GRADIENT_BIAS, RATIO, COSINE = "value_bias", "gradient_bias", "gradient_norm_ratio", "gradient_cosine"
DIFFERENCE = "largest_difference"
JUDGED = (VALUE_BIAS, GRADIENT_BIAS)
MOST_CELLS, LONGEST_SPAN = 4000, 120

Spans = dict[str, dict[str, float]]


def build(results: Results) -> Section | None:
    found = [(current, spans) for current in results.records if (spans := _spans(current.record))]
    if not found:
        return None
    names = _names([current for current, _ in found], results)
    tables = [
        table
        for place, (current, spans) in enumerate(found)
        for table in _tables(names[place], current.label, spans, is_first=place == 0)
    ]
    return Section(
        id="rl_conformance",
        title=say("rl_conformance.title"),
        explanation=say("rl_conformance.explanation"),
        tables=tables,
    )


def _spans(record: Record) -> Spans:
    """The numbers of each span, in the record's order; none for a record of another workload."""
    if record.case.workload != WORKLOAD:
        return {}
    found: Spans = {}
    for reading in record.readings[:MOST_CELLS]:
        if reading.metric not in NOT_SHOWN:
            found.setdefault(reading.span, {})[reading.metric] = reading.value
    return found


def _names(records: Sequence[CurrentRecord], results: Results) -> list[Text]:
    """What tells each record from the others; nothing where there is one."""
    axes = list(dict.fromkeys(name for current in records for name in current.record.case.axes))
    differ = [name for name in axes if len({axis(current.record, name) for current in records}) > 1]
    return [
        joined(
            " · ",
            [
                *([current.label] if results.several else []),
                *(f"{name}={cut(axis(current.record, name))}" for name in differ),
                *map(cut, extras(current.record) if len(records) > 1 else []),
            ],
        )
        for current in records
    ]


def _tables(name: str, label: str, spans: Spans, *, is_first: bool) -> list[Table]:
    """A table for each family of choices with a bias, which their first word names; then what must be equal."""
    families: dict[str, Spans] = {}
    rest: Spans = {}
    for span, values in spans.items():
        family, _, choice = span.partition(" ")
        if any(metric in values for metric in JUDGED):
            families.setdefault(family, {})[choice or family] = values
        else:
            rest[span] = values
    tables = [
        _table(say_or(f"rl_conformance.family.{family}", cut(family)), name, label, part, is_open=is_first)
        for family, part in families.items()
    ]
    is_short = is_first and len(rest) <= MOST_ROWS_OPEN
    equal = [_table(say("rl_conformance.equal_table"), name, label, rest, is_open=is_short)] if rest else []
    # The last of the open ones says how to read them.
    return [
        replace(table, note=say("rl_conformance.note", exact=f"{EXACT:.0e}"))
        if table is tables[-1] and is_first
        else table
        for table in tables
    ] + equal


def _table(title: str, name: str, label: str, spans: Spans, *, is_open: bool) -> Table:
    metrics = list(dict.fromkeys(metric for values in spans.values() for metric in values))
    return Table(
        title=joined(" · ", filter(None, [title, name])),
        columns=[
            Column(title=say("rl_conformance.choice")),
            Column(title=say("rl_efficiency.in_words")),
            *(Column(title=_label(metric), kind=Kind.NUMBER) for metric in metrics),
        ],
        rows=[
            [
                cut(span, LONGEST_SPAN) or numbers.NOTHING,
                joined("notes", _verdicts(values)) or numbers.NOTHING,
                *(cell(values.get(metric), _number) for metric in metrics),
            ]
            for span, values in spans.items()
        ],
        folded=not is_open,
        facets={"label": label},
    )


def _label(metric: str) -> Text:
    """Short where the page has a word for it, else as the table of metrics names it."""
    known = METRICS.get(metric)
    return say_or(f"rl_conformance.metric.{metric}", known.label if known else cut(metric))


def _number(value: float) -> str:
    return "0" if abs(value) < EXACT else f"{value:,.3g}"


def _verdicts(values: dict[str, float]) -> list[Text]:
    return [text for judge in (_of_value, _of_gradient, _of_difference) if (text := judge(values)) is not None]


def _of_value(values: dict[str, float]) -> Text | None:
    bias = values.get(VALUE_BIAS)
    if bias is None:
        return None
    return say("rl_conformance.value_biased", bias=f"{bias:+.3g}") if abs(bias) > EXACT else say("rl_conformance.value")


def _of_gradient(values: dict[str, float]) -> Text | None:
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


def _of_difference(values: dict[str, float]) -> Text | None:
    difference = values.get(DIFFERENCE)
    if difference is None:
        return None
    return (
        say("rl_conformance.equal")
        if abs(difference) <= EXACT
        else say("rl_conformance.differs", by=f"{difference:.3g}")
    )
