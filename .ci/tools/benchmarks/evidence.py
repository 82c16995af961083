"""How often the rule of evidence is wrong where nothing differs, and what it finds where something does.

`OMP_NUM_THREADS=1 .ci/tool benchmarks.evidence` prints four tables in some four minutes: the share of comparisons of
identical arms that are called higher or lower, by the rule and by the percentile bootstrap of the same pairs; the share
of real gaps that are found; both for the mean over several units; and how often each word appears at a margin. All
spreads are symmetric, as differences of identical arms are; a base model of five from which little is learnt is the
heavy tail that RL really has. A number behind it is that of comparisons, 4000, of which several units together have an
eighth.
"""

import sys
from collections.abc import Callable
from itertools import product

import numpy as np

from suite.statistics.paired import JUDGED, SHARE_MARGIN, TOLD_APART, Comparison, changes, judge_together
from suite.statistics.pooled import Conclusion, Pooled

PAIRS = (2, 3, 5, 10)
TABLE = 6
"""Comparisons that Holm corrects together."""
RESAMPLES = 1000
GAPS = (1.0, 2.0, 3.0)
"""In standard deviations of one pair's difference."""
UNITS, UNIT_PAIRS = (3, 6, 10), (5, 10)
UNIT_SPREADS = {"1 point": (0.01,), "1, 5 and 20 points": (0.01, 0.05, 0.20)}
"""Standard deviations of a pair's difference, of the units in turn. Quiet units contradict each other the easiest."""
BETWEEN = (0.0, 0.05)
"""Standard deviations of the units' true differences, whose mean over all such units is the gap."""
UNIT_GAPS = (0.0, 0.05, 0.10)
WORD_GAPS, WORD_SPREADS, WORD_PAIRS = (0.0, 0.02, 0.10), (0.01, 0.02, 0.05), (5, 10)
"""Shares of answers: true gaps of two arms, and standard deviations of one pair's difference."""
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def one_base_of_five(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw differences of which a fifth are ten times as wide."""
    return generator.normal(size=shape) * np.where(generator.random(shape) < 0.2, 10.0, 1.0)


SPREADS: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "heavy tails (t, 2 degrees of freedom)": lambda generator, shape: generator.standard_t(2, shape),
    "one base of five ten times as far off": one_base_of_five,
}


def by_rule(differences: np.ndarray) -> tuple[float, float]:
    """The share of single comparisons that are clear by the rule, and of tables with any clear comparison."""
    tables = [
        [Comparison(ours=tuple(pairs), theirs=(0.0,) * len(pairs)) for pairs in table] for table in differences.tolist()
    ]
    alone = np.mean([table[0].outcome in TOLD_APART for table in tables])
    together = [judge_together(table) for table in tables]
    any_clear = [any(comparison.outcome in TOLD_APART for comparison in table) for table in together]
    return float(alone), float(np.mean(any_clear))


def by_bootstrap(differences: np.ndarray, generator: np.random.Generator) -> float:
    """The share of 95% percentile intervals of the mean that miss zero."""
    pairs = differences.shape[-1]
    choices = generator.integers(pairs, size=(RESAMPLES, pairs))
    means = differences[:, 0, :][:, choices].mean(axis=-1)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return float(np.mean((low > 0) | (high < 0)))


def print_units(rounds: int) -> None:
    """Print how often several units together are called higher or lower, or contradictory, at each true gap."""
    print(f"\nSeveral units, {rounds} rounds a cell. Without a spread between units a contradiction is false, too:\n")
    gaps = " | ".join(f"higher at +{100 * gap:g} points" for gap in UNIT_GAPS[1:])
    print(f"| spread within units | between | units | pairs | higher or lower | contradictory | Q: p < 0.05 | {gaps} |")
    print("|---" * 9 + "|")
    for name, spreads in UNIT_SPREADS.items():
        for between, count, pairs in product(BETWEEN, UNITS, UNIT_PAIRS):
            generator = np.random.default_rng(count * pairs)
            deviations = np.resize(spreads, count)[:, None] * generator.normal(size=(rounds, count, pairs))
            deviations += between * generator.normal(size=(rounds, count, 1))
            by_gap = []
            for gap in UNIT_GAPS:
                compared = [[changes(unit, margin=SHARE_MARGIN) for unit in units] for units in deviations + gap]
                by_gap.append([Pooled(tuple(filter(None, units))) for units in compared])
            same, *others = by_gap
            shares = [
                np.mean([each.conclusion in (Conclusion.HIGHER, Conclusion.LOWER) for each in same]),
                np.mean([each.conclusion is Conclusion.UNITS_DIFFER for each in same]),
                np.mean([(each.heterogeneity_p or 0.0) < 0.05 for each in same]),
                *(np.mean([each.conclusion is Conclusion.HIGHER for each in pooled]) for pooled in others),
            ]
            cells = " | ".join(f"{share:.1%}" for share in shares)
            print(f"| {name} | {100 * between:g} points | {count} | {pairs} | {cells} |", flush=True)


def print_words(rounds: int) -> None:
    """Print how often one comparison has each word, with a margin of SHARE_MARGIN, at each true gap."""
    print(f"\nWords at a margin of {100 * SHARE_MARGIN:g} points, {rounds} rounds a cell:\n")
    print("| true gap | spread of a pair | pairs | higher | lower | alike | open |")
    print("|---" * 7 + "|")
    for gap, spread, pairs in product(WORD_GAPS, WORD_SPREADS, WORD_PAIRS):
        differences = np.random.default_rng(pairs).normal(gap, spread, size=(rounds, pairs))
        words = [changes(row, margin=SHARE_MARGIN).outcome for row in differences.tolist()]
        cells = " | ".join(f"{words.count(word) / rounds:.1%}" for word in JUDGED)
        print(f"| {100 * gap:g} points | {100 * spread:g} points | {pairs} | {cells} |", flush=True)


def main(tables: int) -> None:
    """Print all tables as Markdown."""
    print(f"Called higher or lower where nothing differs, of {tables:,} simulated comparisons or tables of {TABLE}:\n")
    print("| spread of the differences | pairs | percentile bootstrap | the rule, one comparison | any of a table |")
    print("|---|---|---|---|---|")
    for name, draw in SPREADS.items():
        for pairs in PAIRS:
            generator = np.random.default_rng(pairs)
            differences = draw(generator, (tables, TABLE, pairs))
            alone, together = by_rule(differences)
            bootstrap = by_bootstrap(differences, generator)
            print(f"| {name} | {pairs} | {bootstrap:.1%} | {alone:.1%} | {together:.1%} |")
    print(f"\nReal gaps found, normal spread, one comparison (any below {PAIRS[2]} pairs: none):\n")
    print("| pairs | " + " | ".join(f"a gap of {gap:g} standard deviations" for gap in GAPS) + " |")
    print("|---" * (1 + len(GAPS)) + "|")
    for pairs in PAIRS[2:]:
        differences = np.random.default_rng(pairs).normal(size=(tables, 1, pairs))
        print(f"| {pairs} | " + " | ".join(f"{by_rule(differences + gap)[0]:.0%}" for gap in GAPS) + " |")
    print_units(max(1, tables // 8))
    print_words(tables)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
