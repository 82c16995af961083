"""The runs below a folder as the gate takes them: by case, oldest first, with all that could not be read.

What cannot be read is kept by name, since a run that is passed over in silence is a regression that nobody sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.records.derived import started_at
from suite.records.record import Record, Status
from suite.records.store import Contents, Room, StoredRecord, read_contents

ALWAYS_BAD = (Status.FAILED, Status.INCORRECT, Status.OUT_OF_MEMORY)
"""They stay bad when the same code succeeds in another run: what comes and goes is not sound."""


@dataclass(frozen=True, kw_only=True)
class Run:
    record: Record
    name: str
    """Its folder, below the one that was given: never an absolute path."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    label: str
    exists: bool
    by_case: Mapping[str, Sequence[Run]]
    unreadable: Sequence[str]
    """A sentence for each folder that holds a damaged run or cannot be opened."""
    unfinished: Sequence[str]
    """Names of folders in which a run was begun and not ended."""


def read_runs(root: Path, room: Room) -> Runs:
    """Every run below a folder, as far as there is room. One that is not there, or empty, has none; nothing found there
    raises."""
    label = root.resolve().name

    def name(folder: Path) -> str:
        return "/".join((label, *folder.relative_to(root).parts))

    contents = read_contents([root], room=room) if root.is_dir() else Contents()
    runs = [Run(record=stored.record, name=name(stored.folder)) for stored in _oldest_first(contents.stored)]
    by_case: dict[str, list[Run]] = {}
    for run in runs:
        by_case.setdefault(run.record.case.id, []).append(run)
    return Runs(
        label=label,
        exists=root.is_dir(),
        by_case=by_case,
        unreadable=[f"{name(damage.folder)} cannot be read: {damage.reason}" for damage in contents.damaged],
        unfinished=[name(folder) for folder in contents.unfinished],
    )


def counting(runs: Sequence[Run]) -> list[Run]:
    """Of a candidate: the newest run and its repeats, by the same code and settings on the same machine."""
    return [run for run in runs if run.record.run_key == runs[-1].record.run_key]


def ok_runs(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.record.status is Status.OK]


def bad_run(runs: Sequence[Run]) -> Run | None:
    """One that is not sound, the newest first. What was interrupted counts only where no later run took its place."""
    if runs and runs[-1].record.status is Status.INTERRUPTED:
        return runs[-1]
    return next((run for run in reversed(runs) if run.record.status in ALWAYS_BAD), None)


def _oldest_first(stored: Sequence[StoredRecord]) -> list[StoredRecord]:
    return sorted(stored, key=lambda one: (started_at(one.record), one.folder.name))
