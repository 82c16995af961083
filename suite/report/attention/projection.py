"""Least times on devices that are not here: each projected case under its device's two published ceilings; and what is
expected of good kernels there, where the device has a calibration.

Nothing on it was measured. A record may be foreign: what it lacks is a dash, and a time no device could have is none.
"""

from collections.abc import Hashable, Mapping, Sequence
from operator import methodcaller
from typing import Any

from suite.records import numbers
from suite.report.attention.groups import chosen_by, titles_of, usual_context
from suite.report.attention.hardware import FRAME_PX, ROW_PX, compared, marker_px, projected_groups
from suite.report.attention.lines import span_views
from suite.report.attention.timings import (
    CONTEXT,
    LAYER,
    REGIME,
    VARIANT,
    Timing,
    in_order,
    is_plausible,
    span_title,
    spans_of,
)
from suite.report.blocks import Figure, Kind, Section, Table, Text, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import variant_label, variant_style
from suite.report.model.results import Results
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import LEGEND_ROW_PX, plot
from suite.report.plot.scales import categories, roomy_time_axis
from suite.report.plot.text import figure_text
from suite.report.table import Column, column, columns_of, label_column, table

BASELINE, LATENT = "mha", "mla"
Spans = Mapping[str, Timing]
"""One projected case, by span."""


def build(results: Results) -> Section | None:
    """Build it from projected records; None without any."""
    found, beside = projected_groups(results), compared(results)
    if not found:
        return None
    titles, choices = titles_of(found), chosen_by(found)
    contexts = {key: {timing.tokens for timing in of_key} for key, of_key in found.items()}
    drawn = [key for key in found if key not in beside or beside[key].tokens not in contexts[key]]
    moved = say("projection.beside_measured") if len(drawn) < len(found) else ""
    return section(
        "projection",
        explanation=joined("sentence", [say("projection.explanation"), moved]),
        figures=[_figure(*titles[key], choices[key], found[key], results) for key in drawn],
        tables=[_table(*titles[key], choices[key], found[key], results) for key in found],
    )


def _device(timing: Timing) -> str:
    return timing.axis("hardware") or numbers.NOTHING


def _figure(
    title: Text, settings: Text, facets: Mapping[str, Text], found: Sequence[Timing], results: Results
) -> Figure | None:
    """Draw the longest of the contexts that have the most cases."""
    tokens = usual_context((timing.tokens, timing) for timing in found)
    if tokens is None:
        return None
    drawn = [timing for timing in found if timing.tokens == tokens]
    views = span_views(drawn, lambda part: _dots(part, results))
    # On a narrow screen every name in the legend takes a line.
    names = max(len(view.figure["data"]) for view in views)
    return Figure(
        title=dotted(title, say("callstyle.tokens", tokens=numbers.count(tokens))),
        family=say("projection.family"),
        finding=_finding([timing for timing in drawn if timing.span == LAYER] or drawn),
        settings=settings,
        caption=say("projection.caption"),
        views=views,
        height_px=FRAME_PX + LEGEND_ROW_PX * names + ROW_PX * len(set(map(_device, drawn))),
        facets=facets,
    )


def _finding(drawn: Sequence[Timing]) -> Text:
    """Say the least time of MLA, or of the variant that has it, and where."""
    latent = [timing for timing in drawn if timing.variant == LATENT] or drawn
    least = min(latent, key=lambda timing: timing.median_s)
    fields = {"variant": least.sized_variant, "device": _device(least), "regime": REGIME.written(least)}
    expected = _expected(least)
    said = say("projection.finding", time=numbers.seconds(least.median_s), **fields)
    return joined("notes", [said, say("projection.hover_expected", time=expected) if expected else ""])


def _dots(found: Sequence[Timing], results: Results) -> dict[str, Any]:
    """Draw a row for each device, the fastest on top, and a marker for each variant."""
    fastest_first = sorted(found, key=lambda timing: (timing.median_s, _device(timing)))
    labels = [label for label in results.labels if any(timing.label == label for timing in found)]
    lines = grouped(in_order(found), lambda timing: (timing.sized_variant, timing.label))
    series = [
        Series(
            name=dotted(name, label if len(labels) > 1 else ""),
            points=list(map(_point, line)),
            style=variant_style(line[0].variant),
            ordinal=labels.index(label),
            facets={"variant": variant_label(line[0].variant), "label": label},
            size=marker_px(place),
        )
        for place, ((name, label), line) in enumerate(lines.items())
    ]
    devices = dict.fromkeys(figure_text(_device(timing)) for timing in fastest_first)
    axis = roomy_time_axis(say("projection.axis"), [timing.median_s for timing in found])
    return plot(series, xaxis=axis, yaxis=categories(list(devices)))


def _point(timing: Timing) -> Point:
    row, runs = figure_text(_device(timing)), (timing.record.run_key,)
    time, tokens = numbers.seconds(timing.median_s), numbers.count(timing.tokens or 0)
    least = say("projection.hover", time=time, regime=REGIME.written(timing), tokens=tokens)
    expected = _expected(timing)
    hover = joined("notes", [least, say("projection.hover_expected", time=expected) if expected else ""])
    return Point(x=timing.median_s, y=row, hover=hover, runs=runs)


def _expected(timing: Timing) -> str:
    """Write what is expected of a good kernel, with its ends where an error is published; empty where nothing is."""
    found = [timing.amount(f"expected{end}_s") for end in ("", "_low", "_high")]
    expected_s, low_s, high_s = (value if value and is_plausible(value) else None for value in found)
    if expected_s is None:
        return ""
    ends = f" ({numbers.seconds_range(low_s, high_s)})" if low_s and high_s else ""
    return f"{numbers.seconds(expected_s)}{ends}"


def _expected_by(timing: Timing) -> str:
    """The fit that a record's expected times come from; empty where it gives none."""
    fit = str(timing.record.provenance.get("expected_by") or "")
    return fit if _expected(timing) else ""


def _table(title: Text, settings: Text, facets: Mapping[str, Text], found: Sequence[Timing], results: Results) -> Table:
    has_mha = any(timing.variant == BASELINE for timing in found)
    compared_with = [timing for timing in found if timing.variant == BASELINE or not has_mha]
    base_s = {place: max(timing.median_s for timing in at) for place, at in grouped(compared_with, _place).items()}
    ordered = sorted(in_order(found), key=lambda timing: (timing.tokens or 0, _device(timing)))
    cases = grouped(ordered, lambda timing: id(timing.current)).values()
    named = [column("signmap.device", _device, kind=Kind.CODE), VARIANT, CONTEXT]
    rest = [
        column("column.settings", lambda timing: timing.own_sizes, kind=Kind.CODE, only_where_known=True),
        *label_column(results.several),
    ]
    over = "projection.over_mha" if has_mha else "projection.over_slowest"
    speed: Column[Timing] = column(
        over, lambda timing: base_s.get(_place(timing), 0) / timing.median_s or None, numbers.times
    )
    of_spans: list[Column[Spans]] = []
    for span in spans_of(found):
        time: Column[Timing] = column(span_title(span), lambda timing: timing.median_s, numbers.seconds)
        expected: Column[Timing] = column("projection.expected", _expected, kind=Kind.NUMBER, only_where_known=True)
        of_spans += columns_of(methodcaller("get", span), [time, expected, speed, REGIME])
    kept: list[Column[Timing]] = [
        column("projection.cache", lambda timing: timing.amount("cache_bytes", "case"), numbers.bytes_iec),
        column("projection.of_mha", lambda timing: timing.cache_share, numbers.percent),
        column("projection.expected_by", _expected_by, kind=Kind.CODE, only_where_known=True),
    ]
    return table(
        say("projection.table"),
        [{timing.span: timing for timing in case} for case in cases],
        [*columns_of(any_of, named), *of_spans, *columns_of(any_of, [*kept, *rest])],
        family=say("projection.table"),
        settings=dotted(title, settings),
        note=say("projection.note_mha" if has_mha else "projection.note_slowest"),
        facets=facets,
    )


def _place(timing: Timing) -> Hashable:
    """Variants that agree in this are compared with each other."""
    return timing.tokens, _device(timing), timing.label, timing.span


def any_of(case: Mapping[str, Timing]) -> Timing:
    return next(iter(case.values()))
