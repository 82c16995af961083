"""The folders below one that anybody may have made, on the disk or in a pack: as many and as deep as results are.

No name is followed out.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suite.records.record import RECORD, CorruptRecordError
from suite.records.stores.pack import PACK, names_in_pack, read_pack

MOST_LEVELS = 32
"""Levels of folders below the one that is given. Ours have 4."""
MOST_ENTRIES, MOST_IN_ALL = 100_000, 400_000
"""In one folder, and below all of it: a sweep has one entry a run, and a run about four."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    folder: Path
    reason: str


def folders_below(root: Path, damaged: list[Damage]) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield each folder, `root` first, and the names in it. Links are not followed; a folder that is not read is named
    in `damaged`, and the rest goes on. A run that `pack --remove` takes meanwhile is yielded once: what its folder has
    no longer, the pack has had since before."""
    left, waiting = MOST_IN_ALL, [(root, 0)]

    def skip(folder: Path, reason: str) -> None:
        damaged.append(Damage(folder=folder, reason=reason))

    while waiting:
        folder, levels = waiting.pop()
        try:
            names, inner = _listed(folder, min(MOST_ENTRIES, left))
        except OSError as error:
            if packed_names := names_in_pack(folder):
                yield folder, packed_names
            else:
                skip(folder, f"the folder cannot be listed ({type(error).__name__})")
            continue
        if names is None and left >= MOST_ENTRIES:
            skip(folder, f"the folder holds more than {MOST_ENTRIES:,} entries, and is not read")
            continue
        packed = {} if PACK in inner or names is None else _packed_in(folder, frozenset(inner), damaged)
        left -= len(names or ()) + sum(map(len, packed.values()))
        if names is None or left < 0:
            skip(root, f"more than {MOST_IN_ALL:,} entries lie below it; from {folder.name!r} on they are not read")
            return
        if inner and levels == MOST_LEVELS:
            skip(folder, f"folders lie more than {MOST_LEVELS} levels deep")
        else:
            waiting += [(folder / name, levels + 1) for name in sorted(inner, reverse=True)]
        yield folder, names if RECORD in names else names_in_pack(folder) or names
        yield from packed.items()


def _packed_in(folder: Path, inner: frozenset[str], damaged: list[Damage]) -> dict[Path, frozenset[str]]:
    """The folders that a pack stands for, and their files, but those that lie beside it, which are listed."""
    if not os.path.lexists(folder / PACK):
        return {}
    try:
        runs = read_pack(folder / PACK)
    except CorruptRecordError as error:
        damaged.append(Damage(folder=folder / PACK, reason=str(error)))
        return {}
    for name in runs.keys() & inner:
        if not _is_copy(folder / name / RECORD, runs[name][RECORD]):
            reason = f"{PACK} beside it holds another run of this name, which is not read"
            damaged.append(Damage(folder=folder / name, reason=reason))
    return {folder / name: frozenset(files) for name, files in runs.items() if name not in inner}


def _is_copy(path: Path, packed: zipfile.ZipInfo) -> bool:
    try:
        status = path.lstat()
        has_size = stat.S_ISREG(status.st_mode) and status.st_size == packed.file_size
        return has_size and zlib.crc32(path.read_bytes()) == packed.CRC
    except OSError as error:
        return isinstance(error, FileNotFoundError)  # without a record nothing hides the pack's


def _listed(folder: Path, most: int) -> tuple[frozenset[str] | None, list[str]]:
    """All names and those of folders; none where there are more than `most`."""
    names, inner = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > most:
                return None, []
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
    return frozenset(names), inner
