"""Series over the commits of a line, and the changes in them, with their sizes and commits.

It also tells how small a change would have been found.

A series is of ratios against the parent, chained; else of stored values; or of an exact quantity. A ratio was measured
on one machine, both sides at once, so ratios of machines of one kind stand in one chain. A stored value says something
of its own machine only. Neither is ever joined with that of another processor or another clock.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from suite.gate.history.commits import CommitLine, MeasuredQuantity, Snapshot
from suite.gate.rules.exact import OPERATORS
from suite.gate.verdict import BROKEN, CANNOT_JUDGE, PASSED, WORSE
from suite.records.metrics import METRICS, Better
from suite.statistics import change_points

# Half a percent: a change of a noisy quantity that is beyond chance and smaller is of no use to anybody.
LEAST_CHANGE = 0.005
CHAIN, STORED, EXACT = "ratios against the parent", "stored values", "exact"
FEWEST_POINTS = {CHAIN: change_points.FEWEST_STEPS, STORED: change_points.FEWEST_VALUES, EXACT: 0}


@dataclass(frozen=True, order=True)
class Subject:
    """The subject of a series. `machine`: its kind for a chain and for exact quantities, else its id as well."""

    case: str
    span: str
    metric: str
    machine: str
    clock: str

    @property
    def anywhere(self) -> tuple[str, str, str, str]:
        """Case, span, metric and clock, without the machine."""
        return self.case, self.span, self.metric, self.clock

    @property
    def grows_worse(self) -> bool:
        """True if a larger value is worse, also for an unknown metric."""
        return self.metric not in METRICS or METRICS[self.metric].better is not Better.HIGHER


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """A value of the commit at a place of the line; of noisy quantities a logarithm."""

    place: int
    value: float
    base: int = -1
    """The place of the commit whose ratio this is, both measured side by side; of ratios alone, as is what follows."""
    error: float = 0.0
    """The standard error of the logarithm."""
    is_significant: bool = False
    """The comparison itself found a change beyond chance."""


@dataclass(frozen=True, kw_only=True)
class HistorySeries:
    """One quantity over the line, oldest first. Between two ratios there may be commits that nobody measured."""

    quantity: Subject
    by: str
    """CHAIN, STORED or EXACT."""
    points: Sequence[HistoryPoint]

    @property
    def is_enough(self) -> bool:
        """Whether the series has the points that a test for changes needs, by its kind."""
        return len(self.points) >= FEWEST_POINTS[self.by]

    @property
    def values(self) -> list[float]:
        """The value of each point: a logarithm for noisy quantities."""
        return [point.value for point in self.points]

    @property
    def steps(self) -> change_points.Steps:
        """The points of a chain as the statistics take them: log-ratios, errors, and which were significant."""
        return change_points.Steps(
            ratios=self.values,
            errors=[point.error for point in self.points],
            called=[point.is_significant for point in self.points],
        )


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
        metric = METRICS.get(self.quantity.metric)
        if metric is not None and metric.better is Better.NEITHER:
            return True
        rose = self.after > self.before if self.after is not None and self.before is not None else self.log > 0
        return rose is self.quantity.grows_worse

    @property
    def log(self) -> float:
        """The logarithm of the ratio; 0 without one."""
        return math.log(self.ratio) if self.ratio else 0.0


@dataclass(frozen=True, kw_only=True)
class Total:
    """The product of a chain's newest ratios, significant or not."""

    quantity: Subject
    old: int
    new: int
    links: int
    covered: int
    """Commits that its links span; the others between `old` and `new` were in no comparison."""
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
    """All that the outputs say of a line of commits."""

    line: CommitLine
    series: Sequence[HistorySeries]
    measured: frozenset[int]
    """Places of the line with any measurement."""
    findings: Sequence[Finding]
    """The worst first."""
    totals: Sequence[Total]
    visible: Sequence[Visible]
    unreadable: Sequence[str]
    remarks: Sequence[str]
    since: int | None
    """Newest commits whose changes for the worse make the exit code; None where none does."""

    @property
    def exit_code(self) -> int:
        """4 if anything is unreadable or nothing was measured, else 1 if one of the newest `since` commits made it
        worse. Else 3 if no series has enough points, else 0. Possible drift does not count."""
        if self.unreadable or not self.measured:
            return BROKEN
        first = len(self.line.commits) - (self.since or 0)
        if any(finding.is_worse and not finding.drift and finding.new >= first for finding in self.findings):
            return WORSE
        return PASSED if self.visible or any(series.by == EXACT for series in self.series) else CANNOT_JUDGE


def find_changes(
    snapshots: Iterable[Snapshot],
    line: CommitLine,
    *,
    unreadable: Sequence[str],
    remarks: Sequence[str],
    since: int | None,
) -> History:
    """Build series of the snapshots on a line of commits and test all of them for changes, at one level together.

    `since` chooses no findings: it goes into the totals and the exit code. Snapshots of other commits, or without a
    machine, are dropped, counted and named in the remarks. Changes of noisy quantities below LEAST_CHANGE are dropped.
    """
    on_line, elsewhere, unnamed = list[Snapshot](), 0, 0
    for snapshot in dict.fromkeys(snapshots):
        elsewhere += snapshot.commit not in line.places
        unnamed += snapshot.commit in line.places and not snapshot.machine
        if snapshot.commit in line.places and snapshot.machine:
            on_line.append(snapshot)
    series = _series(on_line, line.places)
    chains = [chain for chain in series if chain.by == CHAIN and chain.is_enough]
    stored = [values for values in series if values.by == STORED and values.is_enough]
    tests = len(chains) + len(stored)
    alpha = change_points.ALPHA / max(1, tests)
    chain_changes = change_points.step_changes([chain.steps for chain in chains], alpha * len(chains)) if chains else []
    stored_changes = (
        change_points.value_changes([values.values for values in stored], alpha * len(stored)) if stored else []
    )
    findings = [
        finding
        for judged, changes in zip([*chains, *stored], [*chain_changes, *stored_changes], strict=True)
        for finding in (_finding(judged, change) for change in changes)
        if abs(finding.log) >= math.log1p(LEAST_CHANGE)
    ]
    findings += [finding for exact in series if exact.by == EXACT for finding in _exact_findings(exact)]
    logs = [
        *(change_points.visible_sum(chain.steps, tests) for chain in chains),
        *(
            change_points.visible_step(values.values, changes, tests)
            for values, changes in zip(stored, stored_changes, strict=True)
        ),
    ]

    def worst_first(finding: Finding) -> tuple[float, Subject, int]:
        """The sort key: the largest change for the worse comes first, the largest for the better last."""
        return abs(finding.log) * (-1 if finding.is_worse else 1), finding.quantity, finding.new

    def surest_loss_first(total: Total) -> tuple[float, Subject]:
        """The sort key: by the end of the interval that is nearest to no loss, the largest first."""
        return -math.log(total.low) if total.quantity.grows_worse else math.log(total.high), total.quantity

    return History(
        line=line,
        series=series,
        measured=frozenset(line.places[snapshot.commit] for snapshot in on_line),
        findings=sorted(findings, key=worst_first),
        totals=sorted((_total(chain, since, len(line.commits)) for chain in chains), key=surest_loss_first),
        visible=[
            Visible(quantity=judged.quantity, by=judged.by, ratio=math.exp(log), points=len(judged.points))
            for judged, log in zip([*chains, *stored], logs, strict=True)
        ],
        unreadable=unreadable,
        remarks=[
            *remarks,
            *([f"measurements of commits outside this line: {elsewhere:,}"] if elsewhere else []),
            *([f"measurements left out because they do not name their machine: {unnamed:,}"] if unnamed else []),
        ],
        since=since,
    )


def _series(snapshots: Sequence[Snapshot], places: Mapping[str, int]) -> list[HistorySeries]:
    """All series of the snapshots. Of one quantity, ratios are kept if they are enough, else stored values if those
    are. If neither are, both are kept."""
    chains = list(_chains(snapshots, places))
    chained = {chain.quantity.anywhere for chain in chains if chain.is_enough}
    stored = [values for values in _stored(snapshots, places) if values.quantity.anywhere not in chained]
    # A chain of a link or two says less than many stored values.
    judged = {values.quantity.anywhere for values in stored if values.is_enough}
    chains = [chain for chain in chains if chain.is_enough or chain.quantity.anywhere not in judged]
    return [*chains, *stored, *_exact(snapshots, places)]


def _is_exact(metric: str) -> bool:
    """Whether a metric is a number without noise, which a list of operators is not."""
    return metric != OPERATORS and metric in METRICS and METRICS[metric].exact


def _subject(measured: MeasuredQuantity, machine: str) -> Subject:
    """The subject of the series that a measured quantity belongs to."""
    return Subject(measured.case, measured.span, measured.metric, machine, measured.clock)


def _chains(snapshots: Sequence[Snapshot], places: Mapping[str, int]) -> Iterator[HistorySeries]:
    """Yield the ratios of each noisy quantity as a chain of links, of which none overlap: the shorter ones are kept."""
    links_by_ends: dict[Subject, dict[tuple[int, int], list[HistoryPoint]]] = defaultdict(lambda: defaultdict(list))
    for snapshot in snapshots:
        base, place = places.get(snapshot.base or "", -1), places[snapshot.commit]
        for measured in snapshot.measured if snapshot.is_side_by_side and 0 <= base < place else ():
            link = _link(measured, base, place)
            if link is not None and not _is_exact(measured.metric):
                links_by_ends[_subject(measured, snapshot.machine)][base, place].append(link)
    for quantity, links in links_by_ends.items():
        # A longer link over what shorter ones measured would count it twice.
        chain: list[HistoryPoint] = []
        for base, place in sorted(links, key=lambda ends: (ends[1] - ends[0], ends[1])):
            if all(place <= link.base or link.place <= base for link in chain):
                chain.append(_average(links[base, place]))
        yield HistorySeries(quantity=quantity, by=CHAIN, points=sorted(chain, key=lambda link: link.place))


def _link(measured: MeasuredQuantity, base: int, place: int) -> HistoryPoint | None:
    """The log-ratio as a point, with the standard error that its interval implies; None without a valid interval."""
    ratio, low, high, level = measured.ratio, measured.low, measured.high, measured.level
    if ratio is None or low is None or high is None or level is None:
        return None
    if not (0 < low < high and ratio > 0 and 0 < level < 1):
        return None
    # Student's interval is wider than a normal one, so that the error comes out rather too large.
    error = math.log(high / low) / (2 * NormalDist().inv_cdf((1 + level) / 2))
    return HistoryPoint(base=base, place=place, value=math.log(ratio), error=error, is_significant=measured.called)


def _average(links: Sequence[HistoryPoint]) -> HistoryPoint:
    """Repeated measurements of one pair of commits as a single point, weighted by one over the squared error. It is
    significant only where all of them are."""
    weights = [link.error**-2 for link in links]
    return HistoryPoint(
        base=links[0].base,
        place=links[0].place,
        value=sum(weight * link.value for weight, link in zip(weights, links, strict=True)) / sum(weights),
        error=sum(weights) ** -0.5,
        is_significant=all(link.is_significant for link in links),
    )


def _stored(snapshots: Sequence[Snapshot], places: Mapping[str, int]) -> Iterator[HistorySeries]:
    """Yield the newer values of each noisy quantity on each machine, as logarithms: the median at each commit."""
    logs: dict[Subject, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for snapshot in snapshots:
        for measured in snapshot.measured if snapshot.machine_id else ():
            # A share changes by points: near 0 its logarithm would be all noise.
            is_share = measured.metric in METRICS and METRICS[measured.metric].points
            if _is_exact(measured.metric) or is_share or measured.after is None or not measured.after > 0:
                continue
            quantity = _subject(measured, f"{snapshot.machine} {snapshot.machine_id[:8]}")
            logs[quantity][places[snapshot.commit]].append(math.log(measured.after))
    for quantity, values in logs.items():
        points = [HistoryPoint(place=place, value=median(values[place])) for place in sorted(values)]
        yield HistorySeries(quantity=quantity, by=STORED, points=points)


def _exact(snapshots: Sequence[Snapshot], places: Mapping[str, int]) -> Iterator[HistorySeries]:
    """Yield a series for each exact quantity that any judgement lists, which are only those that changed. Both sides of
    a judgement are values of their commits. Where a commit has several values, the last measured counts."""
    values_by_place: dict[Subject, dict[int, float]] = defaultdict(dict)
    for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.at):
        base = places.get(snapshot.base or "")
        for measured in snapshot.measured:
            if not _is_exact(measured.metric) or base is None or measured.before is None or measured.after is None:
                continue
            values = values_by_place[_subject(measured, snapshot.machine)]
            values[base], values[places[snapshot.commit]] = measured.before, measured.after
    for quantity, values in values_by_place.items():
        points = [HistoryPoint(place=place, value=values[place]) for place in sorted(values)]
        yield HistorySeries(quantity=quantity, by=EXACT, points=points)


def _finding(series: HistorySeries, change: change_points.Change) -> Finding:
    """The finding for a change that the statistics found in a chain or in stored values."""
    first, last = series.points[change.first], series.points[change.last]
    ratio, low, high = (math.exp(log) for log in (change.shift, change.low, change.high))
    return Finding(
        quantity=series.quantity,
        by=series.by,
        old=first.base if series.by == CHAIN else series.points[change.first - 1].place,
        new=last.place,
        ratio=ratio,
        low=low,
        high=high,
        drift=change.drift,
        measured=change.last - change.first + 1,
    )


def _exact_findings(series: HistorySeries) -> Iterator[Finding]:
    """Yield a finding wherever two neighbouring points of an exact quantity differ."""
    for old, new in itertools.pairwise(series.points):
        if old.value != new.value:
            yield Finding(
                quantity=series.quantity,
                by=EXACT,
                old=old.place,
                new=new.place,
                ratio=new.value / old.value if old.value > 0 and new.value >= 0 else None,
                before=old.value,
                after=new.value,
            )


def _total(chain: HistorySeries, since: int | None, commits: int) -> Total:
    """The product of a chain's ratios of the newest `since` commits; of all if that is None or has no link."""
    first = next((at for at, link in enumerate(chain.points) if link.place >= commits - (since or commits)), 0)
    links, change = chain.points[first:], chain.steps.sum(first)
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
