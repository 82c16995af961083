"""Commands whose streams, limits or surroundings are broken, each as a process of its own; and where they write."""

import os
import random
import resource
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from suite.machine.user_cache import KERNELS, kernels_folder
from tests.records.factory import build, store
from tools.hostile.attempt import CODES, INTERRUPTED, Attempt, command

ROOT = Path(__file__).resolve().parents[3]
FOLDER_OF_KERNELS = str(kernels_folder())
"""Where a decode kernel is kept: an attempt with a home of its own would build it again."""
OF_RUNS = ("geometry=tiny", "seq_len=64", "measure=smoke", "telemetry=off")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "welcome": (),
    "version": ("--version",),
    "help": ("--help",),
    "help of a command": ("report", "--help"),
    "help of runs": ("run", "--help"),
    "settings": ("run", "--cfg", "job"),
    "projection": ("run", "workload=projection", "hardware=h100-sxm5-80gb", "geometry=tiny"),
    "refused": ("run", "nope=1"),
    "one case": ("run", *OF_RUNS),
    "sweep": ("run", "-m", "attention=mha,gqa", *OF_RUNS),
    "doctor": ("doctor",),
    "explain": ("explain", "mla", "--lang", "zh"),
    "list": ("results", "list", "whole"),
    "list as JSON": ("results", "list", "whole", "--json"),
    "show": ("results", "show", "0123", "--results", "whole"),
    "verify": ("results", "verify", "whole"),
    "merge": ("results", "merge", "whole", "--into", "into"),
    "report": ("report", "--results", "whole"),
    "report as CSV": ("report", "--results", "whole", "--format", "csv"),
    "accept": ("gate", "accept", "x", "--reason", "y", "--ceiling", "1.1", "--expires", "2099-01-01"),
}


def _to(path: str, *numbers: int) -> Callable[[], object]:
    """A function that leads these streams to a file."""

    def change() -> None:
        for number in numbers:
            os.dup2(os.open(path, os.O_WRONLY), number)

    return change


def _closed(*numbers: int) -> Callable[[], object]:
    """A function that closes these streams."""
    return lambda: [os.close(number) for number in numbers]


def _unread(*numbers: int) -> Callable[[], object]:
    """A pipe whose reader has left."""

    def change() -> None:
        reads, writes = os.pipe()
        os.close(reads)
        for number in numbers:
            os.dup2(writes, number)

    return change


def _to_be_read(number: int) -> Callable[[], object]:
    """A function that opens a stream for reading only."""
    return lambda: os.dup2(os.open(os.devnull, os.O_RDONLY), number)


def _limited(kind: int, most: int) -> Callable[[], object]:
    """A function that sets a limit of the process's resources."""
    return lambda: resource.setrlimit(kind, (most, most))


def _with(**variables: str) -> Callable[[], object]:
    """A function that sets variables of the environment."""
    return lambda: os.environ.update(variables)


BROKEN: Mapping[str, Callable[[], object]] = {
    "closed stdout": _closed(1),
    "closed stderr": _closed(2),
    "closed stdout and stderr": _closed(1, 2),
    "no streams": _closed(0, 1, 2),
    "closed stdin": _closed(0),
    "full stdout": _to("/dev/full", 1),
    "full stderr": _to("/dev/full", 2),
    "full stdout and stderr": _to("/dev/full", 1, 2),
    "stdout that nobody reads": _unread(1),
    "stderr that nobody reads": _unread(2),
    "stdout and stderr that nobody reads": _unread(1, 2),
    "stdout that can only be read": _to_be_read(1),
    "files of no byte": _limited(resource.RLIMIT_FSIZE, 0),
    "files of 1 kB": _limited(resource.RLIMIT_FSIZE, 1_000),
    "files of 100 kB": _limited(resource.RLIMIT_FSIZE, 100_000),
    "24 open files": _limited(resource.RLIMIT_NOFILE, 24),
    "ASCII": _with(PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0"),
    "no home": _with(HOME="/nope", USER="", LOGNAME=""),
    "no path": _with(PATH=""),
    "no temporary folder": _with(TMPDIR="/nope", TEMP="/nope", TMP="/nope"),
    "a strange terminal": _with(TERM="nope", COLUMNS="0", LINES="-1", FORCE_COLOR="1"),
    "a summary that cannot be": _with(GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY="/nope/summary"),
    "another repository's git": _with(GIT_DIR="/nope", GIT_WORK_TREE="/", GIT_INDEX_FILE="/nope"),
    "a strange time zone": _with(TZ="Nope/Nope"),
    "threads that are no number": _with(OMP_NUM_THREADS="nope"),
}
SAYS_NOTHING = ("stderr", "no streams", "files of")
TARGETS: Mapping[str, Callable[[Path], object]] = {
    "a device": lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "a pipe": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
    "a link to a device": lambda path: path.symlink_to("/dev/null"),
    "a link to a folder": lambda path: path.symlink_to("../tmp"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "below a file": lambda path: path.parent.joinpath("file").write_text("x"),
}
WRITERS: Mapping[str, tuple[str, ...]] = {
    "report": ("report", "--results", "whole", "--out"),
    "report as CSV": ("report", "--results", "whole", "--format", "csv", "--out"),
    "merge": ("results", "merge", "whole", "--into"),
    "run": ("run", "workload=projection", "hardware=h100-sxm5-80gb", "geometry=tiny", "hydra.run.dir={}"),
}
READ_ONLY = ("/proc/nope/x", "/sys/x", "/dev/null/x")


def attempts(chance: random.Random) -> Iterator[Attempt]:
    """Every command with every stream, limit and target, over and over in another order."""
    catalogue = [*_with_streams(), *_with_targets()]
    while True:
        yield from chance.sample(catalogue, len(catalogue))


def _with_streams() -> Iterator[Attempt]:
    for name, arguments in COMMANDS.items():
        for what, change in BROKEN.items():
            yield Attempt(
                what=f"{name}, {what}",
                run=_as_process(arguments, change),
                prepare=_whole,
                codes=(*CODES, INTERRUPTED),
                is_watched=False,
                says_why=not any(start in what for start in SAYS_NOTHING),
            )


def _with_targets() -> Iterator[Attempt]:
    for name, arguments in WRITERS.items():
        for what, make in TARGETS.items():
            target = "file/target" if what == "below a file" else "target"

            def prepare(folder: Path, make: Callable[[Path], object] = make) -> None:
                _whole(folder)
                make(folder / "target")

            run = command(*_at(arguments, target))
            yield Attempt(what=f"{name} into {what}", run=run, prepare=prepare, keeps=("target", "file"))
        for place in READ_ONLY:
            run = command(*_at(arguments, place))
            yield Attempt(what=f"{name} into {place}", run=run, prepare=_whole, codes=(2, 4), is_watched=False)


def _at(arguments: tuple[str, ...], target: str) -> tuple[str, ...]:
    """The arguments with the target in the place of `{}`, or behind them."""
    *first, last = arguments
    return (*first, last.format(target)) if "{}" in last else (*arguments, target)


def _whole(folder: Path) -> None:
    store(folder / "whole", build(), build(seq_len=8192))


def _as_process(arguments: tuple[str, ...], change: Callable[[], object]) -> Callable[[], int]:
    """A function that runs the command in a new interpreter, since streams break its beginning and its end."""

    def run() -> int:
        os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", KERNELS: FOLDER_OF_KERNELS}
        change()
        os.execv(sys.executable, [sys.executable, "-m", "suite", *arguments])

    return run
