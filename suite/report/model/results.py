"""Reads results folders: the record of each case that counts, all others, and what could not be read.

Each machine of a folder has a label, and so have machines alike that shared a sweep: times of other machines never
stand in one line or one median. A repeated arm, seed by seed, may have been spread over machines. What its runs learnt
is compared all the same, under the folder's own label, and their times are left out.
"""

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from suite.records.case import comparable
from suite.records.derived import started_at
from suite.records.labels import distinct
from suite.records.machine_classes import class_names
from suite.records.machines import recorded_machine
from suite.records.record import Record
from suite.records.stores.store import Contents, StoredRecord, check_folders, read_contents
from suite.report.blocks import Headline

P = ParamSpec("P")
T = TypeVar("T")
RESULTS = Path("results")
# Folders below results/ of records that were committed: nobody's own runs, shown when they are asked for.
KEPT = ("baseline", "reference")


@dataclass(frozen=True, kw_only=True)
class CurrentRecord:
    """The newest record of a case under a label."""

    label: str  # the folder's, and where that holds records of several machines, the machine's
    record: Record
    folder: Path
    superseded: int  # older records of the same case under the same label, which are not shown
    settings_changed: bool  # another record of the same id, under any label, has other settings
    is_of_one_machine: bool = True  # the label's records are all of one machine, so that their times may be compared


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A folder that gave no record."""

    label: str
    name: str  # the last part of its folder alone, since a path says who and where
    reason: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """The records of one page. Equal only to itself, so that sections can cache what they read of it."""

    labels: Sequence[str]
    records: Sequence[CurrentRecord]
    all_records: Sequence[tuple[str, Record]]  # label and record, the superseded ones included
    damaged: Sequence[LeftOut]
    unfinished: Sequence[LeftOut]
    references: frozenset[str] = frozenset()
    """The labels of records that were committed below results/reference or results/baseline."""
    notes: Sequence[Headline] = ()  # on which folders were left out, and why

    @property
    def several(self) -> bool:
        """Whether records stand under several labels, so that tables and titles have to name them."""
        return len(self.labels) > 1

    @cached_property
    def own(self) -> "Results":
        """The results without the reference records: the person's own runs; itself where there are no references."""
        return self.narrowed(lambda label, _: label not in self.references)

    def narrowed(self, is_wanted: Callable[[str, Record], bool]) -> "Results":
        """The results of the records for which `is_wanted(label, record)`, and of their labels; itself if all are."""
        records = [current for current in self.records if is_wanted(current.label, current.record)]
        if len(records) == len(self.records):
            return self
        labels = {current.label for current in records}
        by_label: dict[str, Any] = {
            name: [item for item in getattr(self, name) if item.label in labels] for name in ("damaged", "unfinished")
        }
        return replace(
            self,
            labels=[label for label in self.labels if label in labels],
            records=records,
            all_records=[(label, record) for label, record in self.all_records if is_wanted(label, record)],
            **by_label,
        )


def cached_by_results(function: Callable[Concatenate[Results, P], T]) -> Callable[Concatenate[Results, P], T]:
    """Call a function once for each Results, which hold what it made: to lay experiments out takes longer than to draw
    them, and sections and answers ask for the same ones."""

    @functools.wraps(function)
    def cached(results: Results, /, *args: P.args, **kwargs: P.kwargs) -> T:
        made: dict[Any, Any] = vars(results).setdefault("_made", {})
        key = (function, args, *kwargs.items())
        if key not in made:
            made[key] = function(results, *args, **kwargs)
        result: T = made[key]
        return result

    return cached


def read_results(folders: Sequence[Path], labels: Sequence[str] = (), *, with_readings: bool = True) -> Results:
    """Read every run below the folders.

    `labels`: one for each folder; by default the folders' names, made distinct. `with_readings`: False leaves each
    record's readings unread, for a caller that reads them one by one. Raises ValueError for a missing folder and for
    labels that do not fit.
    """
    check_folders(folders)
    if labels and len(labels) != len(folders):
        raise ValueError(f"label must be given once for each results folder; got {len(labels)} for {len(folders)}")
    if len(set(labels)) < len(labels) or not all(labels):
        raise ValueError(f"labels must differ and not be empty; got {', '.join(map(repr, labels))}")
    folder_labels = labels or distinct(folder.resolve().name for folder in folders)
    contents = [read_contents([folder], with_readings=with_readings) for folder in folders]
    by_case: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in (stored.record for part in contents for stored in part.stored):
        by_case[record.case.id].append(record.settings)
    changed = {
        case_id
        for case_id, settings in by_case.items()
        if len(settings) > 1 and len({json.dumps(comparable(each), sort_keys=True) for each in settings}) > 1
    }
    parts = [_read_folder(*folder, changed) for folder in zip(folder_labels, folders, contents, strict=True)]
    together: dict[str, Any] = {
        field.name: [item for part in parts for item in getattr(part, field.name)] for field in fields(Results)
    }
    return Results(**{**together, "references": frozenset(together["references"])})


def _read_folder(label: str, folder: Path, contents: Contents, changed: Set[str]) -> Results:
    """The results of one folder. `changed`: ids of cases whose records, in any folder, differ in their settings."""
    labelled = machine_labels(label, [run.record for run in contents.stored])
    counts = Counter(name for name, _ in labelled)
    # A folder's own label only where something stands under it; the most records first.
    if contents.damaged or contents.unfinished or not counts:
        counts[label] += 0
    # A folder above the reference records, such as results/ itself, may hold one's own beside them.
    own_names = {
        name
        for (name, _), run in zip(labelled, contents.stored, strict=True)
        if not any(above == RESULTS.name and part in KEPT for above, part in pairwise(run.folder.absolute().parts))
    }
    return Results(
        labels=[name for name, _ in counts.most_common()],
        records=list(_newest_records(contents.stored, labelled, changed)),
        all_records=[(name, run.record) for (name, _), run in zip(labelled, contents.stored, strict=True)],
        damaged=[LeftOut(label=label, name=damage.folder.name, reason=damage.reason) for damage in contents.damaged],
        unfinished=[LeftOut(label=label, name=run.name) for run in contents.unfinished],
        references=frozenset({name for name, _ in labelled} - own_names),
    )


def _newest_records(
    stored_records: Sequence[StoredRecord], labelled: Sequence[tuple[str, bool]], changed: Set[str]
) -> Iterable[CurrentRecord]:
    """Yield the newest record of each case and label; records whose times may not be compared count apart."""
    by_case: dict[tuple[str, str, bool], list[StoredRecord]] = defaultdict(list)
    for stored, (label, is_of_one_machine) in zip(stored_records, labelled, strict=True):
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


SEED = "seed"


def machine_labels(label: str, records: Sequence[Record]) -> list[tuple[str, bool]]:
    """For each record its label, and whether its times may be compared with others of that label.

    A folder of one machine keeps its label. Of several, each adds its name: `label (machine)`; machines alike that
    shared a sweep add one (see suite.records.machine_classes). Records of a workload that spread an arm's seeds over
    machines keep the folder's label, and their times may not be compared.
    """
    machines = [recorded_machine(record) for record in records]
    if len(set(machines)) < 2:
        return [(label, True)] * len(records)
    # The workloads of which an arm has its seeds on several machines, and on none of them all.
    seeds: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record, machine in zip(records, machines, strict=True):
        case = record.case
        if SEED in case.axes:
            arm = str([(name, value) for name, value in (*case.axes.items(), *case.extras.items()) if name != SEED])
            seeds[case.workload, arm][machine].add(str(case.axes[SEED]))
    spread = {
        workload
        for (workload, _), by_machine in seeds.items()
        if all(part < set[str]().union(*by_machine.values()) for part in by_machine.values())
    }
    return [
        (label, False)
        if record.case.workload in spread
        else (f"{label} ({name})" if label and name else label or name, True)
        for record, name in zip(records, class_names(records), strict=True)
    ]
