"""The same cases under several labels: what another machine, commit or version did to them.

Timings are compared by the ratio of their medians, scores by pairs of seeds: the rules of `suite compare`. Labels that
share no case have nothing to compare.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.records.derived import by_launch
from suite.records.record import Status
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, say_or, section
from suite.report.evidence import difference, verdict_of
from suite.report.model.by_setting import design_of, experiments_by, telling
from suite.report.model.experiment import Contrast, grouped
from suite.report.model.formats import times_range
from suite.report.model.labels import GREY, ORANGE, SKY, Style, record_facets, variant_label
from suite.report.model.outcome import outcome_of
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import LABEL, PLAUSIBLE_S, Run
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import rule
from suite.report.plot.rows import drawn_of, rows, told_apart
from suite.report.plot.scales import Ticks, log
from suite.report.runs.telemetry import name_parts, run_settings
from suite.report.table import Column, column, columns_of, plain, table
from suite.statistics.intervals import Interval, Ratio, launched_interval, ratio_of_medians

LATENCY = "latency_s"
MOST_DRAWN, FRAME_PX, ROW_PX, NAME_SHIFT_PX = 16, 120, 40, 14
STEPS = (1.05, 1.1, 1.25, 1.5, 2, 5, 10, 100, 1000)
ROOM = 1.05
BEHIND, AHEAD = Style(colour=ORANGE, marker="triangle-right"), Style(colour=SKY, marker="triangle-left")
OPEN = Style(colour=GREY, marker="circle-open")


@dataclass(frozen=True, kw_only=True, eq=False)
class Timed(Run):
    """A record's timings of one span."""

    span: str
    interval: Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """A span of a case under each label that timed it, in the labels' order."""

    by_label: Mapping[str, Timed]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.by_label)

    @property
    def first(self) -> Timed:
        """Return the one that others are compared with."""
        return next(iter(self.by_label.values()))

    @property
    def parts(self) -> list[Text]:
        """Return the parts of its name."""
        first = self.first
        variant, span = variant_label(first.axis("attention")), say_or(f"span.{first.span}", first.span)
        return [variant, *name_parts(first.record), first.axis("dtype"), span]

    @property
    def name(self) -> Text:
        return dotted(*self.parts)

    @property
    def told(self) -> Text:
        """Return whether any label is told apart from the first."""
        return _told(any(self.ratio(label).is_told_apart for label in self.labels[1:]))

    def ratio(self, label: str) -> Ratio:
        """Return a label's median over the first's, with the range that both intervals allow."""
        return ratio_of_medians(self.by_label[label].interval, self.first.interval)


def build(results: Results) -> Section | None:
    """Build it from cases that at least two labels have; None without any."""
    timings = shared_timings(results)
    scored = shared_scores(results)
    if not timings and not scored:
        return None
    by_labels = grouped(timings, lambda shared: shared.labels)
    counts = {"count": numbers.count(len(timings)), "told": numbers.count(len(_apart(timings)))}
    return section(
        "labels",
        figures=[_figure(labels[0], label, of) for labels, of in by_labels.items() for label in labels[1:]],
        tables=[*(_table(labels, of) for labels, of in by_labels.items()), _scores(scored)],
        headlines=[Headline(text=say("labels.headline", **counts))] if timings else [],
    )


def shared_timings(results: Results) -> list[Shared]:
    """Return the spans of cases that at least two labels have timed."""
    timed = [timing for current in results.records if current.is_of_one_machine for timing in _timed(current)]
    found = []
    for same in grouped(timed, lambda timing: (timing.record.case.id, timing.span)).values():
        by_label = {timing.label: timing for timing in same}
        if len(by_label) > 1:
            found.append(Shared(by_label={label: by_label[label] for label in results.labels if label in by_label}))
    return found


def _timed(current: CurrentRecord) -> Iterable[Timed]:
    """Yield a record's timings by span; of a workload that is run for a score none."""
    record = current.record
    readings = record.readings if record.status is Status.OK and outcome_of(record.case.workload) is None else ()
    usable = [one for one in readings if one.metric == LATENCY and PLAUSIBLE_S[0] < one.value < PLAUSIBLE_S[1]]
    for span, of_span in grouped(usable, lambda reading: reading.span).items():
        yield Timed(current=current, span=span, interval=launched_interval(by_launch(of_span)))


def _told(is_told_apart: bool) -> Text:
    return say("labels.told" if is_told_apart else "labels.open")


def _apart(found: Iterable[Shared]) -> list[Shared]:
    return [shared for shared in found if shared.told == _told(True)]


def _figure(first: str, label: str, found: Sequence[Shared]) -> Figure:
    """Draw a label over the first, those that are told apart before the others, the furthest on top."""

    def distance(shared: Shared) -> tuple[bool, float]:
        ratio = shared.ratio(label)
        return not ratio.is_told_apart, -abs(math.log(ratio.ratio))

    drawn, left_out = drawn_of(sorted(found, key=distance), MOST_DRAWN)
    names, in_all = told_apart([shared.parts for shared in drawn])
    ratios = [shared.ratio(label) for shared in found]
    fields = {
        "label": label,
        "first": first,
        "slower": numbers.count(sum(ratio.is_told_apart and ratio.ratio > 1 for ratio in ratios)),
        "faster": numbers.count(sum(ratio.is_told_apart and ratio.ratio < 1 for ratio in ratios)),
        "open": numbers.count(sum(not ratio.is_told_apart for ratio in ratios)),
    }
    return Figure(
        title=say("labels.over", **fields),
        family=say("labels.family"),
        settings=in_all,
        finding=say("labels.finding", **fields),
        caption=joined("sentence", [say("labels.caption", **fields), left_out]),
        views=[View(title="", figure=_forest(label, drawn, names))],
        height_px=FRAME_PX + ROW_PX * len(drawn),
        facets={LABEL: dotted(label, first)},
    )


def _forest(label: str, drawn: Sequence[Shared], names: Sequence[Text]) -> dict[str, Any]:
    kinds: dict[str, tuple[Style, list[Point]]] = {"slower": (BEHIND, []), "faster": (AHEAD, []), "open": (OPEN, [])}
    for row, shared in enumerate(drawn):
        ratio, timed = shared.ratio(label), shared.by_label[label]
        kind = "open" if not ratio.is_told_apart else "slower" if ratio.ratio > 1 else "faster"
        point = Point(
            x=ratio.ratio,
            y=row,
            ends=(ratio.low, ratio.high),
            hover=joined(": ", [shared.name, _written(ratio)]),
            facets={**record_facets(timed.record), "told": _told(ratio.is_told_apart)},
            runs=(timed.record.run_key, shared.first.record.run_key),
        )
        kinds[kind][1].append(point)
    series = [
        Series(name=say(f"labels.{kind}"), points=points, style=style, along="x", size=10)
        for kind, (style, points) in kinds.items()
        if points
    ]
    ends = [end for line in series for point in line.points for end in point.ends or ()]
    low, high = min([1 / STEPS[0], *ends]) / ROOM, max([STEPS[0], *ends]) * ROOM
    axis = log(say("labels.axis"), _ticks(low, high), range=[math.log10(low), math.log10(high)])
    return rows(names, series, xaxis=axis, shift_px=NAME_SHIFT_PX, shapes=[rule(x=1, solid=True)])


def _ticks(low: float, high: float) -> Ticks:
    """Round factors to both sides of one, the finest that are no more than a handful."""
    reach = max(1 / low, high)
    steps = [step for step in STEPS if step <= reach] or [STEPS[0]]
    outermost = steps[-3:]
    return [
        *((1 / step, f"{1 / step:.2g}×") for step in reversed(outermost)),
        (1.0, "1×"),
        *((s, f"{s:g}×") for s in outermost),
    ]


def _written(ratio: Ratio) -> Text:
    return say("labels.ratio", ratio=numbers.times(ratio.ratio), range=times_range(ratio.low, ratio.high))


def _table(labels: Sequence[str], found: Sequence[Shared]) -> Table:
    """Lay out cases, a label a column, then each label over the first."""
    first, *others = labels

    def median(label: str, shared: Shared) -> float:
        return shared.by_label[label].interval.median

    def over(label: str, shared: Shared) -> Text:
        return _written(shared.ratio(label))

    return table(
        say("labels.table", labels=joined("list", labels)),
        sorted(found, key=lambda shared: shared not in _apart([shared])),
        [
            column("column.case", lambda shared: shared.name),
            column("column.told", lambda shared: shared.told, facet="told"),
            *(column(plain(label), partial(median, label), numbers.seconds) for label in labels),
            *(
                column(say("labels.over", label=label, first=first), partial(over, label), kind=Kind.NUMBER)
                for label in others
            ),
            column("column.settings", lambda shared: run_settings(shared.first), kind=Kind.CODE),
        ],
        note=say("labels.note", first=first),
        folded=True,
        facets_of=lambda shared: record_facets(shared.first.record),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """A workload's score under one label beside another's, paired by seed."""

    workload: str
    said: str
    """The settings that tell its experiment from others."""
    pair: Contrast[Run]


def shared_scores(results: Results) -> list[Scored]:
    """Return the scores that at least two labels have, each label's beside the first's."""
    found: list[Scored] = []
    for workload, records in grouped(results.records, lambda current: current.record.case.workload).items():
        outcome = outcome_of(workload)
        scored = [current for current in records if outcome and outcome.scores(current.record)]
        if outcome is None or len({current.label for current in scored}) < 2:
            continue
        every = experiments_by(scored, workload, LABEL, lambda current, key: Run(current=current, key=key))
        several = [(one, one.baseline) for one in every if len(one.arms) > 1 and one.baseline]
        names = telling([experiment.key for experiment, _ in several], design_of(workload))
        for experiment, baseline in several:
            pairs = outcome.contrasts(experiment.others, baseline)
            said = ", ".join(f"{name}={value}" for name in names if (value := experiment.value(name)))
            found += [Scored(workload=workload, said=said, pair=pair) for pair in pairs]
    return found


def _scores(found: Sequence[Scored]) -> Table:
    def mean(pair: Contrast[Run], values: Sequence[float]) -> Text:
        return pair.quantity.text(fmean(values))

    pairs: list[Column[Contrast[Run]]] = [
        column("labels.compared", lambda pair: say("labels.over", label=pair.arm.name, first=pair.other.name)),
        column("labels.ours", lambda pair: mean(pair, pair.found.ours), kind=Kind.NUMBER),
        column("labels.theirs", lambda pair: mean(pair, pair.found.theirs), kind=Kind.NUMBER),
        column("labels.difference", difference, kind=Kind.NUMBER),
        column("labels.verdict", verdict_of),
        column("column.count", lambda pair: pair.found.pairs, numbers.count),
    ]
    return table(
        say("labels.scores"),
        found,
        [
            column("column.case", lambda row: dotted(row.workload, row.pair.quantity.name)),
            *columns_of(lambda row: row.pair, pairs),
            column("column.settings", lambda row: row.said, kind=Kind.CODE),
        ],
        note=say("labels.scores_note"),
        folded=True,
    )
