"""Which form of a call is fastest: one computation, with the same weights and outputs, in every form that was measured.

A form is what the caller can choose: MLA's mode and the backend, or another library's own layer.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.attention.groups import told_apart
from suite.report.attention.timings import (
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
    timings_of,
)
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import OTHER, phase_name, rank, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.model.run import LABEL, extras
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import plot
from suite.report.plot.scales import categories, roomy_time_axis
from suite.report.plot.text import figure_text
from suite.report.table import Column, column, columns_of, label_column, table

OURS, FOREIGN = "attention", "transformers"
LATENT = "mla"
SUBJECT = ("geometry", "phase", "dtype")
AGREE = ("match", "seq_len", "query_len", "batch", "tp", "cache_dtype", "device", "threads")
"""With family and SUBJECT, what must be equal for two forms to compute the same thing."""
DAGGER = "†"
MARGIN = {"l": 8, "r": 40, "t": 18, "b": 8, "pad": 2}
"""The ratio stands above its dot, that of the worst near the right edge."""


class CallForm(dict[str, Timing]):
    """A case as it was called: its timings by span, one at least."""

    @property
    def first(self) -> Timing:
        return next(iter(self.values()))

    @property
    def is_foreign(self) -> bool:
        return self.first.record.case.workload == FOREIGN

    @property
    def is_named(self) -> bool:
        """Whether somebody asked for this backend by name."""
        return self.first.axis("backend") != "auto"

    @property
    def name(self) -> str:
        backend = self.first.backend
        return f"{backend} {DAGGER}" if self.is_foreign else f"{variant_label(self.first.variant)} · {backend}"

    @property
    def subject(self) -> tuple[str, ...]:
        return (family_of(self), *map(self.first.axis, SUBJECT))

    @property
    def computation(self) -> tuple[str, ...]:
        """What is equal for two forms that compute the same thing."""
        return (*self.subject, *map(self.first.axis, AGREE), *extras(self.first.record), self.first.label)

    def median_s(self, span: str) -> float | None:
        return self[span].median_s if span in self else None


Forms = Sequence[CallForm]
"""The forms of one computation under one label, the worst first."""


def build(results: Results) -> Section | None:
    """Build it from every computation that was measured in at least two forms; None without any."""
    subjects = computations(results)
    telling = [
        (most, subject)
        for subject in subjects
        for label in results.labels
        if (most := _most_telling([forms for forms in subject if forms[0].first.label == label]))
    ]
    # MLA has the most forms, and it is what readers come for.
    telling.sort(key=lambda pair: (family_of(pair[0][0]) != LATENT, -len(pair[0])))
    figures = [_figure(most, subject, results) for most, subject in telling]
    table = _table([forms for subject in subjects for forms in subject], results)
    return section("callstyle", figures=figures, tables=[table]) if subjects else None


def computations(results: Results, workloads: Sequence[str] = (OURS, FOREIGN)) -> list[list[Forms]]:
    """Each computation that was measured in several forms, those of one family, geometry, phase and dtype together."""
    records = [list(timings_of(current, workloads=workloads)) for current in results.records]
    forms = [CallForm({timing.span: timing for timing in found}) for found in records if found]
    # `auto` may have chosen what somebody also asked for by name: one form, shown once.
    alike = grouped(sorted(forms, key=lambda form: form.is_named), lambda form: form.computation).values()
    several = [_worst_first({form.name: form for form in same}.values(), LAYER) for same in alike]

    def place(forms: Forms) -> tuple[object, ...]:
        first = forms[0]
        return rank(family_of(first)), first.subject, first.first.tokens or 0, first.first.label

    ordered = sorted((forms for forms in several if len(forms) > 1), key=place)
    return list(grouped(ordered, lambda forms: forms[0].subject).values())


def family_of(form: CallForm) -> str:
    """The variant without its mode."""
    return form.first.variant.partition("_")[0]


def _worst_first(forms: Iterable[CallForm], span: str) -> Forms:
    return sorted(forms, key=lambda form: (-(form.median_s(span) or 0), form.name))


def _most_telling(subject: Sequence[Forms]) -> Forms | None:
    """The most forms, at the longest context. Modes alone, left to `auto`, are what every sweep has: None."""
    telling = [forms for forms in subject if _is_telling([form for form in forms if LAYER in form])]
    return max(telling, key=lambda forms: (len(forms), forms[0].first.tokens or 0), default=None)


def _is_telling(forms: Forms) -> bool:
    if any(form.is_foreign for form in forms):
        return len(forms) > 1
    return any(form.is_named for form in forms) and len({form.first.backend for form in forms}) > 1


def _settings(computations: Iterable[Forms]) -> dict[Timing, str]:
    """What tells each computation from the others, by a timing of its first form."""
    firsts = {forms[0].first: [forms[0].first] for forms in computations}
    return told_apart(firsts, besides=("attention", "backend", *SUBJECT, "seq_len"))


def _family_name(timing: Timing) -> Text:
    return timing.marked(variant_label(timing.variant.partition("_")[0]))


def _figure(forms: Forms, subject: Sequence[Forms], results: Results) -> Figure:
    first, (geometry, phase, dtype) = forms[0].first, map(forms[0].first.axis, SUBJECT)
    by_span = {span: _worst_first([form for form in forms if span in form], span) for span in SPANS}
    drawn = {span: part for span, part in by_span.items() if len(part) > 1}
    context = say("callstyle.tokens", tokens=numbers.count(first.tokens)) if first.tokens else ""
    label: dict[str, Text] = {LABEL: first.label} if results.several else {}
    return Figure(
        title=dotted(_family_name(first), geometry, phase_name(phase), context, dtype),
        family=say("callstyle.family"),
        finding=_finding(drawn[LAYER]),
        settings=dotted(_settings(subject)[first], *label.values()),
        caption=joined("sentence", [say("callstyle.caption"), _foreign_note(forms)]),
        views=[View(title=span_title(span), figure=_dots(part, span)) for span, part in drawn.items()],
        height_px=90 + 34 * len(forms),
        facets={"variant": _family_name(first), **row_facets(first), **label},
    )


def _foreign_note(forms: Iterable[CallForm]) -> Text:
    return say("callstyle.foreign") if any(form.is_foreign for form in forms) else ""


def _finding(forms: Forms) -> Text:
    """Say which form is fastest where that is clear, else how far the slowest is from it; nothing of unchecked ones."""
    names = {form[LAYER]: form.name for form in forms}
    worst, *_, best = names
    return order_finding(best, worst, list(names)[:-1], names.__getitem__) if all(t.is_checked for t in names) else ""


def _dots(forms: Forms, span: str) -> dict[str, Any]:
    timings = {figure_text(form.name): form[span] for form in forms}
    best = min(timing.median_s for timing in timings.values())
    series = [
        Series(
            name=name,
            points=[_point(name, timing, best)],
            style=OTHER if form.is_foreign else variant_style(timing.variant),
            mode="markers+text",
            along="x",
            size=11,
            more={"textposition": "top center", "textfont": {"size": 11}, "cliponaxis": False},
        )
        for (name, timing), form in zip(timings.items(), forms, strict=True)
    ]
    title = say("callstyle.axis", clock=clock_names(timings.values()))
    ends = [end for timing in timings.values() for end in (timing.interval.low, timing.interval.high)]
    rows = categories(list(timings))
    return plot(series, xaxis=roomy_time_axis(title, ends), yaxis=rows, showlegend=False, margin=MARGIN)


def _point(name: str, timing: Timing, best: float) -> Point:
    ratio = say("callstyle.ratio", ratio=numbers.times(timing.median_s / best))
    low, high = timing.interval.low, timing.interval.high
    return Point(
        x=timing.median_s,
        y=name,
        ends=(low, high),
        text=ratio if timing.median_s > best else say("callstyle.best"),
        hover=f"{name}: {numbers.seconds(timing.median_s)} ({numbers.seconds_range(low, high)})",
        runs=(timing.record.run_key,),
    )


def _table(computations: Sequence[Forms], results: Results) -> Table:
    rows = [(form, forms) for forms in computations for form in forms]
    settings = _settings(computations)

    def over_best(span: str, row: tuple[CallForm, Forms]) -> float | None:
        median_s, known = row[0].median_s(span), [form[span].median_s for form in row[1] if span in form]
        return median_s / min(known) if median_s else None

    times: list[Column[tuple[CallForm, Forms]]] = []
    for span in SPANS if any(INDEXER in form for form, _ in rows) else (LAYER, KERNEL):
        median: Column[CallForm] = column(span_title(span), partial(CallForm.median_s, span=span), numbers.seconds)
        times += columns_of(lambda row: row[0], [median])
        times.append(column("callstyle.over_best", partial(over_best, span), numbers.times))
    return table(
        say("callstyle.table"),
        rows,
        [
            column("callstyle.form", lambda row: row[0].name),
            *columns_of(lambda row: row[0].first, [GEOMETRY, PHASE, DTYPE, CONTEXT]),
            column("column.settings", lambda row: settings[row[1][0].first], kind=Kind.CODE, only_where_known=True),
            *times,
            *columns_of(lambda row: row[0].first, [RAN, *label_column(results.several)]),
        ],
        note=joined("sentence", [say("callstyle.note"), _foreign_note(form for form, _ in rows)]),
        folded=True,
        facets_of=lambda row: {"variant": _family_name(row[0].first), **row_facets(row[0].first)},
    )
