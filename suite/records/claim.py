"""Which process writes a run's folder: two may run the same sweep into the same place, and one may be killed in it.

A claim is a file lock, so the system gives it up when its holder dies, however it dies: a folder that has no record and
whose lock is free was left half-written, and the next run of the same key takes it over.
"""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from suite.records.store import LOCK, RECORD

if TYPE_CHECKING:
    from filelock import BaseFileLock

NAME_LENGTH = 16
"""Hexadecimal digits of the run key in a folder's name."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A run's folder, this process's alone until the end of the `with` block."""

    folder: Path
    lock: "BaseFileLock"

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _give_up(self.folder, self.lock)


def run_folders(parent: Path, run_key: str) -> Iterator[Path]:
    """Where runs of this key lie, the first one first: without end, whether they exist or not."""
    for number in itertools.count(1):
        yield parent / (run_key[:NAME_LENGTH] if number == 1 else f"{run_key[:NAME_LENGTH]}-{number}")


def claim_folder(parent: Path, run_key: str) -> Claim | None:
    """The folder for a new run of this key, made where it is not there. None where a living process holds it.

    A folder with a record is never touched again: a further run gets the next number.
    """
    from filelock import FileLock, Timeout  # here, since whoever only reads records needs none

    parent.mkdir(parents=True, exist_ok=True)
    for folder in run_folders(parent, run_key):
        with suppress(FileExistsError):
            folder.mkdir()
        if not folder.is_dir() or (folder / RECORD).exists():
            continue
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        if not (folder / RECORD).exists():
            return Claim(folder=folder, lock=lock)
        _give_up(folder, lock)  # its holder finished between the two looks
    raise AssertionError("run_folders has no end")


def _give_up(folder: Path, lock: "BaseFileLock") -> None:
    # Removed while it is held: whoever waits for the removed file looks for the record again. Windows refuses that.
    with suppress(OSError):
        (folder / LOCK).unlink()
    lock.release()
    with suppress(OSError):
        (folder / LOCK).unlink()
