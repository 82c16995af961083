"""Forms of a call: one computation, with the same weights and outputs, in every form that was measured.

A form is what the caller can choose: MLA's mode and the backend, or another library's own layer.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.records.derived import operators_of
from suite.records.privacy import without_paths
from suite.report.attention.groups import any_of, told_apart
from suite.report.attention.operators import MATH_PATH, attention_operator
from suite.report.attention.timings import (
    KERNEL,
    LAYER,
    SPANS,
    Timing,
    clock_names,
    row_facets,
    span_title,
    spans_of,
    timings_of,
)
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import OTHER, phase_name, rank, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.model.run import extras
from suite.report.plot.marks import Point
from suite.report.plot.plots import plot
from suite.report.plot.rows import bars
from suite.report.plot.scales import categories, time_axis
from suite.report.plot.text import figure_text
from suite.report.table import Column, column, columns_of, label_column, table

OURS, FOREIGN = "attention", "transformers"
SUBJECT = ("geometry", "phase", "dtype")
AGREE = ("match", "seq_len", "query_len", "batch", "tp", "cache_dtype", "device", "threads")
"""With family and SUBJECT, what must be equal for two forms to compute the same thing."""
DAGGER = "†"
ROOM_FOR_TEXT = 0.55
"""Room to the right of the longest bar, as a share of it: its text fits on a narrow screen too."""

Form = Mapping[str, Timing]
"""A case as it was called, by span; one at least."""
Forms = Sequence[Form]
"""The forms of one computation under one label, the worst first."""


def build(results: Results) -> Section | None:
    """Build it from every computation that was measured in at least two forms; None without any."""
    found = computations(results)
    figures = [
        _figure(most, computations, results)
        for computations in found
        for label in results.labels
        if (most := _most_telling([forms for forms in computations if any_of(forms[0]).label == label]))
    ]
    tables = [_table(computations, results) for computations in found if computations]
    return section("callstyle", figures=figures, tables=tables) if tables else None


def computations(results: Results, workloads: Sequence[str] = (OURS, FOREIGN)) -> list[list[Forms]]:
    """Return each computation that was measured in several forms, those of one family, geometry, phase and dtype
    together.
    """
    records = [list(timings_of(current, workloads=workloads)) for current in results.records]
    forms = [{timing.span: timing for timing in found} for found in records if found]
    subjects = grouped(forms, lambda form: (family_of(form), *map(any_of(form).axis, SUBJECT)))
    return [_computations(subjects[key]) for key in sorted(subjects, key=lambda key: (rank(key[0]), key))]


def family_of(form: Form) -> str:
    """Return the variant without its mode."""
    return any_of(form).variant.partition("_")[0]


def _is_foreign(form: Form) -> bool:
    return any_of(form).record.case.workload == FOREIGN


def _is_chosen(form: Form) -> bool:
    """Return whether somebody asked for this backend by name."""
    return any_of(form).axis("backend") != "auto"


def _name(form: Form) -> str:
    timing = any_of(form)
    return f"{timing.backend} {DAGGER}" if _is_foreign(form) else f"{variant_label(timing.variant)} · {timing.backend}"


def _computations(found: Forms) -> list[Forms]:
    """Return the forms of each computation that has several, by context."""

    def computed(form: Form) -> tuple[str, ...]:
        timing = any_of(form)
        return (*map(timing.axis, AGREE), *extras(timing.record), timing.label)

    # `auto` may have chosen what somebody also asked for by name: one form, shown once.
    alike = grouped(sorted(found, key=_is_chosen), computed).values()
    several = [_worst_first({_name(form): form for form in forms}.values(), LAYER) for forms in alike]
    by_context = sorted(several, key=lambda forms: (any_of(forms[0]).tokens or 0, any_of(forms[0]).label))
    return [forms for forms in by_context if len(forms) > 1]


def _median_s(span: str, form: Form) -> float | None:
    return form[span].median_s if span in form else None


def _worst_first(forms: Iterable[Form], span: str) -> Forms:
    return sorted(forms, key=lambda form: (-(_median_s(span, form) or 0), _name(form)))


def _most_telling(computations: Sequence[Forms]) -> Forms | None:
    """Return the most forms, at the longest context. Modes alone, left to `auto`, are what every sweep has: None."""
    telling = [forms for forms in computations if _is_telling([form for form in forms if LAYER in form])]
    return max(telling, key=lambda forms: (len(forms), any_of(forms[0]).tokens or 0), default=None)


def _is_telling(forms: Forms) -> bool:
    if any(map(_is_foreign, forms)):
        return len(forms) > 1
    return any(map(_is_chosen, forms)) and len({any_of(form).backend for form in forms}) > 1


def _settings(computations: Sequence[Forms]) -> dict[Timing, str]:
    """Return what tells each computation from the others, by a timing of its first form."""
    firsts = [any_of(forms[0]) for forms in computations]
    return told_apart({timing: [timing] for timing in firsts}, besides=("attention", "backend", *SUBJECT, "seq_len"))


def _title(form: Form, tokens: int | None = None) -> Text:
    geometry, phase, dtype = map(any_of(form).axis, SUBJECT)
    sentence = say("callstyle.tokens", tokens=numbers.count(tokens)) if tokens else ""
    return dotted(variant_label(family_of(form)), geometry, phase_name(phase), sentence, dtype)


def _figure(forms: Forms, computations: Sequence[Forms], results: Results) -> Figure:
    first = any_of(forms[0])
    by_span = {span: _worst_first([form for form in forms if span in form], span) for span in SPANS}
    drawn = {span: part for span, part in by_span.items() if len(part) > 1}
    return Figure(
        title=_title(forms[0], first.tokens),
        settings=dotted(_settings(computations)[first], first.label if results.several else ""),
        caption=say("callstyle.caption_foreign" if any(map(_is_foreign, forms)) else "callstyle.caption"),
        views=[View(title=span_title(span), figure=_bars(part, span)) for span, part in drawn.items()],
        height_px=80 + 34 * len(forms),
        facets={**row_facets(first), "label": first.label},
    )


def _bars(forms: Forms, span: str) -> dict[str, Any]:
    timings = {figure_text(_name(form)): form[span] for form in forms}
    medians = [timing.median_s for timing in timings.values()]
    best = min(medians)
    points = [
        Point(
            x=timing.median_s,
            y=name,
            text=say("callstyle.ratio", ratio=numbers.times(timing.median_s / best))
            if timing.median_s > best
            else say("callstyle.best"),
            hover=f"{name}: {numbers.seconds(timing.median_s)}",
            facets={"variant": variant_label(timing.variant)},
        )
        for name, timing in timings.items()
    ]
    first, last = math.log10(best / 2), math.log10(max(medians))
    ends = [first, last + ROOM_FOR_TEXT * (last - first)]
    title = say("callstyle.axis", clock=clock_names(timings.values()))
    colours = [(OTHER if _is_foreign(form) else variant_style(form[span].variant)).colour for form in forms]
    return plot(
        [bars("", points, colour=colours, textposition="outside", textfont={"size": 11}, cliponaxis=False)],
        # Ticks as for a decade at least: the plot is narrow beside its long names.
        xaxis=time_axis(title, [10**first, 10 ** max(ends[1], first + 1)], range=ends),
        yaxis=categories(list(timings), showgrid=False),
        bargap=0.35,
        showlegend=False,
    )


def _table(computations: Sequence[Forms], results: Results) -> Table:
    rows = [(form, forms) for forms in computations for form in forms]
    settings, first = _settings(computations), computations[0][0]

    def over_best(span: str, row: tuple[Form, Forms]) -> float | None:
        median_s, known = _median_s(span, row[0]), [form[span].median_s for form in row[1] if span in form]
        return median_s / min(known) if median_s else None

    times: list[Column[tuple[Form, Forms]]] = []
    for span in spans_of(timing for form, _ in rows for timing in form.values()):
        medians: Column[Form] = column(span_title(span), partial(_median_s, span), numbers.seconds)
        times += columns_of(lambda row: row[0], [medians])
        times.append(column("callstyle.over_best", partial(over_best, span), numbers.times))
    return table(
        _title(first),
        rows,
        [
            column("latency.context", lambda row: any_of(row[0]).tokens, numbers.count),
            column("column.settings", lambda row: settings[any_of(row[1][0])], kind=Kind.CODE, only_where_known=True),
            *columns_of(lambda row: any_of(row[0]), label_column(results.several)),
            column("callstyle.form", lambda row: _name(row[0])),
            *times,
            column("callstyle.ran", lambda row: _ran(any_of(row[0])), kind=Kind.CODE),
        ],
        note=say("callstyle.note_foreign" if any(_is_foreign(form) for form, _ in rows) else "callstyle.note"),
        folded=True,
        facets=row_facets(any_of(first)),
        facets_of=lambda row: {"variant": variant_label(any_of(row[0]).variant)},
    )


def _ran(timing: Timing) -> Text:
    operators = operators_of(timing.record, KERNEL) or operators_of(timing.record, LAYER)
    name = attention_operator(operators)
    if name is None:
        return say("callstyle.separate") if operators else ""
    return say("callstyle.math", operator=name) if name == MATH_PATH else without_paths(name)
