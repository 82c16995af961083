"""Shares and sizes of workload=quality as tables and figures write them."""

from collections.abc import Sequence
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Text, joined, say
from suite.report.charts import byte_ticks, log_axis
from suite.report.quality_runs import Arm, Value
from suite.report.verdicts import mean_interval, share_interval


def share_text(values: Sequence[float]) -> Text:
    """The mean of the seeds with its interval; a dash for none."""
    if not values:
        return numbers.NOTHING
    mean, interval = numbers.percent(fmean(values)), share_interval(values)
    if interval is None:
        return mean
    return say("quality.with_interval", value=mean, low=f"{100 * interval.low:.0f}", high=f"{100 * interval.high:.0f}")


def loss_text(values: Sequence[float]) -> Text:
    if not values:
        return numbers.NOTHING
    mean, interval = f"{fmean(values):.3f}", mean_interval(values)
    if interval is None:
        return mean
    return say("rl.with_range", value=mean, low=f"{interval.low:.3f}", to="–", high=f"{interval.high:.3f}")


def caption(text: str, arms: Sequence[Arm]) -> Text:
    """A figure's, which says where no arm of it has a second seed."""
    is_single = all(len(arm.runs) == 1 for arm in arms)
    return joined("sentence", [text, *([say("quality.one_seed")] if is_single else [])])


def seeds_text(arm: Arm) -> Text:
    count = numbers.count(len(arm.runs))
    return say("quality.failed", count=count, failed=numbers.count(arm.failed)) if arm.failed else count


def bytes_text(arm: Arm) -> str:
    return numbers.NOTHING if arm.cache_bytes is None else f"{arm.cache_bytes:,.0f}"


def bytes_axis(arms: Sequence[Arm]) -> dict[str, object]:
    """Of arms whose cache is known."""
    return log_axis(say("quality.axis.bytes"), byte_ticks([arm.cache_bytes or 1.0 for arm in arms]))


def mean_of(arm: Arm, value: Value) -> float | None:
    values = arm.values(value)
    return fmean(values) if values else None
