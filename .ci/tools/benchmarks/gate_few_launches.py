"""How often the gate is wrong where its time ended after a few launches, by simulation of its cautious interval.

    .ci/tool benchmarks.gate_few_launches FOLDER [--runs 2000] [--slowed-runs 500]

Rounds and shifts are those of gate_shifts, FOLDER as there; each launch has the fewest rounds that count. Beside them
stand rounds that other work disturbs: normal, spread by so much. A false alarm is any timing of a run of identical code
that lies wholly beyond FAR. To the right stands the share of timings that are called slower where all are so by that.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suite.gate.rules.decision import FAR, LAUNCH_SPREAD, LEAST_ROUNDS, LEVEL
from suite.records.record import CorruptRecordError
from suite.statistics.student import t_quantile
from tools.benchmarks.gate_shifts import EACH, HEAVY, LAYOUTS, SHARED, Recorded, Shift, read
from tools.benchmarks.rates import aligned, share

LAUNCHES, SLOWED = (1, 2, 3, 5), (0.5, 1.0, 2.0, 18.0)
SHIFTS = (
    Shift(),
    Shift(of=EACH, size=0.03),
    Shift(of=EACH, form=HEAVY, size=0.03),
    Shift(of=SHARED, form=HEAVY, size=0.03),
    Shift(of=EACH, form=LAYOUTS, size=0.10),
    Shift(of=EACH, form=LAYOUTS, size=0.20),
)
DISTURBED = (0.1, 0.3, 1.0)
HEADS = ("shift of a launch", "rounds", "launches", "false alarms", *(f"{1 + share:g}x found" for share in SLOWED))
WIDTHS = (31, 13, 8, 29, 11, 9, 9, 9)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--slowed-runs", type=int, default=500)
    options = parser.parse_args()
    try:
        recorded = read(options.folder)
    except (ValueError, OSError, CorruptRecordError) as error:
        print(f"gate_few_launches: {error}", file=sys.stderr)
        return 4
    for line in report(recorded, options.runs, options.slowed_runs):
        print(line, flush=True)
    return 0


def report(recorded: Recorded, runs: int, slowed_runs: int) -> Iterator[str]:
    """The lines of the table, and what it was simulated from."""
    timings = recorded.log_ratios_LBR.shape[1]
    yield (
        f"{timings} timings in launches of {LEAST_ROUNDS} rounds; {runs} runs of identical code and {slowed_runs} of "
        "each slowdown; shares with Wilson's 95% intervals"
    )
    yield aligned(HEADS, WIDTHS)
    for shift, disturbed in [*((shift, 0.0) for shift in SHIFTS), *((SHIFTS[1], spread) for spread in DISTURBED)]:
        for launches in LAUNCHES:
            alarms = sum(slower(recorded, shift, launches, runs, disturbed=disturbed).any(axis=1))
            powers = (
                slower(recorded, shift, launches, slowed_runs, disturbed=disturbed, slowed=slowed).mean()
                for slowed in SLOWED
            )
            rounds = f"normal, {disturbed:.0%}" if disturbed else "recorded"
            cells = [shift.name, rounds, str(launches), share(int(alarms), runs), *(f"{power:.1%}" for power in powers)]
            yield aligned(cells, WIDTHS)


def slower(
    recorded: Recorded,
    shift: Shift,
    launches: int,
    runs: int,
    *,
    disturbed: float = 0.0,
    slowed: float = 0.0,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Which timings of each run are called slower. `disturbed`: spread of normal rounds in place of recorded.

    A test holds this to `cautious_effect` and `far_outcome`. L: launches, T: timings, N: rounds of a launch.
    """
    generator = np.random.default_rng(seed)
    recordings, timings, _ = recorded.log_ratios_LBR.shape
    is_slower = np.zeros((runs, timings), dtype=bool)
    for run in range(runs):
        if disturbed:
            rounds_LTN = disturbed * generator.normal(size=(launches, timings, LEAST_ROUNDS))
        else:
            chosen = generator.integers(recordings, size=launches)
            # Either side may have been the newer.
            rounds_LTN = recorded.log_ratios_LBR[chosen] * generator.choice((-1.0, 1.0), size=(launches, 1, 1))
        moved_LT = np.array([shift.draw(generator, timings) for _ in range(launches)]) + np.log1p(slowed)
        is_slower[run] = far_slower(rounds_LTN[:, :, :LEAST_ROUNDS] + moved_LT[:, :, None])
    return is_slower


def far_slower(rounds_LTN: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which timings of one run are called slower: the interval over its launches lies wholly above FAR."""
    launches, _, rounds = rounds_LTN.shape
    medians_LT = np.median(rounds_LTN, axis=2)
    within_T = rounds_LTN.std(axis=2, ddof=1).max(axis=0) / math.sqrt(rounds)
    between_T = medians_LT.std(axis=0, ddof=1) if launches > 1 else np.zeros_like(within_T)
    error_T = np.maximum(np.maximum(within_T, between_T), LAUNCH_SPREAD) / math.sqrt(launches)
    low_T = medians_LT.mean(axis=0) - t_quantile((1 + LEVEL) / 2, max(2, launches - 1)) * error_T
    far: NDArray[np.bool_] = low_T > math.log(FAR)
    return far


if __name__ == "__main__":
    sys.exit(main())
