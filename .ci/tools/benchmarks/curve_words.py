"""Whether the intervals of whole learning curves hold, and how often their words are wrong and right.

`OMP_NUM_THREADS=1 .ci/tool benchmarks.curve_words` prints three tables in some minutes. A simulated run has a sigmoid
with its own A, C_mid and B, is evaluated 18 times as `eval_every=log` does in 320 steps, and each evaluation asks 256
prompts. Some runs never take off, or fall to a tenth after they did.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np

from suite.statistics.curve_words import CurveWord, RunCurve, judge_curves, read_curve
from suite.statistics.seeds import seed_mean
from suite.statistics.take_off import kaplan_meier, median_take_off, take_off

STEPS = np.array([0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 320])
PROMPTS = 256
EVERY_STEP = np.arange(321)
RUNS = (5, 10)
NO_WORDS = (CurveWord.ALIKE, CurveWord.OPEN)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What the runs of an arm are drawn from."""

    middle: float = 32.0
    """The geometric mean of C_mid, in steps."""
    spread: float = 0.5
    """The standard deviation of log C_mid."""
    plateau: float = 0.85
    concentration: float = 20.0
    """A is drawn from a beta distribution with this mean and concentration; 20 is a standard deviation of 8 points."""
    stuck: float = 0.0
    """The share of runs that never take off."""
    fallen: float = 0.0
    """The share of runs that fall to a tenth of their accuracy after two thirds of the evaluations."""

    def draw(
        self, generator: np.random.Generator, runs: int, steps: np.ndarray = STEPS
    ) -> list[tuple[float, np.ndarray]]:
        """A, and the accuracies at these steps, of each of so many runs."""
        drawn = []
        for _ in range(runs):
            middle = self.middle * math.exp(self.spread * generator.normal())
            steepness = 3.0 * math.exp(0.3 * generator.normal())
            plateau = generator.beta(self.plateau * self.concentration, (1 - self.plateau) * self.concentration)
            rise = np.where(steps > 0, 1 / (1 + (middle / np.maximum(steps, 0.5)) ** steepness), 0.0)
            accuracy = 0.02 + (plateau - 0.02) * rise
            if generator.random() < self.stuck:
                accuracy = np.full(len(steps), 0.02)
            if generator.random() < self.fallen:
                accuracy = np.where(np.arange(len(steps)) > 2 * len(steps) / 3, accuracy / 10, accuracy)
            drawn.append((plateau, generator.binomial(PROMPTS, accuracy) / PROMPTS))
        return drawn


def read(arm: Arm, generator: np.random.Generator, runs: int) -> list[RunCurve]:
    return [read_curve(STEPS.tolist(), curve.tolist()) for _, curve in arm.draw(generator, runs)]


DESIGNS = {
    "C_mid 32 of 320 steps, A 85%": Arm(),
    "C_mid 32, widely spread (a factor of 2.7)": Arm(spread=1.0),
    "C_mid 64, A 70%": Arm(middle=64, plateau=0.7),
    "C_mid 128: many end before the plateau": Arm(middle=128),
}
SAME = DESIGNS | {
    "a third never take off": Arm(stuck=1 / 3),
    "a third collapse": Arm(fallen=1 / 3),
    "A 97%": Arm(plateau=0.97),
}
GAPS = {
    "C_mid ×2": Arm(middle=64),
    "C_mid ×4": Arm(middle=128),
    "A −10 points": Arm(plateau=0.75),
    "A −20 points": Arm(plateau=0.65),
    "four in five never take off": Arm(stuck=0.8),
    "four in five collapse": Arm(fallen=0.8),
}


def coverage(arm: Arm, runs: int, experiments: int, many: int = 10_000) -> tuple[float, ...]:
    """The share of intervals that hold the true mean of A and of log C_mid, and the true median take-off, by the usual
    evaluations and by one at every step. `many`: the runs whose median is taken for the true one."""
    generator = np.random.default_rng(runs)
    grids = STEPS, EVERY_STEP
    medians = [draw_median(arm, generator, many, steps)[0] for steps in grids]
    held = np.zeros((experiments, 4))
    for row in held:
        curves = read(arm, generator, runs)
        plateau = seed_mean([curve.plateau for curve in curves])
        row[0] = plateau.low <= arm.plateau <= plateau.high
        middles = [curve.sigmoid.log_middle for curve in curves if curve.sigmoid]
        if len(middles) > 1:
            middle = seed_mean(middles)
            row[1] = middle.low <= math.log(arm.middle) <= middle.high
        for place, (steps, median) in enumerate(zip(grids, medians, strict=True)):
            _, low, high = draw_median(arm, generator, runs, steps)
            row[2 + place] = low <= median <= high
    return tuple(held.mean(axis=0).tolist())


def draw_median(arm: Arm, generator: np.random.Generator, runs: int, steps: np.ndarray) -> tuple[float, float, float]:
    """Kaplan-Meier's median of so many runs evaluated at these steps, and the ends of its interval."""
    drawn = [take_off(steps.tolist(), curve) for _, curve in arm.draw(generator, runs, steps)]
    return median_take_off(kaplan_meier(drawn))


def words(ours: Arm, theirs: Arm, runs: int, tables: int, rows: int = 1) -> list[list[CurveWord]]:
    """The words of so many tables of an arm beside another, which all rows of a table share."""
    generator = np.random.default_rng(runs)
    judged = []
    for _ in range(tables):
        reference = dict(enumerate(read(theirs, generator, runs)))
        arms = [dict(enumerate(read(ours, generator, runs))) for _ in range(rows)]
        judged.append([row.word for row in judge_curves([(arm, reference) for arm in arms], (0.02, 1.0))])
    return judged


def main(count: int) -> None:
    """Print the three tables as Markdown."""
    print(f"Intervals at 95% that hold the truth, of {count:,} simulated arms:\n")
    print("| runs are drawn from | runs | A | C_mid | median take-off | the same, evaluated at every step |")
    print("|---|---|---|---|---|---|")
    for name, arm in DESIGNS.items():
        for runs in RUNS:
            print(f"| {name} | {runs} | " + " | ".join(f"{share:.1%}" for share in coverage(arm, runs, count)) + " |")
    print(f"\nAny word but “alike” and “no clear difference” where nothing differs, of {count:,} tables:\n")
    print("| both arms are drawn from | runs | one arm | any of six arms | called alike |\n|---|---|---|---|---|")
    for name, arm in SAME.items():
        for runs in RUNS:
            alone, together = words(arm, arm, runs, count), words(arm, arm, runs, max(1, count // 4), rows=6)
            wrong = [np.mean([any(word not in NO_WORDS for word in row) for row in each]) for each in (alone, together)]
            alike = np.mean([row[0] is CurveWord.ALIKE for row in alone])
            print(f"| {name} | {runs} | {wrong[0]:.1%} | {wrong[1]:.1%} | {alike:.0%} |")
    print(f"\nWords where something differs, beside C_mid 32 and A 85%, of {count:,} pairs:\n")
    print("| the arm is drawn from | runs | words |\n|---|---|---|")
    for name, arm in GAPS.items():
        for runs in RUNS:
            told = [row[0] for row in words(arm, Arm(), runs, count)]
            shares = {word: told.count(word) / len(told) for word in CurveWord}
            parts = [f"{word} {share:.0%}" for word, share in shares.items() if share >= 0.005]
            print(f"| {name} | {runs} | {', '.join(parts)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
