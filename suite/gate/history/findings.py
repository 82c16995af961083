"""Series over the commits of a line, and what changed in them: each change with its size and its commits, and how small
a one would be seen.

A series is of ratios against the parent, chained; else of stored values; or of an exact quantity. A ratio was measured
on one machine, both sides at once, so ratios of machines of one kind stand in one chain. A stored value says something
of its own machine only. Neither is ever joined with that of another processor or another clock.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, median
from typing import Any

from suite.gate.history.commits import CommitLine
from suite.gate.history.snapshot import MeasuredQuantity, Snapshot
from suite.gate.rules.exact import OPERATORS
from suite.gate.verdict import BROKEN, CANNOT_JUDGE, PASSED, WORSE
from suite.records.metrics import METRICS, Better
from suite.statistics import change_points
from suite.statistics.change_points import FEWEST_STEPS, FEWEST_VALUES, Change, Steps

LEAST_CHANGE = 0.005
"""Half a percent: a change of a noisy quantity that is beyond chance and smaller is of no use to anybody."""
CHAIN, STORED, EXACT = "ratios against the parent", "stored values", "exact"
Detector = Callable[[Sequence[Sequence[float]]], Sequence[Sequence[Change]]]
"""Finds the changes of several series of logarithms of values."""


@dataclass(frozen=True, order=True)
class Subject:
    """The subject of a series. `machine`: its kind for a chain and for exact quantities, else its id as well."""

    case: str
    span: str
    metric: str
    machine: str
    clock: str

    @property
    def grows_worse(self) -> bool:
        """True if more is worse, as of a metric that nobody knows."""
        return self.metric not in METRICS or METRICS[self.metric].better is not Better.HIGHER

    @property
    def must_stay(self) -> bool:
        return self.metric in METRICS and METRICS[self.metric].better is Better.NEITHER


@dataclass(frozen=True, kw_only=True)
class Link:
    """A ratio between two places on the line, both measured side by side."""

    base: int
    place: int
    ratio: float
    """A logarithm, with its standard error."""
    error: float
    called: bool


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Ratios one after the other; between two of them there may be commits that nobody measured."""

    quantity: Subject
    links: Sequence[Link]

    @property
    def points(self) -> int:
        return len(self.links)

    @property
    def is_enough(self) -> bool:
        return self.points >= FEWEST_STEPS

    @property
    def steps(self) -> Steps:
        return Steps(
            ratios=[link.ratio for link in self.links],
            errors=[link.error for link in self.links],
            called=[link.called for link in self.links],
        )


@dataclass(frozen=True, kw_only=True)
class Values:
    """Values of one quantity by place, oldest first; of noisy ones the logarithms."""

    quantity: Subject
    places: Sequence[int]
    values: Sequence[float]

    @property
    def points(self) -> int:
        return len(self.values)

    @property
    def is_enough(self) -> bool:
        return self.points >= FEWEST_VALUES


@dataclass(frozen=True, kw_only=True)
class HistorySeries:
    """All series of a history."""

    chains: Sequence[Chain]
    stored: Sequence[Values]
    exact: Sequence[Values]
    measured: frozenset[int]
    """Places of the line with any measurement."""
    remarks: Sequence[str]


def lay_out(snapshots: Iterable[Snapshot], line: CommitLine, *, chained: bool = True) -> HistorySeries:
    """Lay snapshots out over a line. `chained`: ratios take the place of stored values where there are enough."""
    here, elsewhere, unnamed = [], 0, 0
    for snapshot in dict.fromkeys(snapshots):
        elsewhere += snapshot.commit not in line.places
        unnamed += snapshot.commit in line.places and not snapshot.machine
        if snapshot.commit in line.places and snapshot.machine:
            here.append(snapshot)
    chains = [chain for chain in _chains(here, line.places) if chain.links] if chained else []
    replaced = {_without_machine(chain.quantity) for chain in chains if chain.is_enough}
    stored = [values for values in _stored(here, line.places) if _without_machine(values.quantity) not in replaced]
    left = {_without_machine(values.quantity) for values in stored if values.is_enough}
    remarks = [
        *([f"measurements of commits that are not on this line: {elsewhere:,}"] if elsewhere else []),
        *([f"measurements that do not name their machine, and are left out: {unnamed:,}"] if unnamed else []),
    ]
    return HistorySeries(
        # A chain of a link or two says less than many stored values.
        chains=[chain for chain in chains if chain.is_enough or _without_machine(chain.quantity) not in left],
        stored=stored,
        exact=list(_exact(here, line.places)),
        measured=frozenset(line.places[snapshot.commit] for snapshot in here),
        remarks=remarks,
    )


def is_exact(metric: str) -> bool:
    return metric != OPERATORS and metric in METRICS and METRICS[metric].exact


def _chains(snapshots: Sequence[Snapshot], places: Mapping[str, int]) -> Iterator[Chain]:
    measured_links: dict[Subject, dict[tuple[int, int], list[Link]]] = defaultdict(lambda: defaultdict(list))
    for snapshot in snapshots:
        base, place = places.get(snapshot.base or "", -1), places[snapshot.commit]
        for measured in snapshot.measured if snapshot.is_side_by_side and 0 <= base < place else ():
            link = _link(measured, base, place)
            if link is not None and not is_exact(measured.metric):
                measured_links[_quantity(measured, snapshot.machine)][base, place].append(link)
    for quantity, links in measured_links.items():
        # A longer link over what shorter ones measured would count it twice.
        chosen: list[Link] = []
        for base, place in sorted(links, key=lambda ends: (ends[1] - ends[0], ends[1])):
            if all(place <= other.base or other.place <= base for other in chosen):
                chosen.append(_together(links[base, place]))
        yield Chain(quantity=quantity, links=sorted(chosen, key=lambda link: link.place))


def _link(measured: MeasuredQuantity, base: int, place: int) -> Link | None:
    """The ratio with the error that its interval shows; None without a ratio or an interval."""
    ratio, low, high, level = measured.ratio, measured.low, measured.high, measured.level
    if ratio is None or low is None or high is None or level is None:
        return None
    if not (0 < low < high and ratio > 0 and 0 < level < 1):
        return None
    # Student's interval is wider than a normal one, so that the error comes out rather too large.
    error = math.log(high / low) / (2 * NormalDist().inv_cdf((1 + level) / 2))
    return Link(base=base, place=place, ratio=math.log(ratio), error=error, called=measured.called)


def _together(links: Sequence[Link]) -> Link:
    """Repeated measurements of the same two commits as one, weighted by their errors."""
    weights = [link.error**-2 for link in links]
    return Link(
        base=links[0].base,
        place=links[0].place,
        ratio=sum(weight * link.ratio for weight, link in zip(weights, links, strict=True)) / sum(weights),
        error=sum(weights) ** -0.5,
        called=all(link.called for link in links),
    )


def _stored(snapshots: Sequence[Snapshot], places: Mapping[str, int]) -> Iterator[Values]:
    logs: dict[Subject, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for snapshot in snapshots:
        for measured in snapshot.measured if snapshot.machine_id else ():
            is_share = measured.metric in METRICS and METRICS[measured.metric].points
            if is_exact(measured.metric) or is_share or measured.after is None or not measured.after > 0:
                continue
            quantity = _quantity(measured, f"{snapshot.machine} {snapshot.machine_id[:8]}")
            logs[quantity][places[snapshot.commit]].append(math.log(measured.after))
    for quantity, values in logs.items():
        ordered = sorted(values)
        yield Values(quantity=quantity, places=ordered, values=[median(values[place]) for place in ordered])


def _exact(snapshots: Sequence[Snapshot], places: Mapping[str, int]) -> Iterator[Values]:
    """Yield exact quantities that any judgement found changed: it lists no others. The last measured counts."""
    changing: dict[Subject, dict[int, float]] = defaultdict(dict)
    for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.at):
        base = places.get(snapshot.base or "")
        for measured in snapshot.measured:
            if not is_exact(measured.metric) or base is None or measured.before is None or measured.after is None:
                continue
            values = changing[_quantity(measured, snapshot.machine)]
            values[base], values[places[snapshot.commit]] = measured.before, measured.after
    for quantity, values in changing.items():
        ordered = sorted(values)
        yield Values(quantity=quantity, places=ordered, values=[values[place] for place in ordered])


def _quantity(measured: MeasuredQuantity, machine: str) -> Subject:
    return Subject(measured.case, measured.span, measured.metric, machine, measured.clock)


def _without_machine(quantity: Subject) -> tuple[str, str, str, str]:
    return quantity.case, quantity.span, quantity.metric, quantity.clock


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
        """The series with too few points to be judged."""
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
    noisy = [
        *(_of_chain(chain, change) for chain, changes in zip(chains, of_chains, strict=True) for change in changes),
        *(_of_values(series, change) for series, changes in zip(stored, of_stored, strict=True) for change in changes),
    ]
    large = [finding for finding in noisy if abs(finding.log) >= math.log1p(LEAST_CHANGE)]
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
