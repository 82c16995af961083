"""Findings of a history: each change with its size and its commits, and how small a one would be seen."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from suite.gate.history.commits import CommitLine
from suite.gate.history.series import Chain, HistorySeries, Subject, Values
from suite.gate.verdict import BROKEN, CANNOT_JUDGE, PASSED, WORSE
from suite.statistics import change_points
from suite.statistics.change_points import Change

LEAST_CHANGE = 0.005
"""Half a percent: a change of a noisy quantity that is beyond chance and smaller is of no use to anybody."""
CHAIN, STORED, EXACT = "ratios against the parent", "stored values", "exact"
Detector = Callable[[Sequence[Sequence[float]]], Sequence[Sequence[Change]]]
"""Finds the changes of several series of logarithms of values."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One change, between the last commit that is as before and the first that is as after."""

    quantity: Subject
    by: str
    """CHAIN, STORED or EXACT."""
    old: int
    new: int
    """Places on the line."""
    ratio: float | None
    """After over before, with its interval; None where before was 0."""
    low: float | None = None
    high: float | None = None
    before: float | None = None
    after: float | None = None
    """Both values of an exact quantity."""
    drift: float = 0.0
    """The correlation of neighbouring values, where noise so correlated may do as much; else 0."""
    measured: int = 1
    """Comparisons that it is made of: many small losses of a chain are one finding."""

    @property
    def is_worse(self) -> bool:
        """True if it is a change for the worse, as is any of an exact quantity that must not change."""
        if self.quantity.must_stay:
            return True
        rose = self.after > self.before if self.after is not None and self.before is not None else self.log > 0
        return rose is self.quantity.grows_worse

    @property
    def log(self) -> float:
        return math.log(self.ratio) if self.ratio else 0.0

    @property
    def badness(self) -> float:
        return abs(self.log) * (1 if self.is_worse else -1)


@dataclass(frozen=True, kw_only=True)
class Total:
    """The product of a chain's newest ratios, likely or not."""

    quantity: Subject
    old: int
    new: int
    links: int
    covered: int
    """Commits that lie within its links; the others were measured by nobody."""
    ratio: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Visible:
    """The smallest change that nine of ten such series would show, as a ratio; infinity where there is none."""

    quantity: Subject
    by: str
    ratio: float
    points: int


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything that is told of a line of commits."""

    line: CommitLine
    laid: HistorySeries
    findings: Sequence[Finding]
    totals: Sequence[Total]
    visible: Sequence[Visible]
    unreadable: Sequence[str]
    remarks: Sequence[str]
    since: int | None
    """Newest commits whose changes for the worse make the exit code; None where none does."""

    @property
    def worse_of_late(self) -> list[Finding]:
        first = len(self.line.commits) - (self.since or 0)
        return [one for one in self.findings if one.is_worse and not one.drift and one.new >= first]

    @cached_property
    def short(self) -> list[Chain | Values]:
        """Return the series with too few points to be judged."""
        every: list[Chain | Values] = [*self.laid.chains, *self.laid.stored]
        return [series for series in every if not series.is_enough]

    @property
    def exit_code(self) -> int:
        """The highest of 4, 1, 3 and 0, as for every command."""
        if self.unreadable or not self.laid.measured:
            return BROKEN
        if self.worse_of_late:
            return WORSE
        return PASSED if self.visible or self.laid.exact else CANNOT_JUDGE


def find(
    laid: HistorySeries,
    line: CommitLine,
    *,
    unreadable: Sequence[str] = (),
    remarks: Sequence[str] = (),
    since: int | None = None,
    detector: Detector | None = None,
) -> History:
    """Look for changes in all series together, worst first. `detector`: another one for stored values."""
    chains = [chain for chain in laid.chains if chain.is_enough]
    stored = [values for values in laid.stored if values.is_enough]
    tests = len(chains) + len(stored)
    # Each kind takes its share of the error.
    alpha = change_points.ALPHA / max(1, tests)
    of_chains = change_points.step_changes([chain.steps for chain in chains], alpha * len(chains)) if chains else []
    values = [values.values for values in stored]
    if detector is not None:
        of_stored = detector(values)
    else:
        of_stored = change_points.value_changes(values, alpha * len(stored)) if stored else []
    found = [
        *(_of_chain(chain, change) for chain, changes in zip(chains, of_chains, strict=True) for change in changes),
        *(_of_values(series, change) for series, changes in zip(stored, of_stored, strict=True) for change in changes),
    ]
    large = [finding for finding in found if abs(finding.log) >= math.log1p(LEAST_CHANGE)]
    exact = [finding for series in laid.exact for finding in _of_exact(series)]
    return History(
        line=line,
        laid=laid,
        findings=sorted([*large, *exact], key=lambda finding: (-finding.badness, finding.quantity, finding.new)),
        totals=sorted((_total(chain, since, len(line.commits)) for chain in chains), key=_worst),
        visible=[
            *(_visible(chain, change_points.visible_sum(chain.steps, tests)) for chain in chains),
            *(
                _visible(series, change_points.visible_step(series.values, changes, tests))
                for series, changes in zip(stored, of_stored, strict=True)
            ),
        ],
        unreadable=unreadable,
        remarks=[*remarks, *laid.remarks],
        since=since,
    )


def _finding(series: Chain | Values, by: str, change: Change, **more: Any) -> Finding:
    ratio, low, high = (math.exp(log) for log in (change.shift, change.low, change.high))
    return Finding(quantity=series.quantity, by=by, ratio=ratio, low=low, high=high, **more)


def _of_chain(chain: Chain, change: Change) -> Finding:
    links = chain.links[change.first : change.last + 1]
    return _finding(chain, CHAIN, change, old=links[0].base, new=links[-1].place, measured=len(links))


def _of_values(series: Values, change: Change) -> Finding:
    old, new = series.places[change.first - 1], series.places[change.first]
    return _finding(series, STORED, change, old=old, new=new, drift=change.drift)


def _of_exact(series: Values) -> list[Finding]:
    pairs = list(zip(series.places, series.values, strict=True))
    return [
        Finding(
            quantity=series.quantity,
            by=EXACT,
            old=old,
            new=new,
            ratio=after / before if before > 0 and after >= 0 else None,
            before=before,
            after=after,
        )
        for (old, before), (new, after) in itertools.pairwise(pairs)
        if before != after
    ]


def _total(chain: Chain, since: int | None, commits: int) -> Total:
    """Multiply the ratios of the newest commits; of all where fewer links than show a spread are so new."""
    first = next((at for at, link in enumerate(chain.links) if link.place >= commits - (since or commits)), 0)
    links, change = chain.links[first:], chain.steps.sum(first)
    return Total(
        quantity=chain.quantity,
        old=links[0].base,
        new=links[-1].place,
        links=len(links),
        covered=sum(link.place - link.base for link in links),
        ratio=math.exp(change.shift),
        low=math.exp(change.low),
        high=math.exp(change.high),
    )


def _worst(total: Total) -> tuple[float, Subject]:
    """Order totals by what they lost at least."""
    return -math.log(total.low) if total.quantity.grows_worse else math.log(total.high), total.quantity


def _visible(series: Chain | Values, log: float) -> Visible:
    return Visible(
        quantity=series.quantity,
        by=CHAIN if isinstance(series, Chain) else STORED,
        ratio=math.exp(log),
        points=series.points,
    )
