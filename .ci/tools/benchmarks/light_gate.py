"""What the gate costs to install where nothing is installed yet: bytes downloaded and seconds, for each Python.

    .ci/tool benchmarks.light_gate PYTHON...

In a bare environment of each Python this checkout is installed without extras, as an action does, and what it needs
from the package index without pip's cache. There the gate must start, refuse what it
cannot read, and judge a small repository whose cases run with the Python of this script, which has torch. One line a
Python is printed; the exit code is 1 where an environment fails, or costs more than LARGEST_BYTES or --longest-s.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.gate.repositories import repository
from tests.test_foreign_variant import readmes_variant

ROOT = Path(__file__).parents[3]
LARGEST_BYTES = 60_000_000
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
UNCACHED = ("install", "--no-cache-dir", "--no-compile")
"""Python compiles what it imports; all of numpy takes pip several seconds."""
BUILDS_WITH = "hatchling"
SECONDS = "20"
CHOSEN = ("--set", "attention=normed", "--set", "hydra.searchpath=[pkg://normed]", "--set", "geometry=tiny")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", type=Path, nargs="+", help="3.11, 3.12 or 3.13")
    parser.add_argument("--longest-s", type=float, default=20.0, help="the most seconds of an installation")
    options = parser.parse_args()
    codes = []
    for python in options.python:
        with tempfile.TemporaryDirectory() as folder:
            codes.append(_measure(python, Path(folder), options.longest_s))
    return max(codes)


def _measure(python: Path, folder: Path, longest_s: float) -> int:
    """Install the gate into a bare environment and try it; prints a line, and returns 1 where that cost too much."""
    bare = folder / "bare"
    _run([python, "-m", "venv", bare])
    bare_python = bare / "bin" / "python"
    begun, used_s = time.monotonic(), _children_s()
    _run([bare_python, *PIP, *UNCACHED, ROOT])
    took_s, used_s = time.monotonic() - begun, _children_s() - used_s
    _run([bare_python, *PIP, "download", "--dest", folder / "files", ROOT])
    # What `pip install .` fetches by itself.
    _run([bare_python, *PIP, "download", "--dest", folder / "files", BUILDS_WITH])
    nbytes = sum(file.stat().st_size for file in (folder / "files").iterdir())
    installed = sum(
        file.stat().st_size for file in (bare / "lib").rglob("*") if file.is_file() and "pip" not in file.parts
    )
    version = _run([bare_python, "-c", "import platform; print(platform.python_version())"]).strip()
    print(
        f"Python {version}: {nbytes / 1e6:.1f} MB downloaded, {installed / 1e6:.0f} MB installed, {took_s:.1f} s, of "
        f"which {used_s:.1f} s computing; "
        f"{_try_gate(bare / 'bin' / 'suite', folder)}",
        flush=True,
    )
    return int(nbytes > LARGEST_BYTES or took_s > longest_s)


def _children_s() -> float:
    """The processor time of ended children, which says more than the clock on a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _try_gate(suite: Path, folder: Path) -> str:
    """Start the gate, let it refuse, and judge a small project; its line of counts. Raises where it does otherwise."""
    assert "--against" in _run([suite, "gate", "--help"])
    (folder / "records").mkdir()
    refused = [suite, "gate", "--baseline", folder / "records", "--candidate", folder / "records"]
    assert subprocess.run(refused, capture_output=True, check=False).returncode == 2
    project = repository(folder / "foreign")
    project.commit({".gitignore": "results/\n", **{f"src/{name}": text for name, text in readmes_variant().items()}})
    project.commit({"NOTES.md": "a change of no code\n"})
    exported, before = folder / "new.json", folder / "new.before.json"
    against = [suite, "gate", "--against", "HEAD~1", "--python", sys.executable, "--seconds", SECONDS, *CHOSEN]
    output = _run([*against, "--export-benchmark-json", exported], cwd=project.folder)
    stored = _run([suite, "gate", "--baseline", before, "--candidate", exported], cwd=project.folder)
    assert " inconclusive" in stored  # one stored run tells no spread
    return next(line for line in output.splitlines() if " same" in line)


def _run(command: Sequence[str | Path], **settings: object) -> str:
    """The output of a command. Raises CalledProcessError, after printing its output, where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
    done.check_returncode()
    return str(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
