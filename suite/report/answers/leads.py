"""The one number that leads a verdict: of pairs a mean difference, of timings a ratio, of closed forms a size."""

from collections.abc import Callable, Sequence

from suite.records import numbers
from suite.report.blocks import Lead, Text, say
from suite.report.model.formats import nats, points, share_interval
from suite.statistics.intervals import Interval, Ratio
from suite.statistics.paired import Comparison
from suite.statistics.pooled import Pooled
from suite.statistics.scores import Estimate

Written = Callable[[float], str]


def lead_of_pairs(comparison: Comparison, text: Written, about: Text) -> Lead:
    """A mean difference over pairs."""
    count = say("answer.count.seed", count=comparison.pairs)
    return _lead_of_mean(comparison.mean, comparison.interval, text, about, count)


def lead_of_pooled(pooled: Pooled, written: Written, about: Text) -> Lead | None:
    """The mean of several units; where no unit can tell, the first one's; None where that has no interval either."""
    if not pooled.telling:
        return lead_of_pairs(pooled.comparisons[0], written, about) if pooled.comparisons else None
    pairs = sum(comparison.pairs for comparison in pooled.telling)
    units = len(pooled.telling)
    count = say("answer.count.units", units=units, count=pairs) if units > 1 else say("answer.count.seed", count=pairs)
    return _lead_of_mean(pooled.mean, pooled.interval, written, about, count)


def _lead_of_mean(mean: float, interval: Estimate | None, text: Written, about: Text, count: Text) -> Lead:
    ends = None if interval is None else (interval.low, interval.high)
    written: Text = text(mean)
    # A column's title says the unit elsewhere.
    if text is points:
        written = say("claim.points", points=written)
    elif text is nats:
        written = say("claim.nats", nats=written)
    return Lead(
        about=about,
        written=written,
        interval="" if ends is None else say("answer.interval", low=text(ends[0]), high=text(ends[1])),
        count=count,
        value=mean,
        ends=ends,
    )


def lead_of_shares(shares: Sequence[float], about: Text, *, neutral: float) -> Lead:
    """Return a mean share over seeds."""
    mean, interval = sum(shares) / len(shares), share_interval(shares)
    ends = None if interval is None else (interval.low, interval.high)
    return Lead(
        about=about,
        written=numbers.percent(mean),
        interval=""
        if ends is None
        else say("answer.interval", low=f"{100 * ends[0]:.0f}", high=f"{100 * ends[1]:.0f}"),
        count=say("answer.count.seed", count=len(shares)),
        value=mean,
        ends=ends,
        neutral=neutral,
    )


def lead_of_times(
    ratio: Ratio, about: Text, of: Sequence[Interval], *, text: Written = numbers.times, neutral: float = 1.0
) -> Lead:
    """Return a ratio of two medians within the ends that both intervals leave it."""
    low, high = text(ratio.low), text(ratio.high)
    launches, readings = min(one.launches for one in of), min(one.count for one in of)
    return Lead(
        about=about,
        written=text(ratio.ratio),
        interval=say("answer.interval", low=low, high=high),
        count=say("answer.count.launch", count=launches)
        if launches > 1
        else say("answer.count.reading", count=readings),
        value=ratio.ratio,
        ends=(ratio.low, ratio.high),
        neutral=neutral,
    )


def lead_of_size(value: float, about: Text, written: Text, *, neutral: float = 1.0, count: Text = "") -> Lead:
    """Return a size or a count that nothing varies."""
    return Lead(about=about, written=written, value=value, neutral=neutral, count=count)
