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
    """Two factors have two levels each, all four combinations of which are there, all else equal."""
    present = set(cells)
    for first, second in combinations(present, 2):
        differ = [place for place, levels in enumerate(zip(first, second, strict=True)) if levels[0] != levels[1]]
        if len(differ) == 2 and all(_at(first, {place: second[place]}) in present for place in differ):
            return True
    return False


def levels_of(cells: Collection[Cell], factor: int) -> list[str]:
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
    """Compare a level of a factor with its reference, each averaged over the cells that both have.

    None where they share no cell, or no seed has all of the shared ones.
    """
    levels = level, reference
    shared, seeds = _shared(cells, {factor: levels})
    ours, theirs = (_means(cells, shared, seeds, {factor: at}) for at in levels)
    return compare(ours, theirs, bounds=bounds, margin=margin)


def simple_effects(cells: Cells, factor: int, level: str, reference: str) -> list[float]:
    """What a level adds to its reference in each cell that both have, as the mean over the seeds of `effect`.

    They tell whether that average stands for its parts, and no more: none is judged.
    """
    levels = level, reference
    shared, seeds = _shared(cells, {factor: levels})
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
    """Compare the effect of a factor's level at another factor's level with its effect at that one's reference.

    `levels` and `second_levels` are a level and its reference. The difference is the same with both factors exchanged.
    None where no seed has all that it takes.
    """
    shared, seeds = _shared(cells, {factor: levels, second_factor: second_levels})
    effects = []
    for at in second_levels:
        high, low = (_means(cells, shared, seeds, {factor: level, second_factor: at}) for level in levels)
        effects.append({seed: high[seed] - low[seed] for seed in seeds})
    return compare(*effects, margin=margin)


def _shared(cells: Cells, crossed: Mapping[int, tuple[str, str]]) -> tuple[list[Cell], list[str]]:
    """The combinations of the other factors that are there at all these levels, and the seeds that have all.

    Each combination stands as one of its cells, that of the first levels.
    """
    level_sets = [dict(zip(crossed, levels, strict=True)) for levels in product(*crossed.values())]
    of_first = [cell for cell in cells if all(cell[place] == level for place, level in level_sets[0].items())]
    shared_cells = [cell for cell in of_first if all(_at(cell, levels) in cells for levels in level_sets)]
    needed = [cells[_at(cell, levels)] for cell in shared_cells for levels in level_sets]
    seeds = [seed for seed in needed[0] if all(seed in of_cell for of_cell in needed)] if needed else []
    return shared_cells, seeds


def _means(cells: Cells, shared: Sequence[Cell], seeds: Sequence[str], levels: Mapping[int, str]) -> dict[str, float]:
    """Each seed's mean over the combinations, at these levels."""
    values = [cells[_at(cell, levels)] for cell in shared]
    return {seed: float(np.mean([of_cell[seed] for of_cell in values])) for seed in seeds}


def _at(cell: Cell, levels: Mapping[int, str]) -> Cell:
    return tuple(levels.get(place, level) for place, level in enumerate(cell))
