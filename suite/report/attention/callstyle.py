"""Which form of a call is fastest: one computation, with the same weights and outputs, in every form that was measured.

A form is what the caller can choose: MLA's mode and the backend, or another library's own layer.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.attention.groups import differing_settings
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import OTHER, phase_name, variant_label, variant_sort_key, variant_style
from suite.report.model.results import Results
from suite.report.model.run import LABEL, extras
from suite.report.plot.plots import Point, Series, categories, plot, roomy_time_axis
from suite.report.plot.text import figure_text
from suite.report.table import Column, column, label_column, part_columns, table
from suite.report.timings import (
    CONTEXT,
    DTYPE,
    GEOMETRY,
    INDEXER,
    KERNEL,
    LAYER,
    PHASE,
    RAN,
    SPANS,
    Timing,
    clock_names,
    order_finding,
    row_facets,
    span_title,
    timings,
)

OURS, FOREIGN = "attention", "transformers"
LATENT = "mla"
SUBJECT = ("geometry", "phase", "dtype")
# With family and SUBJECT, what must be equal for two forms to compute the same thing.
COMPUTATION = ("match", "seq_len", "query_len", "batch", "tp", "cache_dtype", "device", "threads")
DAGGER = "†"  # marks another library's layer
# The ratio stands above its dot, that of the worst near the right edge.
MARGIN = {"l": 8, "r": 40, "t": 18, "b": 8, "pad": 2}


class CallForm(dict[str, Timing]):
    """A case as it was called: its timings by span, one at least."""

    @property
    def first(self) -> Timing:
        """One of its timings, for what all of them share."""
        return next(iter(self.values()))

    @property
    def is_foreign(self) -> bool:
        return self.first.record.case.workload == FOREIGN

    @property
    def has_named_backend(self) -> bool:
        return self.first.axis("backend") != "auto"

    @property
    def name(self) -> str:
        """`MLA (latent) · sdpa`; of another library's layer its backend and a dagger."""
        backend = self.first.backend
        return f"{backend} {DAGGER}" if self.is_foreign else f"{variant_label(self.first.variant)} · {backend}"

    @property
    def family(self) -> str:
        return self.first.variant.partition("_")[0]

    @property
    def family_name(self) -> Text:
        return self.first.marked(variant_label(self.family))

    @property
    def subject(self) -> tuple[str, ...]:
        """Family, geometry, phase and dtype, by which a reader chooses a figure."""
        return (self.family, *map(self.first.axis, SUBJECT))

    @property
    def computation(self) -> tuple[str, ...]:
        """Subject, sizes, settings and label, without the backend: equal where two forms compute one thing."""
        return (*self.subject, *map(self.first.axis, COMPUTATION), *extras(self.first.record), self.first.label)

    def median_s(self, span: str) -> float | None:
        return self[span].median_s if span in self else None


Forms = Sequence[CallForm]
"""The forms of one computation under one label, the worst first."""


def build(results: Results) -> Section | None:
    """Build the section on forms of a call from computations that were measured in several; None without any."""
    subjects = computations(results)
    comparisons = [
        (forms, subject)
        for subject in subjects
        for label in results.labels
        if (forms := _richest([forms for forms in subject if forms[0].first.label == label]))
    ]
    # MLA has the most forms, and it is what readers come for.
    comparisons.sort(key=lambda pair: (pair[0][0].family != LATENT, -len(pair[0])))
    figures = [_figure(forms, subject, results) for forms, subject in comparisons]
    table = _table([forms for subject in subjects for forms in subject], results)
    return section("callstyle", figures=figures, tables=[table]) if subjects else None


def computations(results: Results, workloads: Sequence[str] = (OURS, FOREIGN)) -> list[list[Forms]]:
    """Lists of computations of one subject; each computation is its forms, of which there are several, worst first."""
    by_record = grouped((t for workload in workloads for t in timings(results, workload)), lambda t: id(t.current))
    records = [by_record[id(current)] for current in results.records if id(current) in by_record]
    forms = [CallForm({timing.span: timing for timing in spans}) for spans in records]
    # `auto` may have chosen what somebody also asked for by name: one form, shown once.
    by_computation = grouped(sorted(forms, key=lambda form: form.has_named_backend), lambda form: form.computation)
    distinct = [_worst_first({form.name: form for form in forms}.values(), LAYER) for forms in by_computation.values()]

    def sort_key(forms: Forms) -> tuple[object, ...]:
        first = forms[0]
        return variant_sort_key(first.family), first.subject, first.first.tokens or 0, first.first.label

    ordered = sorted((forms for forms in distinct if len(forms) > 1), key=sort_key)
    return list(grouped(ordered, lambda forms: forms[0].subject).values())


def _worst_first(forms: Iterable[CallForm], span: str) -> Forms:
    return sorted(forms, key=lambda form: (-(form.median_s(span) or 0), form.name))


def _richest(subject: Sequence[Forms]) -> Forms | None:
    """The computation with the most forms, then the longest context; None where none compares named backends.

    Forms of MLA whose backend was left to `auto` are no comparison: every sweep has them.
    """

    candidates = []
    for forms in subject:
        # Whole layers that ran by several backends, one of them named, or as another library's layer and ours.
        layers = [form for form in forms if LAYER in form]
        is_named = any(form.has_named_backend for form in layers) and len({form.first.backend for form in layers}) > 1
        if is_named or (len(layers) > 1 and any(form.is_foreign for form in layers)):
            candidates.append(forms)
    return max(candidates, key=lambda forms: (len(forms), forms[0].first.tokens or 0), default=None)


def _differing_settings(computations: Iterable[Forms]) -> dict[Timing, str]:
    # Two computations can have one text, since variant, backend, the subject and the context are left out.
    firsts = {forms[0].first: [forms[0].first] for forms in computations}
    return differing_settings(firsts, ignore=("attention", "backend", *SUBJECT, "seq_len"))


def _figure(forms: Forms, subject: Sequence[Forms], results: Results) -> Figure:
    """Draw one computation, a view for each span that several forms have. `subject`: the computations beside it."""
    first, (geometry, phase, dtype) = forms[0].first, map(forms[0].first.axis, SUBJECT)
    by_span = {span: _worst_first([form for form in forms if span in form], span) for span in SPANS}
    compared = {span: part for span, part in by_span.items() if len(part) > 1}
    context = say("callstyle.tokens", tokens=numbers.count(first.tokens)) if first.tokens else ""
    label: dict[str, Text] = {LABEL: first.label} if results.several else {}
    return Figure(
        title=dotted(forms[0].family_name, geometry, phase_name(phase), context, dtype),
        family=say("callstyle.family"),
        finding=_finding(compared[LAYER]),
        settings=dotted(_differing_settings(subject)[first], *label.values()),
        caption=joined("sentence", [say("callstyle.caption"), _foreign_note(forms)]),
        views=[View(title=span_title(span), figure=_plot_dots(part, span)) for span, part in compared.items()],
        height_px=90 + 34 * len(forms),
        facets={"variant": forms[0].family_name, **row_facets(first), **label},
    )


def _foreign_note(forms: Iterable[CallForm]) -> Text:
    return say("callstyle.foreign") if any(form.is_foreign for form in forms) else ""


def _finding(forms: Forms) -> Text:
    names = {form[LAYER]: form.name for form in forms}
    worst, *_, best = names
    return order_finding(best, worst, list(names)[:-1], names.__getitem__) if all(t.is_checked for t in names) else ""


def _plot_dots(forms: Forms, span: str) -> dict[str, Any]:
    """Draw each form as a dot at its median time of a span, with its interval and its ratio to the fastest."""
    timings = {figure_text(form.name): form[span] for form in forms}
    best_s = min(timing.median_s for timing in timings.values())
    look: dict[str, Any] = {"mode": "markers+text", "along": "x", "size": 11}
    look["more"] = {"textposition": "top center", "textfont": {"size": 11}, "cliponaxis": False}
    series = []
    for (name, timing), form in zip(timings.items(), forms, strict=True):
        low, high = timing.interval.low, timing.interval.high
        ratio = say("callstyle.ratio", ratio=numbers.times(timing.median_s / best_s))
        dot = Point(
            x=timing.median_s,
            y=name,
            ends=(low, high),
            text=ratio if timing.median_s > best_s else say("callstyle.best"),
            hover=f"{name}: {numbers.seconds(timing.median_s)} ({numbers.seconds_range(low, high)})",
            runs=(timing.record.run_key,),
        )
        style = OTHER if form.is_foreign else variant_style(timing.variant)
        series.append(Series(name=name, points=[dot], style=style, **look))
    title = say("callstyle.axis", clock=clock_names(timings.values()))
    ends = [end for timing in timings.values() for end in (timing.interval.low, timing.interval.high)]
    rows = categories(list(timings))
    return plot(series, xaxis=roomy_time_axis(title, ends), yaxis=rows, showlegend=False, margin=MARGIN)


def _table(computations: Sequence[Forms], results: Results) -> Table:
    """Tabulate every form of every computation: its medians, and each over the best of its computation."""
    rows = [(form, forms) for forms in computations for form in forms]
    settings = _differing_settings(computations)

    def over_best(span: str, row: tuple[CallForm, Forms]) -> float | None:
        median_s = row[0].median_s(span)
        return median_s / min(form[span].median_s for form in row[1] if span in form) if median_s else None

    times: list[Column[tuple[CallForm, Forms]]] = []
    for span in SPANS if any(INDEXER in form for form, _ in rows) else (LAYER, KERNEL):
        median: Column[CallForm] = column(span_title(span), partial(CallForm.median_s, span=span), numbers.seconds)
        times += part_columns(lambda row: row[0], [median])
        times.append(column("callstyle.over_best", partial(over_best, span), numbers.times))
    return table(
        say("callstyle.table"),
        rows,
        [
            column("callstyle.form", lambda row: row[0].name),
            *part_columns(lambda row: row[0].first, [GEOMETRY, PHASE, DTYPE, CONTEXT]),
            column("column.settings", lambda row: settings[row[1][0].first], kind=Kind.CODE, only_where_known=True),
            *times,
            *part_columns(lambda row: row[0].first, [RAN, *label_column(results.several)]),
        ],
        note=joined("sentence", [say("callstyle.note"), _foreign_note(form for form, _ in rows)]),
        folded=True,
        facets_of=lambda row: {"variant": row[0].family_name, **row_facets(row[0].first)},
    )
