"""Series over the commits of a line: ratios against the parent, chained; else stored values; and exact quantities.

A ratio was measured on one machine, both sides at once, so ratios of machines of one kind stand in one chain. A stored
value says something of its own machine only. Neither is ever joined with that of another processor or another clock.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from suite.gate.history.commits import CommitLine
from suite.gate.history.snapshot import MeasuredQuantity, Snapshot
from suite.gate.rules.exact import OPERATORS
from suite.records.metrics import METRICS, Better
from suite.statistics.change_points import FEWEST_STEPS, FEWEST_VALUES, Steps


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
