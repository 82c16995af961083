"""Numbers of reinforcement learning as its tables write them: budgets, shares, differences, and their intervals."""

from collections.abc import Callable

from suite.records import numbers
from suite.report.blocks import Text, say
from suite.report.rl_run import CPU, JOULES, WALL
from suite.statistics.scores import Estimate

SECONDS = (CPU, WALL)


def amount(budget: str, value: float) -> str:
    """Of a budget, with its unit."""
    if budget in SECONDS:
        return numbers.seconds(value)
    return numbers.joules(value) if budget == JOULES else numbers.count(value)


def points(difference: float) -> str:
    """Percentage points, with their sign; of none at all it is no minus."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def signed(difference: float) -> str:
    """In the unit that its column names, with its sign."""
    return f"{difference:+.2f}"


def percent_range(interval: Estimate | None) -> str:
    return numbers.NOTHING if interval is None else f"{100 * interval.low:.0f}–{100 * interval.high:.0f} %"


def with_range(value: float, interval: Estimate | None, text: Callable[[float], str], joined: str) -> Text:
    if interval is None:
        return text(value)
    return say("rl.with_range", value=text(value), low=text(interval.low), to=joined, high=text(interval.high))
