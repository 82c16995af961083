"""The Makefile with stand-ins for Python: nothing is installed here."""

import os
import shutil
import subprocess
import sys
import tarfile
from itertools import groupby
from pathlib import Path

import pytest

from tests.gate.repositories import Repository

ROOT = Path(__file__).resolve().parents[1]
MAKE = shutil.which("make")
TOOLS = ("echo", "touch", "uname", "mkdir", "cat", "chmod", "rm", "find", "xargs")

pytestmark = pytest.mark.skipif(MAKE is None or sys.platform == "win32", reason="needs make and a POSIX shell")

ON_ALL_CPUS = "-n logical --maxprocesses=4 --dist worksteal"
TOO_OLD = "exit 1"
WITHOUT_VENV = 'case "$*" in *ensurepip*) exit 1;; esac'
# Answers every question with yes, and makes an environment whose programs write down how they were called. What the
# project asks for is read in earnest.
GOOD = f"""
case "$*" in
"-c import sys, tomllib"*) exec "{sys.executable}" "$@";;
"-m venv"*)
  for folder; do :; done
  mkdir -p "$folder/bin" "$folder/lib/python3.11/site-packages"
  for tool in suite ruff mypy; do
    printf '#!/bin/sh\\necho "%s $*" >> calls\\n' $tool > $folder/bin/$tool
  done
  cat "$0" > "$folder/bin/python"
  chmod +x "$folder"/bin/*;;
*) case "$0" in .*) echo "python $*" >> calls;; esac;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder, with a space in its path, that has the Makefile and no more."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(checkout, *arguments, **pythons):
    """Run make with a PATH on which only the given stand-ins, by name, are Pythons."""
    tools = checkout.parent / "bin"
    tools.mkdir(exist_ok=True)
    for tool in TOOLS:
        if not (tools / tool).exists():
            (tools / tool).symlink_to(shutil.which(tool))
    for name, script in pythons.items():
        (tools / name.replace("_", ".")).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name.replace("_", ".")).chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    environment["PATH"] = str(tools)
    environment.pop("PYTHON", None)
    return subprocess.run(
        [MAKE, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def calls(checkout):
    """What was called, in order; what was called side by side, by name."""
    lines = (checkout / "calls").read_text().splitlines()
    return [line for _, near in groupby(lines, lambda line: line.startswith("mypy") or line) for line in sorted(near)]


def test_without_a_python_of_the_right_age_a_sentence_says_so(checkout):
    ended = make(checkout, "demo", python3=TOO_OLD, python=TOO_OLD)
    assert ended.returncode != 0
    assert "No Python 3.11 to 3.13 found" in ended.stderr
    assert not (checkout / ".venv").exists()


def test_the_first_python_that_is_in_range_and_whole_is_taken(checkout):
    ended = make(checkout, "demo", python3=TOO_OLD, python3_13=WITHOUT_VENV, python3_12=GOOD)
    assert ended.returncode == 0, ended.stderr
    assert "Making .venv with python3.12" in ended.stdout


INSTALL = "python -m pip install --quiet --disable-pip-version-check"
DEV = f"{INSTALL} -e .[dev]"
TYPES = [f"mypy --platform {name} --cache-dir .mypy_cache/{name}" for name in ("darwin", "win32")]
TYPES.insert(1, "mypy --platform linux")
CHECKS = ["ruff format --check .", "ruff check .", *TYPES, f"python -m pytest {ON_ALL_CPUS}"]


@pytest.mark.parametrize(
    ("target", "environments", "installs", "runs"),
    [
        ("demo", [".venv"], [f"{INSTALL} -e .[run]"], ["suite demo"]),
        ("test", [".venv"], [DEV], CHECKS),
        ("browser", [".venv"], [DEV, f"{INSTALL} -r .venv/requirements.txt"], ["python -m pytest tests/browser"]),
        (
            "trackers",  # without torch
            [".trackers"],
            [f"{INSTALL} pip>=25.1", f"{INSTALL} -e .[trackers]"],
            ["python -m pytest tests/trackers"],
        ),
    ],
)
def test_a_target_installs_once_into_its_own_environment(checkout, target, environments, installs, runs):
    first = make(checkout, target, python3=GOOD)
    assert first.returncode == 0, first.stderr
    assert [name for name in environments if f"Making {name} with python3" not in first.stdout] == []
    assert sorted(path.parent.parent.name for path in checkout.glob(".*/bin/python")) == environments
    assert calls(checkout) == [*installs, *runs]
    assert make(checkout, target).returncode == 0
    assert calls(checkout)[len(installs) + len(runs) :] == runs, "a second call installs nothing"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_bundle_holds_what_was_committed_and_its_commit(checkout):
    made = Repository(checkout)
    made.git("init", "--quiet")
    names = ("README.md", "LICENSE", "conf/run.yaml", "suite/code.py", "tests/test.py", "results/large")
    made.commit(
        {name: name for name in ("Makefile", "pyproject.toml", *names)} | {"Makefile": (ROOT / "Makefile").read_text()}
    )
    (checkout / "suite" / "code.py").write_text("not committed")
    ended = make(checkout, "gpu-bundle", git=f'exec "{shutil.which("git")}" "$@"')
    assert ended.returncode == 0, ended.stderr
    with tarfile.open(checkout / "build" / "suite.tar.gz") as tar:
        files = {member.name: tar.extractfile(member).read().decode() for member in tar if member.isfile()}
    assert files.pop("suite/COMMIT") == made.git("rev-parse", "HEAD")
    assert files.pop("suite/Makefile") == (ROOT / "Makefile").read_text()
    assert files == {f"suite/{name}": name for name in ("pyproject.toml", *names[:-1])}


def test_a_gpu_is_measured_by_the_given_python_without_installs(checkout):
    asked = make(checkout, "gpu", "OUT=some where", "BUDGET_S=60", python3='echo "$*" >> calls')
    assert asked.returncode == 0
    assert calls(checkout) == ["-m suite.commands.gpu --out some where --budget-s 60 --device cuda"]
    assert not (checkout / ".venv").exists()


def test_a_failed_install_is_tried_again(checkout):
    failing = GOOD.replace(">> calls", ">> calls; exit 7")
    assert make(checkout, "demo", python3=failing).returncode != 0
    assert not (checkout / ".venv/.runtime").exists()
