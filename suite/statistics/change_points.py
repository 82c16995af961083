"""Change points in a series of one quantity over many commits, and losses too small for any pairwise comparison.

Two kinds of series need two tests. Stored values scatter about a level that nobody knows: a stretch of the series is
compared with the rest of it, and chance is what the same values show in other orders, so nothing is assumed of their
distribution (circular binary segmentation: A. B. Olshen, E. S. Venkatraman, R. Lucito and M. Wigler, Biostatistics 5,
2004). A stretch finds a loss that was mended later, which a single split hides. Ratios against the parent have a level
that is known, 1, and an error each: here the sum of the logarithms over a stretch is compared with its own error, so
that twelve losses of half a percent are seen as one of six. One bad measurement is no change: a step counts at most
three of its errors unless its own comparison, which saw every launch, called it a change.

Both assume that the noise of one commit says nothing of the next one's. A machine that became slower itself is a change
like any other in stored values; ratios measured side by side do not see it. `python tests/benchmarks/history.py` prints
how often both are wrong.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suite.statistics.holm import holm
from suite.statistics.student import t_quantile, t_within

ALPHA = 0.01
"""Chance of any false change over all series that are looked at together."""
LEVEL = 0.98
"""Confidence of the interval around a change."""
LEAST_STRETCH = 3
"""Points of the shortest stretch: one value or two that lie apart are no level."""
FEWEST_VALUES, FEWEST_STEPS = 20, 3
"""Of fewer values no order is rare enough for two dozen series; three steps are the fewest that show a spread."""
ENOUGH_BEYOND = 10
"""Orders that show as much by chance, after which no more are drawn: sequential Monte Carlo p-values, J. Besag and
P. Clifford, Biometrika 78, 1991."""
NONE_BEYOND = 3
"""Times 1 / alpha orders, of which none shows as much, are enough too: chance does that in a twentieth of alpha."""
AS_RARE = 32
"""Ways to place the lower level's values, of all, that show a step as far apart; seen of 15 to 25 values."""
MOST_ORDERS, ORDERS_AT_ONCE = 200_000, 100
MOST_ERRORS = 3.0
"""Errors that a step counts at most, where its own comparison did not call it a change."""
POWER = 0.9
"""Share of the changes of the size that `visible` returns that are found."""
QUARTILE_OF_NORMAL = 0.6745


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the level, as a difference of logarithms, in the stretch of points from `first` to `last`.

    Of values it is a step: `first` is `last`, the first value of the new level. Of steps it is their sum.
    """

    first: int
    last: int
    shift: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    first: int
    end: int
    p: float


def value_changes(series: Sequence[Sequence[float]], alpha: float = ALPHA) -> list[list[Change]]:
    """Return the changes of each series of logarithms of values, oldest first.

    Raises ValueError for a series of fewer than FEWEST_VALUES values.
    """
    if short := [len(values) for values in series if len(values) < FEWEST_VALUES]:
        raise ValueError(f"a series must have at least {FEWEST_VALUES} values; got {short[0]}")
    arrays = [np.asarray(values, dtype=float) for values in series]
    each = alpha / max(1, len(series))
    found = [_shifted_stretch(values, each) for values in arrays]
    adjusted = holm([stretch.p for stretch in found])
    return [
        _steps_between(values, _pruned(values, _bounds(values, 0, stretch, each), alpha)) if p < alpha else []
        for values, stretch, p in zip(arrays, found, adjusted, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Log-ratios of one quantity against the parent, oldest first."""

    ratios: Sequence[float]
    errors: Sequence[float]
    """The standard error of each."""
    called: Sequence[bool]
    """True if its own comparison called it a change."""

    def widened(self) -> NDArray[np.float64]:
        """Return errors that are no narrower than their median, nor than the steps themselves show.

        A few launches tell their own spread badly. Neighbours' differences show it without what steadily moves.
        """
        own = np.asarray(self.errors, dtype=float)
        least = np.maximum(own, np.median(own))
        apart = np.diff(np.asarray(self.ratios, dtype=float)) / np.hypot(least[1:], least[:-1])
        return np.asarray(least * max(1.0, float(np.median(np.abs(apart))) / QUARTILE_OF_NORMAL))

    def counted(self) -> NDArray[np.float64]:
        """Return the ratios as far as they count as evidence."""
        ratios, most = np.asarray(self.ratios, dtype=float), MOST_ERRORS * self.widened()
        return np.where(self.called, ratios, np.clip(ratios, -most, most))

    def sum(self, first: int = 0, end: int | None = None) -> Change:
        """Return steps from the first to before the end as one change: their whole sum, likely or not."""
        part, count = slice(first, end), len(self.ratios)
        shift = float(np.sum(np.asarray(self.ratios, dtype=float)[part]))
        error = math.sqrt(float(np.sum(self.widened()[part] ** 2)))
        half = t_quantile((1 + LEVEL) / 2, count - 1) * error
        last = (count if end is None else end) - 1
        return Change(first=first, last=last, shift=shift, low=shift - half, high=shift + half)


def step_changes(series: Sequence[Steps], alpha: float = ALPHA) -> list[list[Change]]:
    """Return the changes of each series of steps. Raises ValueError for one of fewer than FEWEST_STEPS."""
    if short := [len(steps.ratios) for steps in series if len(steps.ratios) < FEWEST_STEPS]:
        raise ValueError(f"a series must have at least {FEWEST_STEPS} steps; got {short[0]}")
    if any(not error > 0 for steps in series for error in steps.errors):
        raise ValueError("errors of steps must be above zero")
    each = alpha / max(1, len(series))
    found = [_moved_stretch(steps.counted(), steps.widened(), len(steps.ratios)) for steps in series]
    adjusted = holm([stretch.p for stretch in found])
    return [
        [steps.sum(move.first, move.end) for move in _moves(steps, stretch, each)] if p < alpha else []
        for steps, stretch, p in zip(series, found, adjusted, strict=True)
    ]


def visible_step(values: Sequence[float], changes: Sequence[Change], tests: int, alpha: float = ALPHA) -> float:
    """Return the step of the logarithm, halfway through the series, that POWER of all such series would show.

    By Student's t with Bonferroni's correction over all stretches: in simulation a little more than the test by orders
    needs. Infinity where so few values have no order that is rare enough. `tests`: series that are looked at together.
    """
    count = len(values)
    if AS_RARE / math.comb(count, count // 2) > alpha / tests:
        return math.inf
    deviation, freedom = _deviation(np.asarray(values, dtype=float), [change.first for change in changes])
    half = count // 2
    stretches = len(_stretches(count)[0])
    return _margin(stretches * tests, freedom, alpha) * deviation * math.sqrt(1 / half + 1 / (count - half))


def visible_sum(steps: Steps, tests: int, alpha: float = ALPHA) -> float:
    """Return the sum, spread over the whole series, that POWER of all such series would show."""
    count = len(steps.ratios)
    error = math.sqrt(float(np.sum(steps.widened() ** 2)))
    return _margin(count * (count + 1) // 2 * tests, count - 1, alpha) * error


def _margin(tests: int, freedom: int, alpha: float) -> float:
    return t_quantile(1 - alpha / (2 * tests), freedom) + t_quantile(POWER, freedom)


def _stretches(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the starts and ends of all stretches that leave no rest shorter than a stretch.

    Those that reach the end are left out: what they are compared with is a stretch from the start.
    """
    starts, ends = np.nonzero(np.ones((count, count + 1), dtype=bool))
    outside = (starts == 0) | (starts >= LEAST_STRETCH)
    keep = outside & (ends - starts >= LEAST_STRETCH) & (count - ends >= LEAST_STRETCH)
    return starts[keep], ends[keep]


def _contrasts(rows: NDArray[np.float64], starts: NDArray[np.intp], ends: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return, for each row and stretch, how far its mean lies from the rest's, in units of equal spread.

    All orders of a row have one sum of squares, so the largest of these is Student's t in another scale.
    """
    count, lengths = rows.shape[1], ends - starts
    sums = np.concatenate(
        [np.zeros((len(rows), 1)), np.cumsum(rows - rows.mean(axis=1, keepdims=True), axis=1)], axis=1
    )
    return np.asarray(np.abs(sums[:, ends] - sums[:, starts]) * np.sqrt(count / (lengths * (count - lengths))))


def _shifted_stretch(values: NDArray[np.float64], alpha: float) -> _Stretch:
    """Return the stretch that lies furthest from the rest, with its p among other orders of the same values."""
    starts, ends = _stretches(len(values))
    if len(starts) == 0:
        return _Stretch(first=0, end=len(values), p=1.0)
    contrasts = _contrasts(values[None, :], starts, ends)[0]
    best = int(contrasts.argmax())
    random = np.random.default_rng(0)
    orders, beyond = 0, 0
    # Where equal values are many, rounding must not tell two orders apart.
    least = contrasts[best] * (1 - 1e-9)
    while beyond < ENOUGH_BEYOND and orders < min((ENOUGH_BEYOND if beyond else NONE_BEYOND) / alpha, MOST_ORDERS):
        drawn = random.permuted(np.tile(values, (ORDERS_AT_ONCE, 1)), axis=1)
        beyond += int((_contrasts(drawn, starts, ends).max(axis=1) >= least).sum())
        orders += ORDERS_AT_ONCE
    return _Stretch(first=int(starts[best]), end=int(ends[best]), p=min(1.0, (beyond + 1) / (orders + 1)))


def _bounds(values: NDArray[np.float64], offset: int, stretch: _Stretch, alpha: float) -> list[int]:
    """Return where the series changes: at the ends of a stretch beyond chance, and within each of the parts."""
    ends = sorted({stretch.first, stretch.end} - {0, len(values)})
    found, each = [offset + end for end in ends], alpha / (len(ends) + 1)
    for first, end in zip([0, *ends], [*ends, len(values)], strict=True):
        part = values[first:end]
        inner = _shifted_stretch(part, each)
        if inner.p < each:
            found += _bounds(part, offset + first, inner, each)
    return sorted(found)


def _pruned(values: NDArray[np.float64], bounds: Sequence[int], alpha: float) -> list[int]:
    """Take away, weakest first, what the levels to its two sides do not show: a stretch has two ends, and may need
    one."""
    kept = list(bounds)
    while kept:
        weakest = max(range(len(kept)), key=lambda index: _p_of_step(values, kept, index))
        if _p_of_step(values, kept, weakest) < alpha:
            break
        del kept[weakest]
    return kept


def _p_of_step(values: NDArray[np.float64], bounds: Sequence[int], index: int) -> float:
    shift, error, freedom = _step(values, bounds, index)
    return 1 - t_within(shift / error, freedom) if error > 0 else float(shift == 0)


def _steps_between(values: NDArray[np.float64], bounds: Sequence[int]) -> list[Change]:
    changes = []
    for index, bound in enumerate(bounds):
        shift, error, freedom = _step(values, bounds, index)
        half = t_quantile((1 + LEVEL) / 2, freedom) * error
        changes.append(Change(first=bound, last=bound, shift=shift, low=shift - half, high=shift + half))
    return changes


def _step(values: NDArray[np.float64], bounds: Sequence[int], index: int) -> tuple[float, float, int]:
    """Return the difference of two neighbouring levels, its standard error and the degrees of freedom of that."""
    edges = [0, *bounds, len(values)]
    old, new = values[edges[index] : edges[index + 1]], values[edges[index + 1] : edges[index + 2]]
    deviation, freedom = _deviation(np.concatenate([old, new]), [len(old)])
    return float(new.mean() - old.mean()), deviation * math.sqrt(1 / len(old) + 1 / len(new)), freedom


def _deviation(values: NDArray[np.float64], bounds: Sequence[int]) -> tuple[float, int]:
    """Return the standard deviation about the levels between bounds, and its degrees of freedom."""
    parts = np.split(values, list(bounds))
    freedom = len(values) - len(parts)
    return math.sqrt(sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / freedom), freedom


def _moved_stretch(steps: NDArray[np.float64], errors: NDArray[np.float64], of: int) -> _Stretch:
    """Return the stretch whose sum is furthest beyond its error. `of`: steps of the whole series, which tell the
    spread, and among all stretches of which this one was chosen."""
    sums, variances = (np.concatenate([[0.0], np.cumsum(part)]) for part in (steps, errors**2))
    starts, ends = np.triu_indices(len(steps) + 1, k=1)
    t = np.abs(sums[ends] - sums[starts]) / np.sqrt(variances[ends] - variances[starts])
    best = int(t.argmax())
    p = (1 - t_within(float(t[best]), of - 1)) * of * (of + 1) / 2
    return _Stretch(first=int(starts[best]), end=int(ends[best]), p=min(1.0, p))


def _moves(steps: Steps, stretch: _Stretch, alpha: float) -> list[_Stretch]:
    """Return a stretch beyond chance, and those before and after it, in their order."""
    counted, errors = steps.counted(), steps.widened()
    found, todo = [stretch], [(0, stretch.first), (stretch.end, len(counted))]
    while todo:
        first, end = todo.pop()
        inner = _moved_stretch(counted[first:end], errors[first:end], len(counted)) if first < end else None
        if inner is not None and inner.p < alpha:
            found.append(_Stretch(first=first + inner.first, end=first + inner.end, p=inner.p))
            todo += [(first, found[-1].first), (found[-1].end, end)]
    return sorted(found, key=lambda move: move.first)
