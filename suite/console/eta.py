"""The time that the rest of a sweep takes, from what its done cases took, and that of the sweeps that follow it."""

from collections.abc import Sequence
from statistics import mean

from suite.records.case import Case

# Cases of either kind that are looked at, so that a sweep of thousands is not slowed by its own clock.
MOST_LOOKED_AT = 64


def remaining_s(waiting: Sequence[Case], done: Sequence[tuple[Case, float]]) -> float | None:
    """Seconds for the waiting cases: each takes the mean of the done ones that share most of its settings.

    None where nothing is done yet.
    """
    if not done:
        return None
    times_s = []
    recent = [(set(case.settings.items()), time_s) for case, time_s in done[-MOST_LOOKED_AT:]]
    for case in waiting[:: 1 + len(waiting) // MOST_LOOKED_AT]:
        settings = set(case.settings.items())
        # How many settings each done case shares with it, and what that case took.
        pairs = [(len(settings & done_settings), time_s) for done_settings, time_s in recent]
        most, _ = max(pairs)
        times_s.append(mean(time_s for count, time_s in pairs if count == most))
    return len(waiting) * mean(times_s) if times_s else 0.0


class SeveralSweeps:
    """The time of sweeps that run one after the other, each with an estimate made beforehand.

    Another machine is slower or faster than the one of the estimates by about one factor, so what the ended sweeps took
    corrects the rest.
    """

    def __init__(self, expected_s: Sequence[float]) -> None:
        self._expected_s, self._took_s = [*expected_s], list[float]()

    def ended(self, took_s: float) -> None:
        """Take what the current sweep's cases took; 0 where none ran here, which says nothing of the pace."""
        self._took_s.append(took_s)

    def left_s(self, own_left_s: float | None, *, undone: float) -> float:
        """Seconds left of all sweeps; a later one takes its expected time at the pace so far.

        `own_left_s`: of the current sweep, None while none of its cases is done; `undone`: the share of its cases that
        wait.
        """
        ran = [pair for pair in zip(self._took_s, self._expected_s, strict=False) if pair[0] > 0]
        pace = sum(took for took, _ in ran) / sum(expected for _, expected in ran) if ran else 1.0
        current_s, *later_s = self._expected_s[len(self._took_s) :]
        return (pace * current_s * undone if own_left_s is None else own_left_s) + pace * sum(later_s)
