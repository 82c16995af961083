"""Sweeps that run now, as `suite ls --watch` shows them: how far each is, and what runs where.

Each process of a sweep keeps a small file beside its runs, and holds a lock as long as it lives. So one that was killed
is known as such, also on a file system that several machines share.
"""

import json
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from filelock import BaseFileLock, FileLock, Timeout

from suite.records import numbers
from suite.records.machine.environment import machine_id
from suite.records.plain_text import one_line, say
from suite.records.record import CorruptRecordError
from suite.records.stores.store import read_file, write_whole

SWEEPS = ".sweeps"
SHOWN_DIGITS = 6
"""Of a machine's id."""
LOOK_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class SweepState:
    """How far a sweep is."""

    progress: str
    """`7 of 24 done: 5 ok, 2 failed; about 2 min left`"""
    running: Sequence[tuple[str, float, str]]
    """What names each case that runs, when it began (seconds of the epoch), and its machine's id, empty for its own."""


class SweepFile:
    """A file in which this process says how far its sweep is, beside the runs. Use as a context manager."""

    def __init__(self, results: Path) -> None:
        self._folder = results / SWEEPS
        self._name = f"{machine_id()[:SHOWN_DIGITS]}-{uuid.uuid4().hex[:SHOWN_DIGITS]}"
        self._lock = FileLock(self._folder / f"{self._name}.lock", thread_local=False)

    def __enter__(self) -> "SweepFile":
        while not self._lock.is_locked:
            with suppress(FileNotFoundError):  # whoever was the last one there has just removed the folder
                self._folder.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
        # Not by their locks: another process may hold its own only in a moment. A state may be half-written.
        names = {path.name.partition(".")[0] for path in self._folder.glob("*.json*")}
        for state in (self._folder / f"{name}.json" for name in names):
            if (lock := _lock_of_a_dead(state)) is not None:
                _remove(state, lock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _remove(self._folder / f"{self._name}.json", self._lock)
        with suppress(OSError):  # others run there
            self._folder.rmdir()

    def write(self, state: SweepState) -> None:
        """Replace what the file says."""
        write_whole(self._folder / f"{self._name}.json", json.dumps(asdict(state)).encode())


def watch(results: Path) -> None:
    """Show the sweeps that run below a folder: in a terminal until none does or Ctrl-C is pressed, elsewhere once.

    Raises ValueError where there is no such folder.
    """
    if not results.is_dir():
        raise ValueError(f"--watch takes a folder of results; got {str(results)!r}")
    if not sys.stdout.isatty():
        say(*state_lines(results)[0])
        return
    from rich.live import Live
    from rich.text import Text

    with suppress(KeyboardInterrupt), Live(auto_refresh=False) as live:
        is_running = True
        while is_running:
            lines, is_running = state_lines(results)
            live.update(Text("\n".join(lines)), refresh=True)
            time.sleep(LOOK_EVERY_S if is_running else 0)


def state_lines(results: Path) -> tuple[Sequence[str], bool]:
    """A line for each sweep and one for each case that runs, a sentence where there is none; and whether any runs."""
    lines, is_running = list[str](), False
    for path in sorted(results.rglob(f"{SWEEPS}/*.json")):
        try:
            state = SweepState(**json.loads(read_file(path)))
            running = [
                f"  {machine[:SHOWN_DIGITS]}  {case}, {_since(begun_s)}" for case, begun_s, machine in state.running
            ]
            if (lock := _lock_of_a_dead(path)) is not None:
                lock.release()
        except FileNotFoundError:  # it has just ended
            continue
        except (CorruptRecordError, ValueError, TypeError) as error:
            lines.append(f"{path} cannot be read: {error}")
            continue
        ending, running = ("", running) if lock is None else ("; killed: the same command continues it", [])
        lines += [f"{path.parents[1]}: {state.progress}{ending}", *running]
        is_running |= lock is None
    return [one_line(line) for line in lines] or [one_line(f"no sweep runs below {results}")], is_running


def _lock_of_a_dead(state: Path) -> FileLock | None:
    """The lock of a state's process, held now by this one; None where that process lives."""
    lock = FileLock(state.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def _since(begun_s: float) -> str:
    """How long ago a time of the epoch was."""
    return numbers.duration(max(0.0, time.time() - begun_s))


def _remove(state: Path, lock: BaseFileLock) -> None:
    """Remove a state, and its lock, which is held."""
    for file in state.parent.glob(f"{state.name}*"):  # also what a killed process has half-written
        file.unlink(missing_ok=True)
    with suppress(OSError):  # Windows removes no open file
        Path(lock.lock_file).unlink()
    lock.release()
    with suppress(OSError):
        Path(lock.lock_file).unlink()
