"""How steady `suite gate pytest --clock instructions` is: identical code, and code with a few percent more to do.

    .ci/tool benchmarks.instructions PYTHON [--runs 3] [--longer 0 1 2 5]

PYTHON has pytest and pytest-benchmark; valgrind is on PATH. Four benchmarks of pure Python are judged in a repository
of their own: unchanged, and with loops that are 1, 2 and 5% longer. A run takes about a minute and a half.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from suite.gate.pytest_benchmark.callgrind import CLOCK
from tests.gate.repositories import repository

CODE = """
def words(text, times):
    counts = {}
    for _ in range(times + times * LONGER // 100):
        for word in text.split():
            counts[word] = counts.get(word, 0) + 1
    return counts


def fibonacci(count):
    a, b = 0, 1
    for _ in range(count + count * LONGER // 100):
        a, b = b, (a + b) % 1_000_007
    return a


def chain(count):
    head = None
    for value in range(count + count * LONGER // 100):
        head = (value, head)
    total = 0
    while head:
        total += head[0]
        head = head[1]
    return total


def squares(count):
    return {str(value): value * value for value in range(count + count * LONGER // 100)}


LONGER = 0
"""
TESTS = """
import pure
TEXT = " ".join(str(i * i % 97) for i in range(20))
def test_words(benchmark): assert benchmark(pure.words, TEXT, 100)
def test_fibonacci(benchmark): assert benchmark(pure.fibonacci, 1000)
def test_chain(benchmark): assert benchmark(pure.chain, 1000)
def test_squares(benchmark): assert benchmark(pure.squares, 1000)
"""
SETTINGS = '[tool.pytest.ini_options]\npythonpath = ["src"]\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--longer", type=int, nargs="+", default=[0, 1, 2, 5], help="percent that the loops are longer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pure = repository(Path(folder) / "pure")
        pure.commit({"src/pure.py": CODE, "tests/test_pure.py": TESTS, "pyproject.toml": SETTINGS})
        for longer in options.longer:
            pure.write({"src/pure.py": CODE.replace("LONGER = 0", f"LONGER = {longer}")})
            for _ in range(options.runs):
                print(f"+{longer}%: {judged(pure.folder, options.python)}", flush=True)


def judged(top: Path, python: Path) -> str:
    """Judge the working tree; the verdicts, the exit code and the seconds in a line."""
    begun, out = time.monotonic(), top.parent / "out"
    command = [sys.executable, "-m", "suite", "gate", "pytest", "--against", "HEAD", "--clock", CLOCK]
    here = str(Path(__file__).parents[3])
    ended = subprocess.run(
        [*command, "--python", str(python.absolute()), "--out", str(out)],
        cwd=top,
        env=os.environ | {"PYTHONPATH": here},
        capture_output=True,
        text=True,
        check=False,
    )
    content = json.loads((out / "judgement.json").read_text(encoding="utf-8"))
    verdicts = sorted(content["verdicts"], key=lambda verdict: verdict["case"])
    outcomes = ", ".join(f"{v['outcome']} {100 * (v['ratio'] - 1):+.2f}%" for v in verdicts if v["ratio"])
    return f"{outcomes or ended.stderr.strip()}; exit code {ended.returncode}, {time.monotonic() - begun:.0f} s"


if __name__ == "__main__":
    main()
