"""Comparisons of two arms: timings by the ratio of their medians, scores by pairs and the one rule of evidence.

Arms and experiments are those of suite.report.model, so that a terminal, a notebook and the page compare the same runs.
Both rules may find no clear difference between two arms.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from suite.configuration.files import workload_definition
from suite.console.sentences import Verdict, furthest, told_of_costs, told_of_scores, where
from suite.console.summary import Entry
from suite.console.values import Cost
from suite.records.case import telling_apart
from suite.records.machines import machine_of
from suite.records.record import Status
from suite.report.model.by_setting import design_of, experiments_by, resolved, telling
from suite.report.model.experiment import Arm, Experiment, grouped
from suite.report.model.machine_labels import machine_labels
from suite.report.model.outcome import ScoredMetric, outcome_of
from suite.report.model.results import CurrentRecord
from suite.report.model.run import LABEL, SEED, Pairs, Run, number_of

TOKENS = "seq_len"


@dataclass(frozen=True, kw_only=True, eq=False)
class EntryRun(Run):
    """A run with the time or the size that its workload's summary compares it by."""

    cost: Cost | None

    @property
    def outcome(self) -> ScoredMetric | None:
        """Return what its scores are of; None where it has none, so that its cost counts."""
        outcome = outcome_of(self.record.case.workload)
        return outcome if outcome and outcome.scores(self.record) else None


@dataclass(frozen=True, kw_only=True)
class Group:
    """An experiment of several arms, with the settings that tell it from others and the context of what was timed."""

    experiment: Experiment[EntryRun]
    said: Mapping[str, str]

    @property
    def rank(self) -> tuple[tuple[float, ...], int]:
        """Return its numbers, the context before any other, and how many arms it has."""
        in_order = sorted(self.said, key=lambda name: name != TOKENS)
        return tuple(number_of(self.said[name]) or 0.0 for name in in_order), len(self.experiment.arms)

    def verdicts(self) -> list[Verdict]:
        """Compare each arm with the baseline."""
        baseline, others = self.experiment.baseline, self.experiment.others
        return [] if baseline is None else _compared(others, baseline, where(self.said))

    def extremes(self) -> list[Verdict]:
        """Compare the arm of the least cost with that of the greatest."""
        ranked = sorted(self.experiment.arms, key=lambda arm: _cost(arm).number)
        return _compared(ranked[:1], ranked[-1], where(self.said))


def headline(entries: Sequence[Entry], by: str | None = None, against: str | None = None) -> Verdict | None:
    """Return the most telling comparison of a sweep, at its largest size; None where nothing is to be compared.

    Of timings and projected numbers that is the least with the greatest, of scores the arm furthest from the first,
    told apart if any is. `against` names the arm that the others are compared with, of timings too.
    """
    runs = _usable(entries)
    by = by or factor_of(runs)
    groups = groups_by(runs, by, against) if by else []
    if not groups:
        return None
    largest = max(reversed(groups), key=lambda group: group.rank)
    has_scores = largest.experiment.arms[0].first.outcome is not None
    return furthest(largest.verdicts() if has_scores or against is not None else largest.extremes())


def factor_of(runs: Sequence[EntryRun]) -> str | None:
    """Return the setting whose values are arms: the first of its workload's that differs, else the first that does."""
    names = [name for name in telling_apart([run.record.case for run in runs]) if name != SEED]
    likeliest = workload_definition(runs[0].record.case.workload).get("compared_by", ()) if runs else ()
    of_workload = [own for own in likeliest if any(name == own or name.startswith(f"{own}.") for name in names)]
    return next(iter([*of_workload, *names]), None)


def groups_by(runs: Sequence[EntryRun], by: str, against: str | None = None) -> list[Group]:
    """Group runs of one workload by a setting, and leave out those that are alone."""
    if not runs:
        return []
    workload, of_record = runs[0].record.case.workload, {id(run.record): run for run in runs}

    def read(current: CurrentRecord, key: Pairs) -> EntryRun:
        return replace(of_record[id(current.record)], key=key)

    found = experiments_by([run.current for run in runs], workload, by, read, against)
    names = telling([experiment.key for experiment in found], design_of(workload))
    is_timed = runs[0].outcome is None and not (runs[0].cost and runs[0].cost.is_size)
    said = dict.fromkeys([*names, *([TOKENS] if is_timed else [])])
    return [
        Group(experiment=experiment, said={name: experiment.value(name) for name in said})
        for experiment in found
        if len(experiment.arms) > 1
    ]


def by_machine(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of one label, where they are of several machines each under its machine's name, too, so that
    times of two machines never meet."""
    labels = machine_labels(entries[0].label, [entry.record for entry in entries]) if entries else ()
    return [
        replace(entry, label=label, is_of_one_machine=is_of_one_machine)
        for entry, (label, is_of_one_machine) in zip(entries, labels, strict=True)
    ]


def between_two(first: Entry, second: Entry) -> Verdict | None:
    """Compare two records, whatever they differ in; None where they have no number of one kind."""
    runs = [_run(entry) for entry in (first, second)]
    names = [name for name in telling_apart([run.record.case for run in runs]) if name != SEED]
    differences = [_difference(run, names) for run in runs]
    labels = next(
        pair for pair in (differences, [run.label for run in runs], ["the first", "the second"]) if pair[0] != pair[1]
    )
    arm, other = (Arm(key=(), setting=(), runs=[run], name=name) for run, name in zip(runs, labels, strict=True))
    kinds = [run.outcome or (run.cost and run.cost.says) for run in runs]
    return next(iter(_compared([arm], other, "")), None) if kinds[0] and kinds[0] == kinds[1] else None


def between_folders(first: Sequence[Entry], second: Sequence[Entry]) -> list[Verdict]:
    """Compare the cases that two folders share, the first's with the second's, as arms that are paired by seed.

    Of a folder with several machines each is a label of its own, and is compared with the same machine's in the other
    folder, if that has any. Raises ValueError where they share no case.
    """
    verdicts: list[Verdict] = []
    for ours, theirs in _of_same_machines(first, second):
        against = theirs[0].label if theirs else None
        groups = groups_of([*ours, *theirs], LABEL, against)
        verdicts += [verdict for group in groups for verdict in group.verdicts()]
    if not verdicts:
        raise ValueError("compare needs folders with a case in common, of the same settings; got two without one")
    return verdicts


def _of_same_machines(first: Sequence[Entry], second: Sequence[Entry]) -> list[tuple[list[Entry], list[Entry]]]:
    """Pair the labels of two folders: those of one machine, and of seeds that were spread; each with each where they
    have no machine in common, as where somebody compares machines."""
    if len({entry.label for entry in first}) < 2 and len({entry.label for entry in second}) < 2:
        return [([*first], [*second])]
    of_first, of_second = (
        grouped(entries, lambda entry: machine_of(entry.record) if entry.is_of_one_machine else "")
        for entries in (first, second)
    )
    same = [(of_first[machine], of_second[machine]) for machine in of_first if machine in of_second]
    return same or [(ours, theirs) for ours in of_first.values() for theirs in of_second.values()]


def by_setting(entries: Sequence[Entry], by: str, against: str | None) -> list[Verdict]:
    """Compare the arms of a setting, each with the first or the named one. Raises ValueError where it has no arms."""
    groups = groups_of(entries, by, against)
    if not groups:
        cases = grouped((entry.record.case for entry in entries), lambda case: case.workload)
        names = {name for same in cases.values() for name in telling_apart(same)} - {SEED}
        choices = ", ".join(sorted(names)) or "none: they are alike"
        raise ValueError(f"by must be a setting in which runs that are else alike differ, of {choices}; got {by!r}")
    verdicts = [verdict for group in groups for verdict in group.verdicts()]
    if not verdicts:
        arms = dict.fromkeys(str(arm.name) for group in groups for arm in group.experiment.arms)
        raise ValueError(f"against must be one of {', '.join(arms)}; got {against!r}")
    return verdicts


def groups_of(entries: Iterable[Entry], by: str, against: str | None) -> list[Group]:
    """Group the runs of each workload by a setting."""
    of_workload = grouped(entries, lambda entry: entry.record.case.workload)
    return [group for same in of_workload.values() for group in groups_by(_usable(same), by, against)]


def _usable(entries: Iterable[Entry]) -> list[EntryRun]:
    """The runs of the workload that has the most with a number to be compared by; scores go before costs."""
    runs = [_run(entry) for entry in entries if entry.record.status is Status.OK]
    has_number = [run for run in runs if run.outcome or run.cost]
    (workload, _), *_ = Counter(run.record.case.workload for run in has_number).most_common(1) or [("", 0)]
    own = [run for run in has_number if run.record.case.workload == workload]
    return [run for run in own if run.outcome] or own


def _run(entry: Entry) -> EntryRun:
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


def _difference(run: EntryRun, names: Sequence[str]) -> str:
    """Write the settings in which a run differs from another one."""
    design = design_of(run.record.case.workload)
    values = {name: resolved(run.record, name, design) or "null" for name in names}
    return " ".join(value if len(names) == 1 else f"{name}={value}" for name, value in values.items())


def _compared(arms: Iterable[Arm[EntryRun]], other: Arm[EntryRun], behind: str) -> list[Verdict]:
    """Compare arms with another one: scores with Holm's correction over all of them, else costs."""
    outcome = other.first.outcome
    if outcome is None:
        return [told_of_costs((arm.name, _cost(arm)), (other.name, _cost(other)), behind) for arm in arms]
    return [told_of_scores(pair, behind) for pair in outcome.contrasts(arms, other)]


def _cost(arm: Arm[EntryRun]) -> Cost:
    cost = arm.first.cost
    assert cost is not None
    return cost
