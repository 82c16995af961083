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
from suite.report.attention.columns import CONTEXT, label_column
from suite.report.attention.operators import MATH_PATH, attention_operator
from suite.report.attention.timings import (
    KERNEL,
    LAYER,
    SPANS,
    Timing,
    clock_names,
    is_timed,
    settings_shown,
    span_title,
    timings_of,
)
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import OTHER, VARIANT, case_facets, phase_name, rank, shown, style_of
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import Run, extras
from suite.report.plot.marks import Point
from suite.report.plot.plots import plot
from suite.report.plot.rows import bars
from suite.report.plot.scales import categories, time_axis
from suite.report.plot.text import figure_text
from suite.report.table import column, columns_of, table

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

    name: str
    timings: Mapping[str, Timing]
    """By span; one at least."""

    @property
    def timing(self) -> Timing:
        """Return any, for what they share."""
        return next(iter(self.timings.values()))

    @property
    def variant(self) -> str:
        return self.timing.variant

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
    subjects = grouped(_forms(results), lambda form: (_family(form), *map(form.axis, SUBJECT)))
    found = {key: _computations(subjects[key]) for key in sorted(subjects, key=lambda key: (rank(key[0]), key))}
    found = {key: computations for key, computations in found.items() if computations}
    figures = [
        _figure(forms, computations, results)
        for computations in found.values()
        for label in results.labels
        if (forms := _most_telling([forms for forms in computations if forms[0].label == label]))
    ]
    tables = [_table(computations, results) for computations in found.values()]
    return section("callstyle", figures=figures, tables=tables) if found else None


def _forms(results: Results) -> Iterable[Form]:
    for current in results.records:
        timings = {one.span: one for one in timings_of(current)} if is_timed(current, (OURS, FOREIGN)) else {}
        if timings:
            yield Form(current=current, name=_name(current, next(iter(timings.values()))), timings=timings)


def _name(current: CurrentRecord, timing: Timing) -> str:
    is_foreign = current.record.case.workload == FOREIGN
    return f"{timing.backend} {DAGGER}" if is_foreign else f"{shown(timing.variant)} · {timing.backend}"


def _family(form: Form) -> str:
    return form.variant.partition("_")[0]


def _computations(found: Forms) -> list[Forms]:
    """Return the forms of each computation that has several, by context."""
    alike = grouped(found, lambda form: (*map(form.axis, AGREE), *extras(form.record), form.label))
    several = []
    for forms in alike.values():
        # `auto` may have chosen what somebody also asked for by name: one form, shown once.
        named = {form.name: form for form in sorted(forms, key=lambda form: form.is_chosen)}
        if len(named) > 1:
            several.append(_worst_first(named.values(), LAYER))
    return sorted(several, key=lambda forms: (forms[0].timing.tokens or 0, forms[0].label))


def _worst_first(forms: Iterable[Form], span: str) -> Forms:
    return sorted(forms, key=lambda form: (-(form.median_s(span) or 0), form.name))


def _most_telling(computations: Sequence[Forms]) -> Forms | None:
    """Return the most forms, at the longest context; modes alone, left to `auto`, are what every sweep has: no figure."""
    telling = [forms for forms in computations if _is_telling([form for form in forms if LAYER in form.timings])]
    return max(telling, key=lambda forms: (len(forms), forms[0].timing.tokens or 0), default=None)


def _is_telling(forms: Forms) -> bool:
    if any(form.is_foreign for form in forms):
        return len(forms) > 1
    return any(form.is_chosen for form in forms) and len({form.timing.backend for form in forms}) > 1


def _settings(computations: Sequence[Forms]) -> dict[Timing, str]:
    return settings_shown(
        [forms[0].timing for forms in computations], besides=("attention", "backend", *SUBJECT, "seq_len")
    )


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
    return Figure(
        title=_title(first, say("callstyle.tokens", tokens=numbers.count(tokens)) if tokens else ""),
        settings=dotted(_settings(computations)[first.timing], first.label if results.several else ""),
        caption=_foreign("callstyle.caption", forms),
        views=[
            View(title=span_title(span), figure=_bars(part, span)) for span, part in by_span.items() if len(part) > 1
        ],
        height_px=80 + 34 * len(forms),
        facets=case_facets(first.record.case.axes) | {"label": first.label},
    )


def _bars(forms: Forms, span: str) -> dict[str, Any]:
    medians = {figure_text(form.name): form.timings[span].median_s for form in forms}
    best = min(medians.values())
    first, last = math.log10(best / 2), math.log10(max(medians.values()))
    ends = [first, last + ROOM_FOR_TEXT * (last - first)]
    clock = clock_names(form.timings[span] for form in forms)
    points = [
        Point(
            x=median,
            y=name,
            text=say("callstyle.best")
            if median == best
            else say("callstyle.ratio", ratio=numbers.times(median / best)),
            hover=f"{name}: {numbers.seconds(median)}",
            facets={"variant": shown(form.variant)},
        )
        for form, (name, median) in zip(forms, medians.items(), strict=True)
    ]
    colours = [(OTHER if form.is_foreign else style_of(VARIANT, form.variant)).colour for form in forms]
    drawn = bars("", points, colour=colours, textposition="outside", textfont={"size": 11}, cliponaxis=False)
    return plot(
        [drawn],
        # Ticks as for a decade at least: the plot is narrow beside its long names.
        xaxis=time_axis(say("callstyle.axis", clock=clock), [10**first, 10 ** max(ends[1], first + 1)], range=ends),
        yaxis=categories(list(medians), showgrid=False),
        bargap=0.35,
        showlegend=False,
    )


def _table(computations: Sequence[Forms], results: Results) -> Table:
    settings = _settings(computations)
    of_form = {form: forms for forms in computations for form in forms}

    def over_best(span: str, form: Form) -> float | None:
        median_s = form.median_s(span)
        known = [other for one in of_form[form] if (other := one.median_s(span))]
        return median_s / min(known) if median_s else None

    first = computations[0][0]
    return table(
        _title(first),
        of_form,
        [
            *columns_of(lambda form: form.timing, [CONTEXT]),
            column(
                "column.settings", lambda form: settings[of_form[form][0].timing], kind=Kind.CODE, only_where_known=True
            ),
            *label_column(results),
            column("callstyle.form", lambda form: form.name),
            *(
                part
                for span in SPANS
                for part in (
                    column(span_title(span), lambda form, span=span: form.median_s(span), numbers.seconds),
                    column("callstyle.over_best", partial(over_best, span), numbers.times),
                )
            ),
            column("callstyle.ran", _ran, kind=Kind.CODE),
        ],
        note=_foreign("callstyle.note", of_form),
        folded=True,
        facets=case_facets(first.record.case.axes),
        facets_of=lambda form: {"variant": shown(form.variant)},
    )


def _ran(form: Form) -> Text:
    operators = operators_of(form.record, KERNEL) or operators_of(form.record, LAYER)
    if not operators:
        return ""
    name = attention_operator(operators)
    if name is None:
        return say("callstyle.separate")
    return say("callstyle.math", operator=name) if name == MATH_PATH else without_paths(name)
