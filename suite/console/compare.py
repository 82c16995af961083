"""Comparisons of two arms: timings by the ratio of their medians, scores by pairs and the one rule of evidence.

Arms and experiments are those of suite.report.model, so that a terminal, a notebook and the page compare the same runs.
Both rules may find no clear difference between two arms.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from suite.configuration.files import workload_definition
from suite.console.summary import Cost, SummaryEntry
from suite.machine.plain_text import one_line
from suite.records import numbers
from suite.records.labels import differing
from suite.records.machines import recorded_machine
from suite.records.metrics import METRICS, Better
from suite.records.record import Status
from suite.report.model.by_setting import experiments_by, resolve_setting, telling_settings, workload_design
from suite.report.model.experiment import Arm, Contrast, Experiment, grouped
from suite.report.model.outcome import ScoredMetric, outcome_metric
from suite.report.model.results import CurrentRecord, machine_labels
from suite.report.model.run import LABEL, SEED, Pairs, Run, parse_number
from suite.statistics import paired
from suite.statistics.intervals import Interval, median_ratio

TOKENS = "seq_len"
FASTER, SLOWER, LESS, MORE, EQUAL = "faster", "slower", "less", "more", "equal"
ONE_LAUNCH, UNCHECKED = "one_launch", "unchecked"
CLEAR = (*paired.TOLD_APART, FASTER, SLOWER, LESS, MORE)
IN_WORDS: Mapping[str, str] = {
    paired.ArmOutcome.HIGHER: "clearly higher",
    paired.ArmOutcome.LOWER: "clearly lower",
    paired.ArmOutcome.ALIKE: "equal within the margin",
    paired.ArmOutcome.OPEN: "no clear difference",
    paired.ArmOutcome.FEW: f"too few to compare (at least {paired.FEWEST_PAIRS} are needed)",
    paired.ArmOutcome.CEILING: "both have nearly full marks",
    paired.ArmOutcome.FLOOR: "both are no better than guessing",
    ONE_LAUNCH: "one launch, so not compared (at least 2 are needed)",
    UNCHECKED: "not checked, so not compared",
}


@dataclass(frozen=True, kw_only=True)
class ArmComparison:
    """A comparison of two arms, and what may be said of them."""

    arm: str
    other: str
    where: str
    """The settings that both share; empty where that says nothing."""
    quantity: str
    ours: str
    theirs: str
    """The arms' numbers, as a table shows them."""
    estimate: float
    """A ratio of speeds or of projected numbers, or a difference of scores."""
    low: float | None = None
    high: float | None = None
    difference: str
    """The estimate with its range."""
    outcome: str
    pairs: int | None = None
    paired_by: str = ""
    """The number of pairs and what they are, as `5 seeds`; empty for timings and projected numbers."""
    worse: str = ""
    """The outcome that is for the worse; empty where none is."""
    intervals: tuple[Interval, Interval] | None = None
    """Of two timings, the other's first; projected numbers have none."""
    scores: paired.Comparison | None = None
    are_machines_equal: bool = True

    @property
    def outcome_in_words(self) -> str:
        return IN_WORDS.get(self.outcome, self.outcome)

    @property
    def sentence(self) -> str:
        """`mla against gqa (seq_len=64): 9 µs against 12 µs, speed ratio 1.33× (1.1–1.6): faster`"""
        where = f" ({self.where})" if self.where else ""
        arms, values = f"{self.arm} against {self.other}{where}", f"{self.ours} against {self.theirs}"
        if self.pairs is None:  # the values are times or sizes, and the ratio is of speeds or peaks
            return f"{arms}: {values}, {self.quantity} ratio {self.difference}: {self.outcome_in_words}"
        texts = ", ".join(filter(None, [f"{self.quantity} {values}", f"difference {self.difference}", self.paired_by]))
        return f"{arms}: {texts}: {self.outcome_in_words}"

    @property
    def distance(self) -> float:
        """The size of the difference, of ratios by their logarithm."""
        if self.pairs is not None:
            return abs(self.estimate)
        return abs(math.log(self.estimate)) if 0 < self.estimate < math.inf else math.inf

    def as_json(self) -> dict[str, Any]:
        """All fields for programs, but the texts for people and the evidence; a sentence comes with them."""
        hidden = ("ours", "theirs", "difference", "paired_by", "worse", "intervals", "scores", "are_machines_equal")
        return {name: value for name, value in asdict(self).items() if name not in hidden} | {"sentence": self.sentence}


def furthest(comparisons: Sequence[ArmComparison]) -> ArmComparison | None:
    """The comparison with the largest difference, of clear ones if there are any; None without comparisons."""
    clear = [comparison for comparison in comparisons if comparison.outcome in CLEAR]
    return max(clear or comparisons, key=lambda comparison: comparison.distance, default=None)


def in_short(comparisons: Sequence[ArmComparison]) -> str:
    """A sentence: the only comparison, or how many ended how, with the one of the largest difference."""
    largest = furthest(comparisons)
    if largest is None or len(comparisons) == 1:
        return largest.sentence if largest else "Nothing was compared"
    counts = Counter(comparison.outcome_in_words for comparison in comparisons)
    ended = "; ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    return f"{len(comparisons)} comparisons ({ended}). The largest difference: {largest.sentence}"


@dataclass(frozen=True, kw_only=True, eq=False)
class EntryRun(Run):
    """A run with the time or the size that its workload's summary compares it by."""

    cost: Cost | None

    @property
    def outcome(self) -> ScoredMetric | None:
        """The metric by which its workload is judged; None where the record has none, so that its cost counts."""
        outcome = outcome_metric(self.record.case.workload)
        return outcome if outcome and outcome.scores(self.record) else None

    @property
    def kind(self) -> object:
        """What makes runs comparable: equal for those whose numbers are of one kind; None for one without a number."""
        case = self.record.case
        return self.outcome or (self.cost and (self.cost.is_size, case.axes.get("phase") or case.workload))


@dataclass(frozen=True, kw_only=True)
class ArmGroup:
    """An experiment of several arms, with the settings that tell it from others and the context of what was timed."""

    experiment: Experiment[EntryRun]
    settings: Mapping[str, str]

    @property
    def rank(self) -> tuple[tuple[float, ...], int]:
        """For sorting: the group's settings as numbers, the context first, then how many arms it has."""
        names = sorted(self.settings, key=lambda name: name != TOKENS)
        return tuple(parse_number(self.settings[name]) or 0.0 for name in names), len(self.experiment.arms)

    @property
    def where(self) -> str:
        """Its settings with a value, as `seq_len=4096, phase=decode`."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items() if value)

    def comparisons(self) -> list[ArmComparison]:
        """Every other arm compared with the baseline; none without a baseline."""
        baseline = self.experiment.baseline
        return [] if baseline is None else _compare(self.experiment.others, baseline, self.where)


def headline(
    entries: Sequence[SummaryEntry], by: str | None = None, against: str | None = None
) -> ArmComparison | None:
    """The most telling comparison of a sweep, at its largest size; None where nothing is to be compared.

    Of timings and projected numbers the arm of the least cost is compared with that of the greatest; of scores the
    first
    arm with the one that differs most, of clear differences if there are any. `against`: the arm that the others are
    compared with, of timings too.
    """
    runs = _comparable_runs(entries)
    by = by or _likeliest_factor(runs)
    groups = [group for group in _groups(runs, by, against) if len(group.experiment.arms) > 1] if by else []
    if not groups:
        return None
    # Reversed: of several that are as large the last one counts.
    largest = max(reversed(groups), key=lambda group: group.rank)
    has_scores = largest.experiment.arms[0].first.outcome is not None
    if has_scores or against is not None:
        return furthest(largest.comparisons())
    ranked = sorted(largest.experiment.arms, key=lambda arm: _cost(arm).number)
    return furthest(_compare(ranked[:1], ranked[-1], largest.where))


def _likeliest_factor(runs: Sequence[EntryRun]) -> str | None:
    """The setting to compare by: the first under `compared_by` in the workload's file in which runs differ, else the
    first in which they differ; None if they differ in none."""
    names = _differing_names(runs)
    usual = workload_definition(runs[0].record.case.workload).get("compared_by", ()) if runs else ()
    factors = [factor for factor in usual if any(name == factor or name.startswith(f"{factor}.") for name in names)]
    return next(iter([*factors, *names]), None)


def _differing_names(runs: Sequence[EntryRun]) -> list[str]:
    return [name for name in differing(run.record.case.settings for run in runs) if name != SEED]


def arm_groups(entries: Iterable[SummaryEntry], by: str, against: str | None) -> list[ArmGroup]:
    """Groups of runs that differ in one setting alone, for each workload; what has no counterpart is a single arm."""
    workloads = grouped(entries, lambda entry: entry.record.case.workload).values()
    return [group for same_workload in workloads for group in _groups(_comparable_runs(same_workload), by, against)]


def _groups(runs: Sequence[EntryRun], by: str, against: str | None) -> list[ArmGroup]:
    """Groups of runs of one workload that differ in one setting alone, also groups of a single arm."""
    if not runs:
        return []
    # By identity: a record has no hash, and two may be equal.
    workload, runs_by_record = runs[0].record.case.workload, {id(run.record): run for run in runs}

    def keyed_run(current: CurrentRecord, key: Pairs) -> EntryRun:
        """The run of this very record, with its key. Raises KeyError for any other record, even an equal one."""
        return replace(runs_by_record[id(current.record)], key=key)

    experiments = experiments_by([run.current for run in runs], workload, by, keyed_run, against)
    names = telling_settings([experiment.key for experiment in experiments], workload_design(workload))
    is_timed = runs[0].outcome is None and not (runs[0].cost and runs[0].cost.is_size)
    settings = dict.fromkeys([*names, *([TOKENS] if is_timed else [])])
    return [
        ArmGroup(experiment=experiment, settings={name: experiment.value(name) for name in settings})
        for experiment in experiments
    ]


def by_machine(entries: Sequence[SummaryEntry]) -> list[SummaryEntry]:
    """Entries of one label; where they are of several machines each gets its machine's name into its label, so that
    times of two machines are never compared."""
    labels = machine_labels(entries[0].label, [entry.record for entry in entries]) if entries else ()
    return [
        replace(entry, label=label, is_of_one_machine=is_of_one_machine)
        for entry, (label, is_of_one_machine) in zip(entries, labels, strict=True)
    ]


def between_two(first: SummaryEntry, second: SummaryEntry) -> ArmComparison | None:
    """Two records compared, whatever they differ in; None where they have no number of one kind."""
    runs = [_entry_run(entry) for entry in (first, second)]
    if runs[0].kind is None or runs[0].kind != runs[1].kind:
        return None
    settings, names = [], _differing_names(runs)
    for run in runs:
        design = workload_design(run.record.case.workload)
        values = {name: resolve_setting(run.record, name, design) or "null" for name in names}
        settings.append(" ".join(value if len(names) == 1 else f"{name}={value}" for name, value in values.items()))
    candidates = (settings, [run.label for run in runs], ["the first", "the second"])
    labels = next(pair for pair in candidates if pair[0] != pair[1])
    arm, baseline = (Arm(key=(), setting=(), runs=[run], name=name) for run, name in zip(runs, labels, strict=True))
    return next(iter(_compare([arm], baseline, "")), None)


def between_folders(first: Sequence[SummaryEntry], second: Sequence[SummaryEntry]) -> list[ArmComparison]:
    """The cases that two folders share, the first's with the second's, as arms that are paired by seed. Raises
    ValueError where the folders share no case."""
    comparisons = [comparison for group in folder_groups(first, second) for comparison in group.comparisons()]
    if not comparisons:
        raise ValueError("compare needs two folders that share a case with the same settings; these share none")
    return comparisons


def folder_groups(first: Sequence[SummaryEntry], second: Sequence[SummaryEntry]) -> list[ArmGroup]:
    """All cases of two folders; one that only one of them has is a single arm.

    Of a folder with several machines each is a label of its own, and is compared with that machine's in the other
    folder; without a machine in common, every machine of the first with every one of the second. Seeds that were spread
    over machines are one label.
    """
    by_machines = [
        grouped(entries, lambda entry: recorded_machine(entry.record) if entry.is_of_one_machine else "")
        for entries in (first, second)
    ]
    if any(len({entry.label for entry in entries}) > 1 for entries in (first, second)):
        ours, theirs = by_machines
        pairs = list(itertools.product(ours.values(), theirs.values()))
        if ours.keys() & theirs.keys():
            pairs = [(ours.get(machine, []), theirs.get(machine, [])) for machine in ours | theirs]
    else:
        pairs = [([*first], [*second])]
    return [
        group
        for ours_entries, their_entries in pairs
        for group in arm_groups(
            [*ours_entries, *their_entries], LABEL, their_entries[0].label if their_entries else None
        )
    ]


def by_setting(entries: Sequence[SummaryEntry], by: str, against: str | None) -> list[ArmComparison]:
    """Each value of a setting compared with the first, or with `against`, for all that is otherwise equal. Raises
    ValueError, naming the choices, where nothing can be compared."""
    groups = [group for group in arm_groups(entries, by, against) if len(group.experiment.arms) > 1]
    if not groups:
        cases = grouped((entry.record.case for entry in entries), lambda case: case.workload)
        differences = (differing(case.settings for case in same_workload) for same_workload in cases.values())
        names = {name for setting_names in differences for name in setting_names} - {SEED}
        choices = ", ".join(sorted(names)) or "there is none"
        raise ValueError(f"by must be a setting in which otherwise equal runs differ ({choices}); got {by!r}")
    comparisons = [comparison for group in groups for comparison in group.comparisons()]
    if not comparisons:
        arms = dict.fromkeys(str(arm.name) for group in groups for arm in group.experiment.arms)
        raise ValueError(f"against must be one of {', '.join(arms)}; got {against!r}")
    return comparisons


def _comparable_runs(entries: Iterable[SummaryEntry]) -> list[EntryRun]:
    """The runs with a number to compare, of the workload that has the most; those with scores, if any has one."""
    runs = [run for entry in entries if entry.record.status is Status.OK and (run := _entry_run(entry)).kind]
    (workload, _), *_ = Counter(run.record.case.workload for run in runs).most_common(1) or [("", 0)]
    runs = [run for run in runs if run.record.case.workload == workload]
    return [run for run in runs if run.outcome] or runs


def _entry_run(entry: SummaryEntry) -> EntryRun:
    """An entry as a run of the report's model, without its time where its label is of several machines."""
    current = CurrentRecord(
        label=entry.label,
        record=entry.record,
        folder=Path(),
        superseded=0,
        settings_changed=False,
        is_of_one_machine=entry.is_of_one_machine,
    )
    cost = entry.summary.cost
    return EntryRun(current=current, cost=cost if cost and (cost.is_size or entry.is_of_one_machine) else None)


def _compare(arms: Iterable[Arm[EntryRun]], baseline: Arm[EntryRun], where: str) -> list[ArmComparison]:
    """Each arm compared with the baseline: by scores, with Holm's correction over all arms, else by cost."""
    outcome = baseline.first.outcome
    if outcome is None:
        return [_compare_costs(arm, baseline, where) for arm in arms]
    better = METRICS[outcome.metric].better if outcome.metric in METRICS else Better.NEITHER
    return [_compare_scores(contrast, where, better) for contrast in outcome.contrasts(arms, baseline)]


def _cost(arm: Arm[EntryRun]) -> Cost:
    cost = arm.first.cost
    assert cost is not None
    return cost


def _compare_costs(arm: Arm[EntryRun], baseline: Arm[EntryRun], where: str) -> ArmComparison:
    """Two timings compared by the ratio of their medians, and projected numbers, which have no spread, by their own."""
    ours, theirs = _cost(arm), _cost(baseline)
    ratio = ours.number / theirs.number if ours.is_size else theirs.number / ours.number
    below, above = (LESS, MORE) if ours.is_size else (SLOWER, FASTER)
    outcome, low, high, intervals = EQUAL if ratio == 1 else above if ratio > 1 else below, None, None, None
    quantity, difference = "projected peak" if ours.is_size else "projected speed", numbers.times(ratio)
    if ours.interval is not None and theirs.interval is not None:
        intervals = theirs.interval, ours.interval
        quantity, ratios = "speed", median_ratio(*intervals)
        outcome = outcome if ratios.is_clear else str(paired.ArmOutcome.OPEN)
        if 1 in (ours.interval.launches, theirs.interval.launches):
            outcome = ONE_LAUNCH  # the next launch may differ by more
        else:
            low, high = ratios.low, ratios.high
            difference += f" ({numbers.times(low).removesuffix('×')}–{numbers.times(high).removesuffix('×')})"
    outcome = outcome if arm.first.is_checked and baseline.first.is_checked else UNCHECKED
    machines = {recorded_machine(side.first.record) for side in (arm, baseline)}
    return ArmComparison(
        arm=one_line(str(arm.name)),
        other=one_line(str(baseline.name)),
        where=one_line(where),
        quantity=quantity,
        ours=ours.text,
        theirs=theirs.text,
        estimate=ratio,
        low=low,
        high=high,
        difference=difference,
        outcome=outcome,
        worse="" if ours.is_size else SLOWER,
        intervals=intervals,
        are_machines_equal=arm.label == baseline.label or len(machines) == 1,
    )


def _compare_scores(contrast: Contrast[Any], where: str, better: Better) -> ArmComparison:
    """A contrast of scores as texts and numbers; the text has an interval from FEWEST_PAIRS pairs on."""
    scores, quantity, interval = contrast.comparison, contrast.quantity, contrast.comparison.interval
    unit, _, paired_in = quantity.pair.partition(" ")  # "window of text" becomes "3 windows of text"
    difference = f"{quantity.difference(scores.mean)}{f' {quantity.unit}' if quantity.unit else ''}"
    if interval is not None and scores.pairs >= paired.FEWEST_PAIRS:
        difference += f" ({quantity.difference(interval.low)} to {quantity.difference(interval.high)})"
    return ArmComparison(
        arm=one_line(str(contrast.arm.name)),
        other=one_line(str(contrast.other.name)),
        where=one_line(where),
        quantity=quantity.name,
        ours=quantity.text(fmean(scores.ours)),
        theirs=quantity.text(fmean(scores.theirs)),
        estimate=scores.mean,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        difference=difference.replace("-", "−"),
        outcome=str(scores.outcome),
        pairs=scores.pairs,
        paired_by=f"{scores.pairs} {unit}{'s' * (scores.pairs != 1)}{paired_in and f' {paired_in}'}",
        worse={Better.HIGHER: paired.ArmOutcome.LOWER, Better.LOWER: paired.ArmOutcome.HIGHER}.get(better, ""),
        scores=scores,
    )
