"""The two trees of a comparison, in a temporary folder, and their workers.

Nothing is ever written into the user's checkout or its .git.

The older one is a clone that shares the user's objects (a worktree would leave an entry behind in .git when the gate is
killed); the newer one is a copy of the files as they lie in the working tree, committed or not, so that going on with
the work does not change what is measured.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.gate.side_by_side.answers import checked_build
from suite.gate.side_by_side.worker_client import SIDES, WorkerClient, WorkerError
from suite.gate.verdict import Side
from suite.gate.workers import case_worker
from suite.machine.git import git
from suite.machine.plain_text import complain
from suite.machine.user_cache import INDUCTOR, KERNELS
from suite.records.numbers import bytes_iec
from suite.records.stores.store import JUDGEMENT

FOLDERS = ("older", "newer")
"""Names of one length: by that of a path, identical Python code was seen to differ by 5% in every launch."""
IMPORTED, LARGE_BYTES = (".py", ".pth"), 1 << 30
FileState = tuple[int, int, int]
WORKER = Path(case_worker.__file__)
"""The judge's own, for both sides: a worker out of the newer tree would time itself."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One revision as files."""

    side: Side
    folder: Path


def repository(start: Path) -> Path:
    """The top folder of the git checkout around `start`. Raises ValueError if there is no checkout or no git, and on
    Windows."""
    if sys.platform != "win32":
        try:
            return Path(git(start, "rev-parse", "--show-toplevel"))
        except subprocess.CalledProcessError as error:
            complaint = " ".join(os.fsdecode(error.stderr or b"").split())
            raise ValueError(f"--against needs a git checkout around this folder; git says {complaint!r}") from error
        except FileNotFoundError as error:
            raise ValueError("--against needs git, which is not on PATH") from error
    # Its pipes cannot be waited for with a limit, and it counts CPU time in ticks of 15.6 ms.
    raise ValueError("--against needs Linux or macOS")


def resolved(top: Path, revision: str) -> str:
    """The commit id that a revision names, as git understands it. Raises ValueError if it names none."""
    with suppress(subprocess.CalledProcessError):
        # First as typed: what follows `:/` is a text to look for, to its end.
        named = git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
        if not named.startswith("^"):  # so git writes what is to be left out
            return git(top, "rev-parse", "--verify", "--quiet", f"{named}^{{commit}}")
    hint = "; this clone is shallow, so fetch more of its history (in a CI checkout: fetch-depth: 0)"
    raise ValueError(f"against must be a revision that git knows here; got {revision!r}{hint * _is_shallow(top)}")


def _is_shallow(top: Path) -> bool:
    return git(top, "rev-parse", "--is-shallow-repository") == "true"


def before(top: Path, revision: str, into: Path) -> Tree:
    """Clone the repository at `revision` into a folder below `into`, sharing its objects. Raises ValueError for an
    unknown revision, OSError if git cannot check out every file."""
    commit = resolved(top, revision)
    folder = into / FOLDERS[0]
    git(top, "clone", "--quiet", "--shared", "--no-checkout", "--", str(top), str(folder))
    if _is_shallow(top):  # nothing is shared, and other revisions are left out
        git(folder, "-c", "protocol.version=2", "fetch", "--quiet", "--depth=1", "origin", commit)
    git(folder, "checkout", "--quiet", "--detach", commit)
    if missing := git(folder, "ls-files", "--deleted"):  # a damaged object: git says so and still ends with 0
        raise OSError(f"git cannot check out all of {revision!r}; {missing.splitlines()[0]} is missing")
    return Tree(side=Side(label=revision, commit=commit), folder=folder)


def after(top: Path, into: Path) -> Tree:
    """Copy the working tree into a folder below `into`: all files, as they are now, that git tracks or does not ignore.
    Prints a warning for each file above LARGE_BYTES."""
    folder = into / FOLDERS[1]
    listing = ("ls-files", "-z", "--exclude-standard", "--others")
    names = git(top, *listing, "--cached", "--deduplicate").split("\0")
    for name in filter(None, names):
        source, target = top / name, folder / name
        if source.is_file() or source.is_symlink():  # what is deleted but not yet committed is gone
            if (nbytes := source.lstat().st_size) > LARGE_BYTES:
                complain(
                    f"suite gate: {name} has {bytes_iec(nbytes)} and is copied; add it to .gitignore to leave it out"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    # What lies beside a judgement is the gate's own, and no change of the tree.
    added = [name for name in git(top, *listing).split("\0") if name and not (top / name).with_name(JUDGEMENT).exists()]
    dirty = bool(added) or git(top, "status", "--porcelain", "--untracked-files=no") != ""
    return Tree(side=Side(label="working tree", commit=resolved(top, "HEAD"), dirty=dirty), folder=folder)


def file_states(tree: Path, ends: str | tuple[str, ...] = IMPORTED) -> dict[str, FileState]:
    """Inode, size and ctime of each file of a tree whose name ends with `ends`, by relative path. No program can set a
    ctime, so any change shows. By default only what Python imports is listed, since a case may write other files."""
    states = {}
    for folder, folders, names in os.walk(tree):
        folders[:] = [name for name in folders if name not in (".git", "__pycache__")]
        for path in (Path(folder, name) for name in names if name.endswith(ends)):
            state = path.lstat()
            states[path.relative_to(tree).as_posix()] = (state.st_ino, state.st_size, state.st_ctime_ns)
    return states


@dataclass(frozen=True, kw_only=True)
class BenchmarkCase:
    """A case that both revisions have, with the settings that each composed for it."""

    id: str
    settings: tuple[Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """Two trees and the way to start their workers."""

    trees: tuple[Path, Path]
    logs: Path
    """A folder for whatever the workers print."""
    python: str = sys.executable
    slowed: tuple[float, float] = (0.0, 0.0)
    """Shares by which each side's work is made to take longer, to measure what the gate finds."""
    older_files: Mapping[str, FileState] | None = None
    """The older tree's code, and what else of it is known to be read, before any ran; None where it may change."""

    @contextmanager
    def launched(self, first: int = 0) -> Iterator[list[WorkerClient]]:
        """Start two fresh workers, [before, after], which end with the block. `first`: the side that is started first.
        Raises WorkerError if one does not start, and if a file of the older tree changes before or within the block."""
        self.check_older_files()
        with ExitStack() as stack:
            started = {side: stack.enter_context(self.start(side)) for side in (first, 1 - first)}
            for side, worker in started.items():
                try:
                    worker.greet()
                except WorkerError as error:
                    raise WorkerError(f"{SIDES[side]}: {error}") from error
            yield [started[0], started[1]]
        self.check_older_files()

    def check_older_files(self) -> None:
        """Raise WorkerError if a file in `older_files` changed or a Python file came to the older tree. Code of the
        newer tree could otherwise make the older one slower."""
        if self.older_files is None:
            return
        now = file_states(self.trees[0], "")
        for name, state in self.older_files.items():
            if now.get(name) != state:
                raise WorkerError(f"{name} of the older revision was changed while it was measured")
        if added := sorted(name for name in now.keys() - self.older_files.keys() if name.endswith(IMPORTED)):
            raise WorkerError(f"{added[0]} was added to the older revision while it was measured")

    def start(self, side: int) -> WorkerClient:
        """Start the worker process of one side, to be greeted before it is asked anything."""
        tree, log = self.trees[side], self.logs / f"{SIDES[side]}.log"
        # No file of a tree may run before the worker's first line: with site and PYTHONPATH, which the worker opens
        # itself, there could be a tree's `sitecustomize.py`, or `queue.py`.
        options = ["-S", "-E", "-P", *(["-s"] if os.environ.get("PYTHONNOUSERSITE") else [])]
        return WorkerClient([self.python, *options, WORKER, tree], tree, log, environment=self.kernels(side))

    def kernels(self, side: int) -> Mapping[str, str]:
        """Environment variables for a side's own cache of compiled kernels, shared by all its workers. Neither the
        other side nor the user loads from it. An older tree may know only the second variable."""
        folder = self.logs / f"kernels-{FOLDERS[side]}"
        return {KERNELS: str(folder), INDUCTOR: str(folder / "inductor")}

    def build(
        self, workers: Sequence[WorkerClient], case: BenchmarkCase, side: int, *, examine: bool
    ) -> Mapping[str, Any]:
        """Let a side's worker build a case, and return its checked answer: spans, clock and, if `examine`, quantities.
        Raises as WorkerClient.ask, and BadAnswerError for an invalid answer."""
        answer = workers[side].ask(
            "build",
            id=case.id,
            settings=case.settings[side],
            examine=examine,
            slowed=self.slowed[side],
        )
        return checked_build(answer, examined=examine)
