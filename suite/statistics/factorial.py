"""Effects of the factors of an experiment in which settings are crossed, each paired by seed.

What a setting is worth depends on the others, so it is not read off two arms. A cell is one combination of levels. In
each seed an effect is the mean, over all combinations of the other factors, of a level less the reference: one
observation a seed, since cells of one seed share their base model and are not independent. An interaction is what one
level's effect changes by where another factor is at its level in place of its reference. Both become comparisons of
suite.statistics.paired, which alone says what may be said of them. R. A. Fisher, The Design of
Experiments (1935), ch. 6.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, product

import numpy as np

from suite.statistics.paired import Comparison, compare

Cell = tuple[str, ...]
"""A level of each factor."""
Cells = Mapping[Cell, Mapping[str, float]]
"""The numbers of each cell by seed."""
Bounds = tuple[float | None, float | None]


def is_crossed(cells: Collection[Cell]) -> bool:
    """True if two factors have all four combinations of two levels each, with every other factor unchanged."""
    present = set(cells)
    for first, second in combinations(present, 2):
        differ = [place for place, levels in enumerate(zip(first, second, strict=True)) if levels[0] != levels[1]]
        if len(differ) == 2 and all(_with_levels(first, {place: second[place]}) in present for place in differ):
            return True
    return False


def levels_in(cells: Collection[Cell], factor: int) -> list[str]:
    """The distinct levels of the factor at this index of a cell, in order of first appearance."""
    return list(dict.fromkeys(cell[factor] for cell in cells))


def effect(
    cells: Cells,
    factor: int,
    level: str,
    reference: str,
    *,
    bounds: Bounds = (None, None),
    margin: float | None = None,
) -> Comparison | None:
    """Compare a factor's `level` with its `reference`, paired by seed; in each seed both are means over the cells that
    exist at both. None where no cell exists at both, or no seed has all of these cells."""
    levels = level, reference
    shared, seeds = _shared_cells(cells, {factor: levels})
    ours, theirs = (_means(cells, shared, seeds, {factor: at}) for at in levels)
    return compare(ours, theirs, bounds=bounds, margin=margin)


def simple_effects(cells: Cells, factor: int, level: str, reference: str) -> list[float]:
    """Mean over seeds of `level` minus `reference`, one number for each combination of the other factors that has both.
    They show whether the average that `effect` tests stands for its parts; none of them is tested."""
    levels = level, reference
    shared, seeds = _shared_cells(cells, {factor: levels})
    effects = []
    for cell in shared if seeds else ():
        ours, theirs = (_means(cells, [cell], seeds, {factor: at}) for at in levels)
        effects.append(float(np.mean([ours[seed] - theirs[seed] for seed in seeds])))
    return effects


def interaction(
    cells: Cells,
    factor: int,
    levels: tuple[str, str],
    second_factor: int,
    second_levels: tuple[str, str],
    *,
    margin: float | None = None,
) -> Comparison | None:
    """Compare the effect of one factor at the second factor's level with its effect at the second factor's reference.
    `levels` and `second_levels`: level and reference of each. None where no seed has all the cells needed."""
    shared, seeds = _shared_cells(cells, {factor: levels, second_factor: second_levels})
    effects = []
    for at in second_levels:
        high, low = (_means(cells, shared, seeds, {factor: level, second_factor: at}) for level in levels)
        effects.append({seed: high[seed] - low[seed] for seed in seeds})
    return compare(*effects, margin=margin)


def _shared_cells(cells: Cells, crossed: Mapping[int, tuple[str, str]]) -> tuple[list[Cell], list[str]]:
    """The cells to average over, and the seeds that have a value in all of them.

    `crossed`: by factor index, the two levels that are compared. A combination of the other factors counts if it exists
    at every combination of these levels; it is returned as its cell at the first of them.
    """
    level_sets = [dict(zip(crossed, levels, strict=True)) for levels in product(*crossed.values())]
    first_level_cells = [cell for cell in cells if all(cell[place] == level for place, level in level_sets[0].items())]
    shared_cells = [
        cell for cell in first_level_cells if all(_with_levels(cell, levels) in cells for levels in level_sets)
    ]
    needed = [cells[_with_levels(cell, levels)] for cell in shared_cells for levels in level_sets]
    seeds = [seed for seed in needed[0] if all(seed in values_by_seed for values_by_seed in needed)] if needed else []
    return shared_cells, seeds


def _means(cells: Cells, shared: Sequence[Cell], seeds: Sequence[str], levels: Mapping[int, str]) -> dict[str, float]:
    values = [cells[_with_levels(cell, levels)] for cell in shared]
    return {seed: float(np.mean([values_by_seed[seed] for values_by_seed in values])) for seed in seeds}


def _with_levels(cell: Cell, levels: Mapping[int, str]) -> Cell:
    return tuple(levels.get(place, level) for place, level in enumerate(cell))
