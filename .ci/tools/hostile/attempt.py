"""One hostile attempt on a command: a fork with little time, whose every write and end is looked at.

A fork of a process that has the suite imported costs a tenth of a new one, so that thousands can be made. What is
watched is what Python reports of itself (its audit events), and what the system tells of the process that ended.
"""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tools.hostile.texts import harmful

CODES, TRACEBACK, UNPREPARED = (0, 2, 3, 4), 70, 71
"""1 says that something is slower or wrong, which no attempt here can find."""
LONGEST_S = 30.0
WRITES = {"os.mkdir": 0, "os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.link": 1, "os.symlink": 1, "os.truncate": 0}
"""Audit events that change files, with the place of the path that they change."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STREAMS = ("/dev/null", "/dev/tty")
RUNS_CODE = ("pickle.find_class", "os.system", "os.exec", "os.spawn")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What is tried in a folder of its own."""

    what: str
    run: Callable[[], int]
    """Returns the exit code; called in the folder."""
    prepare: Callable[[Path], object] = lambda folder: None
    """Puts into the folder what the attempt needs; not watched."""
    codes: Sequence[int] = CODES


@dataclass(kw_only=True)
class Ended:
    """How an attempt ended, and what is wrong with that."""

    code: int
    seconds: float
    output: str
    faults: list[str] = field(default_factory=list)


def command(*arguments: str) -> Callable[[], int]:
    """A function that calls `suite` with these arguments within the process, and returns its exit code."""

    def call() -> int:
        from suite import __main__ as command_line

        sys.argv = ["suite", *arguments]
        return command_line.main()

    return call


def tried(attempt: Attempt) -> Ended:
    """Make the attempt in a fork, within a new folder that is gone afterwards, and judge how it ended."""
    with _scratch_folder() as scratch:
        for name in ("out", "err", "outside"):
            (scratch / name).touch()
        begun = time.monotonic()
        process = os.fork()
        if not process:
            os._exit(_child(attempt, scratch))
        status, was_late = _wait(process)
        code = os.waitstatus_to_exitcode(status)
        assert code != UNPREPARED, "an attempt could not be prepared"
        errors = (scratch / "err").read_text(errors="replace")
        output = (scratch / "out").read_text(errors="replace") + errors
        outside = (scratch / "outside").read_text(errors="surrogateescape").splitlines()
    ended = Ended(code=code, seconds=time.monotonic() - begun, output=output)
    ended.faults += ["it hung"] if was_late else [f"it ended with {code}"] if code not in attempt.codes else []
    ended.faults += [words for words in ("Traceback (most", "Exception ignored") if words in errors]
    ended.faults += ["no sentence says why"] if code in (2, 3, 4) and not output.strip() else []
    ended.faults += [f"shown: {line[:60]!r}" for line in harmful(output)[:1]]
    ended.faults += [f"outside: {line}" for line in dict.fromkeys(outside)]
    return ended


def _child(attempt: Attempt, place: Path) -> int:
    """Prepare and run the attempt with its output in files; the exit code, or TRACEBACK after one."""
    os.setsid()
    try:
        with redirect_stdout(io.StringIO()):
            attempt.prepare(place / "here")
    except BaseException:
        traceback.print_exc()
        return UNPREPARED
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(place / name, os.O_WRONLY | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8", errors="strict")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8", errors="backslashreplace")
    os.chdir(place / "here")
    os.environ |= {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp")}
    tempfile.tempdir = None
    sys.dont_write_bytecode = True
    _watch(place)
    try:
        code = attempt.run()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else TRACEBACK
    except BaseException:
        traceback.print_exc()
        code = TRACEBACK
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def _watch(place: Path) -> None:
    """Write every change of a file outside of the place, and every run of foreign code, into `place/outside`."""
    report = os.open(place / "outside", os.O_WRONLY | os.O_APPEND)

    def on_event(event: str, arguments: tuple) -> None:
        """Sort one audit event."""
        if event in RUNS_CODE:
            os.write(report, f"{event} {arguments!r}\n".encode("utf-8", "surrogateescape"))
        elif event in WRITES:
            note_write(event, arguments[WRITES[event]])
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            note_write(event, arguments[0])

    def note_write(event: str, path: object) -> None:
        """Write down a change of a path that is outside of the place and no standard stream."""
        if isinstance(path, int):
            return
        whole = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))))  # noqa: PTH120, PTH100
        text = os.path.join(whole, os.path.basename(os.fsdecode(path)))  # noqa: PTH118, PTH119
        if not text.startswith(f"{place}{os.sep}") and not (event == "open" and text in STREAMS):
            os.write(report, f"{event} {text}\n".encode("utf-8", "surrogateescape"))

    sys.addaudithook(on_event)


def _wait(process: int) -> tuple[int, bool]:
    """The status of an ended process, and whether it took too long. Kills its whole group in either case."""
    deadline = time.monotonic() + LONGEST_S
    pause_s = 0.002
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            _end_group(process)
            return status, False
        if time.monotonic() > deadline:
            _end_group(process)
            _, status = os.waitpid(process, 0)
            return status, True
        time.sleep(pause_s)
        pause_s = min(0.05, pause_s * 1.5)


def _end_group(process: int) -> None:
    """Kill every process of the group, if any is left."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A temporary folder with `here`, `tmp` and `home`, removed at the end however deep it is."""
    place = Path(tempfile.mkdtemp(prefix="suite-hostile-")).resolve()
    try:
        for part in ("here", "tmp", "home"):
            (place / part).mkdir()
        yield place
    finally:
        # Python's own removal gives up a thousand folders deep.
        subprocess.run(["chmod", "-R", "u+rwx", place], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["rm", "-rf", place], check=True)
