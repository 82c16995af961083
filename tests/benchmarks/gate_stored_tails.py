"""How often a judgement of stored times is wrong where runs of identical code have heavy tails, by simulation.

    python -m tests.benchmarks.gate_stored_tails [--runs 4000]

Each judgement is the shipped one: `compare_times` of each case with its stored runs, and all of them together. The
logarithms of all runs, stored or new, are drawn alike: normal, Student's t with three or two degrees, or normal with
every tenth spread fivefold. A false alarm is any case called slower. To the right stands the slowdown of one case that
nine of ten judgements find.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from suite.gate.rules.multiple_testing import ALPHA, Change, judge_together
from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored.case import compare_times
from suite.gate.verdict import Outcome
from suite.statistics.proportions import wilson
from suite.statistics.student import t_quantile

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
SPREAD = 0.02
"""Scale of the logarithms. With a smaller one the floor of 2 % would hide some alarms."""
STORED, CASES = (5, 8, 12), (1, 16, 40)
FOUND, VISIBLE_RUNS = 0.9, 2000
HEADS = ("runs are", "stored", "cases", "false alarms", f"{FOUND:.0%} found")
WIDTHS = (28, 6, 5, 34, 9)


def contaminated(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return generator.normal(size=shape) * np.where(generator.random(shape) < 0.1, 5.0, 1.0)


RUNS: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "t3": lambda generator, shape: generator.standard_t(3, size=shape),
    "t2": lambda generator, shape: generator.standard_t(2, size=shape),
    "normal, every tenth fivefold": contaminated,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000)
    for line in report(parser.parse_args().runs):
        print(line, flush=True)
    return 0


def report(runs: int) -> Iterator[str]:
    """Yield the lines to print."""
    yield f"{runs} judgements of identical code in each row, runs spread by {SPREAD:.0%}; Wilson's 95 % intervals"
    yield _line(HEADS)
    for name, draw in RUNS.items():
        for cases in CASES:
            for stored in STORED:
                found = wilson(false_alarms(draw, stored, cases, runs), runs)
                told = f"{found.successes} of {runs}, {found.share:.2%} [{found.low:.2%}, {found.high:.2%}]"
                yield _line((name, str(stored), str(cases), told, f"+{visible(draw, stored, cases):.0%}"))


def false_alarms(draw: Draw, stored: int, cases: int, runs: int, seed: int = 0) -> int:
    """Return the number of judgements of identical code in which any case is called slower."""
    generator = np.random.default_rng(seed)
    return sum(Outcome.SLOWER in _outcomes(draw(generator, (cases, stored + 1))) for _ in range(runs))


def visible(draw: Draw, stored: int, cases: int, seed: int = 0) -> float:
    """Return the slowdown of one case that FOUND of judgements find beside others that are alike, as a share."""
    generator, needed = np.random.default_rng(seed), []
    for _ in range(VISIBLE_RUNS):
        (change,) = _changes(draw(generator, (1, stored + 1)))
        needed.append(t_quantile(1 - ALPHA / cases, change.freedom) * change.error - change.shift)
    return math.expm1(np.quantile(needed, FOUND))


def _outcomes(logs: NDArray[np.float64]) -> list[Outcome]:
    return [verdict.outcome for verdict in judge_together(_changes(logs), Tolerances())]


def _changes(logs: NDArray[np.float64]) -> list[Change]:
    """Compare cases by their runs' logarithms, the last of each being new."""
    times_s = np.exp(SPREAD * logs)
    return [compare_times(str(index), "layer", own[:-1], own[-1:], "thread_cpu") for index, own in enumerate(times_s)]


def _line(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
