"""Candidates that cheat: benchmarks that look as fast as before, though the code is slower."""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.gate.pytest_benchmark import cheats
from tests.gate.repositories import repository
from tools.hostile.attempt import Attempt, command


def attempts(chance: random.Random) -> Iterator[Attempt]:
    """Every way to let a slower candidate look as fast as before, then two at once, without end; none may pass."""
    for what, (test, files) in cheats.CHEATS.items():
        yield _cheat(what, test, files)
    while True:
        (first, (test, files)), (second, (_, more)) = chance.sample(list(cheats.CHEATS.items()), 2)
        yield _cheat(f"{first} and {second}", test, {**more, **files})


def _cheat(what: str, test: str, files: dict[str, str]) -> Attempt:
    """Judge a working tree with these files against their honest commit: the gate must not judge it (code 3)."""

    def prepare(folder: Path) -> None:
        repo = repository(folder / "checkout")
        repo.commit(cheats.BASE)
        repo.write(files)

    def run() -> int:
        os.chdir("checkout")
        line = f"gate pytest benchmarks/test_work.py::{test} --against HEAD --seconds 5 --python"
        return command(*line.split(), sys.executable)()

    return Attempt(what=what, run=run, prepare=prepare, codes=(3,), shows_texts=True)
