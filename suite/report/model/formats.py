"""Numbers and their intervals, written alike in every table, figure and sentence."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Text, say
from suite.statistics.scores import Estimate
from suite.statistics.seeds import seed_mean
from suite.statistics.take_off import TakeOff, kaplan_meier, median_take_off

PERCENT = "%"


def points(difference: float) -> str:
    """Write a difference of shares as percentage points with a sign, `+3.1`; zero is `+0.0`, never `-0.0`."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def nats(difference: float) -> str:
    """Write a difference of losses in nats with a sign: `-0.012`."""
    return f"{round(difference, 3) + 0.0:+.3f}"


def bits(difference: float) -> str:
    """Write a difference of losses in bits a byte with a sign: `-0.012`."""
    return nats(difference)


def signed(difference: float) -> str:
    """Write a difference in the unit that its column names, with its sign."""
    return f"{round(difference, 2) + 0.0:+.2f}"


def three_digits(value: float) -> str:
    """Write a number without a unit to three significant digits."""
    return f"{value:,.3g}"


def ratio(value: float) -> str:
    """Write a ratio short enough for the cell of a map."""
    return f"{value:,.1f}×" if value >= 1 else f"{value:.2f}×"


def times_range(low: float, high: float) -> str:
    """Write the ends of a ratio's interval: 1.05–1.31×."""
    return f"{numbers.times(low).rstrip('×')}–{numbers.times(high)}"


def with_range(value: float, interval: Estimate | None, text: Callable[[float], str], to: Text = "") -> Text:
    """Write a value with the ends of its interval, alone where it has none; the low end has no percent sign.

    `to`: the text between the ends, by default the language's word.
    """
    if interval is None:
        return text(value)
    low, high = text(interval.low), text(interval.high)
    low = low.removesuffix(PERCENT) if high.endswith(PERCENT) else low
    return say("rl.with_range", value=text(value), low=low, to=to or say("rl.to"), high=high)


def take_off_range(runs: Sequence[TakeOff]) -> Text | None:
    """Write the median spend at which runs take off with the ends of its interval, ∞ for one that never comes; None
    where fewer than half of the runs do."""
    ends = median_take_off(kaplan_meier(runs))
    first, low, high = ("∞" if math.isinf(end) else numbers.count(end) for end in ends)
    return None if math.isinf(ends[0]) else say("rl.with_range", value=first, low=low, to=say("rl.to"), high=high)


def mean_with_range(values: Sequence[float], text: Callable[[float], str], to: Text = "") -> Text | None:
    """Write the mean over seeds with Student's 95% interval; None for no values."""
    return with_range(fmean(values), mean_interval(values), text, to) if values else None


def share_with_range(values: Sequence[float]) -> Text | None:
    """Write the mean share over seeds in percent with Student's interval within 0 to 1; None for no values."""
    if not values:
        return None
    mean, interval = numbers.percent(fmean(values)), share_interval(values)
    if interval is None:
        return mean
    low, high = (f"{100 * end:.0f}" for end in (interval.low, interval.high))
    return say("quality.with_interval", value=mean, low=low, high=high)


def percent_range(interval: Estimate | None) -> str:
    """Write the ends of an interval of shares; a dash for none."""
    return numbers.NOTHING if interval is None else f"{100 * interval.low:.0f}–{100 * interval.high:.0f}%"


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """Student's interval of a mean over seeds; None for a single value."""
    return seed_mean(values) if len(values) > 1 else None


def share_interval(values: Sequence[float]) -> Estimate | None:
    """Student's interval of a mean of shares, cut to 0 to 1; None for a single value."""
    interval = mean_interval(values)
    return interval and replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))


def interval_ends(interval: Estimate | None, *, factor: float = 1) -> tuple[float, float] | None:
    """The low and the high end of an interval times `factor`; None for no interval."""
    return None if interval is None else (factor * interval.low, factor * interval.high)
