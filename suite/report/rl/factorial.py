"""Experiments in which deviation, KL and format are crossed, as a table of cells: effects, interactions and leaders.

GRPO, PPO and REINFORCE++ differ in several settings at once, so a comparison of two usual forms cannot say which
matters. Crossed, each setting has an effect of its own within an algorithm, averaged over all combinations of the
others, and the algorithms can be compared at equal settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from statistics import fmean
from typing import Any, TypeVar

from suite.records.labels import differing
from suite.report.blocks import Text, dotted, say
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import grouped
from suite.report.model.labels import ALGORITHM, Style, label_of, rank_of, style_of
from suite.report.model.run import number_of
from suite.report.rl import design
from suite.report.rl.design import RlArm, RlExperiment
from suite.statistics.factorial import Bounds, Cell, effect, interaction, levels_of, simple_effects
from suite.statistics.paired import SHARE_MARGIN, Comparison, Outcome, compare, judge_together

ARM, DEVIATION, KL, FORMAT = "arm", "deviation", "kl", "format"
BETWEEN, WITHIN = (ARM, KL, FORMAT), (DEVIATION, KL, FORMAT)
"""Factors of cells over all algorithms, where each deviation is an arm of its own, and within one algorithm."""
REFERENCES = {DEVIATION: "group", KL: "none", FORMAT: "0.1"}
"""The level that others of a factor are compared with, where it is there; else its first."""
DEVIATIONS = ("group", "batch", "none")
KL_PLACES = ("none", "loss", "reward")
REFERENCE_ALGORITHM = "ppo"

Of = tuple[str, str, str]
"""A factor, a level of it and its reference."""
J = TypeVar("J", "Effect", "Interaction", "Duel")


@dataclass(frozen=True, kw_only=True)
class ArmLevel:
    """An algorithm with a deviation: an arm in every combination of KL and format."""

    name: Text
    style: Style
    algorithm: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Factorial:
    """An experiment as a table of cells."""

    experiment: RlExperiment
    arms: Mapping[str, ArmLevel]
    """Its arm levels by their key, in their order."""
    cells: Mapping[Cell, RlArm]
    """The arm of each cell, by arm level, KL and format."""

    @property
    def bounds(self) -> Bounds:
        return design.accuracy_bounds(next(iter(self.cells.values())))

    @property
    def scores(self) -> dict[Cell, dict[str, float]]:
        """Return final accuracies by cell and seed."""
        return {cell: arm.by_seed(design.final) for cell, arm in self.cells.items()}

    def within(self, algorithm: str) -> dict[Cell, dict[str, float]]:
        """Return the same of one algorithm, by deviation, KL and format."""
        of_key = {key: key.rpartition("|")[2] for key, level in self.arms.items() if level.algorithm == algorithm}
        return {(of_key[cell[0]], *cell[1:]): scores for cell, scores in self.scores.items() if cell[0] in of_key}

    @property
    def algorithms(self) -> list[str]:
        return list(dict.fromkeys(level.algorithm for level in self.arms.values()))

    @property
    def settings(self) -> list[tuple[str, str]]:
        """Return the combinations of KL and format, in their order."""
        known = {cell[1:] for cell in self.cells}
        kls, forms = (
            _ordered(factor, {cell[place] for cell in self.cells}) for place, factor in ((1, KL), (2, FORMAT))
        )
        return [pair for pair in product(kls, forms) if pair in known]


@dataclass(frozen=True, kw_only=True, eq=False)
class Effect:
    """Worth of a level of a factor against its reference."""

    algorithm: Text
    """Empty for an arm against another."""
    of: Of
    names: tuple[Text, Text]
    style: Style
    found: Comparison
    parts: Sequence[float]
    """Its mean in each combination of the other settings, over which it is averaged."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Interaction:
    """Change of an effect by a level of another factor."""

    algorithm: Text
    names: tuple[Text, Text]
    others: tuple[Text, Text]
    found: Comparison


@dataclass(frozen=True, kw_only=True, eq=False)
class Duel:
    """An arm of a combination of KL and format against one with a lower mean."""

    setting: tuple[str, str]
    better: str
    other: str
    found: Comparison


def factorial_of(experiment: RlExperiment) -> Factorial:
    """Lay an experiment out in cells. What belongs to an algorithm and differs within it makes arms of their own."""
    found: dict[Cell, RlArm] = {}
    arms: dict[str, ArmLevel] = {}
    of_algorithm = grouped(design.drawn(experiment), lambda arm: arm.value(ALGORITHM))
    is_own, crossed = belongs_to(design.DESIGN, ALGORITHM), (ALGORITHM, *design.CROSSED)
    for algorithm in sorted(of_algorithm, key=partial(rank_of, ALGORITHM)):
        own = {
            arm: tuple(pair for pair in arm.key if is_own(pair[0]) and pair[0] not in crossed)
            for arm in of_algorithm[algorithm]
        }
        names = differing(list(own.values()))
        by_deviation = grouped(own, lambda arm: design.cell_of(arm.first)[1])
        for deviation in _ordered(DEVIATION, by_deviation):
            for arm in by_deviation[deviation]:
                more = dotted(*(f"{name}={value}" for name, value in own[arm] if name in names))
                key = f"{algorithm} {more}|{deviation}"
                parts = [label_of(ALGORITHM, algorithm), more]
                parts += [level_short(DEVIATION, deviation)] if len(by_deviation) > 1 else []
                style = style_of(ALGORITHM, algorithm)
                level = ArmLevel(name=dotted(*parts), style=style, algorithm=f"{algorithm} {more}".strip())
                arms.setdefault(key, level)
                found[key, *design.cell_of(arm.first)[2:]] = arm
    return Factorial(experiment=experiment, arms=arms, cells=found)


def effects_of(factorial: Factorial) -> list[Effect]:
    """Return every level's effect within each algorithm, then every arm against the reference, judged together."""
    found, worth = [], partial(_effect, factorial.bounds)
    for algorithm in factorial.algorithms:
        cells = factorial.within(algorithm)
        style = style_of(ALGORITHM, algorithm.partition(" ")[0])
        for of in _levels(cells, WITHIN):
            names = level_name(*of[:2]), level_name(of[0], of[2])
            found += worth(cells, WITHIN, of, algorithm=algorithm_name(algorithm), names=names, style=style)
    for of in _levels(factorial.scores, BETWEEN, _arm_reference(factorial)):
        if of[0] == ARM:
            arm, reference = (factorial.arms[key] for key in of[1:])
            names = arm.name, reference.name
            found += worth(factorial.scores, BETWEEN, of, algorithm="", names=names, style=arm.style)
    return _judged(found)


def _effect(
    bounds: Bounds, cells: Mapping[Cell, Mapping[str, float]], factors: Sequence[str], of: Of, **more: Any
) -> list[Effect]:
    """One effect, or none where no seed has all that it takes."""
    place = factors.index(of[0])
    compared = effect(cells, place, *of[1:], bounds=bounds, margin=SHARE_MARGIN)
    if compared is None:
        return []
    return [Effect(of=of, found=compared, parts=simple_effects(cells, place, *of[1:]), **more)]


def interactions_of(factorial: Factorial) -> list[Interaction]:
    """Return the interactions of each pair of levels within each algorithm, and of arms with KL and format, the largest
    first, judged together."""
    found = []
    for algorithm in factorial.algorithms:
        cells = factorial.within(algorithm)
        found += [(algorithm_name(algorithm), *row) for row in _crossed(cells, WITHIN, factorial)]
    found += [("", *row) for row in _crossed(factorial.scores, BETWEEN, factorial) if row[0][0] == ARM]
    judged = _judged(
        Interaction(
            algorithm=name,
            names=_names(factorial, of),
            others=_names(factorial, other),
            found=compared,
        )
        for name, of, other, compared in found
    )
    return sorted(judged, key=lambda row: -abs(row.found.mean))


def _crossed(
    cells: Mapping[Cell, Mapping[str, float]], factors: Sequence[str], factorial: Factorial
) -> list[tuple[Of, Of, Comparison]]:
    reference = _arm_reference(factorial) if factors is BETWEEN else ""
    found = []
    for first, second in combinations(_levels(cells, factors, reference), 2):
        if first[0] != second[0]:
            places = factors.index(first[0]), factors.index(second[0])
            compared = interaction(cells, places[0], first[1:], places[1], second[1:], margin=SHARE_MARGIN)
            found += [(first, second, compared)] if compared is not None else []
    return found


def duels_of(factorial: Factorial) -> list[Duel]:
    """Compare all arms of each combination of KL and format, the best of it first, judged together: which of them leads
    was seen in these very runs, so that a leader stands for every pair that could have been told of."""
    found, scores = [], factorial.scores
    for setting in factorial.settings:
        here = {cell[0]: of_seed for cell, of_seed in scores.items() if cell[1:] == setting and of_seed}
        ranked = sorted(here, key=lambda key: -fmean(here[key].values()))
        for better, other in combinations(ranked, 2):
            compared = compare(here[better], here[other], bounds=factorial.bounds, margin=SHARE_MARGIN)
            if compared is not None:
                found.append(Duel(setting=setting, better=better, other=other, found=compared))
    return _judged(found)


def of_leaders(duels: Iterable[Duel]) -> dict[tuple[str, str], list[Duel]]:
    """Return the leader's comparisons with the others by combination of KL and format, the next arm's first."""
    of_setting = grouped(duels, lambda duel: duel.setting)
    return {setting: [duel for duel in same if duel.better == same[0].better] for setting, same in of_setting.items()}


def _judged(rows: Iterable[J]) -> list[J]:
    """The rows of one table with Holm's correction over all of them."""
    listed = list(rows)
    together = judge_together([row.found for row in listed])
    return [replace(row, found=comparison) for row, comparison in zip(listed, together, strict=True)]


def _levels(cells: Iterable[Cell], factors: Sequence[str], arm_reference: str = "") -> list[Of]:
    """Each factor's levels but the reference, with that."""
    every_cell, contrasts = list(cells), []
    for place, factor in enumerate(factors):
        levels = levels_of(every_cell, place) if factor == ARM else _ordered(factor, levels_of(every_cell, place))
        usual = arm_reference if factor == ARM else REFERENCES[factor]
        reference = usual if usual in levels else levels[0]
        contrasts += [(factor, level, reference) for level in levels if level != reference]
    return contrasts


def _ordered(factor: str, levels: Iterable[str]) -> list[str]:
    def place(level: str) -> tuple[float, float, str]:
        word, _, coefficient = level.partition(" ")
        known = {DEVIATION: DEVIATIONS, KL: KL_PLACES}.get(factor, ())
        if factor == FORMAT:
            weight = number_of(level)
            return (float(weight is None), weight or 0.0, level)
        return (known.index(word) if word in known else len(known), number_of(coefficient) or 0.0, level)

    return sorted(levels, key=place)


def _arm_reference(factorial: Factorial) -> str:
    """PPO's arm level, or the first."""
    ppo = [key for key, level in factorial.arms.items() if level.algorithm.partition(" ")[0] == REFERENCE_ALGORITHM]
    return next(iter([*ppo, *factorial.arms]))


def algorithm_name(algorithm: str) -> Text:
    name, _, more = algorithm.partition(" ")
    return dotted(label_of(ALGORITHM, name), more)


def _names(factorial: Factorial, of: Of) -> tuple[Text, Text]:
    if of[0] == ARM:
        return factorial.arms[of[1]].name, factorial.arms[of[2]].name
    return level_name(*of[:2]), level_name(of[0], of[2])


def level_name(factor: str, level: str) -> Text:
    """Return what a level is called in a sentence."""
    return _called("level", factor, level)


def level_short(factor: str, level: str) -> Text:
    """Return what a level is called on an axis."""
    return _called("short", factor, level)


def _called(length: str, factor: str, level: str) -> Text:
    if factor == FORMAT:
        weight = number_of(level)
        kind = "gate" if level == "gate" else "unknown" if weight is None else "weight" if weight else "none"
        return say(f"rl_why.{length}.format.{kind}", weight=level)
    word, _, coefficient = level.partition(" ")
    return say(f"rl_why.{length}.{factor}.{word or 'unknown'}", coefficient=coefficient)


def leaders_alone(duels: Iterable[Duel]) -> dict[tuple[str, str], str]:
    """Return the leader of each combination in which the rule tells it from every other arm."""
    return {
        setting: same[0].better
        for setting, same in of_leaders(duels).items()
        if all(duel.found.outcome is Outcome.HIGHER for duel in same)
    }
