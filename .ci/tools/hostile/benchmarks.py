"""pytest-benchmark's files from strangers, as the gate's baseline and as its candidate; and candidates that cheat."""

import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.gate.pytest_benchmark import cheats
from tests.gate.repositories import repository
from tests.gate.stored.benchmark_files import benchmark, content, write
from tools.hostile import mutations
from tools.hostile.attempt import CODES, Attempt, command

HOSTILE = "hostile.json"
COMMANDS = {
    "before": ("gate", "--baseline", "whole", "--baseline", HOSTILE, "--candidate", "new.json", "--out", "judged"),
    "after": ("gate", "--baseline", "whole", "--candidate", HOSTILE, "--out", "judged"),
}
STORED = 5
HUGE = {
    "40 million commas": b'{"benchmarks": [' + b"1," * 40_000_000 + b"1]}",
    "a million lists": b"[" + b"[]," * 1_000_000 + b"1]",
    "a text of 100 MB": b'{"benchmarks": [], "version": "' + b"5" * 100_000_000 + b'"}',
}
Make = Callable[[Path], object]


def attempts(chance: random.Random) -> Iterator[Attempt]:
    """Every kind of file on either side, then whole ones with values changed, without end."""
    kinds = {
        **mutations.KINDS_OF_FILE,
        **{what: _written(text) for what, text in {**mutations.TORN, **HUGE}.items()},
        "not there": lambda path: None,
    }
    for what, make in kinds.items():
        yield from (_attempt(side, what, make, codes=(4,)) for side in COMMANDS)
    while True:
        seed = chance.randrange(1 << 30)
        side = chance.choice(list(COMMANDS))
        yield _attempt(side, f"values changed by seed {seed}", _by_chance(seed), codes=(*CODES, 1))


def workloads(chance: random.Random) -> Iterator[Attempt]:
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


def _attempt(side: str, what: str, make: Make, *, codes: tuple[int, ...]) -> Attempt:
    """The gate with five good files and, on one side, the hostile file that `make` writes."""

    def prepare(folder: Path) -> None:
        for number in range(STORED):
            write(folder / "whole" / f"{number}.json", *_two(number), at=str(number))
        write(folder / "new.json", *_two(STORED))
        make(folder / HOSTILE)

    return Attempt(what=f"{side}, {what}", run=command(*COMMANDS[side]), prepare=prepare, codes=codes, shows_texts=True)


def _two(number: int) -> list[dict[str, Any]]:
    return [benchmark(name, data=[1e-3 + number * 1e-6] * 3) for name in ("t.py::test_a", "t.py::test_b")]


def _written(text: bytes) -> Make:
    return lambda path: path.write_bytes(text)


def _by_chance(seed: int) -> Make:
    """A function that writes a good file with values changed by this seed."""

    def make(path: Path) -> None:
        chance = random.Random(seed)
        changed = content(*_two(STORED))
        mutations.change_values(changed, chance)
        path.write_text(json.dumps(changed))

    return make
