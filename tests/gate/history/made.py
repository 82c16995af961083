"""Repositories with many commits, made at once, and judgements of them with drawn noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from suite.gate.output.files import write_judgement
from suite.gate.verdict import Judgement, Outcome, Side
from tests.gate.judgements import exact, judgement, timing
from tests.gate.repositories import Repository, repository
from tests.gate.stored.benchmark_files import benchmark, write

ERROR = 0.005
MACHINE = {"machine": "a-processor-1-thread", "machine_id": "0123456789abcdef"}


def history_of(folder: Path, count: int) -> tuple[Repository, list[str]]:
    """Return a repository with so many commits, and their ids, oldest first."""
    made = repository(folder)
    commits = [
        f"commit refs/heads/main\ncommitter a <a@b.example> {1_767_225_600 + number} +0000\n"
        f"data <<END\nchange {number}\nEND\n"
        for number in range(count)
    ]
    made.git("fast-import", "--quiet", given="\n".join([*commits, "done\n"]).encode())
    return made, made.git("log", "--reverse", "--format=%H", "main").split("\n")


def judged(
    commit: str,
    base: str,
    ratio: float = 1.0,
    value: float = 1e-3,
    at: int = 0,
    outcome: Outcome = Outcome.SAME,
    **said,
) -> Judgement:
    """Return a judgement of one timing, whose interval has the standard error ERROR at a confidence of 98%."""
    half = 2.326 * ERROR
    verdict = timing(
        outcome,
        ratio,
        case="case",
        before=value / ratio,
        after=value,
        low=ratio * (1 - half),
        high=ratio * (1 + half),
        level=0.98,
    )
    made = judgement(
        verdict,
        before=Side(label="parent", commit=base),
        after=Side(label="working tree", commit=commit),
        facts={"started_at": f"2026-03-01T10:{at // 60:02}:{at % 60:02}+00:00", **MACHINE},
    )
    return replace(made, **said)


def judge_all(folder: Path, commits: list[str], losses: dict[int, float], seed: int = 0) -> None:
    """Write a judgement of each commit against its parent. `losses`: true log-ratios by place, else 0."""
    noise = np.random.default_rng(seed).normal(scale=ERROR, size=len(commits))
    for place in range(1, len(commits)):
        ratio = float(np.exp(noise[place] + losses.get(place, 0.0)))
        write_judgement(judged(commits[place], commits[place - 1], ratio, at=place), folder / f"j{place:03}", {})


def cache_grew(commit: str, base: str, **said) -> Judgement:
    return replace(judged(commit, base, **said), verdicts=[exact(case="case")])


def benchmark_file(path: Path, commit: str, median_s: float, node: str = "host", **commit_info) -> None:
    """Write what `pytest --benchmark-save` writes, without raw data."""
    summary = benchmark("tests/test_a.py::test_b[1]", stats={"median": median_s, "rounds": 5})
    machine = {"node": node, "machine": "x86_64", "cpu": {"brand_raw": "A processor", "count": 2}}
    given = {"id": commit, "dirty": False, "branch": "main", **commit_info}
    write(path, summary, machine=machine, commit=given, at="2026-03-01T10:00:00")
