"""The walk over folders of results, which lists runs in folders of their own and in closed sweeps alike."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from suite.records.record import RECORD, CorruptRecordError
from suite.records.stores.closed import MANIFEST, ClosedSweep, closed_sweep
from suite.records.stores.files import file_blocks
from suite.records.stores.old_zip import OLD_ZIP

WITHDRAWN = "withdrawn.yaml"
"""Runs that an older version left out. Named rather than ignored, since they count again."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A place that cannot be read, and why."""

    folder: Path
    reason: str


def folders_below(root: Path, damaged: list[Damage]) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield each folder, `root` first, and the names in it. Links are not followed; a folder that is not read is named
    in `damaged`, and the rest goes on. A run that `pack --remove` takes meanwhile is yielded once: what its folder has
    no longer, the table has had since before."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as scan:
                is_folder = {entry.name: entry.is_dir(follow_symlinks=False) for entry in scan}
        except OSError as error:
            if names := _names_in_tables(folder):
                yield folder, names
            else:
                damaged.append(Damage(folder=folder, reason=f"the folder cannot be listed ({type(error).__name__})"))
            continue
        inner = {name for name in is_folder if is_folder[name]}
        runs = _runs_in_tables(folder, damaged)
        if OLD_ZIP in is_folder:
            reason = f"older versions kept runs in it; suite results pack {folder} makes tables of them"
            damaged.append(Damage(folder=folder / OLD_ZIP, reason=reason))
        if WITHDRAWN in is_folder:
            reason = "lists of withdrawn runs are no longer read; move the runs that it names elsewhere, and remove it"
            damaged.append(Damage(folder=folder / WITHDRAWN, reason=reason))
        for name in sorted(runs.keys() & inner):
            if _is_another_run(folder / name):
                reason = f"{MANIFEST} beside it names another run of this name, which is not read"
                damaged.append(Damage(folder=folder / name, reason=reason))
        waiting += [folder / name for name in sorted(inner, reverse=True)]
        names = frozenset(is_folder)
        yield folder, names if RECORD in names else _names_in_tables(folder) or names
        for name in runs.keys() - inner:
            yield folder / name, runs[name]


def _runs_in_tables(folder: Path, damaged: list[Damage]) -> dict[str, frozenset[str]]:
    """The files of each run that lies in the tables of a folder. Tables that are not read go into `damaged`."""
    try:
        if sweep := closed_sweep(folder):
            return {name: frozenset(run.files) for name, run in sweep.runs.items()}
    except CorruptRecordError as error:
        damaged.append(Damage(folder=folder / MANIFEST, reason=str(error)))
    return {}


def _names_in_tables(folder: Path) -> frozenset[str]:
    """The files of one run in the tables beside its folder; none where it is not there, or they are torn, which whoever
    lists them names."""
    return _runs_in_tables(folder.parent, []).get(folder.name, frozenset())


def _is_another_run(folder: Path) -> bool:
    """Whether a folder has another record than the run of its name in the tables beside it."""
    sweep = closed_sweep(folder.parent)
    try:
        record = b"".join(file_blocks(folder / RECORD))
    except OSError:
        return False  # without a record nothing hides the table's
    return sweep is not None and folder.name in sweep.runs and sweep.runs[folder.name].files[RECORD] != record


def closed_sweeps(roots: Iterable[Path]) -> Iterator[ClosedSweep]:
    """Yield each closed sweep below the folders that can be read."""
    for root in roots:
        for folder, names in folders_below(root, []):
            if MANIFEST in names:
                with suppress(CorruptRecordError):  # which whoever reads its runs names
                    yield from filter(None, [closed_sweep(folder)])
