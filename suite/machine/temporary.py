"""Temporary folders that do not pile up: a kill leaves them behind, and the next command removes what it left.

A folder is its owner's while the lock in it is held, which the system gives up however the owner dies. It is removed by
others only if it carries the mark, which is written once the lock is held, and belongs to the same user.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "suite-"
LOCK, MARK = "owner.lock", "owner.mark"
MARKED = b"a temporary folder of mla-grpo-suite, removed once nobody holds owner.lock\n"


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """Make a temporary folder, named by its `kind`, that this process owns; removed at the end with all in it."""
    from filelock import FileLock  # here, since few commands need one

    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
    try:
        with FileLock(folder / LOCK):
            (folder / MARK).write_bytes(MARKED)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # a worker that ends may still write there


def remove_abandoned() -> str | None:
    """Remove our temporary folders whose owner is no longer alive; a sentence about what was removed, or None."""
    removed = [
        folder.name for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")) if _remove_if_abandoned(folder)
    ]
    if not removed:
        return None
    folders = "a temporary folder" if len(removed) == 1 else f"{len(removed)} temporary folders"
    return f"removed {folders} that a killed run left: {', '.join(removed)}"


def _remove_if_abandoned(folder: Path) -> bool:
    """Remove a folder of ours whose lock nobody holds. Whether it is gone."""
    from filelock import FileLock, Timeout

    if not _has_our_mark(folder):
        return False
    with suppress(OSError, Timeout):  # it is held, or its owner is just removing it
        with FileLock(folder / LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)  # the lock too, where an open file stays
    return not folder.exists()


def _has_our_mark(folder: Path) -> bool:
    """Whether it is a folder that `temporary_folder` made, for this user."""
    with suppress(OSError):
        itself, lock, mark = (path.lstat() for path in (folder, folder / LOCK, folder / MARK))
        is_marked = stat.S_ISREG(mark.st_mode) and stat.S_ISREG(lock.st_mode) and mark.st_size == len(MARKED)
        is_own = not hasattr(os, "getuid") or {entry.st_uid for entry in (itself, lock, mark)} == {os.getuid()}
        return stat.S_ISDIR(itself.st_mode) and is_marked and is_own and (folder / MARK).read_bytes() == MARKED
    return False
