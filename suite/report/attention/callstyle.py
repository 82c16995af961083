"""How you call it: one computation, with the same weights and outputs, in every form that was measured.

A form is what the caller can choose: MLA's mode and the backend, or another library's own layer.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from suite.records import numbers
from suite.records.derived import operators_of
from suite.records.privacy import without_paths
from suite.report.attention.columns import label_column
from suite.report.attention.groups import told_apart
from suite.report.attention.operators import MATH_PATH, attention_operator
from suite.report.attention.timings import KERNEL, LAYER, SPANS, Timing, clock_names, span_title, timings_of
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import OTHER, VARIANT, case_facets, phase_name, rank, shown, style_of
from suite.report.model.results import Results
from suite.report.model.run import Run, extras
from suite.report.plot.marks import Point
from suite.report.plot.plots import plot
from suite.report.plot.rows import bars
from suite.report.plot.scales import categories, time_axis
from suite.report.plot.text import figure_text
from suite.report.table import column, table

OURS, FOREIGN = "attention", "transformers"
SUBJECT = ("geometry", "phase", "dtype")
AGREE = ("match", "seq_len", "query_len", "batch", "tp", "cache_dtype", "device", "threads")
"""With family and SUBJECT, what must be equal for two forms to compute the same thing."""
DAGGER = "†"
ROOM_FOR_TEXT = 0.55
"""Of the longest bar, to its right, so that its text fits on a narrow screen too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Form(Run):
    """A case as it was called."""

    timings: Mapping[str, Timing]
    """By span; one at least."""

    @property
    def timing(self) -> Timing:
        """Return any, for what they share."""
        return next(iter(self.timings.values()))

    @property
    def name(self) -> str:
        timing = self.timing
        return f"{timing.backend} {DAGGER}" if self.is_foreign else f"{shown(timing.variant)} · {timing.backend}"

    @property
    def is_foreign(self) -> bool:
        return self.record.case.workload == FOREIGN

    @property
    def is_chosen(self) -> bool:
        """Return whether somebody asked for this backend by name."""
        return self.axis("backend") != "auto"

    def median_s(self, span: str) -> float | None:
        """Return a span's median; None where it was not timed."""
        return self.timings[span].median_s if span in self.timings else None


Forms = Sequence[Form]
"""Of one computation under one label, the worst first."""


def build(results: Results) -> Section | None:
    """Build it from every computation that was measured in at least two forms; None without any."""
    timed = [
        (one, {timing.span: timing for timing in timings_of(one, workloads=(OURS, FOREIGN))}) for one in results.records
    ]
    forms = [Form(current=one, timings=timings) for one, timings in timed if timings]
    subjects = grouped(forms, lambda form: (_family(form), *map(form.axis, SUBJECT)))
    found = [_computations(subjects[key]) for key in sorted(subjects, key=lambda key: (rank(key[0]), key))]
    figures = [
        _figure(most, computations, results)
        for computations in found
        for label in results.labels
        if (most := _most_telling([one for one in computations if one[0].label == label]))
    ]
    tables = [_table(computations, results) for computations in found if computations]
    return section("callstyle", figures=figures, tables=tables) if tables else None


def _family(form: Form) -> str:
    return form.timing.variant.partition("_")[0]


def _computations(found: Forms) -> list[Forms]:
    """Return the forms of each computation that has several, by context."""
    alike = grouped(found, lambda form: (*map(form.axis, AGREE), *extras(form.record), form.label))
    # `auto` may have chosen what somebody also asked for by name: one form, shown once.
    by_name = [{one.name: one for one in sorted(forms, key=lambda form: form.is_chosen)} for forms in alike.values()]
    several = [_worst_first(forms.values(), LAYER) for forms in by_name if len(forms) > 1]
    return sorted(several, key=lambda forms: (forms[0].timing.tokens or 0, forms[0].label))


def _worst_first(forms: Iterable[Form], span: str) -> Forms:
    return sorted(forms, key=lambda form: (-(form.median_s(span) or 0), form.name))


def _most_telling(computations: Sequence[Forms]) -> Forms | None:
    """Return the most forms, at the longest context. Modes alone, left to `auto`, are what every sweep has: None."""
    telling = [forms for forms in computations if _is_telling([form for form in forms if LAYER in form.timings])]
    return max(telling, key=lambda forms: (len(forms), forms[0].timing.tokens or 0), default=None)


def _is_telling(forms: Forms) -> bool:
    if any(form.is_foreign for form in forms):
        return len(forms) > 1
    return any(form.is_chosen for form in forms) and len({form.timing.backend for form in forms}) > 1


def _settings(computations: Sequence[Forms]) -> dict[Form, str]:
    """Return for each form what tells its computation from the others."""
    told = told_apart(
        {place: [forms[0].timing] for place, forms in enumerate(computations)},
        besides=("attention", "backend", *SUBJECT, "seq_len"),
    )
    return {form: told[place] for place, forms in enumerate(computations) for form in forms}


def _title(form: Form, tokens: Text = "") -> Text:
    geometry, phase, dtype = map(form.axis, SUBJECT)
    return dotted(shown(_family(form)), geometry, phase_name(phase), tokens, dtype)


def _foreign(key: str, forms: Iterable[Form]) -> Text:
    """Return a text, or what it says where another library took part."""
    return say(f"{key}_foreign" if any(form.is_foreign for form in forms) else key)


def _figure(forms: Forms, computations: Sequence[Forms], results: Results) -> Figure:
    first = forms[0]
    tokens = first.timing.tokens
    by_span = {span: _worst_first([form for form in forms if span in form.timings], span) for span in SPANS}
    drawn = {span: part for span, part in by_span.items() if len(part) > 1}
    return Figure(
        title=_title(first, say("callstyle.tokens", tokens=numbers.count(tokens)) if tokens else ""),
        settings=dotted(_settings(computations)[first], first.label if results.several else ""),
        caption=_foreign("callstyle.caption", forms),
        views=[View(title=span_title(span), figure=_bars(part, span)) for span, part in drawn.items()],
        height_px=80 + 34 * len(forms),
        facets=case_facets(first.record.case.axes) | {"label": first.label},
    )


def _bars(forms: Forms, span: str) -> dict[str, Any]:
    timings = {figure_text(form.name): form.timings[span] for form in forms}
    medians = [timing.median_s for timing in timings.values()]
    best = min(medians)
    points = [
        Point(
            x=timing.median_s,
            y=name,
            text=_ratio(timing.median_s / best),
            hover=f"{name}: {numbers.seconds(timing.median_s)}",
            facets={"variant": shown(timing.variant)},
        )
        for name, timing in timings.items()
    ]
    first, last = math.log10(best / 2), math.log10(max(medians))
    ends = [first, last + ROOM_FOR_TEXT * (last - first)]
    title = say("callstyle.axis", clock=clock_names(timings.values()))
    colours = [(OTHER if form.is_foreign else style_of(VARIANT, form.timing.variant)).colour for form in forms]
    return plot(
        [bars("", points, colour=colours, textposition="outside", textfont={"size": 11}, cliponaxis=False)],
        # Ticks as for a decade at least: the plot is narrow beside its long names.
        xaxis=time_axis(title, [10**first, 10 ** max(ends[1], first + 1)], range=ends),
        yaxis=categories(list(timings), showgrid=False),
        bargap=0.35,
        showlegend=False,
    )


def _ratio(ratio: float) -> Text:
    return say("callstyle.best") if ratio == 1 else say("callstyle.ratio", ratio=numbers.times(ratio))


def _table(computations: Sequence[Forms], results: Results) -> Table:
    alike = {form: forms for forms in computations for form in forms}

    def median_s(span: str, form: Form) -> float | None:
        return form.median_s(span)

    def over_best(span: str, form: Form) -> float | None:
        median_s = form.median_s(span)
        return median_s / min(one.median_s(span) or math.inf for one in alike[form]) if median_s else None

    times = [
        (
            column(span_title(span), partial(median_s, span), numbers.seconds),
            column("callstyle.over_best", partial(over_best, span), numbers.times),
        )
        for span in SPANS
    ]
    return table(
        _title(computations[0][0]),
        alike,
        [
            column("latency.context", lambda form: form.timing.tokens, numbers.count),
            column("column.settings", _settings(computations).get, kind=Kind.CODE, only_where_known=True),
            *label_column(results),
            column("callstyle.form", lambda form: form.name),
            *(column for of_span in times for column in of_span),
            column("callstyle.ran", _ran, kind=Kind.CODE),
        ],
        note=_foreign("callstyle.note", alike),
        folded=True,
        facets=case_facets(computations[0][0].record.case.axes),
        facets_of=lambda form: {"variant": shown(form.timing.variant)},
    )


def _ran(form: Form) -> Text:
    operators = operators_of(form.record, KERNEL) or operators_of(form.record, LAYER)
    name = attention_operator(operators)
    if name is None:
        return say("callstyle.separate") if operators else ""
    return say("callstyle.math", operator=name) if name == MATH_PATH else without_paths(name)
