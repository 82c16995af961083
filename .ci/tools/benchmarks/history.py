"""How often `suite gate history` is wrong on made series, beside apache-otava where that is installed.

    .ci/tool benchmarks.history [--series 1000]

Flat series show false changes. A step of 5% halfway shows the power, and whether it is found at its commit. Values are
exponentials of noise about a level, as medians of a benchmark at many commits are; the noise is normal, has Student's t
with three degrees of freedom, or is skewed as times beside neighbours are. `among 24` asks for the evidence that one of
24 series looked at together needs; apache-otava knows no such correction, and runs with its own defaults (window 50,
p below 0.001). Chains are of ratios against the parent with a standard error of 0.7% each, as those of `suite gate
selftest` had (results/reference/cpu/gate): half of each series loses a little at every commit.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from suite.statistics.change_points import ALPHA, Steps, step_changes, value_changes

STEP, ERROR, TOGETHER = 0.05, 0.007, 24
Values = NDArray[np.float64]
NOISES: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "normal": lambda random, count: random.normal(size=count),
    "Student's t3": lambda random, count: random.standard_t(3, size=count) / np.sqrt(3),
    "skewed": lambda random, count: (random.lognormal(0, 0.5, size=count) - np.exp(0.125)) / 0.604,
}
"""All with a mean of 0 and a standard deviation of 1."""


def ours(values: Values, alpha: float = ALPHA, *, marked: bool = True) -> list[int]:
    """Indices of the changes; without `marked` only those that are no possible drift, which set the exit code."""
    return [change.first for change in value_changes([values], alpha)[0] if marked or not change.drift]


def methods() -> dict[str, Callable[[Values], list[int]]]:
    """Functions that find changes in a series, by name: ours in several forms, and apache-otava if it is installed."""
    ours_by_form = {
        "alone": ours,
        "unmarked": partial(ours, marked=False),
        "at 3%": partial(ours, alpha=0.03),  # otava's rate
        f"among {TOGETHER}": partial(ours, alpha=ALPHA / TOGETHER),
    }
    try:
        from otava.analysis import compute_change_points
    except ImportError:
        print("apache-otava is not installed here, and left out", file=sys.stderr)
        return ours_by_form
    return ours_by_form | {"otava": lambda values: [p.index for p in compute_change_points(list(np.exp(values)))[0]]}


def flat(method: Callable[[Values], list[int]], noise: str, count: int, series: int) -> str:
    """How many flat series show any change, as `3 of 1000`."""
    random = np.random.default_rng(1)
    wrong = sum(bool(method(0.01 * NOISES[noise](random, count))) for _ in range(series))
    return f"{wrong} of {series}"


def steps(method: Callable[[Values], list[int]], noise: str, count: int, deviation: float, series: int) -> list[str]:
    """Cells of a row: steps found, those within one commit of their own, changes too many, and ms a series."""
    random = np.random.default_rng(2)
    num_found, num_near, num_extra, begun = 0, 0, 0, time.perf_counter()
    for _ in range(series):
        values = deviation * NOISES[noise](random, count)
        values[count // 2 :] += np.log1p(STEP)
        changes = method(values)
        num_found += bool(changes)
        num_near += any(abs(change - count // 2) <= 1 for change in changes)
        num_extra += max(0, len(changes) - 1)
    took_ms = 1000 * (time.perf_counter() - begun) / series
    return [f"{num_found} of {series}", str(num_near), str(num_extra), f"{took_ms:.0f}"]


def correlated(method: Callable[[Values], list[int]], correlation: float, count: int, series: int) -> str:
    """How many stationary series show any change where each value resembles the one before, as `3 of 200`."""
    random, wrong = np.random.default_rng(1), 0
    for _ in range(series):
        values = random.normal(size=count)
        for place in range(1, count):
            values[place] = correlation * values[place - 1] + np.sqrt(1 - correlation**2) * values[place]
        wrong += bool(method(0.01 * values))
    return f"{wrong} of {series}"


def chains(count: int, loss: float, noise: str, series: int, alpha: float) -> str:
    """How many chains show a change, as `3 of 1000`. `loss`: at each commit of their newer half."""
    random, num_found = np.random.default_rng(3), 0
    for _ in range(series):
        ratios = ERROR * NOISES[noise](random, count)
        ratios[count // 2 :] += np.log1p(loss)
        chain = Steps(ratios=list(ratios), errors=[ERROR] * count, called=[False] * count)
        num_found += bool(step_changes([chain], alpha)[0])
    return f"{num_found} of {series}"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000)
    count = parser.parse_args().series
    all_methods = methods()
    print("Flat series with any change")
    rows = [
        [noise, str(points), *(flat(method, noise, points, count) for method in all_methods.values())]
        for noise in NOISES
        for points in (20, 50)
    ]
    print_table(["noise", "points", *all_methods], rows)
    print("Flat series of correlated values with any change")
    rows = [
        [f"{correlation:.1f}", *(correlated(method, correlation, 30, count // 5) for method in all_methods.values())]
        for correlation in (0.0, 0.3, 0.6, 0.9)
    ]
    print_table(["correlation", *all_methods], rows)
    print("A step of 5%")
    rows = [
        ["normal", "3%", "30", name, *steps(method, "normal", 30, 0.03, count // 5)]
        for name, method in all_methods.items()
    ]
    print_table(["noise", "sd", "points", "method", "found", "within a commit", "too many", "ms"], rows)
    rows = [
        [noise, f"{deviation:.0%}", str(points), name, *steps(method, noise, points, deviation, count // 5)]
        for noise in ("normal", "skewed")
        for deviation in (0.01, 0.02)
        for points in (20, 50)
        for name, method in all_methods.items()
    ]
    print_table(["noise", "sd", "points", "method", "found", "within a commit", "too many", "ms"], rows)
    print("Chains of ratios, with a change found")
    rows = [
        [
            noise,
            str(points),
            f"{loss:.1%}",
            chains(points, loss, noise, count if loss == 0 else count // 5, ALPHA),
            chains(points, loss, noise, count if loss == 0 else count // 5, ALPHA / TOGETHER),
        ]
        for noise in NOISES
        for points in (20, 50)
        for loss in (0.0, 0.005, 0.01)
    ]
    print_table(["noise", "commits", "loss at each of the newer half", "alone", f"among {TOGETHER}"], rows)


if __name__ == "__main__":
    main()
