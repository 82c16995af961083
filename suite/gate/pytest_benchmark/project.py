"""Somebody's project: the Python that runs its suite, the paths that are meant, the workers of two revisions."""

import itertools
import json
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from suite.gate.side_by_side.answers import checked_collection
from suite.gate.side_by_side.revisions import FOLDERS, Revisions
from suite.gate.side_by_side.worker_client import SIDES, FailedError, WorkerClient, WorkerError, ask_both, interpreter
from suite.gate.workers import pytest_worker
from suite.machine.git import git

OLDEST = (3, 9)
LONGEST_PREPARATION_S = 1800.0
LONGEST_COMPLAINT = 600
ASK = (
    "import sys; sys.path[:] = filter(None, sys.path); import pytest, pytest_benchmark as b; "
    "print('.'.join(map(str, sys.version_info[:3])), pytest.__version__, b.__version__)"
)


@dataclass(frozen=True, kw_only=True)
class ProjectPython:
    """An interpreter that has pytest and pytest-benchmark, and why it was chosen."""

    path: str
    reason: str
    versions: str
    """In words, those of Python, pytest and pytest-benchmark."""


def find_python(requested: Path | None, top: Path, folder: Path) -> ProjectPython:
    """The requested Python, or the first that can import pytest and pytest-benchmark. Tried are .venv and venv in
    `folder` and at the repository's top, the active environment, and `python` on PATH, but no environment that git
    tracks. Raises ValueError if none can run the suite."""
    if requested is not None:
        candidate = _probe(interpreter(requested), "--python", top)
        if candidate is None:
            raise ValueError(f"python must have pytest and pytest-benchmark; {str(requested)!r} cannot import both")
        return candidate
    tried = []
    for reason, path in _candidates(top, folder):
        environment = Path(path).parents[1] if Path(path).is_relative_to(top) else top
        if environment != top and git(top, "ls-files", "--", str(environment)):
            tried.append(f"{reason}, which git tracks, so it belongs to the code that is compared")
            continue
        tracked = [refusal for refusal in tried if "git" in refusal]
        candidate = _probe(path, "; not by ".join([reason, *tracked]), top)
        if candidate is not None:
            return candidate
        tried.append(reason)
    raise ValueError(
        f"no Python here has pytest and pytest-benchmark (tried: {', '.join(tried)}); name the project's "
        "Python with --python"
    )


def _candidates(top: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield where a Python was found, in words, and its path, in the order in which they are tried."""
    for base, name in itertools.product(dict.fromkeys((folder, top)), (".venv", "venv")):
        path = base / name / "bin" / "python"
        if path.exists():
            yield f"{name} of the project", str(path)
    if active := os.environ.get("VIRTUAL_ENV"):
        yield "the active environment", str(Path(active, "bin", "python"))
    yield "python on PATH", "python"


def _probe(path: str, reason: str, top: Path) -> ProjectPython | None:
    """Start a Python to ask for its versions; None if it lacks pytest or pytest-benchmark. Raises ValueError before
    3.9. It imports nothing of the checkout, where a `pytest.py` may lie, but runs in the current folder, by which a
    shim chooses a version."""
    outside = [folder for folder in _python_path() if not Path(folder).resolve().is_relative_to(top)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(outside)}
    # A minute, since a first import of pytest from a cold disk may take many seconds.
    command = [path, "-c", ASK]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
        python, pytest, benchmark = ended.stdout.split()[-3:]
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if tuple(map(int, python.split(".")[:2])) < OLDEST:
        raise ValueError(f"python must be 3.9 or newer; {reason} is {python}")
    versions = f"Python {python}, pytest {pytest}, pytest-benchmark {benchmark}"
    return ProjectPython(path=path, reason=reason, versions=versions)


def _python_path() -> list[str]:
    return [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


def paths_in(folder: Path, paths: Sequence[str]) -> list[str]:
    """The command line's paths and node ids, rewritten relative to the folder where pytest runs. Raises ValueError for
    a file or folder that does not exist."""
    relative_paths = []
    for path in paths:
        file, mark, name = path.partition("::")
        if not (folder / file).exists():
            raise ValueError(f"PATH must be a file, a folder or a node id that exists here; got {path!r}")
        relative = os.path.relpath((folder / file).resolve(), folder.resolve())
        relative_paths.append(f"{relative}{mark}{name}")
    return relative_paths


def prepare(command: str, trees: Sequence[Path], logs: Path, python: ProjectPython) -> None:
    """Run a shell command in each tree, with the project's Python first on PATH and output in `logs`. Raises
    WorkerError if it fails or takes longer than LONGEST_PREPARATION_S."""
    path = os.pathsep.join([str(Path(python.path).parent), os.environ.get("PATH", os.defpath)])
    for which, tree in zip(FOLDERS, trees, strict=True):
        log = logs / f"prepare-{which}.log"
        with log.open("wb") as output:
            try:
                ended = subprocess.run(
                    ["sh", "-c", command],
                    cwd=tree,
                    env=os.environ | {"PATH": path},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=LONGEST_PREPARATION_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise WorkerError(
                    f"--prepare took more than {LONGEST_PREPARATION_S:g} s in the {which} revision"
                ) from error
        if ended.returncode != 0:
            complaint = log.read_text(errors="replace").strip()[-LONGEST_COMPLAINT:]
            raise WorkerError(
                f"--prepare failed in the {which} revision with exit code {ended.returncode}: {complaint}"
            )


@dataclass(frozen=True, kw_only=True)
class ProjectRevisions(Revisions):
    """The two trees of a project, whose workers are pytest processes."""

    folder: str
    """The folder in which pytest runs, relative to the tree."""
    checkout: Path
    """The user's own files, of which the workers must run none."""
    paths: Sequence[str] = ()
    only: Sequence[str] = ()
    """Files of tests beside which none is imported; all that the paths name where there is none."""
    watches: bool = False
    """True if workers note every file that they open, which slows them down."""
    _seeds: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def launched(self, first: int = 0) -> Iterator[list[WorkerClient]]:
        """Start two fresh pytest processes and set each one's `collection`. Raises WorkerError if they cannot."""
        with super().launched(first) as workers:
            try:
                collections = ask_both(workers, "collect", checked_collection)
            except (FailedError, WorkerError) as error:
                raise WorkerError(f"pytest cannot collect {error}") from error
            for worker, collection in zip(workers, collections, strict=True):
                worker.collection = collection
            yield workers

    def start(self, side: int) -> WorkerClient:
        """Start pytest in one tree. Both sides of a launch have the same hash seed, and each launch another."""
        tree, temporary = self.trees[side], self.logs / f"pytest-{FOLDERS[side]}"
        for needed in (tree / self.folder, temporary):  # an older revision may lack the folder, and then has no test
            needed.mkdir(parents=True, exist_ok=True)
        paths = list(self.paths)
        if paths and not any((tree / self.folder / path.partition("::")[0]).exists() for path in paths):
            paths = [str(temporary / "nothing")]  # all of it came later; pytest ends where a path is not there
            Path(paths[0]).mkdir(exist_ok=True)
        request = {
            "tree": str(tree),
            "folder": self.folder,
            "checkout": str(self.checkout),
            "paths": paths,
            "only": list(self.only),
            "watches": self.watches,
            "temporary": str(temporary),
            "padding": random.getrandbits(32),
            "path": _python_path(),
        }
        # The same on both sides of a launch. Hashes differ from launch to launch, so that a lucky order of a set is a
        # launch's and no revision's. The worker opens PYTHONPATH itself: with a relative one a tree's
        # `sitecustomize.py` would run before its first line.
        seed = next(self._seeds) // len(SIDES)
        environment = {"PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""}
        return WorkerClient(
            [self.python, pytest_worker.__file__, json.dumps(request)],
            tree / self.folder,
            self.logs / f"{SIDES[side]}.log",
            environment={**environment, **self.kernels(side)},
        )
