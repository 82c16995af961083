"""Perplexity over cache bytes: a line for each way to choose a latent, marks for eight bits and the model as it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Text, say
from suite.report.charts import byte_ticks, decimal_ticks, figure_text, layout, log_axis
from suite.report.compress_losses import Value, is_near, perplexity, times_perplexity
from suite.report.compress_names import change_text, line_name, method_style, perplexity_text, told
from suite.report.compress_run import CompressRun
from suite.report.compress_runs import Line, Study
from suite.report.facets import trace_facets
from suite.report.palette import FILLS
from suite.report.rl_charts import axis, error_bars, short
from suite.statistics.scores import Estimate

HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"
LEVEL = {"color": "#808080", "dash": "dot", "width": 1.25}


@dataclass(frozen=True, kw_only=True)
class Mark:
    run: CompressRun
    value: Value
    hover: str


def perplexity_plot(study: Study) -> dict[str, Any]:
    """With intervals of the comparison: those of the ratio, times the perplexity of the model as it is."""
    own = perplexity(study.reference) if study.reference else None

    def value(run: CompressRun) -> Value | None:
        found, times = perplexity(run), times_perplexity(run, study.reference)
        if found is None or own is None or times is None or times.interval is None or run is study.reference:
            return Value(mean=found.mean, interval=None) if found else None
        low, high = own.mean * times.interval.low, own.mean * times.interval.high
        interval = Estimate(
            estimate=found.mean, low=low, high=high, level=times.interval.level, runs=times.interval.runs
        )
        return Value(mean=found.mean, interval=interval)

    return _plot(study, value, say("compress.axis.perplexity"), own.mean if own else None)


def ratio_plot(study: Study, *, is_close_up: bool = False) -> dict[str, Any]:
    def value(run: CompressRun) -> Value | None:
        is_left_out = is_close_up and not is_near(run, study.reference)
        return None if is_left_out else times_perplexity(run, study.reference)

    return _plot(study, value, say("compress.axis.ratio"), 1.0, is_linear=is_close_up)


def _plot(
    study: Study,
    value: Callable[[CompressRun], Value | None],
    axis_title: str,
    level: float | None,
    *,
    is_linear: bool = False,
) -> dict[str, Any]:
    alone = [Line(method=study.reference.method, calibration="", runs=[study.reference])] if study.reference else []
    lines = [(line, _marks(line, study, value)) for line in (*study.lines, *alone)]
    lines = [(line, marks) for line, marks in lines if marks]
    means = [mark.value.mean for _, marks in lines for mark in marks]
    sizes = [mark.run.cache_bytes or 1.0 for _, marks in lines for mark in marks]
    if not means:
        return {"data": [], "layout": layout()}
    # At one rank all methods keep as many bytes: the ranks are named at one line, of the longest the one on top.
    with_ranks = [
        (len(marks), fmean(mark.value.mean for mark in marks), line) for line, marks in lines if _has_rank(line)
    ]
    top = max(with_ranks, key=lambda ranked: ranked[:2])[2] if with_ranks else None
    yaxis = (
        axis(axis_title, automargin=True, zeroline=False)
        if is_linear
        else log_axis(axis_title, decimal_ticks(means, numbers.plain_tick))
    )
    return {
        "data": [_trace(line, marks, _ordinal(line, study), study, has_ranks=line is top) for line, marks in lines],
        "layout": layout(
            xaxis=log_axis(say("quality.axis.bytes"), byte_ticks(sizes)),
            yaxis=yaxis,
            shapes=[_level(level)] if level is not None else [],
            hovermode="closest",
        ),
    }


def _has_rank(line: Line) -> bool:
    return line.runs[0].is_low_rank


def _marks(line: Line, study: Study, value: Callable[[CompressRun], Value | None]) -> list[Mark]:
    found = [(run, value(run)) for run in line.runs if run.cache_bytes]
    return [Mark(run=run, value=of, hover=_hover(run, study)) for run, of in found if of is not None]


def _hover(run: CompressRun, study: Study) -> Text:
    own, times = perplexity(run), times_perplexity(run, study.reference)
    said = say(
        "compress.hover",
        perplexity=perplexity_text(own.mean) if own else numbers.NOTHING,
        change=told(times if run is not study.reference else None, change_text),
        bytes=numbers.count(run.cache_bytes or 0),
        decode=numbers.NOTHING if run.decode_s is None else numbers.seconds(run.decode_s),
    )
    return say("compress.hover_rank", rank=run.rank, said=said) if run.rank else said


def _ordinal(line: Line, study: Study) -> int:
    """Which line of its method it is."""
    alike = [other for other in study.lines if other.method == line.method]
    return alike.index(line) if line in alike else 0


def _trace(line: Line, marks: Sequence[Mark], ordinal: int, study: Study, *, has_ranks: bool) -> dict[str, Any]:
    style, is_line = method_style(line.method), _has_rank(line)
    return {
        "type": "scatter",
        "mode": "+".join(filter(None, ["lines" if is_line else "", "markers", "text" if has_ranks else ""])),
        "name": figure_text(line_name(line)),
        "x": [mark.run.cache_bytes for mark in marks],
        "y": [short(mark.value.mean) for mark in marks],
        **error_bars("y", [(mark.value.mean, mark.value.interval) for mark in marks], colour=style.colour),
        "text": [str(mark.run.rank or "") for mark in marks] if has_ranks else [],
        "textposition": "top right",
        "textfont": {"size": 10, "color": style.colour},
        "cliponaxis": False,
        "hovertext": [figure_text(mark.hover) for mark in marks],
        "hovertemplate": HOVER,
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {
            "color": style.colour,
            "symbol": style.marker + FILLS[ordinal % len(FILLS)],
            "size": 8 if is_line else 11,
        },
        **trace_facets(label=study.label),
    }


def _level(value: float) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": value,
        "y1": value,
        "layer": "below",
        "line": LEVEL,
    }
