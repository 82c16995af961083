"""Quality against cache bytes: which arms no other beats in both, by the means of their seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.alike import grouped
from suite.report.blocks import Text, say
from suite.report.charts import figure_text, layout
from suite.report.facets import trace_facets
from suite.report.palette import rank, shown, style_of
from suite.report.quality_lines import line_key, line_name, ordinals_of, size_text
from suite.report.quality_names import variant_name
from suite.report.quality_numbers import bytes_axis, loss_text, share_text
from suite.report.quality_run import QualityRun
from suite.report.quality_runs import Arm, Study
from suite.report.quality_tasks import is_by_loss
from suite.report.rl_charts import axis, short

SMALLEST_PX, LARGEST_PX = 9, 24
GREY = "#808080"
HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"


@dataclass(frozen=True, kw_only=True)
class Standing:
    arm: Arm
    cost: float
    """Cache bytes of a token: less is better."""
    quality: float
    """More is better; of a loss, its negative."""


def standings(study: Study) -> list[Standing]:
    """Of arms whose cache and whose quality are known."""
    value = QualityRun.final_loss if is_by_loss(study) else QualityRun.final
    sign = -1 if is_by_loss(study) else 1
    return [
        Standing(arm=arm, cost=arm.cache_bytes, quality=sign * fmean(values))
        for arm in study.arms
        if arm.cache_bytes and (values := arm.values(value))
    ]


def front_of(found: Sequence[Standing]) -> list[Standing]:
    """Those that no other beats: by less cache and no less quality, or as little and more. Cheapest first."""
    front: list[Standing] = []
    for one in sorted(found, key=lambda one: (one.cost, -one.quality)):
        if not front or one.quality > front[-1].quality:
            front.append(one)
    return front


def pareto_plot(study: Study) -> dict[str, Any]:
    found, by_loss = standings(study), is_by_loss(study)
    front = front_of(found)
    arms = [one.arm for one in found]
    lines = grouped(arms, line_key)
    ordinals = ordinals_of(lines)
    sizes = _sizes_px(arms)
    ys = {one.arm: -one.quality if by_loss else one.quality for one in found}
    yaxis = axis(say("quality.axis.loss"), autorange="reversed") if by_loss else _share_axis()
    traces = [
        _trace(line, ordinals[key], ys, [one.arm for one in front], sizes, by_loss)
        for key, line in sorted(lines.items(), key=lambda item: (rank(item[1][0].attention), item[0]))
    ]
    return {
        "data": [_front(front, ys), *traces],
        "layout": layout(
            xaxis=bytes_axis(arms),
            yaxis={"automargin": True, "zeroline": False, **yaxis},
            hovermode="closest",
        ),
    }


def _share_axis() -> dict[str, Any]:
    return axis(say("quality.axis.answered"), tickformat=".0%")


def _sizes_px(arms: Sequence[Arm]) -> Mapping[Arm, float]:
    """Areas grow with the time of a token; all alike where some are not timed."""
    taken = {arm: arm.decode_s for arm in arms}
    known = [seconds for seconds in taken.values() if seconds is not None]
    if len(known) < len(arms) or not known or min(known) == max(known):
        return dict.fromkeys(arms, (SMALLEST_PX + LARGEST_PX) / 2)
    low, high = min(known), max(known)
    return {
        arm: round(
            (SMALLEST_PX**2 + (LARGEST_PX**2 - SMALLEST_PX**2) * ((seconds or low) - low) / (high - low)) ** 0.5, 1
        )
        for arm, seconds in taken.items()
    }


def _front(front: Sequence[Standing], ys: Mapping[Arm, float]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": figure_text(say("quality.front")),
        "x": [one.cost for one in front],
        "y": [short(ys[one.arm]) for one in front],
        "line": {"color": GREY, "dash": "dot", "width": 1.5, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _trace(
    line: Sequence[Arm],
    ordinal: int,
    ys: Mapping[Arm, float],
    front: Sequence[Arm],
    sizes: Mapping[Arm, float],
    by_loss: bool,
) -> dict[str, Any]:
    style = style_of(line[0].attention)
    solid = style.marker + ("-dot" if ordinal else "")
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": figure_text(line_name(line[0], line)),
        "x": [arm.cache_bytes for arm in line],
        "y": [short(ys[arm]) for arm in line],
        "text": [figure_text(size_text(arm, line)) for arm in line],
        "textposition": "top center" if line[0].is_latent else "bottom center",
        "textfont": {"size": 10, "color": style.colour},
        "cliponaxis": False,
        "hovertext": [figure_text(_hover(arm, arm in front, by_loss)) for arm in line],
        "hovertemplate": HOVER,
        "marker": {
            "color": style.colour,
            "symbol": [solid if arm in front else f"{style.marker}-open" for arm in line],
            "size": [sizes[arm] for arm in line],
            "opacity": 1,
            "line": {"width": 1.5, "color": style.colour},
        },
        **trace_facets(variant=shown(line[0].attention), label=line[0].label),
    }


def _hover(arm: Arm, is_front: bool, by_loss: bool) -> Text:
    value = loss_text(arm.values(QualityRun.final_loss)) if by_loss else share_text(arm.values(QualityRun.final))
    said = say(
        "quality.pareto_hover",
        name=variant_name(arm),
        value=value,
        bytes=numbers.count(arm.cache_bytes or 0),
        decode=numbers.NOTHING if arm.decode_s is None else numbers.seconds(arm.decode_s),
    )
    return say("quality.on_front", said=said) if is_front else said
