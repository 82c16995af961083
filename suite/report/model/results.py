"""Several results folders side by side: which record of a case counts, and what could not be read."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from suite.gate.output.files import JUDGEMENT, read_judgement
from suite.gate.verdict import CorruptJudgementError, Judgement
from suite.records.case import comparable
from suite.records.derived import possible_time, started_at
from suite.records.labels import distinct
from suite.records.machines import machine_of
from suite.records.record import Record
from suite.records.store import Contents, Room, StoredRecord, read_contents
from suite.records.stores.mirror import on_this_machine
from suite.records.stores.place import shown
from suite.records.walk import Damage, folders_below
from suite.report.model.machine_labels import machine_labels

RESULTS = Path("results")
KEPT = ("baseline", "reference")
"""Folders below results/ of records that were committed: nobody's own runs, shown when they are asked for."""


@dataclass(frozen=True, kw_only=True)
class CurrentRecord:
    """The newest record of a case under a label."""

    label: str
    """The folder's, and where that holds records of several machines, the machine's."""
    record: Record
    folder: Path
    superseded: int
    """Older records of the same case under the same label, which are not shown."""
    settings_changed: bool
    """Another record of the same id, under any label, has other settings."""
    is_of_one_machine: bool = True
    """The label's records are all of one machine, so that their times may be compared."""


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A folder that gave no record. Named by its last part only, since a path says who and where."""

    label: str
    name: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """A run that was withdrawn and counts nowhere, as the list beside it says."""

    label: str
    name: str
    """The last part of its folder."""
    case_id: str
    date: str
    reason: str
    """Why, and by whom where the list says so."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One judgement and where it lay."""

    label: str
    folder: Path
    judgement: Judgement

    @property
    def at(self) -> str:
        """Return when it began, as ISO text; empty where it does not say, or says what cannot be."""
        return possible_time(self.judgement.facts.get("started_at"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """The records and judgements of one page. Equal only to itself, so that sections can cache what they read of it."""

    labels: Sequence[str]
    records: Sequence[CurrentRecord]
    every: Sequence[tuple[str, Record]]
    """Label and record, the superseded ones included."""
    damaged: Sequence[Unread]
    unfinished: Sequence[Unread]
    judgements: Sequence[Judged]
    """The gate's, by label and the newest first."""
    withdrawn: Sequence[Withdrawn] = ()
    references: frozenset[str] = frozenset()
    """The labels of records that were committed below results/reference or results/baseline."""

    @property
    def several(self) -> bool:
        return len(self.labels) > 1

    @cached_property
    def own(self) -> "Results":
        """The person's own runs: all but the reference records; itself where there are no reference records."""
        return self.narrowed(lambda label, _: label not in self.references)

    def narrowed(self, is_wanted: Callable[[str, Record], bool]) -> "Results":
        """Return the results of some records alone, by label and record, and itself where those are all."""
        records = [current for current in self.records if is_wanted(current.label, current.record)]
        if len(records) == len(self.records):
            return self
        labels = {current.label for current in records}
        return replace(
            self,
            labels=[label for label in self.labels if label in labels],
            records=records,
            every=[(label, record) for label, record in self.every if is_wanted(label, record)],
            damaged=[unread for unread in self.damaged if unread.label in labels],
            unfinished=[unread for unread in self.unfinished if unread.label in labels],
            judgements=[judged for judged in self.judgements if judged.label in labels],
            withdrawn=[run for run in self.withdrawn if run.label in labels],
        )


def read_results(folders: Sequence[Path], labels: Sequence[str] = (), *, with_readings: bool = True) -> Results:
    """Read every run below the folders, or below stores' URLs. Raises ValueError for a missing folder and for labels
    that do not fit.

    `with_readings`: else every record is read without them, for whoever reads them one by one.
    """
    folders = [on_this_machine(folder) for folder in folders]
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"results must be folders that exist; got {shown(folder)!r}")
    named = _checked(labels, folders) if labels else distinct(folder.resolve().name for folder in folders)
    room = Room()
    contents = [read_contents([folder], with_readings=with_readings, room=room) for folder in folders]
    variants: dict[str, set[str]] = defaultdict(set)
    for record in (stored.record for part in contents for stored in part.stored):
        variants[record.case.id].add(json.dumps(comparable(record.settings), sort_keys=True))
    changed = {case_id for case_id, settings in variants.items() if len(settings) > 1}
    records: list[CurrentRecord] = []
    withdrawn: list[Withdrawn] = []
    said, every, damaged, unfinished, judgements = [], [], [], [], []
    references = set[str]()
    for label, folder, part in zip(named, folders, contents, strict=True):
        judged, unreadable = find_judgements(label, folder, room)
        broken, labelled = [*part.damaged, *unreadable], machine_labels(label, [run.record for run in part.stored])
        gone = list(_withdrawn(label, part, labelled))
        # A folder of judgements alone has no results that stand under its label.
        if part.stored or broken or part.unfinished or gone or not judged:
            # A folder's own label only where something stands under it; the most records first.
            counts = Counter(name for name, _ in labelled)
            if not counts or part.damaged or part.unfinished or any(run.label == label for run in gone):
                counts[label] += 0
            said += [name for name, _ in counts.most_common()]
        records += _current(part.stored, labelled, changed)
        every += [(name, stored.record) for (name, _), stored in zip(labelled, part.stored, strict=True)]
        # A folder above the reference records, such as results/ itself, may hold one's own beside them.
        own = {name for (name, _), stored in zip(labelled, part.stored, strict=True) if not is_kept(stored.folder)}
        references |= {name for name, _ in labelled} - own
        damaged += [Unread(label=label, name=damage.folder.name, reason=damage.reason) for damage in broken]
        unfinished += [Unread(label=label, name=run.name) for run in part.unfinished]
        judgements += judged
        withdrawn += gone
    return Results(
        labels=said,
        records=records,
        every=every,
        damaged=damaged,
        unfinished=unfinished,
        judgements=judgements,
        withdrawn=withdrawn,
        references=frozenset(references),
    )


def is_kept(folder: Path) -> bool:
    """Return whether a folder lies below results/reference or results/baseline."""
    return any(above == RESULTS.name and name in KEPT for above, name in pairwise(folder.absolute().parts))


def _withdrawn(label: str, contents: Contents, labelled: Sequence[tuple[str, bool]]) -> Iterable[Withdrawn]:
    """Yield the withdrawn runs, each under the label of its machine where that has one by its other runs."""
    pairs = zip(contents.stored, labelled, strict=True)
    of_machines = {machine_of(run.record): name for run, (name, is_of_one) in pairs if is_of_one}
    for run in contents.withdrawn:
        if entry := run.withdrawal:
            yield Withdrawn(
                label=of_machines.get(machine_of(run.record), label),
                name=run.folder.name,
                case_id=run.record.case.id,
                date=entry.date,
                reason=f"{entry.reason} ({entry.by})" if entry.by else entry.reason,
            )


def _checked(labels: Sequence[str], folders: Sequence[Path]) -> list[str]:
    if len(labels) != len(folders):
        raise ValueError(f"label must be given once for each results folder; got {len(labels)} for {len(folders)}")
    if len(set(labels)) < len(labels) or not all(labels):
        raise ValueError(f"labels must differ and not be empty; got {', '.join(map(repr, labels))}")
    return list(labels)


def _current(
    every: Sequence[StoredRecord], labelled: Sequence[tuple[str, bool]], changed: set[str]
) -> Iterable[CurrentRecord]:
    by_case: dict[tuple[str, str, bool], list[StoredRecord]] = defaultdict(list)
    for stored, (label, is_of_one_machine) in zip(every, labelled, strict=True):
        by_case[stored.record.case.id, label, is_of_one_machine].append(stored)
    for (case_id, label, is_of_one_machine), runs in by_case.items():
        newest = max(runs, key=lambda run: (started_at(run.record), run.folder.name))
        yield CurrentRecord(
            label=label,
            record=newest.record,
            folder=newest.folder,
            superseded=len(runs) - 1,
            settings_changed=case_id in changed,
            is_of_one_machine=is_of_one_machine,
        )


def find_judgements(label: str, root: Path, room: Room) -> tuple[list[Judged], list[Damage]]:
    """Find every judgement below a folder, the newest first, and those that could not be read.

    Links are not followed; folders that cannot be listed are named by whoever looks for runs there.
    """
    found, damaged = [], []
    for folder in sorted(folder for folder, names in folders_below(root, []) if JUDGEMENT in names):
        try:
            found.append(Judged(label=label, folder=folder, judgement=read_judgement(folder, room)))
        except CorruptJudgementError as error:
            damaged.append(Damage(folder=folder, reason=str(error)))
    return sorted(found, key=lambda judged: (judged.at, judged.folder.name), reverse=True), damaged


def newest(judgements: Sequence[Judged]) -> list[Judged]:
    """Return the newest of each label, in the labels' order."""
    labels = dict.fromkeys(judged.label for judged in judgements)
    return [next(judged for judged in judgements if judged.label == label) for label in labels]
