"""How often `suite gate pytest` is wrong of a foreign repository: identical code, and injected slowdowns.

    .ci/tool benchmarks.stranger_power --python python3.9 --runs 20 --slow-runs 20 --busy 1 --out FOLDER

It makes a repository in `src/` layout with six benchmarks and an environment of its own, made by the Python that is
named; pytest and pytest-benchmark come from the package index, and the project is installed editable, as its user has
it. A slowdown is so much more of the same work, committed nowhere, as a change under way is. `--busy` keeps so many
processes spinning beside it. Each run is a line of FOLDER/stranger_runs.jsonl as soon as it ends; started again, it
does what is missing. The table has Wilson's 95% intervals.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from suite.gate.output.files import read_judgement
from suite.gate.verdict import Outcome
from tools.benchmarks.gate_error_rates import busy
from tools.benchmarks.proportions import wilson

SLOWDOWNS = (0.05, 0.10)
WHOLE = 100
"""Pieces of work in a call of the older revision; a slowdown of 5% is five more."""
PROJECT = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "stranger"
version = "1.0"

[tool.pytest.ini_options]
testpaths = ["benchmarks"]
addopts = "--benchmark-disable"
""",
    ".gitignore": "*.egg-info/\n.venv/\nresults/\n",
    "src/stranger/__init__.py": """\
import json
import re

from stranger.pieces import PIECES

WORD = re.compile(r"[a-z]+")
TEXT = "A line of text with several words, of which some are longer than others. "


class Node:
    def __init__(self, value, children=()):
        self.value, self.children = value, children

    def total(self):
        return self.value + sum(child.total() for child in self.children)


def tree(depth):
    return Node(depth, [tree(depth - 1) for _ in range(2)] if depth else ())


def words():
    return sum(len(WORD.findall(TEXT.lower())) for _ in range(PIECES))


def counts():
    found = {}
    for _ in range(PIECES):
        for letter in TEXT:
            found[letter] = found.get(letter, 0) + 1
    return found


def ordered(numbers):
    return [sorted(numbers, key=lambda number: -number)[0] for _ in range(PIECES)]


def totals(root):
    return sum(root.total() for _ in range(PIECES))


def copies(value):
    for _ in range(PIECES):
        value = json.loads(json.dumps(value))
    return value


def product(a, b):
    for _ in range(PIECES):
        result = [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]
    return result
""",
    "benchmarks/test_stranger.py": """\
import pytest
import stranger


@pytest.fixture(scope="module")
def root():
    return stranger.tree(4)


def test_words(benchmark):
    assert benchmark(stranger.words) > 0


def test_counts(benchmark):
    assert benchmark(stranger.counts)["w"] > 0


@pytest.mark.parametrize("size", [60])
def test_ordered(benchmark, size):
    assert benchmark(stranger.ordered, list(range(size)))[0] == size - 1


class TestTree:
    def test_totals(self, benchmark, root):
        assert benchmark(stranger.totals, root) > 0


def test_copies(benchmark):
    value = {"numbers": list(range(20)), "text": "some"}
    assert benchmark.pedantic(stranger.copies, setup=lambda: ((value,), {}), rounds=20) == value


def test_product(benchmark):
    matrix = [[1.0] * 6] * 6
    assert benchmark(stranger.product, matrix, matrix)[0][0] == 6.0
""",
}
BENCHMARKS = 6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="makes the project's environment")
    parser.add_argument("--runs", type=int, default=20, help="of identical code")
    parser.add_argument("--slow-runs", type=int, default=20, help="of each slowdown")
    parser.add_argument("--seconds", type=float, default=30.0, help="the most measuring time of each")
    parser.add_argument("--busy", type=int, default=0, help="processes that spin meanwhile")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    folder = options.out.resolve()
    journal, checkout = folder / "stranger_runs.jsonl", folder / "checkout"
    conditions = {"seconds": options.seconds, "busy": options.busy, "python": options.python}
    done = read(journal)
    if any(run["conditions"] != conditions for run in done):
        print(f"stranger_power: {journal} holds runs under other conditions: choose another folder", file=sys.stderr)
        return 2
    make(checkout, options.python)
    wanted = {0.0: options.runs, **dict.fromkeys(SLOWDOWNS, options.slow_runs)}
    missing = [by for by, count in wanted.items() for _ in range(count - sum(run["slower_by"] == by for run in done))]
    random.Random(len(done)).shuffle(missing)  # so that a drift of the machine falls on all kinds alike
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with busy(options.busy):
            for number, slower_by in enumerate(missing, 1):
                run = {**gate(checkout, slower_by, options.seconds, folder / "out"), "conditions": conditions}
                with journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(run) + "\n")
                print(f"{number} of {len(missing)}: {run_line(run)}", flush=True)
    except KeyboardInterrupt:
        return 130
    finally:
        print("\n" + "\n".join(table(read(journal))))
    return 0


def make(checkout: Path, python: str) -> None:
    """Make the repository and its environment, where they are not there yet."""
    if (checkout / ".venv" / "made").exists():
        return
    for name, text in {**PROJECT, **pieces(0.0)}.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "the project"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run([python, "-m", "venv", str(checkout / ".venv")], check=True)
    install = [str(checkout / ".venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "pytest<9", "pytest-benchmark", "--editable", str(checkout)], check=True)
    (checkout / ".venv" / "made").touch()


def pieces(slower_by: float) -> Mapping[str, str]:
    """The project's file that says how much work a call does."""
    return {"src/stranger/pieces.py": f"PIECES = {round(WHOLE * (1 + slower_by))}\n"}


def gate(checkout: Path, slower_by: float, seconds: float, out: Path) -> dict[str, Any]:
    """Judge the working tree, slowed by a share, as its user would; the journal's line. Exits without all verdicts."""
    for name, text in pieces(slower_by).items():
        (checkout / name).write_text(text, encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "suite", "gate", "pytest", "--against", "HEAD", "--seconds", str(seconds)]
    begun = time.monotonic()
    root = str(Path(__file__).resolve().parents[3])
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    ended = subprocess.run(
        [*command, "--out", str(out)], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    judgement = read_judgement(out)
    if len(judgement.verdicts) != BENCHMARKS:  # what is broken is no rate
        raise SystemExit(f"exit code {ended.returncode}: {ended.stdout}{ended.stderr}")
    return {
        "slower_by": slower_by,
        "exit_code": ended.returncode,
        "outcomes": {verdict.case: str(verdict.outcome) for verdict in judgement.verdicts},
        "broken": [verdict.reason for verdict in judgement.verdicts if verdict.outcome is Outcome.BROKEN],
        "ratios": {verdict.case: verdict.ratio for verdict in judgement.verdicts},
        "code": judgement.facts["code"],
        "python": judgement.facts["python"],
        "seconds": judgement.facts["seconds"],
        "launches": judgement.facts["launches"],
        "whole_s": time.monotonic() - begun,
    }


def read(journal: Path) -> list[dict[str, Any]]:
    """The runs of a journal, none where it is missing."""
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()] if journal.exists() else []


def run_line(run: Mapping[str, Any]) -> str:
    """One run in a line."""
    outcomes = ", ".join(f"{case.rpartition('::')[2]} {outcome}" for case, outcome in run["outcomes"].items())
    outcomes = "; ".join([outcomes, *run["broken"]])
    return (
        f"+{run['slower_by']:.0%}: exit code {run['exit_code']}, {run['seconds']:.0f} s in {run['launches']} launches, "
        f"{run['whole_s']:.0f} s in all; {outcomes}"
    )


def table(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a slowdown: runs that fail, and benchmarks by what they are called."""
    lines = [f"{len(runs)} runs of {runs[0]['python']}, code {runs[0]['code']}"] if runs else ["no run"]
    for slower_by in (0.0, *SLOWDOWNS):
        of_kind = [run for run in runs if run["slower_by"] == slower_by]
        if not of_kind:
            continue
        outcomes = [outcome for run in of_kind for outcome in run["outcomes"].values()]
        assert len(outcomes) == BENCHMARKS * len(of_kind)
        failing = share(sum(run["exit_code"] == 1 for run in of_kind), len(of_kind))
        by_outcome = [
            f"{outcome} {share(outcomes.count(outcome), len(outcomes))}" for outcome in Outcome if outcome in outcomes
        ]
        seconds, whole_s = (median(run[name] for run in of_kind) for name in ("seconds", "whole_s"))
        lines.append(
            f"+{slower_by:.0%}: exit code 1 in {failing} runs; benchmarks: {', '.join(by_outcome)}; median "
            f"{seconds:.0f} s of measuring, {whole_s:.0f} s in all"
        )
    return lines


def share(count: int, of: int) -> str:
    """`19 of 20 (76–99%)`, with Wilson's interval."""
    interval = wilson(count, of)
    return f"{count} of {of} ({100 * interval.low:.0f}–{100 * interval.high:.0f}%)"


if __name__ == "__main__":
    sys.exit(main())
