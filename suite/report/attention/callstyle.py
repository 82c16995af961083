"""Which form of a call is fastest, and what really ran.

A form is what the caller can choose: MLA's mode and the backend, or another library's own layer; all compute the same
with the same weights. A backend is a request: torch may answer it with another path without a word.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.records.derived import operators_of
from suite.records.machine.privacy import without_paths
from suite.report.attention.groups import told_apart
from suite.report.attention.timings import (
    BACKEND,
    KERNEL,
    LAYER,
    PHASE,
    SPANS,
    Timing,
    clock_names,
    one_a_record,
    order_finding,
    row_facets,
    span_title,
    spans_of,
    timings,
    timings_of,
)
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import OTHER, phase_name, rank, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.model.run import extras
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
MATH_PATH = "_scaled_dot_product_attention_math"
"""torch's path of separate operators, taken without a word where no fused kernel fits."""
WHOLE_ATTENTION = "attention"
"""Stands in the name of every operator that is one."""


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

    def median_s(self, span: str) -> float | None:
        return self[span].median_s if span in self else None


Forms = Sequence[CallForm]
"""The forms of one computation under one label, the worst first."""


def build(results: Results) -> Section | None:
    """Build it from every computation that was measured in at least two forms, and from the operators that the profiler
    saw; None without either."""
    subjects = computations(results)
    telling = [
        (most, subject)
        for subject in subjects
        for label in results.labels
        if (most := _most_telling([forms for forms in subject if forms[0].first.label == label]))
    ]
    # MLA has the most forms, and it is what readers come for.
    telling.sort(key=lambda pair: (family_of(pair[0][0]) != LATENT, -len(pair[0])))
    subjects.sort(key=lambda subject: not telling or subject is not telling[0][1])
    figures = [_figure(most, subject, results) for most, subject in telling]
    tables = [_forms_table(subject, results) for subject in subjects if subject]
    cases = one_a_record(timings(results))
    if not any(operators_of(timing.record, KERNEL) for timing in cases):
        return section("callstyle", figures=figures, tables=tables) if tables else None
    counts = {"fell": numbers.count(sum(map(_fell, cases))), "count": numbers.count(len(cases))}
    headline = Headline(text=say("callstyle.fell" if any(map(_fell, cases)) else "callstyle.none_fell", **counts))
    tables.append(_paths_table(cases, results))
    return section("callstyle", figures=figures, tables=tables, headlines=[headline])


def computations(results: Results, workloads: Sequence[str] = (OURS, FOREIGN)) -> list[list[Forms]]:
    """Each computation that was measured in several forms, those of one family, geometry, phase and dtype together."""
    records = [list(timings_of(current, workloads=workloads)) for current in results.records]
    forms = [CallForm({timing.span: timing for timing in found}) for found in records if found]
    subjects = grouped(forms, lambda form: (family_of(form), *map(form.first.axis, SUBJECT)))
    return [_computations(subjects[key]) for key in sorted(subjects, key=lambda key: (rank(key[0]), key))]


def family_of(form: CallForm) -> str:
    """The variant without its mode."""
    return form.first.variant.partition("_")[0]


def _computations(forms: Iterable[CallForm]) -> list[Forms]:
    def computed(form: CallForm) -> tuple[str, ...]:
        return (*map(form.first.axis, AGREE), *extras(form.first.record), form.first.label)

    # `auto` may have chosen what somebody also asked for by name: one form, shown once.
    alike = grouped(sorted(forms, key=lambda form: form.is_named), computed).values()
    several = [_worst_first({form.name: form for form in same}.values(), LAYER) for same in alike]
    by_context = sorted(several, key=lambda forms: (forms[0].first.tokens or 0, forms[0].first.label))
    return [forms for forms in by_context if len(forms) > 1]


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


def _settings(subject: Sequence[Forms]) -> dict[Timing, str]:
    """What tells each computation from the others, by a timing of its first form."""
    firsts = {forms[0].first: [forms[0].first] for forms in subject}
    return told_apart(firsts, besides=("attention", "backend", *SUBJECT, "seq_len"))


def _title(form: CallForm, tokens: int | None = None) -> Text:
    geometry, phase, dtype = map(form.first.axis, SUBJECT)
    context = say("callstyle.tokens", tokens=numbers.count(tokens)) if tokens else ""
    family = form.first.marked(variant_label(family_of(form)))
    return dotted(family, geometry, phase_name(phase), context, dtype)


def _figure(forms: Forms, subject: Sequence[Forms], results: Results) -> Figure:
    first = forms[0].first
    by_span = {span: _worst_first([form for form in forms if span in form], span) for span in SPANS}
    drawn = {span: part for span, part in by_span.items() if len(part) > 1}
    return Figure(
        title=_title(forms[0], first.tokens),
        family=say("callstyle.family"),
        finding=_finding(drawn[LAYER]),
        settings=dotted(_settings(subject)[first], first.label if results.several else ""),
        caption=joined("sentence", [say("callstyle.caption"), _foreign_note(forms)]),
        views=[View(title=span_title(span), figure=_dots(part, span)) for span, part in drawn.items()],
        height_px=90 + 34 * len(forms),
        facets={**_facets(forms[0]), **({"label": first.label} if results.several else {})},
    )


def _foreign_note(forms: Iterable[CallForm]) -> Text:
    return say("callstyle.foreign") if any(form.is_foreign for form in forms) else ""


def _facets(form: CallForm) -> dict[str, Text]:
    return {"variant": form.first.marked(variant_label(family_of(form))), **row_facets(form.first)}


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


def _forms_table(subject: Sequence[Forms], results: Results) -> Table:
    rows = [(form, forms) for forms in subject for form in forms]
    settings, first = _settings(subject), subject[0][0]

    def over_best(span: str, row: tuple[CallForm, Forms]) -> float | None:
        median_s, known = row[0].median_s(span), [form[span].median_s for form in row[1] if span in form]
        return median_s / min(known) if median_s else None

    times: list[Column[tuple[CallForm, Forms]]] = []
    for span in spans_of(timing for form, _ in rows for timing in form.values()):
        median: Column[CallForm] = column(span_title(span), partial(CallForm.median_s, span=span), numbers.seconds)
        times += columns_of(lambda row: row[0], [median])
        times.append(column("callstyle.over_best", partial(over_best, span), numbers.times))
    return table(
        say("callstyle.table"),
        rows,
        [
            column("callstyle.form", lambda row: row[0].name),
            column("latency.context", lambda row: row[0].first.tokens, numbers.count),
            column("column.settings", lambda row: settings[row[1][0].first], kind=Kind.CODE, only_where_known=True),
            *times,
            column("callstyle.ran", lambda row: _ran(row[0].first), kind=Kind.CODE),
            *columns_of(lambda row: row[0].first, label_column(results.several)),
        ],
        family=say("callstyle.table"),
        settings=_title(first),
        note=joined("sentence", [say("callstyle.note"), _foreign_note(form for form, _ in rows)]),
        folded=True,
        facets=_facets(first),
    )


def _ran(timing: Timing) -> Text:
    """The operator that tells which path was taken: the math path, else the first whole attention."""
    operators = operators_of(timing.record, KERNEL) or operators_of(timing.record, LAYER)
    whole = [name for name in operators if WHOLE_ATTENTION in name]
    if MATH_PATH in operators:
        return say("callstyle.math", operator=MATH_PATH)
    return without_paths(whole[0]) if whole else say("callstyle.separate") if operators else ""


def _fell(timing: Timing) -> bool:
    return MATH_PATH in operators_of(timing.record, KERNEL)


def _paths_table(cases: Sequence[Timing], results: Results) -> Table:
    """A row for all cases of which a backend made the same, those that fell to the math path first."""
    by_rank = sorted(cases, key=lambda timing: (not _fell(timing), rank(timing.variant)))
    paths = grouped(by_rank, lambda t: (_ran(t), t.axis("phase"), t.backend, t.axis("dtype"), t.label))
    shared: list[Column[Timing]] = [
        BACKEND,
        column("callstyle.ran", _ran, kind=Kind.CODE),
        PHASE,
        column("column.dtype", lambda timing: timing.axis("dtype"), facet="dtype"),
        *label_column(results.several),
    ]
    columns: list[Column[Sequence[Timing]]] = [
        column("column.variant", lambda path: joined("list", dict.fromkeys(timing.variant_name for timing in path))),
        *columns_of(lambda path: path[0], shared),
        column("latency.context", _contexts, kind=Kind.NUMBER),
        column("column.cases", len, numbers.count),
    ]

    def facets(path: Sequence[Timing]) -> dict[str, list[str]]:
        variants = sorted({variant_label(timing.variant) for timing in path})
        return {"variant": variants, "geometry": sorted({timing.axis("geometry") for timing in path})}

    return table(say("callstyle.paths"), paths.values(), columns, facets_of=facets)


def _contexts(path: Sequence[Timing]) -> str:
    known = {timing.tokens for timing in path if timing.tokens}
    return "–".join(map(numbers.count, sorted({min(known), max(known)}))) if known else ""
