"""Which choice of estimator, KL or aggregation is unbiased, by exact enumeration: no training run tells so finely."""

import math
from collections.abc import Sequence
from operator import itemgetter, methodcaller
from typing import Any

from suite.records import numbers
from suite.records.metrics import METRICS
from suite.records.record import Record
from suite.report.blocks import Section, Table, Text, dotted, joined, say, say_or, section
from suite.report.evidence import IN_WORDS
from suite.report.model.experiment import experiment_titles, grouped
from suite.report.model.formats import three_digits
from suite.report.model.results import Results
from suite.report.model.run import LABEL, case_key, clip_text, named_settings
from suite.report.rl.design import DESIGN
from suite.report.table import Column, column, part_columns, table

EXACT = 1e-9  # below it a difference is rounding: expectations are enumerated in float64
VALUE_BIAS, GRADIENT_BIAS = "value_bias", "gradient_bias"
EQUAL = "equal"
MOST_CELLS, LONGEST_SPAN = 4000, 120

Choice = tuple[str, dict[str, float]]
"""A choice, or a check, and its numbers."""


def build(results: Results) -> Section | None:
    """The section on what is unbiased, a table for each family of choices; None without an enumeration."""
    enumerated = [current for current in results.records if current.record.case.workload == "rl_conformance"]
    enumerated = [current for current in enumerated if _choices(current.record)]
    named = named_settings(current.record for current in enumerated)
    keys = [(*case_key(current.record, named), (LABEL, current.label)) for current in enumerated]
    titles, tables = experiment_titles(keys, DESIGN, has_labels=results.several), list[Table]()
    for key, current in zip(keys, enumerated, strict=True):
        # Each family of choices with a bias, which their first word names; then what must be equal.
        families = grouped(_choices(current.record), _family_name)
        for family in sorted(families, key=lambda family: family == EQUAL):
            more: dict[str, Any] = {"settings": dotted(*titles[key]), "facets": {LABEL: current.label}}
            note = "" if tables else say("rl_conformance.note", exact=f"{EXACT:.0e}")
            folded = current is not enumerated[0]
            tables.append(_table(family, families[family], note=note, folded=folded, **more))
    return section("rl_conformance", tables=tables) if tables else None


def _family_name(choice: Choice) -> str:
    """EQUAL for what must be equal, which has no bias; else the first word of a choice."""
    return EQUAL if choice[1].keys().isdisjoint((VALUE_BIAS, GRADIENT_BIAS)) else choice[0].partition(" ")[0]


def _choices(record: Record) -> list[Choice]:
    """A record's choices, one a span, each with its numbers by metric, but for time and energy."""
    readings = [reading for reading in record.readings[:MOST_CELLS] if reading.metric not in ("latency_s", "energy_j")]
    by_span = grouped(readings, lambda reading: reading.span)
    return [(span, {reading.metric: reading.value for reading in group}) for span, group in by_span.items()]


def _table(family: str, choices: Sequence[Choice], **more: Any) -> Table:
    """The table of a family: a row for each choice, with the verdicts on it and a column for each metric."""
    columns: list[Column[Choice]] = [
        column("rl_conformance.choice", lambda choice: clip_text(choice[0].removeprefix(f"{family} "), LONGEST_SPAN)),
        column(IN_WORDS, lambda choice: joined("notes", _verdicts(choice[1]))),
    ]
    for metric in dict.fromkeys(metric for _, values in choices for metric in values):
        quantity = METRICS.get(metric)
        # Short where the page has a word for it, else as the table of metrics names it.
        label = quantity.label if quantity else clip_text(metric) or numbers.NOTHING
        head = say_or(f"rl_conformance.metric.{metric}", label)
        number = column(
            head, methodcaller("get", metric), lambda size: "0" if abs(size) < EXACT else three_digits(size)
        )
        columns += part_columns(itemgetter(1), [number])
    return table(
        say_or(f"rl_conformance.family.{family}", clip_text(family) or numbers.NOTHING), choices, columns, **more
    )


def _verdicts(values: dict[str, float]) -> list[Text]:
    """Sentences on the value, on the gradient and on what must be equal, whichever of them a choice has."""
    sentences: list[Text] = []
    if (bias := values.get(VALUE_BIAS)) is not None:
        biased = say("rl_conformance.value_biased", bias=f"{bias:+.3g}")
        sentences.append(biased if abs(bias) > EXACT else say("rl_conformance.value"))
    if (bias := values.get(GRADIENT_BIAS)) is not None:
        sentences.append(_gradient_verdict(bias, values.get("gradient_norm_ratio"), values.get("gradient_cosine")))
    if (difference := values.get("largest_difference")) is not None:
        differs = say("rl_conformance.differs", by=f"{difference:.3g}")
        sentences.append(say("rl_conformance.equal") if abs(difference) <= EXACT else differs)
    return sentences


def _gradient_verdict(bias: float, ratio: float | None, cosine: float | None) -> Text:
    """A sentence on a gradient: unbiased, zero, scaled, against the true direction, astray, or biased by how much."""
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
