"""The walk over folders of results, which lists runs in folders of their own, in closed sweeps and in packs alike."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from suite.records.record import RECORD, CorruptRecordError
from suite.records.stores.closed import MANIFEST, ClosedSweep, closed_sweep
from suite.records.stores.files import file_blocks
from suite.records.stores.pack import PACK, packed_names


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
            if names := _names_in_files(folder):
                yield folder, names
            else:
                damaged.append(Damage(folder=folder, reason=f"the folder cannot be listed ({type(error).__name__})"))
            continue
        inner = {name for name in is_folder if is_folder[name]}
        runs = _runs_in_files(folder, damaged)
        for name in sorted(runs.keys() & inner):
            if _is_another_run(folder / name):
                reason = f"{MANIFEST} beside it names another run of this name, which is not read"
                damaged.append(Damage(folder=folder / name, reason=reason))
        waiting += [folder / name for name in sorted(inner, reverse=True)]
        names = frozenset(is_folder)
        yield folder, names if RECORD in names else _names_in_files(folder) or names
        for name in runs.keys() - inner:
            yield folder / name, runs[name]


def _runs_in_files(folder: Path, damaged: list[Damage]) -> dict[str, frozenset[str]]:
    """The files of each run that lies in the tables or the pack of a folder. What is not read goes into `damaged`."""
    runs = dict[str, frozenset[str]]()
    try:
        runs |= packed_names(folder)
    except CorruptRecordError as error:
        damaged.append(Damage(folder=folder / PACK, reason=str(error)))
    try:
        if sweep := closed_sweep(folder):
            runs |= {name: frozenset(run.files) for name, run in sweep.runs.items()}
    except CorruptRecordError as error:
        damaged.append(Damage(folder=folder / MANIFEST, reason=str(error)))
    return runs


def _names_in_files(folder: Path) -> frozenset[str]:
    """The files of one run in the tables or the pack beside its folder; none where it is not there, or they are torn,
    which whoever lists them names."""
    with suppress(CorruptRecordError):
        sweep = closed_sweep(folder.parent)
        if sweep and folder.name in sweep.runs:
            return frozenset(sweep.runs[folder.name].files)
        return packed_names(folder.parent).get(folder.name, frozenset())
    return frozenset()


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
