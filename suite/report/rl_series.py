"""A number of the steps over training: the mean of an arm's seeds, between their extremes."""

from collections.abc import Callable, Iterable
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import say
from suite.report.rl_charts import Band
from suite.report.rl_run import Run
from suite.report.rl_runs import Arm

MOST_POINTS = 80


def seeds_band(
    arm: Arm,
    series_of: Callable[[Run], Iterable[tuple[int, float]]],
    text: Callable[[float], str],
    *,
    has_extremes: bool = True,
    second: str = "",
) -> Band | None:
    """At steps that all seeds which have the series share; neighbours of many steps as one mean."""
    every = [series for run in arm.ended if (series := dict(series_of(run)))]
    shared = sorted(set.intersection(*map(set, every))) if every else []
    if not shared:
        return None
    size = -(-len(shared) // MOST_POINTS)
    blocks = [shared[start : start + size] for start in range(0, len(shared), size)]
    values = [[fmean(run[step] for step in block) for run in every] for block in blocks]
    x = [fmean(block) for block in blocks]
    is_banded = len(every) > 1 and has_extremes
    return Band(
        arm=arm,
        x=x,
        y=[fmean(of) for of in values],
        low=[min(of) for of in values] if is_banded else None,
        high=[max(of) for of in values] if is_banded else None,
        hover=[
            say(
                "rl_stability.hover",
                step=numbers.count(step),
                value=text(fmean(of)),
                low=text(min(of)),
                high=text(max(of)),
                count=len(of),
            )
            for step, of in zip(x, values, strict=True)
        ],
        second=second,
    )


def plain(value: float) -> str:
    return f"{value:,.3g}"
