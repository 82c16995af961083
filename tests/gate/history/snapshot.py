"""What `suite gate history` answers on one made-up line of commits, as it stands in snapshot.txt. `python -m
tests.gate.history.snapshot` writes it anew, after which git shows what a change has changed.
"""

import contextlib
import io
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from suite import __main__ as command_line
from suite.gate.output.files import write_judgement
from tests.gate.history.made import benchmark_file, cache_grew, history_of, judge_all, judged

SNAPSHOT = Path(__file__).with_name("snapshot.txt")
COMMITS = 30
LOSSES = {8: -0.2, **dict.fromkeys(range(14, 24), 0.012)}
"""A commit that gains 18%, and ten that each cost 1.2%."""


def answers(folder: Path) -> str:
    """What it prints, its summary and its data: over all commits, over the newest ten, and of stored values alone."""
    made, commits = history_of(folder / "checkout", COMMITS)
    judge_all(folder / "judged", commits, LOSSES)
    write_judgement(cache_grew(commits[5], commits[4]), folder / "judged" / "grew", {})
    write_judgement(judged(commits[9], commits[7], 1.01, at=50), folder / "judged" / "over two", {})
    elsewhere = judged(commits[2], commits[1], at=51)
    write_judgement(
        replace(elsewhere, facts={**elsewhere.facts, "machine_id": "f" * 16}), folder / "judged" / "other", {}
    )
    noise = np.random.default_rng(1).normal(scale=0.004, size=COMMITS)
    for place, commit in enumerate(commits):
        slower = 0.08 * (place >= 18) - 0.03 * (place >= 25)
        if place != 17:
            path = folder / "saved" / f"{place:04}_a.json"
            benchmark_file(path, commit, 1e-3 * float(np.exp(noise[place] + slower)), dirty=place == 3)
    (folder / "bad.json").write_text("{")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.folder)
        patch.setenv("COLUMNS", "200")
        texts = [
            answer(patch, folder / "judged", folder / "saved", "--out", folder / "all"),
            (folder / "all" / "summary.md").read_text(encoding="utf-8"),
            (folder / "all" / "history.json").read_text(encoding="utf-8"),
            answer(patch, folder / "judged", "--since", 10),
            answer(patch, folder / "saved", folder / "bad.json", "--since", 10),
        ]
    whole = "\n----\n".join(texts).replace(str(folder), "FOLDER")
    for place, commit in enumerate(commits):
        whole = re.sub(rf"\b{commit[:9]}(?:{commit[9:]})?", f"commit-{place}", whole)
    return re.sub(r"\d+\.\d{6,}(?:e-?\d+)?", lambda match: f"{float(match[0]):.6g}", whole)


def answer(patch, *arguments) -> str:
    patch.setattr(sys, "argv", ["suite", "gate", "history", *map(str, arguments)])
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = command_line.main()
    return f"{shown.getvalue()}\nended with {code}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        SNAPSHOT.write_text(answers(Path(name)), encoding="utf-8")
