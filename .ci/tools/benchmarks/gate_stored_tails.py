"""How often a judgement of stored times is wrong, and what it finds, where hours differ, by simulation.

    .ci/tool benchmarks.gate_stored_tails [--runs 10000] [--slowed-runs 2000]

Each judgement is the shipped one, of each case with its stored runs and of all together, but many at once: a test holds
`slower` to `compare_times` and `judge_together`. The logarithms of all runs, stored or new, are drawn alike: normal,
Student's t with three or two degrees, or normal with every tenth spread fivefold. A busy hour makes all cases of its
run 15% slower. A false alarm is any case of identical code called slower; to the right stands how often one case is
called so that is slower among others that are alike.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from suite.gate.rules.multiple_testing import ALPHA, BUSY_HOUR, ENOUGH_OTHERS, tails_freedom
from suite.gate.rules.tolerances import Tolerances
from suite.statistics.student import t_quantile
from tools.benchmarks.rates import aligned, share

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
NEW = -1
SPREAD, SLOWED_SPREAD = 0.02, 0.03
"""Scale of the logarithms. With a smaller one the floor of 2% would hide some alarms."""
BUSY, FLOOR = 0.15, math.log1p(Tolerances().default_minimum_effect)
STORED, CASES = (5, 10, 20), (1, 4, 16, 40)
SLOWED = (0.5, 1.0)
HEADS = (
    *("runs are", "stored", "cases", "false alarms", "false alarms, new run in a busy hour"),
    *(f"+{share:.0%} found" for share in SLOWED),
    f"+{SLOWED[-1]:.0%} found, a stored run in a busy hour",
)
WIDTHS = (28, 6, 5, 35, 36, 10, 11, 41)


def contaminated(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Normal values, every tenth of them spread fivefold."""
    return generator.normal(size=shape) * np.where(generator.random(shape) < 0.1, 5.0, 1.0)


RUNS: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "t3": lambda generator, shape: generator.standard_t(3, size=shape),
    "t2": lambda generator, shape: generator.standard_t(2, size=shape),
    "normal, every tenth fivefold": contaminated,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--slowed-runs", type=int, default=2000)
    options = parser.parse_args()
    for line in report(options.runs, options.slowed_runs):
        print(line, flush=True)
    return 0


def report(runs: int, slowed_runs: int) -> Iterator[str]:
    """The lines of the table, and what it was simulated from."""
    yield (
        f"{runs} judgements of identical code, runs spread by {SPREAD:.0%}, and {slowed_runs} of each slowdown, spread "
        f"by {SLOWED_SPREAD:.0%}; a busy hour is {BUSY:.0%}; Wilson's 95% intervals"
    )
    yield aligned(HEADS, WIDTHS)
    for name, draw in RUNS.items():
        for cases in CASES:
            for stored in STORED:
                alarms = [false_alarms(draw, stored, cases, runs, busy=busy) for busy in (None, NEW)]
                powers = [
                    *(power(draw, stored, cases, slowed_runs, slowed) for slowed in SLOWED),
                    power(draw, stored, cases, slowed_runs, SLOWED[-1], busy=0),
                ]
                shares = [share(count, runs, digits=2) for count in alarms]
                cells = (name, str(stored), str(cases), *shares, *(f"{found_share:.1%}" for found_share in powers))
                yield aligned(cells, WIDTHS)


def false_alarms(draw: Draw, stored: int, cases: int, runs: int, *, busy: int | None = None, seed: int = 0) -> int:
    """The number of judgements of identical code in which any case is called slower.

    `busy`: the place of the run whose hour is busy, NEW or that of a stored one.
    """
    return int(slower(_logs(draw, stored, cases, runs, SPREAD, busy, seed)).any(axis=1).sum())


def power(
    draw: Draw, stored: int, cases: int, runs: int, slowed: float, *, busy: int | None = None, seed: int = 0
) -> float:
    """The share of judgements that call the first case slower, which is so by `slowed`, and the others not."""
    logs_JCR = _logs(draw, stored, cases, runs, SLOWED_SPREAD, busy, seed)
    logs_JCR[:, 0, NEW] += math.log1p(slowed)
    return float(slower(logs_JCR)[:, 0].mean())


def slower(logs_JCR: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which cases of each judgement are called slower. J: judgements, C: cases, R: runs, the last being new.

    Without Holm's second step: where one case is called, it may call another that lies nearer.
    """
    _, cases, runs = logs_JCR.shape
    stored_JCR, stored = logs_JCR[..., :NEW], runs - 1
    mean_JC = stored_JCR.mean(axis=2)
    shift_JC, residuals_JCR = logs_JCR[..., NEW] - mean_JC, stored_JCR - mean_JC[..., None]
    squares_JC = (residuals_JCR**2).sum(axis=2)
    error_JC = np.sqrt(squares_JC / (stored - 1) * (1 + 1 / stored))
    others_JCR = squares_JC[..., None] * (1 - 1 / stored) - residuals_JCR**2
    farthest_JR = np.abs(residuals_JCR * np.sqrt((stored - 2) / others_JCR)).max(axis=1)
    freedoms = [tails_freedom(farthest, cases) for farthest in farthest_JR.tolist()]
    far_J = np.array([t_quantile(1 - ALPHA / cases, freedom) for freedom in freedoms])
    hour_JC = np.full_like(shift_JC, BUSY_HOUR)
    if cases > ENOUGH_OTHERS:
        other_cases = [np.delete(np.arange(cases), case) for case in range(cases)]
        hour_JC = np.stack([np.median(shift_JC[:, rest], axis=1) for rest in other_cases], axis=1)
    beyond_JC = shift_JC - np.clip(hour_JC, 0, BUSY_HOUR)
    is_slower_JC: NDArray[np.bool_] = (beyond_JC > far_J[:, None] * error_JC) & (shift_JC > FLOOR)
    return is_slower_JC


def _logs(
    draw: Draw, stored: int, cases: int, runs: int, spread: float, busy: int | None, seed: int
) -> NDArray[np.float64]:
    """Logarithms of all times, by judgement, case and run; the run at `busy` is slower in all cases."""
    logs_JCR = spread * draw(np.random.default_rng(seed), (runs, cases, stored + 1))
    if busy is not None:
        logs_JCR[:, :, busy] += math.log1p(BUSY)
    return logs_JCR


if __name__ == "__main__":
    sys.exit(main())
