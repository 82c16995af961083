"""Forms of a call: one computation, with the same weights and outputs, in every form that was measured.

A form is what the caller can choose: MLA's mode and the backend, or another library's own layer.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.records.derived import operators_of
from suite.records.machine.privacy import without_paths
from suite.report.attention.groups import any_of, told_apart
from suite.report.attention.operators import MATH_PATH, attention_operator
from suite.report.attention.timings import (
    KERNEL,
    LAYER,
    SPANS,
    Timing,
    clock_names,
    is_clearly_faster,
    row_facets,
    span_title,
    spans_of,
    timings_of,
)
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, say, section
from suite.report.model.experiment import grouped
from suite.report.model.formats import times_range
from suite.report.model.labels import OTHER, phase_name, rank, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.model.run import extras
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import plot
from suite.report.plot.scales import categories, roomy_time_axis
from suite.report.plot.text import figure_text
from suite.report.table import Column, column, columns_of, label_column, table
from suite.statistics.intervals import ratio_of_medians

OURS, FOREIGN = "attention", "transformers"
LATENT = "mla"
SUBJECT = ("geometry", "phase", "dtype")
AGREE = ("match", "seq_len", "query_len", "batch", "tp", "cache_dtype", "device", "threads")
"""With family and SUBJECT, what must be equal for two forms to compute the same thing."""
DAGGER = "†"
MARGIN = {"l": 8, "r": 40, "t": 18, "b": 8, "pad": 2}
"""The ratio stands above its dot, that of the worst near the right edge."""

Form = Mapping[str, Timing]
"""A case as it was called, by span; one at least."""
Forms = Sequence[Form]
"""The forms of one computation under one label, the worst first."""


def build(results: Results) -> Section | None:
    """Build it from every computation that was measured in at least two forms; None without any."""
    found = computations(results)
    telling = [
        (most, computations)
        for computations in found
        for label in results.labels
        if (most := _most_telling([forms for forms in computations if any_of(forms[0]).label == label]))
    ]
    # MLA has the most forms, and it is what readers come for.
    telling.sort(key=lambda pair: (family_of(pair[0][0]) != LATENT, -len(pair[0])))
    found.sort(key=lambda computations: not telling or computations is not telling[0][1])
    figures = [_figure(most, computations, results) for most, computations in telling]
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
    """Whether somebody asked for this backend by name."""
    return any_of(form).axis("backend") != "auto"


def _name(form: Form) -> str:
    timing = any_of(form)
    return f"{timing.backend} {DAGGER}" if _is_foreign(form) else f"{variant_label(timing.variant)} · {timing.backend}"


def _computations(all_forms: Forms) -> list[Forms]:
    """The forms of each computation that has several, by context."""

    def computed(form: Form) -> tuple[str, ...]:
        timing = any_of(form)
        return (*map(timing.axis, AGREE), *extras(timing.record), timing.label)

    # `auto` may have chosen what somebody also asked for by name: one form, shown once.
    alike = grouped(sorted(all_forms, key=_is_chosen), computed).values()
    several = [_worst_first({_name(form): form for form in forms}.values(), LAYER) for forms in alike]
    by_context = sorted(several, key=lambda forms: (any_of(forms[0]).tokens or 0, any_of(forms[0]).label))
    return [forms for forms in by_context if len(forms) > 1]


def _median_s(span: str, form: Form) -> float | None:
    return form[span].median_s if span in form else None


def _worst_first(forms: Iterable[Form], span: str) -> Forms:
    return sorted(forms, key=lambda form: (-(_median_s(span, form) or 0), _name(form)))


def _most_telling(computations: Sequence[Forms]) -> Forms | None:
    """The most forms, at the longest context. Modes alone, left to `auto`, are what every sweep has: None."""
    telling = [forms for forms in computations if _is_telling([form for form in forms if LAYER in form])]
    return max(telling, key=lambda forms: (len(forms), any_of(forms[0]).tokens or 0), default=None)


def _is_telling(forms: Forms) -> bool:
    if any(map(_is_foreign, forms)):
        return len(forms) > 1
    return any(map(_is_chosen, forms)) and len({any_of(form).backend for form in forms}) > 1


def _settings(computations: Sequence[Forms]) -> dict[Timing, str]:
    """What tells each computation from the others, by a timing of its first form."""
    firsts = [any_of(forms[0]) for forms in computations]
    return told_apart({timing: [timing] for timing in firsts}, besides=("attention", "backend", *SUBJECT, "seq_len"))


def _title(form: Form, tokens: int | None = None) -> Text:
    geometry, phase, dtype = map(any_of(form).axis, SUBJECT)
    sentence = say("callstyle.tokens", tokens=numbers.count(tokens)) if tokens else ""
    family = any_of(form).marked(variant_label(family_of(form)))
    return dotted(family, geometry, phase_name(phase), sentence, dtype)


def _figure(forms: Forms, computations: Sequence[Forms], results: Results) -> Figure:
    first = any_of(forms[0])
    by_span = {span: _worst_first([form for form in forms if span in form], span) for span in SPANS}
    drawn = {span: part for span, part in by_span.items() if len(part) > 1}
    return Figure(
        title=_title(forms[0], first.tokens),
        family=say("callstyle.family"),
        finding=_finding(drawn[LAYER]),
        settings=dotted(_settings(computations)[first], first.label if results.several else ""),
        caption=say("callstyle.caption_foreign" if any(map(_is_foreign, forms)) else "callstyle.caption"),
        views=[View(title=span_title(span), figure=_dots(part, span)) for span, part in drawn.items()],
        height_px=90 + 34 * len(forms),
        facets=_facets(forms[0], results),
    )


def _facets(form: Form, results: Results) -> dict[str, Text]:
    label: dict[str, Text] = {"label": any_of(form).label} if results.several else {}
    return {"variant": any_of(form).marked(variant_label(family_of(form))), **row_facets(any_of(form)), **label}


def _finding(forms: Forms) -> Text:
    """Say which form is fastest where that is clear, else how far the slowest is from it; nothing of unchecked ones."""
    if not all(form[LAYER].is_checked for form in forms):
        return ""
    worst, *_, best = forms
    over = ratio_of_medians(worst[LAYER].interval, best[LAYER].interval)
    tokens = numbers.count(any_of(best).tokens or 0)
    fields = {"tokens": tokens, "best": _name(best), "worst": _name(worst), "range": times_range(over.low, over.high)}
    is_fastest = all(is_clearly_faster(best[LAYER], form[LAYER]) for form in forms[:-1])
    has_few = 1 in (worst[LAYER].interval.launches, best[LAYER].interval.launches)
    key = "apart" if is_fastest else "open" if over.low <= 1 else "few" if has_few else "span"
    time = numbers.seconds(best[LAYER].median_s)
    return say(f"callstyle.finding.{key}", time=time, ratio=numbers.times(over.ratio), **fields)


def _dots(forms: Forms, span: str) -> dict[str, Any]:
    timings = {figure_text(_name(form)): form[span] for form in forms}
    best = min(timing.median_s for timing in timings.values())
    series = [
        Series(
            name=name,
            points=[_point(name, timing, best)],
            style=OTHER if _is_foreign(form) else variant_style(timing.variant),
            mode="markers+text",
            along="x",
            size=11,
            more={"textposition": "top center", "textfont": {"size": 11}, "cliponaxis": False},
        )
        for (name, timing), form in zip(timings.items(), forms, strict=True)
    ]
    title = say("callstyle.axis", clock=clock_names(timings.values()))
    ends = [end for timing in timings.values() for end in (timing.interval.low, timing.interval.high)]
    return plot(
        series, xaxis=roomy_time_axis(title, ends), yaxis=categories(list(timings)), showlegend=False, margin=MARGIN
    )


def _point(name: str, timing: Timing, best: float) -> Point:
    ratio = say("callstyle.ratio", ratio=numbers.times(timing.median_s / best))
    interval = timing.interval
    return Point(
        x=timing.median_s,
        y=name,
        ends=(interval.low, interval.high),
        text=ratio if timing.median_s > best else say("callstyle.best"),
        hover=f"{name}: {numbers.seconds(timing.median_s)} ({numbers.seconds_range(interval.low, interval.high)})",
        runs=(timing.record.run_key,),
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
        say("callstyle.table"),
        rows,
        [
            column("callstyle.form", lambda row: _name(row[0])),
            column("latency.context", lambda row: any_of(row[0]).tokens, numbers.count),
            column("column.settings", lambda row: settings[any_of(row[1][0])], kind=Kind.CODE, only_where_known=True),
            *times,
            column("callstyle.ran", lambda row: _ran(any_of(row[0])), kind=Kind.CODE),
            *columns_of(lambda row: any_of(row[0]), label_column(results.several)),
        ],
        family=say("callstyle.table"),
        settings=_title(first),
        note=say("callstyle.note_foreign" if any(_is_foreign(form) for form, _ in rows) else "callstyle.note"),
        folded=True,
        facets={name: text for name, text in _facets(first, results).items() if name != "label"},
    )


def _ran(timing: Timing) -> Text:
    operators = operators_of(timing.record, KERNEL) or operators_of(timing.record, LAYER)
    name = attention_operator(operators)
    if name is None:
        return say("callstyle.separate") if operators else ""
    return say("callstyle.math", operator=name) if name == MATH_PATH else without_paths(name)
