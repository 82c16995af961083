"""The same cases under two labels: what another machine, commit or version did to them.

Timings are compared by the ratio of their medians, scores by pairs of seeds: the rules of `suite compare`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from suite.records import numbers
from suite.records.record import Status
from suite.report.blocks import Headline, Kind, Table, Text, dotted, say, say_or
from suite.report.evidence import contrast_verdict, difference
from suite.report.model.by_setting import experiments_by, telling_settings, workload_design
from suite.report.model.experiment import grouped
from suite.report.model.formats import times_range
from suite.report.model.labels import VARIANT, variant_label
from suite.report.model.outcome import outcome_metric
from suite.report.model.readings import plausible_launches
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import LABEL, Run
from suite.report.runs.devices import name_parts, run_settings
from suite.report.table import column, table
from suite.statistics.intervals import Interval, launched_interval, median_ratio
from suite.statistics.paired import TOLD_APART


@dataclass(frozen=True, kw_only=True, eq=False)
class SpanTiming(Run):
    """A record's timings of one span."""

    span: str
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class SharedCase:
    """A timing or a score of one case under a label, beside the first label that has it."""

    name: Text
    labels: tuple[Text, Text]  # this one, and the first
    ours: Text
    theirs: Text
    change: Text
    verdict: Text
    is_clear: bool
    distance: float = 0.0  # the logarithm of a ratio; 0 of a score
    pairs: int | None = None
    settings: str = ""


def shared_table(results: Results) -> Table:
    """The table of the cases that several labels have, the clearly different and furthest apart first."""
    rows = sorted(
        [*_shared_timings(results), *_shared_scores(results)], key=lambda row: (not row.is_clear, -row.distance)
    )
    return table(
        say("trust.shared"),
        rows,
        [
            column("column.case", lambda row: row.name),
            column("trust.compared", lambda row: say("trust.over", label=row.labels[0], first=row.labels[1])),
            column("trust.ours", lambda row: row.ours, kind=Kind.NUMBER),
            column("trust.theirs", lambda row: row.theirs, kind=Kind.NUMBER),
            column("trust.change", lambda row: row.change, kind=Kind.NUMBER),
            column("trust.verdict", lambda row: row.verdict),
            column("column.count", lambda row: row.pairs, numbers.count, only_where_known=True),
            column("column.settings", lambda row: row.settings, kind=Kind.CODE),
        ],
        note=say("trust.shared_note"),
        folded=True,
    )


def shared_headline(results: Results) -> Headline | None:
    """How many of the shared timings are clearly different; None where no label shares any."""
    timings = list(_shared_timings(results))
    counts = {"count": numbers.count(len(timings)), "clear": numbers.count(sum(row.is_clear for row in timings))}
    return Headline(text=say("trust.shared_headline", **counts)) if timings else None


def _shared_timings(results: Results) -> Iterable[SharedCase]:
    """Yield each span's timing under a label beside the first label that has it, of cases that several labels timed."""
    by_case = grouped((c for c in results.records if c.is_of_one_machine), lambda current: current.record.case.id)
    several = [records for records in by_case.values() if len({current.label for current in records}) > 1]
    timings = [timing for records in several for current in records for timing in _span_timings(current)]
    for cases in grouped(timings, lambda timing: (timing.record.case.id, timing.span)).values():
        by_label = {timing.label: timing for timing in cases}
        first, *rest = [by_label[label] for label in results.labels if label in by_label]
        for timing in rest:
            ratio = median_ratio(timing.interval, first.interval)
            span, variant = say_or(f"span.{timing.span}", timing.span), variant_label(timing.axis(VARIANT))
            yield SharedCase(
                name=dotted(variant, *name_parts(timing.record), timing.axis("dtype"), span),
                labels=(timing.label, first.label),
                ours=numbers.seconds(timing.interval.median),
                theirs=numbers.seconds(first.interval.median),
                change=say("trust.ratio", ratio=numbers.times(ratio.ratio), range=times_range(ratio.low, ratio.high)),
                verdict=say("trust.clear" if ratio.is_told_apart else "trust.unclear"),
                is_clear=ratio.is_told_apart,
                distance=abs(math.log(ratio.ratio)),
                settings=run_settings(timing),
            )


def _span_timings(current: CurrentRecord) -> Iterable[SpanTiming]:
    """Yield a successful record's plausible timings by span; none of a workload that is run for a score."""
    record = current.record
    if record.status is Status.OK and outcome_metric(record.case.workload) is None:
        for (span, metric), repeats in record.by_span.items():
            if metric == "latency_s" and (launches := plausible_launches(repeats)):
                yield SpanTiming(current=current, span=span, interval=launched_interval(launches))


def _shared_scores(results: Results) -> Iterable[SharedCase]:
    """Yield each label's scores beside the first label's, of workloads that several labels have."""
    for workload, records in grouped(results.records, lambda current: current.record.case.workload).items():
        outcome = outcome_metric(workload)
        has_several_labels = len({current.label for current in records}) > 1
        scored = [current for current in records if has_several_labels and outcome and outcome.scores(current.record)]
        if outcome is None or len({current.label for current in scored}) < 2:
            continue
        experiments = experiments_by(scored, workload, LABEL, lambda current, key: Run(current=current, key=key))
        several = [experiment for experiment in experiments if experiment.baseline and experiment.others]
        names = telling_settings([experiment.key for experiment in several], workload_design(workload))
        for experiment in several:
            settings = ", ".join(f"{name}={value}" for name in names if (value := experiment.value(name)))
            for pair in outcome.contrasts(experiment.others, experiment.arms[0]):
                yield SharedCase(
                    name=dotted(workload, pair.quantity.name),
                    labels=(pair.arm.name, pair.other.name),
                    ours=pair.quantity.text(fmean(pair.comparison.ours)),
                    theirs=pair.quantity.text(fmean(pair.comparison.theirs)),
                    change=difference(pair),
                    verdict=contrast_verdict(pair),
                    is_clear=pair.comparison.outcome in TOLD_APART,
                    pairs=pair.comparison.pairs,
                    settings=settings,
                )
