"""Timings of attention records, one a record and span, and the groups of them that may stand in one figure.

A record may be old or foreign: what it lacks is None here, and nothing but its timings is required.
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from suite.records import numbers
from suite.records.derived import by_launch, constant, roofline
from suite.records.record import Reading, Status
from suite.report.blocks import Text, dotted, joined, say, say_or
from suite.report.model.experiment import grouped, without
from suite.report.model.labels import case_facets, phase_name, rank, shown
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import Pairs, Run, extras, tokens_of
from suite.report.table import Column, column
from suite.statistics.intervals import ONE_LAUNCH_REACH, Interval, launched_interval

SPANS = LAYER, KERNEL = ("layer", "kernel")
LINE_AXES = ("attention", "backend", "seq_len")
"""Axes that tell lines and their points apart. All others must agree for two timings to share a figure."""
TITLE_AXES = ("geometry", "phase", "dtype", "device")
"""Axes that are a figure's title by their value alone."""
OF_A_VARIANT = "attention."
PLAUSIBLE_S = (1e-12, 1e9)
PLAUSIBLE_RATE = (1e-3, 1e24)
"""FLOP/s, B/s or FLOP/B. No device has others, and a figure's axis would not bear them."""
WALL_ABOVE_JUDGED = 1.10
"""From here on the wall clock tells another story than the judged one, and the table says so."""
MOST_FIGURES = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing(Run):
    """The usable readings of one span of a record."""

    span: str
    interval: Interval
    left_out: int
    """Readings that no clock can have given."""
    wall_over_judged: float | None

    @property
    def variant(self) -> str:
        return self.axis("attention")

    @property
    def sized_variant(self) -> str:
        """Return its name, with sizes of its own where somebody set them: GQA (kv_heads=2)."""
        sizes = ", ".join(extras(self.record, OF_A_VARIANT))
        return f"{shown(self.variant)} ({sizes})" if sizes else shown(self.variant)

    @property
    def backend(self) -> str:
        """Return what ran, which `backend=auto` leaves open."""
        return str(self.record.provenance.get("backend") or self.axis("backend"))

    @property
    def tokens(self) -> int | None:
        return tokens_of(self.record)

    @property
    def median_s(self) -> float:
        return self.interval.median

    @functools.cached_property
    def roofline(self) -> tuple[float | None, str | None]:
        """Return the least time at the measured ceilings over the median, and which of them limits."""
        return roofline(self.record, self.span, self.median_s)

    @property
    def flops_per_s(self) -> float | None:
        return plausible_rate(self.amount("flops"), self.median_s)

    @property
    def bytes_per_s(self) -> float | None:
        return plausible_rate(self.amount("traffic_bytes"), self.median_s)

    @property
    def flops_per_byte(self) -> float | None:
        """Return the arithmetic intensity: useful FLOPs a byte of the least traffic."""
        return plausible_rate(self.amount("flops"), self.amount("traffic_bytes"))

    @property
    def cache_share(self) -> float | None:
        """Return what its cache is of MHA's."""
        kept, kept_mha = (self.amount(name, "case") for name in ("cache_bytes", "cache_bytes_mha"))
        return kept / kept_mha if kept and kept_mha else None

    @property
    def line(self) -> tuple[str, ...]:
        """Return what its line is called besides the variant: backend, further settings, projected or not."""
        evidence = [] if self.is_measured else [self.record.evidence]
        return (self.backend, *extras(self.record), *evidence)

    @property
    def chosen_line(self) -> tuple[str, ...]:
        """Return the same with the backend as it was asked for: `auto` may choose another at each context."""
        return (self.axis("backend") or self.backend, *self.line[1:])

    @property
    def shared_extras(self) -> tuple[str, ...]:
        """Return the settings besides the axes that two variants can have in common."""
        return tuple(one for one in extras(self.record) if not one.startswith(OF_A_VARIANT))

    def amount(self, metric: str, span: str = "") -> float | None:
        """Return a size or a rate that the record notes once, of its own span unless another is named."""
        return constant(self.record, span or self.span, metric)


@functools.lru_cache(maxsize=1)
def timings(results: Results) -> Sequence[Timing]:
    """Return every timing of an attention case that ran."""
    return [timing for current in results.records if is_timed(current) for timing in timings_of(current)]


def is_timed(current: CurrentRecord, workloads: Collection[str] = ("attention",)) -> bool:
    """Return whether a record is of one of these workloads and ended well."""
    return current.record.case.workload in workloads and current.record.status is Status.OK


def timings_of(current: CurrentRecord, metric: str = "latency_s") -> Iterable[Timing]:
    """Yield one for each span that has a usable reading. Of a projected record `bound_s` is the metric."""
    by_span = grouped((one for one in current.record.readings if one.metric == metric), lambda one: one.span)
    for span, readings in by_span.items():
        usable = [reading for reading in readings if is_plausible_s(reading.value)]
        if usable:
            interval = launched_interval(by_launch(usable))
            yield Timing(
                current=current,
                span=span,
                interval=interval,
                left_out=len(readings) - len(usable),
                wall_over_judged=_wall_over(usable, interval.median),
            )


def is_plausible_s(seconds: float) -> bool:
    """Return whether a clock can have given a time."""
    return PLAUSIBLE_S[0] < seconds < PLAUSIBLE_S[1]


def _wall_over(readings: Sequence[Reading], judged_s: float) -> float | None:
    walls = [reading.wall_s for reading in readings if reading.wall_s is not None]
    is_told = bool(walls) and np.median(walls) > WALL_ABOVE_JUDGED * judged_s
    return float(np.median(walls)) / judged_s if is_told else None


def plausible_rate(amount: float | None, over: float | None = 1.0) -> float | None:
    """Return an amount for each unit of another, where both are known and a device could have it."""
    if amount is None or over is None:
        return None
    return amount / over if PLAUSIBLE_RATE[0] < amount / over < PLAUSIBLE_RATE[1] else None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Timings of cases that differ in variant, backend and context alone; or of all cases that have no figure."""

    title: Text
    settings: Text = ""
    timings: Sequence[Timing]
    """As tables list them."""
    drawn: Sequence[Timing] = ()
    """Those that its figure shows."""
    names: Mapping[Timing, Text] = field(default_factory=dict)
    """What each belongs to, where the title does not say it."""

    @property
    def columns(self) -> list[Column[Timing]]:
        return [column("column.group", self.names.get)] if self.names else []

    def name_of(self, timing: Timing) -> Text:
        """Return what a timing belongs to."""
        return self.names.get(timing) or dotted(self.title, self.settings)


def groups(found: Iterable[Timing], is_drawable: Callable[[Timing], bool]) -> list[Group]:
    """Return a group for each figure; in the last one is what has none."""
    keyed = by_key(found)
    drawable = {key: [one for one in of_key if is_drawable(one)] for key, of_key in keyed.items()}
    drawn = worth_drawing({key: of_key for key, of_key in drawable.items() if of_key})
    titles = titles_of(drawn)
    kept = [
        Group(title=titles[key][0], settings=titles[key][1], timings=in_order(keyed[key]), drawn=drawable[key])
        for key in drawn
    ]
    titles = titles_of(keyed)
    names = {timing: dotted(*titles[key]) for key in keyed if key not in drawn for timing in in_order(keyed[key])}
    return [*kept, *([Group(title=say("latency.others"), timings=list(names), names=names)] if names else [])]


def by_key(found: Iterable[Timing]) -> dict[Pairs, list[Timing]]:
    """Return timings by the axes that those of one figure share, sorted by these."""

    def key(timing: Timing) -> Pairs:
        return without(tuple((name, timing.axis(name)) for name in timing.record.case.axes), LINE_AXES)

    return dict(sorted(grouped(found, key).items()))


def worth_drawing(found: Mapping[Pairs, Sequence[Timing]]) -> list[Pairs]:
    """Return the groups that get a figure, in their order.

    None that differs only in its new tokens from one with more variants, none of a single context where others have
    several, and MOST_FIGURES at most: those with the most variants.
    """
    variants = {key: len({timing.variant for timing in of_key}) for key, of_key in found.items()}
    contexts = {key: len({timing.tokens for timing in of_key} - {None}) for key, of_key in found.items()}
    most: dict[Pairs, int] = defaultdict(int)
    for key in found:
        rest = without(key, ["query_len"])
        most[rest] = max(most[rest], variants[key])
    fewest = min(2, max(contexts.values(), default=0))
    fit = [key for key in found if contexts[key] >= fewest and variants[key] == most[without(key, ["query_len"])]]
    kept = sorted(fit, key=lambda key: -variants[key])[:MOST_FIGURES]
    return [key for key in fit if key in kept]


def titles_of(keys: Iterable[Pairs]) -> dict[Pairs, tuple[Text, Text]]:
    """Return for each group its title, and the settings in which groups differ."""
    said = {key: dict(key) for key in keys}
    titles: dict[Pairs, tuple[Text, Text]] = {}
    for key, axes in said.items():
        heads = [axes.get(name, "") for name in TITLE_AXES]
        alike = [other for other in said.values() if [other.get(name, "") for name in TITLE_AXES] == heads]
        told = []
        for name, value in key:
            # An axis that a case lacks differs from one it has only where nothing before it tells the two apart.
            given = {other.get(name) or value for other in said.values()} | {other.get(name, "") for other in alike}
            if name not in TITLE_AXES and value and len(given) > 1:
                told.append(f"{name}={value}")
        geometry, phase, *rest = heads
        titles[key] = dotted(geometry, phase_name(phase), *rest), dotted(*told)
    return titles


def in_order(found: Iterable[Timing]) -> list[Timing]:
    """Sort as tables list them: by context, then from the widest cache to the most compressed."""
    return sorted(found, key=lambda timing: (timing.tokens or 0, rank(timing.variant), timing.line, timing.label))


def spans_of(found: Iterable[Timing]) -> list[str]:
    """Return the spans that there are, the whole layer first."""
    present = {timing.span for timing in found}
    return [span for span in SPANS if span in present] + sorted(present - set(SPANS))


def span_title(span: str) -> Text:
    """Return what a span is called."""
    return say_or(f"span.{span}", span)


def usual_context(found: Iterable[tuple[int | None, object]]) -> int | None:
    """Return the longest of the contexts that have the most cases; each case counts once."""
    cases = Counter(tokens for tokens, _ in set(found) if tokens)
    return max(cases, key=lambda tokens: (cases[tokens], tokens), default=None)


def settings_shown(
    found: Sequence[Timing],
    *,
    besides: Collection[str],
    extras_of: Callable[[Timing], Iterable[str]] = lambda timing: extras(timing.record),
) -> dict[Timing, str]:
    """Return what tells each timing from the others, besides these axes: `query_len=16, batch=8`."""
    names = {name for timing in found for name in timing.record.case.axes} - {*besides, "query_len"}
    differ = {name for name in names if len({timing.axis(name) for timing in found}) > 1}
    shown_of = {}
    for timing in found:
        # One query is what decoding means, so only other numbers are said, and those always.
        axes = [
            f"{name}={value}"
            for name, value in timing.record.case.axes.items()
            if value is not None and (name in differ or (name == "query_len" and value != 1))
        ]
        evidence = [] if timing.is_measured else [timing.record.evidence]
        shown_of[timing] = ", ".join([*axes, *extras_of(timing), *evidence])
    return shown_of


def one_a_record(found: Iterable[Timing]) -> list[Timing]:
    """Return a timing of each record, for what its spans share."""
    return list({id(timing.current): timing for timing in found}.values())


def row_facets(timing: Timing) -> Mapping[str, Text]:
    """Return what a table's row is about and its columns do not say."""
    return case_facets(timing.record.case.axes)


def clock_names(found: Iterable[Timing]) -> Text:
    """Return the names of the clocks that took the times."""
    clocks = {str(timing.record.provenance.get("clock") or "unknown") for timing in found}
    return joined(" / ", [say_or(f"clock.{name}", name) for name in sorted(clocks)])


def interval_level(interval: Interval) -> Text:
    """Return the confidence that an interval reaches, and what it holds for: `95.0 % over 3 launches`."""
    level = f"{100 * interval.level:.1f} %"
    if interval.launches > 1:
        return say("interval.launches", level=level, count=interval.launches)
    return say("interval.one_launch", level=level)


def one_launch_reach() -> str:
    """Return how far a median within one launch is taken to reach where it is compared, as a share."""
    return numbers.percent(ONE_LAUNCH_REACH - 1)
