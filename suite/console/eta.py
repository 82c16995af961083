"""The time that the rest of a sweep takes, from what its done cases took."""

from collections.abc import Sequence
from statistics import mean

from suite.records.case import Case

MOST_LOOKED_AT = 64
"""Cases of either kind that are looked at, so that a sweep of thousands is not slowed by its own clock."""


def remaining_s(waiting: Sequence[Case], done: Sequence[tuple[Case, float]]) -> float | None:
    """Return the seconds for the waiting cases: each takes the mean of the done ones that share most of its axes.

    None where nothing is done yet.
    """
    if not done:
        return None
    looked_at = waiting[:: 1 + len(waiting) // MOST_LOOKED_AT]
    predicted = [_predicted_s(case, done[-MOST_LOOKED_AT:]) for case in looked_at]
    return len(waiting) * mean(predicted) if predicted else 0.0


def _predicted_s(case: Case, done: Sequence[tuple[Case, float]]) -> float:
    alike = [_shared_axes(case, other) for other, _ in done]
    return mean(seconds for count, (_, seconds) in zip(alike, done, strict=True) if count == max(alike))


def _shared_axes(case: Case, other: Case) -> int:
    axes, others = ({"workload": one.workload, **one.axes, **one.extras} for one in (case, other))
    return sum(name in others and others[name] == value for name, value in axes.items())
