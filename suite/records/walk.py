"""The folders below one that anybody may have made: as many and as deep as results are, and no name is followed out."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_LEVELS = 32
"""Of folders below the one that is given. Ours have 4."""
MOST_ENTRIES, MOST_IN_ALL = 100_000, 400_000
"""In one folder, and below all of it: a sweep has one entry a run, and a run about four."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    folder: Path
    reason: str


def folders_below(root: Path, damaged: list[Damage]) -> Iterator[tuple[Path, frozenset[str]]]:
    """Each folder, `root` first, and the names in it. Links are not followed; a folder that is not read is named in
    `damaged`, and the rest goes on."""
    left, waiting = MOST_IN_ALL, [(root, 0)]
    while waiting:
        folder, levels = waiting.pop()
        try:
            names, inner = _listed(folder, min(MOST_ENTRIES, left))
        except OSError as error:
            damaged.append(Damage(folder=folder, reason=f"the folder cannot be listed ({type(error).__name__})"))
            continue
        if names is None and left < MOST_ENTRIES:
            reason = f"more than {MOST_IN_ALL:,} entries lie below it; from {folder.name!r} on they are not read"
            damaged.append(Damage(folder=root, reason=reason))
            return
        if names is None:
            reason = f"the folder holds more than {MOST_ENTRIES:,} entries, and is not read"
            damaged.append(Damage(folder=folder, reason=reason))
            continue
        left -= len(names)
        if inner and levels == MOST_LEVELS:
            damaged.append(Damage(folder=folder, reason=f"folders lie more than {MOST_LEVELS} levels deep"))
            inner = []
        waiting += [(folder / name, levels + 1) for name in sorted(inner, reverse=True)]
        yield folder, names


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
