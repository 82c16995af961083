"""Change points in a series of one quantity over many commits, and losses too small for any pairwise comparison.

Two kinds of series need two tests. Stored values scatter about a level that nobody knows: a stretch of the series is
compared with the rest of it, and chance is what the same values show in other orders, so nothing is assumed of their
distribution (circular binary segmentation: A. B. Olshen, E. S. Venkatraman, R. Lucito and M. Wigler, Biostatistics 5,
2004). A stretch finds a loss that was mended later, which a single split hides; as there are far more of those, each
kind has half of the error. Ratios against the parent have a level
that is known, 1, and an error each: here the sum of the logarithms over a stretch is compared with its own error, so
that twelve losses of half a percent are seen as one of six. One bad measurement is no change: a step counts at most
three of its errors unless its own comparison, which saw every launch, called it a change.

Both assume that the noise of one commit says nothing of the next one's. Of stored values that is looked at: where
neighbours resemble each other, a change that is not beyond what such noise does is marked, since thirty values do not
tell it from a drift. A machine that became slower itself is a change
like any other in stored values; ratios measured side by side do not see it. `.ci/tool benchmarks.history` prints
how often both are wrong.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

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
"""Fewer values have no order that is rare enough for two dozen series; fewer steps show no spread."""
ENOUGH_BEYOND = 10
"""Draws that show as much by chance, after which there are no more: sequential Monte Carlo p-values, J. Besag and
P. Clifford, Biometrika 78, 1991."""
NONE_BEYOND = 3
"""Times 1 / alpha draws, of which none shows as much, are enough too: chance does that in a twentieth of alpha."""
AS_RARE = 32
"""Ways to place the lower level's values, of all, that show a step as far apart; seen of 15 to 25 values."""
CORRELATION_SCALE, MOST_CORRELATED = 6.0, 0.8
"""Chosen in simulation so that few series of 30 values with a correlation of 0.6 show a change without a mark."""
MOST_DRAWS, AT_ONCE = 200_000, 100
ERROR_FREEDOM = 5
"""Degrees of freedom of Student's t that ratios are taken to have in units of their errors. Those of 2,400 comparisons
of identical code (results/reference/cpu/gate) spread by 1.19, and such a t by 1.29."""
MOST_ERRORS = 3.0
"""Errors that a step counts at most, where its own comparison did not call it a change."""
POWER = 0.9
"""Share of changes as large as `visible_step` or `visible_sum` that are found."""
QUARTILE_OF_NORMAL = 0.6745


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the level, as a difference of logarithms, in the stretch of points from `first` to `last`. Of values
    it is a step: `first` is `last`, the first value of the new level. Of steps it is their sum."""

    first: int
    last: int
    shift: float
    low: float
    high: float
    drift: float = 0.0
    """The correlation of neighbouring values, at most, where noise so correlated may do as much; else 0."""


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    first: int
    end: int
    p: float


def value_changes(series: Sequence[Sequence[float]], alpha: float = ALPHA) -> list[list[Change]]:
    """The changes of level in each series of logarithms, oldest value first; one list for each series. Series are
    tested together, with Holm's correction. Raises ValueError for one of fewer than FEWEST_VALUES values."""
    if short := [len(values) for values in series if len(values) < FEWEST_VALUES]:
        raise ValueError(f"a series must have at least {FEWEST_VALUES} values; got {short[0]}")
    arrays = [np.asarray(values, dtype=float) for values in series]
    each = alpha / max(1, len(series))
    stretches = [_shifted_stretch(values, each) for values in arrays]
    adjusted = holm([stretch.p for stretch in stretches])
    correlations = [
        _correlation(values, stretch) if p < alpha else 0.0
        for values, stretch, p in zip(arrays, stretches, adjusted, strict=True)
    ]
    widened = holm([_shifted_stretch(values, each, rho).p for values, rho in zip(arrays, correlations, strict=True)])
    changes: list[list[Change]] = []
    for values, stretch, p, correlation, p_widened in zip(
        arrays, stretches, adjusted, correlations, widened, strict=True
    ):
        bounds = _pruned(values, _bounds(values, 0, stretch, each), alpha) if p < alpha else []
        drift = correlation if p_widened >= alpha else 0.0
        changes.append([replace(change, drift=drift) for change in steps_at(list(values), bounds)])
    return changes


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Log-ratios of one quantity against the parent, oldest first."""

    ratios: Sequence[float]
    errors: Sequence[float]
    """The standard error of each."""
    called: Sequence[bool]
    """True if its own comparison called it a change."""

    def least_errors(self) -> NDArray[np.float64]:
        """The standard errors, each raised to at least their median: a few launches tell their own spread badly."""
        errors = np.asarray(self.errors, dtype=float)
        return np.asarray(np.maximum(errors, np.median(errors)))

    def widened(self) -> NDArray[np.float64]:
        """`least_errors`, multiplied by the factor, at least 1, by which the ratios scatter more widely."""
        least = self.least_errors()
        return np.asarray(least * _excess(np.asarray(self.ratios, dtype=float)[None, :], least)[0])

    def counted(self) -> NDArray[np.float64]:
        """The log-ratios, clipped to MOST_ERRORS widened errors unless the step was called a change by itself."""
        ratios, most = np.asarray(self.ratios, dtype=float), MOST_ERRORS * self.widened()
        return np.where(self.called, ratios, np.clip(ratios, -most, most))

    def sum(self, first: int = 0, end: int | None = None) -> Change:
        """The steps from `first` to before `end` as one change: their sum with its interval, significant or not."""
        part, count = slice(first, end), len(self.ratios)
        shift = float(np.sum(np.asarray(self.ratios, dtype=float)[part]))
        error = math.sqrt(float(np.sum(self.widened()[part] ** 2)))
        half = t_quantile((1 + LEVEL) / 2, count - 1) * error
        last = (count if end is None else end) - 1
        return Change(first=first, last=last, shift=shift, low=shift - half, high=shift + half)


def step_changes(series: Sequence[Steps], alpha: float = ALPHA) -> list[list[Change]]:
    """The changes of each series of steps, tested together with Holm's correction; one list for each series. Raises
    ValueError for a series of fewer than FEWEST_STEPS steps, or an error that is not above zero."""
    if short := [len(steps.ratios) for steps in series if len(steps.ratios) < FEWEST_STEPS]:
        raise ValueError(f"a series must have at least {FEWEST_STEPS} steps; got {short[0]}")
    if any(not error > 0 for steps in series for error in steps.errors):
        raise ValueError(
            f"errors of steps must be above zero; got {min(error for steps in series for error in steps.errors)}"
        )
    each = alpha / max(1, len(series))
    stretches = [_moved_stretch(steps, 0, len(steps.ratios), each) for steps in series]
    adjusted = holm([stretch.p for stretch in stretches])
    return [
        [steps.sum(move.first, move.end) for move in _moves(steps, stretch, each)] if p < alpha else []
        for steps, stretch, p in zip(series, stretches, adjusted, strict=True)
    ]


def visible_step(values: Sequence[float], changes: Sequence[Change], tests: int, alpha: float = ALPHA) -> float:
    """The smallest step of the logarithm, halfway through the series, that is found in a share POWER of such series.

    By Student's t with Bonferroni's correction over all splits: in simulation a little more than the test by orders
    needs. Infinity where so few values have no order that is rare enough. `tests`: series that are looked at together.
    """
    count = len(values)
    if AS_RARE / math.comb(count, count // 2) > alpha / tests:
        return math.inf
    deviation, freedom = _deviation(np.asarray(values, dtype=float), [change.first for change in changes])
    half = count // 2
    splits = 2 * int((_stretches(count)[0] == 0).sum())  # which have half of the error
    margin = t_quantile(1 - alpha / (2 * splits * tests), freedom) + t_quantile(POWER, freedom)
    return margin * deviation * math.sqrt(1 / half + 1 / (count - half))


def visible_sum(steps: Steps, tests: int, alpha: float = ALPHA) -> float:
    """The smallest sum of log-ratios, spread over the whole series, that is found in a share POWER of such series. By a
    normal distribution with Bonferroni's correction over all stretches, about what the test asks for."""
    count = len(steps.ratios)
    stretches, normal = count * (count + 1) // 2, NormalDist()
    margin = normal.inv_cdf(1 - alpha / (2 * stretches * tests)) + normal.inv_cdf(POWER)
    return margin * math.sqrt(float(np.sum(steps.widened() ** 2)))


def _stretches(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Starts and ends of all stretches of at least LEAST_STRETCH points that leave no shorter rest. Those that reach
    the end are left out: what they are compared with is a stretch from the start."""
    starts, ends = np.nonzero(np.ones((count, count + 1), dtype=bool))
    outside = (starts == 0) | (starts >= LEAST_STRETCH)
    keep = outside & (ends - starts >= LEAST_STRETCH) & (count - ends >= LEAST_STRETCH)
    return starts[keep], ends[keep]


def _evidence(
    rows: NDArray[np.float64], starts: NDArray[np.intp], ends: NDArray[np.intp], correlation: float = 0.0
) -> NDArray[np.float64]:
    """Log-likelihood ratio that a stretch has a level of its own, [rows, stretches].

    Stretches inside a series are more than those from its start: they lose a constant, so that p falls alike for both.
    `correlation`: of neighbouring values, by which the variance of a level is (1 + ρ) / (1 - ρ) times as large.
    """
    count, lengths = rows.shape[1], ends - starts
    centred = rows - rows.mean(axis=1, keepdims=True)
    sums = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(centred, axis=1)], axis=1)
    explained = (sums[:, ends] - sums[:, starts]) ** 2 * (count / (lengths * (count - lengths)))
    squares = (centred**2).sum(axis=1, keepdims=True)
    rest = np.maximum(squares - explained, 1e-9 * squares + np.finfo(float).tiny)
    gain = (count - 2) / 2 * np.log1p(explained / rest * (1 - correlation) / (1 + correlation))
    is_inner = starts > 0
    num_inner = int(is_inner.sum())
    ratio = num_inner / max(1, len(starts) - num_inner)
    return np.asarray(gain - np.where(is_inner, math.log(max(1.0, ratio)), 0.0))


def _shifted_stretch(values: NDArray[np.float64], alpha: float, correlation: float = 0.0) -> _Stretch:
    """The stretch furthest from the rest, with its p among random orders of the values; 1 if there is none."""
    starts, ends = _stretches(len(values))
    if len(starts) == 0:
        return _Stretch(first=0, end=len(values), p=1.0)
    evidence = _evidence(values[None, :], starts, ends, correlation)[0]
    best = int(evidence.argmax())

    def in_other_orders(random: np.random.Generator) -> NDArray[np.float64]:
        """The largest evidence in each of AT_ONCE random orders of the values."""
        permutations = random.permuted(np.tile(values, (AT_ONCE, 1)), axis=1)
        return np.asarray(_evidence(permutations, starts, ends).max(axis=1))

    # Where equal values are many, rounding must not tell two orders apart.
    p = _p_by_chance(float(evidence[best]) - 1e-6, in_other_orders, alpha)
    return _Stretch(first=int(starts[best]), end=int(ends[best]), p=p)


def _correlation(values: NDArray[np.float64], stretch: _Stretch) -> float:
    """An upper estimate of the lag-1 correlation of the whole series, from 0 to MOST_CORRELATED.

    The mean inside the stretch and the mean outside it are taken off first. The result is CORRELATION_SCALE times the
    plain correlation, which two levels fitted to 30 values lower: in simulation to 0.3 for 0.6, and below 0 for
    independent values.
    """
    rest = values - values.mean()
    is_within = (stretch.first <= np.arange(len(values))) & (np.arange(len(values)) < stretch.end)
    for part in (is_within, ~is_within):
        rest[part] -= rest[part].mean()
    squares = float((rest**2).sum())
    plain = float((rest[1:] * rest[:-1]).sum()) / squares if squares > 0 else 0.0
    return min(MOST_CORRELATED, max(0.0, CORRELATION_SCALE * plain))


def _p_by_chance(seen: float, draw: Callable[[np.random.Generator], NDArray[np.float64]], alpha: float) -> float:
    """Monte Carlo p: the share of draws at least as large as `seen`. `draw` gives AT_ONCE values by chance. Drawing
    ends when p is clear of alpha, or after MOST_DRAWS."""
    random = np.random.default_rng(0)
    draws, beyond = 0, 0
    while beyond < ENOUGH_BEYOND and draws < min((ENOUGH_BEYOND if beyond else NONE_BEYOND) / alpha, MOST_DRAWS):
        beyond += int((draw(random) >= seen).sum())
        draws += AT_ONCE
    return min(1.0, (beyond + 1) / (draws + 1))


def _bounds(values: NDArray[np.float64], offset: int, stretch: _Stretch, alpha: float) -> list[int]:
    """Sorted places where the level changes: the ends of the given stretch, then those of significant stretches in each
    part between them. `offset` is added to each place."""
    ends = sorted({stretch.first, stretch.end} - {0, len(values)})
    bounds, each = [offset + end for end in ends], alpha / (len(ends) + 1)
    for first, end in zip([0, *ends], [*ends, len(values)], strict=True):
        part = values[first:end]
        inner = _shifted_stretch(part, each)
        if inner.p < each:
            bounds += _bounds(part, offset + first, inner, each)
    return sorted(bounds)


def _pruned(values: NDArray[np.float64], bounds: Sequence[int], alpha: float) -> list[int]:
    """The bounds whose two neighbouring levels differ at `alpha`; until all do, the weakest is dropped."""
    remaining = list(bounds)
    while remaining:
        weakest = max(range(len(remaining)), key=lambda index: _step_p(values, remaining, index))
        if _step_p(values, remaining, weakest) < alpha:
            break
        del remaining[weakest]
    return remaining


def _step_p(values: NDArray[np.float64], bounds: Sequence[int], index: int) -> float:
    """Two-sided p of Student's t for the step at the bound of this index."""
    shift, error, freedom = _step(values, bounds, index)
    return 1 - t_within(shift / error, freedom) if error > 0 else float(shift == 0)


def steps_at(series: Sequence[float], bounds: Sequence[int]) -> list[Change]:
    """The step at each bound, the place of a new level's first value, with Student's interval at LEVEL."""
    values, changes = np.asarray(series, dtype=float), []
    for index, bound in enumerate(bounds):
        shift, error, freedom = _step(values, bounds, index)
        half = t_quantile((1 + LEVEL) / 2, freedom) * error
        changes.append(Change(first=bound, last=bound, shift=shift, low=shift - half, high=shift + half))
    return changes


def _step(values: NDArray[np.float64], bounds: Sequence[int], index: int) -> tuple[float, float, int]:
    """The difference of two neighbouring levels, its standard error and the degrees of freedom of that."""
    edges = [0, *bounds, len(values)]
    old, new = values[edges[index] : edges[index + 1]], values[edges[index + 1] : edges[index + 2]]
    deviation, freedom = _deviation(np.concatenate([old, new]), [len(old)])
    return float(new.mean() - old.mean()), deviation * math.sqrt(1 / len(old) + 1 / len(new)), freedom


def _deviation(values: NDArray[np.float64], bounds: Sequence[int]) -> tuple[float, int]:
    """The standard deviation about the levels between bounds, and its degrees of freedom."""
    parts = np.split(values, list(bounds))
    freedom = len(values) - len(parts)
    return math.sqrt(sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / freedom), freedom


def _excess(rows: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor, at least 1, by which each row scatters more widely than its errors: [rows, 1], from the median distance
    of neighbours. What moves steadily, or once, is not in their median."""
    apart = np.abs(np.diff(rows, axis=1)) / np.hypot(errors[1:], errors[:-1])
    return np.asarray(np.maximum(1.0, np.median(apart, axis=1) / QUARTILE_OF_NORMAL))[:, None]


def _moved_stretch(steps: Steps, first: int, end: int, alpha: float) -> _Stretch:
    """The stretch between two places whose sum is largest beside its error. Its p is by whole series without any
    change, with the same errors and every one of their own stretches."""
    least, counted = steps.least_errors(), steps.counted()
    count = len(least)
    starts, ends = np.triu_indices(count + 1, k=1)

    def beyond_errors(rows: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Size of the sum over its error, for each row and stretch."""
        none = np.zeros((len(rows), 1))
        sums, variances = (np.concatenate([none, np.cumsum(part, axis=1)], axis=1) for part in (rows, errors**2))
        return np.asarray(np.abs(sums[:, ends] - sums[:, starts]) / np.sqrt(variances[:, ends] - variances[:, starts]))

    def without_change(random: np.random.Generator) -> NDArray[np.float64]:
        """The largest such value in each of AT_ONCE random series without any change."""
        rows = least * random.standard_t(ERROR_FREEDOM, size=(AT_ONCE, count))
        errors = least * _excess(rows, least)
        return np.asarray(beyond_errors(np.clip(rows, -MOST_ERRORS * errors, MOST_ERRORS * errors), errors).max(axis=1))

    evidence = beyond_errors(counted[None, :], steps.widened()[None, :])[0]
    evidence[(starts < first) | (ends > end)] = 0.0
    best = int(evidence.argmax())
    return _Stretch(
        first=int(starts[best]), end=int(ends[best]), p=_p_by_chance(float(evidence[best]), without_change, alpha)
    )


def _moves(steps: Steps, stretch: _Stretch, alpha: float) -> list[_Stretch]:
    """The given stretch, and every significant one found before and after it, in order of place."""
    stretches, todo = [stretch], [(0, stretch.first), (stretch.end, len(steps.ratios))]
    while todo:
        first, end = todo.pop()
        inner = _moved_stretch(steps, first, end, alpha) if first < end else None
        if inner is not None and inner.p < alpha:
            stretches.append(inner)
            todo += [(first, inner.first), (inner.end, end)]
    return sorted(stretches, key=lambda move: move.first)
