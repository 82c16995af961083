"""How you call it: one computation, with the same weights and outputs, in every form that was measured.

A form is what the caller can choose: MLA's mode and the backend, or another library's own layer.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.records import numbers
from suite.records.derived import operators_of
from suite.records.privacy import without_paths
from suite.records.record import Record
from suite.report.blocks import Column, Figure, Kind, Section, Table, Text, View, cell, joined, say, say_or
from suite.report.charts import figure_text, layout, log_axis, time_ticks
from suite.report.facets import case_facets, trace_facets
from suite.report.lines import SPANS_FIRST, span_title
from suite.report.model.results import CurrentRecord, Results
from suite.report.palette import OTHER, rank, shown, style_of
from suite.report.ran import MATH_PATH, attention_operator
from suite.report.timings import Timing, axis, clock_names, extras, is_timed, settings_shown, timings_of

OURS, FOREIGN = "attention", "transformers"
AGREE = ("match", "seq_len", "query_len", "batch", "tp", "cache_dtype", "device", "threads")
"""With family, geometry, phase and dtype, what must be equal for two forms to compute the same thing."""
LAYER, KERNEL = SPANS_FIRST
DAGGER = "†"
ROOM_FOR_TEXT = 0.55
"""Of the longest bar, to its right, so that its text fits on a narrow screen too."""


@dataclass(frozen=True, kw_only=True)
class Form:
    name: str
    current: CurrentRecord
    timings: Mapping[str, Timing]
    """By span; one at least."""

    @property
    def record(self) -> Record:
        return self.current.record

    @property
    def any_timing(self) -> Timing:
        return next(iter(self.timings.values()))

    @property
    def is_foreign(self) -> bool:
        return self.record.case.workload == FOREIGN

    @property
    def is_chosen(self) -> bool:
        """Somebody asked for this backend by name."""
        return axis(self.record, "backend") != "auto"

    @property
    def variant(self) -> str:
        return shown(self.any_timing.variant)

    def median_s(self, span: str) -> float | None:
        return self.timings[span].interval.median if span in self.timings else None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a table is about; with a label, what a figure is about."""

    family: str
    geometry: str
    phase: str
    dtype: str

    def title(self, *more: str) -> Text:
        parts = [shown(self.family), self.geometry, say_or(f"phase.{self.phase}", self.phase)]
        return joined(" · ", (part for part in (*parts, *more, self.dtype) if part))

    def facets(self) -> dict[str, str]:
        return case_facets({"geometry": self.geometry, "phase": self.phase, "dtype": self.dtype})


Forms = Sequence[Form]
"""Of one computation under one label, the worst first."""


def build(results: Results) -> Section | None:
    found = {subject: found for subject, found in _by_subject(results).items() if found}
    if not found:
        return None
    figures = [
        _figure(subject, forms, found[subject], results)
        for subject in found
        for label in results.labels
        if (forms := _most_telling([forms for forms in found[subject] if forms[0].current.label == label]))
    ]
    return Section(
        id="callstyle",
        title=say("callstyle.title"),
        explanation=say("callstyle.explanation"),
        figures=figures,
        tables=[_table(subject, sets, results) for subject, sets in found.items()],
    )


def _by_subject(results: Results) -> dict[Subject, list[Forms]]:
    """Every computation that was measured in at least two forms, by context."""
    found: dict[Subject, dict[tuple[str, ...], dict[str, Form]]] = defaultdict(lambda: defaultdict(dict))
    for form in filter(None, map(_form, results.records)):
        subject = Subject(
            family=axis(form.record, "attention").partition("_")[0],
            **{name: axis(form.record, name) for name in ("geometry", "phase", "dtype")},
        )
        same = (*(axis(form.record, name) for name in AGREE), *extras(form.record), form.current.label)
        forms = found[subject][same]
        # `auto` may have chosen what somebody also asked for by name: one form, shown once.
        if form.is_chosen or form.name not in forms:
            forms[form.name] = form
    ordered = sorted(found.items(), key=lambda item: (rank(item[0].family), str(item[0])))
    return {subject: _sorted(list(sets.values())) for subject, sets in ordered}


def _sorted(sets: Sequence[Mapping[str, Form]]) -> list[Forms]:
    several = [_worst_first(list(forms.values()), LAYER) for forms in sets if len(forms) > 1]
    return sorted(several, key=lambda forms: (forms[0].any_timing.seq_len or 0, forms[0].current.label))


def _form(current: CurrentRecord) -> Form | None:
    timings = {timing.span: timing for timing in timings_of(current)} if is_timed(current, (OURS, FOREIGN)) else {}
    if not timings:
        return None
    timing = next(iter(timings.values()))
    is_foreign = current.record.case.workload == FOREIGN
    name = f"{timing.backend} {DAGGER}" if is_foreign else f"{shown(timing.variant)} · {timing.backend}"
    return Form(name=name, current=current, timings=timings)


def _worst_first(forms: Forms, span: str) -> Forms:
    return sorted(forms, key=lambda form: (-(form.median_s(span) or 0), form.name))


def _most_telling(sets: Sequence[Forms]) -> Forms | None:
    """The most forms, at the longest context. Modes alone, each left to `auto`, are what every sweep has: no figure."""
    telling = [forms for forms in sets if _is_telling([form for form in forms if LAYER in form.timings])]
    return max(telling, key=lambda forms: (len(forms), forms[0].any_timing.seq_len or 0), default=None)


def _is_telling(forms: Forms) -> bool:
    if any(form.is_foreign for form in forms):
        return len(forms) > 1
    return any(form.is_chosen for form in forms) and len({form.any_timing.backend for form in forms}) > 1


def _figure(subject: Subject, forms: Forms, others: Sequence[Forms], results: Results) -> Figure:
    settings = _settings([one[0].any_timing for one in others])
    setting = next(text for text, one in zip(settings, others, strict=True) if one is forms)
    tokens = forms[0].any_timing.seq_len
    more = [say("callstyle.tokens", tokens=numbers.count(tokens))] if tokens else []
    label = [forms[0].current.label] if results.several else []
    by_span = {span: _worst_first([form for form in forms if span in form.timings], span) for span in SPANS_FIRST}
    return Figure(
        title=joined(" · ", (part for part in (subject.title(*more), setting, *label) if part)),
        caption=say("callstyle.caption_foreign" if any(form.is_foreign for form in forms) else "callstyle.caption"),
        views=[
            View(title=span_title(span), figure=_bars(part, span)) for span, part in by_span.items() if len(part) > 1
        ],
        height_px=80 + 34 * len(forms),
        facets=subject.facets() | {"label": forms[0].current.label},
    )


def _settings(timings: Sequence[Timing]) -> list[str]:
    return settings_shown(timings, besides=("attention", "backend", "geometry", "phase", "dtype", "seq_len"))


def _bars(forms: Forms, span: str) -> dict[str, Any]:
    medians = [form.timings[span].interval.median for form in forms]
    names = [figure_text(form.name) for form in forms]
    clock = clock_names([form.timings[span] for form in forms])
    first, last = math.log10(min(medians) / 2), math.log10(max(medians))
    ends = [first, last + ROOM_FOR_TEXT * (last - first)]
    # Ticks as for a decade at least: the plot is narrow beside its long names.
    ticks = time_ticks([10**first, 10 ** max(ends[1], first + 1)])
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": names,
                "x": medians,
                "text": [_ratio(median, min(medians)) for median in medians],
                "textposition": "outside",
                "textfont": {"size": 11},
                "cliponaxis": False,
                "hoverinfo": "text",
                "hovertext": [
                    f"{name}: {numbers.seconds(median)}" for name, median in zip(names, medians, strict=True)
                ],
                "marker": {"color": [_colour(form) for form in forms]},
                **trace_facets(variant=[form.variant for form in forms]),
            }
        ],
        "layout": layout(
            bargap=0.35,
            showlegend=False,
            xaxis={
                **log_axis(say("callstyle.axis", clock=figure_text(clock)), ticks),
                "range": ends,
            },
            yaxis={
                "categoryorder": "array",
                "categoryarray": names,
                "autorange": "reversed",
                "automargin": True,
                "tickfont": {"size": 11},
                "dtick": 1,
                "showgrid": False,
            },
        ),
    }


def _colour(form: Form) -> str:
    return (OTHER if form.is_foreign else style_of(form.any_timing.variant)).colour


def _ratio(value: float, best: float) -> Text:
    return say("callstyle.best") if value == best else say("callstyle.ratio", ratio=numbers.times(value / best))


def _table(subject: Subject, sets: Sequence[Forms], results: Results) -> Table:
    settings = _settings([forms[0].any_timing for forms in sets])
    columns = [
        Column(title=say("latency.context"), kind=Kind.NUMBER),
        *([Column(title=say("column.settings"), kind=Kind.CODE)] if any(settings) else []),
        *([Column(title=say("column.label"), facet="label")] if results.several else []),
        Column(title=say("callstyle.form")),
        Column(title=span_title(LAYER), kind=Kind.NUMBER),
        Column(title=say("callstyle.over_best"), kind=Kind.NUMBER),
        Column(title=span_title(KERNEL), kind=Kind.NUMBER),
        Column(title=say("callstyle.over_best"), kind=Kind.NUMBER),
        Column(title=say("callstyle.ran"), kind=Kind.CODE),
    ]
    rows = []
    for forms, setting in zip(sets, settings, strict=True):
        best = {span: min(filter(None, (form.median_s(span) for form in forms)), default=None) for span in SPANS_FIRST}
        for form in forms:
            shared = [*([setting or numbers.NOTHING] if any(settings) else [])]
            shared += [form.current.label] if results.several else []
            rows.append([cell(form.any_timing.seq_len, numbers.count), *shared, *_cells(form, best)])
    foreign = any(form.is_foreign for forms in sets for form in forms)
    return Table(
        title=subject.title(),
        columns=columns,
        rows=rows,
        note=say("callstyle.note_foreign" if foreign else "callstyle.note"),
        folded=True,
        facets=subject.facets(),
        row_facets=[{"variant": form.variant} for forms in sets for form in forms],
    )


def _cells(form: Form, best: Mapping[str, float | None]) -> list[str]:
    cells = [form.name]
    for span in SPANS_FIRST:
        median_s, best_s = form.median_s(span), best[span]
        ratio = median_s / best_s if median_s and best_s else None
        cells += [cell(median_s, numbers.seconds), cell(ratio, numbers.times)]
    return [*cells, _ran(form)]


def _ran(form: Form) -> Text:
    operators = operators_of(form.record, KERNEL) or operators_of(form.record, LAYER)
    if not operators:
        return numbers.NOTHING
    name = attention_operator(operators)
    if name is None:
        return say("callstyle.separate")
    return say("callstyle.math", operator=name) if name == MATH_PATH else without_paths(name)
