"""Which process writes a run's folder: two may run the same sweep into the same place, and one may be killed in it.

A claim is a file lock, so the system gives it up when its holder dies, however it dies: a folder that has no record and
whose lock is free was left half-written, and the next run of the same key takes it over. On a shared file system the
holder may be on another machine; there the server gives a dead machine's lock up.
"""

import functools
import hashlib
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suite.machine.user_cache import user_cache
from suite.records.record import RUN_KEY
from suite.records.stores.store import LOCK, has_record

if TYPE_CHECKING:
    from filelock import BaseFileLock

WRITERS_LOCK = ".merge.lock"
"""Named by its first user, beside whose older versions it still keeps order."""
NO_LOCKS = "its file system has no file locks (flock), which keep two processes out of one run; take another folder"
NAME_LENGTH = 16
"""Hexadecimal digits of the run key in a folder's name."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A run's folder, this process's alone until the end of the `with` block."""

    folder: Path
    lock: "BaseFileLock"

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *error: object) -> None:
        # Removed while it is held: whoever waits for the removed file looks for the record again. Windows refuses that.
        with suppress(OSError):
            (self.folder / LOCK).unlink()
        self.lock.release()
        with suppress(OSError):
            (self.folder / LOCK).unlink()


def run_folders(parent: Path, run_key: str) -> Iterator[Path]:
    """Yield the places of runs of this key, without end, whether they exist or not: named by its first digits, then by
    those with -2, -3 and so on."""
    assert RUN_KEY.fullmatch(run_key), f"a run key has 64 hexadecimal digits; got {run_key!r}"
    yield parent / run_key[:NAME_LENGTH]
    yield from (parent / f"{run_key[:NAME_LENGTH]}-{number}" for number in itertools.count(2))


def claim_folder(parent: Path, run_key: str, *, is_new: bool = False) -> Claim | None:
    """The folder for a new run of this key, made where it is not there; None where a living process holds it.

    A folder with a record is never touched again: a further run gets the next number. Nor is a link. `is_new`: nor is
    one that somebody made already, held or not. Raises OSError where files cannot be locked.
    """
    _make_lockable(parent)
    for folder in run_folders(parent, run_key):
        if has_record(folder):
            continue
        try:
            folder.mkdir()
        except FileExistsError:
            is_elsewhere = folder.is_symlink() or (folder / LOCK).is_symlink()
            if is_new or is_elsewhere or not folder.is_dir() or has_record(folder):
                continue
        with suppress(FileNotFoundError):  # `pack --remove` took it, with what its holder wrote between the two looks
            claim = hold(folder)
            if claim is not None and has_record(folder):
                with claim:  # its holder finished between the two looks
                    continue
            if claim is not None or not is_new:
                return claim
    raise AssertionError("run_folders has no end")


def claim_new_folder(parent: Path, run_key: str) -> Claim:
    """The first folder of this key that nobody has made yet: whatever lies in the others stays as it is."""
    claim = claim_folder(parent, run_key, is_new=True)
    assert claim is not None
    return claim


@contextmanager
def alone_in(folder: Path, *, waits: bool = True) -> Iterator[None]:
    """Keep out every other process that writes files of this folder by what they hold: packs, merges, lists.

    The folder is made where it is not there. Waits for another process in it, or else raises ValueError. Raises OSError
    where files cannot be locked.
    """
    from filelock import FileLock, Timeout

    _make_lockable(folder)
    # The file stays: by some versions of filelock, whoever waits for it would not see that it was removed.
    lock = FileLock(folder / WRITERS_LOCK, timeout=-1 if waits else 0)
    if (folder / WRITERS_LOCK).is_symlink():
        raise ValueError(f"{WRITERS_LOCK} must not be a link, as it is in {str(folder)!r}")
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"another process writes into {str(folder)!r}; name another folder") from error
    try:
        yield
    finally:
        lock.release()


def locks_folder(thing: str | Path) -> Path:
    """The folder of this user's lock on a file or a server's URL, for `alone_in`: what lies beside a file may be
    somebody's checkout, which gets no further file."""
    name = thing if isinstance(thing, str) else os.path.realpath(thing)
    # One of 256 for all: two things that share one only wait for each other.
    return user_cache().joinpath("mla-grpo-suite", "locks", hashlib.sha256(os.fsencode(name)).hexdigest()[:2])


def _make_lockable(parent: Path) -> None:
    """Make a folder where it is not there. Raises OSError where its file system refuses file locks."""
    parent.mkdir(parents=True, exist_ok=True)
    _try_a_lock(parent)


@functools.cache
def _try_a_lock(parent: Path) -> None:
    """Raise OSError where the folder's file system refuses file locks; tried once for a folder."""
    if sys.platform != "win32":
        import fcntl

        # filelock would go on without the system's locks, by files that a killed holder leaves behind for ever.
        with tempfile.TemporaryFile(dir=parent) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise OSError(error.errno, NO_LOCKS, str(parent)) from error


def hold(folder: Path) -> Claim | None:
    """Lock a run's folder; None where a living process holds it."""
    from filelock import FileLock, Timeout  # here, since whoever only reads records needs none

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return Claim(folder=folder, lock=lock)
