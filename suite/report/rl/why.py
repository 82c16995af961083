"""Causes of the differences between algorithms: what each setting is worth in which their usual forms differ.

GRPO, PPO and REINFORCE++ differ in several settings at once, so a comparison of two usual forms cannot say which
matters. Where deviation, KL and format are crossed, an experiment is a table of cells: each setting has an effect of
its own within an algorithm, averaged over all combinations of the others, and algorithms compare at equal settings.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.records.labels import differences
from suite.report.blocks import Figure, Kind, Section, Table, Text, dotted, joined, say, section
from suite.report.evidence import add_verdict_note
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import grouped
from suite.report.model.formats import points
from suite.report.model.labels import ALGORITHM, BLUE, Style, option_label, option_sort_key, option_style
from suite.report.model.results import Results
from suite.report.model.run import parse_number
from suite.report.plot.heatmap import OPACITY, heatmap
from suite.report.plot.plots import faint
from suite.report.rl import design, frames
from suite.report.rl.contrasts import ForestRow, forest, judged_rows
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.run import final_accuracy
from suite.report.table import Column, column
from suite.statistics.factorial import Cell, Cells, effect, interaction, levels_in, simple_effects
from suite.statistics.paired import ALPHA, SHARE_MARGIN, ArmOutcome, Comparison, compare

ARM, DEVIATION, KL, FORMAT = "arm", "deviation", "kl", "format"
BETWEEN, WITHIN = (ARM, KL, FORMAT), (DEVIATION, KL, FORMAT)
"""Factors of cells over all algorithms, where each deviation is an arm of its own, and within one algorithm."""
REFERENCES = {DEVIATION: "group", KL: "none", FORMAT: "0.1"}
"""The level that others of a factor are compared with, where it is there; else its first."""
ORDERS = {DEVIATION: ("group", "batch", "none"), KL: ("none", "loss", "reward")}
REFERENCE_ALGORITHM = "ppo"
MAP_ROW_PX, MAP_FRAME_PX = 26, 110

Levels = tuple[str, str, str]
"""A factor, a level of it and its reference."""
Setting = tuple[str, str]
"""A combination of KL and format."""


@dataclass(frozen=True, kw_only=True)
class ArmLevel:
    """An algorithm with a deviation: an arm in every combination of KL and format."""

    name: Text
    style: Style
    algorithm: str  # with what belongs to it and differs within it
    deviation: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Factorial:
    """An experiment as a table of cells."""

    experiment: RlExperiment
    arms: Mapping[str, ArmLevel]  # by their key, in their order
    cells: Mapping[Cell, RlArm]  # by arm level, KL and format

    @cached_property
    def scores(self) -> dict[Cell, dict[str, float]]:
        return {cell: arm.by_seed(final_accuracy) for cell, arm in self.cells.items()}

    @property
    def bounds(self) -> tuple[float, float]:
        return design.accuracy_bounds(next(iter(self.cells.values())))

    @property
    def settings(self) -> list[Setting]:
        """The combinations of KL and format, in their order."""
        settings = {(kl, form) for _, kl, form in self.cells}
        return sorted(settings, key=lambda pair: (_level_order(KL, pair[0]), _level_order(FORMAT, pair[1])))

    @property
    def run_keys(self) -> list[str]:
        return [key for arm in self.cells.values() for key in arm.run_keys]

    def mean(self, cell: Cell) -> float | None:
        return self.cells[cell].mean(final_accuracy) if cell in self.cells else None

    def tables(self) -> Iterator[tuple[str, Sequence[str], Cells]]:
        """Yield (algorithm, factors, cells) for each algorithm, then for all arms with an empty algorithm."""
        for algorithm in dict.fromkeys(level.algorithm for level in self.arms.values()):
            deviations = {key: level.deviation for key, level in self.arms.items() if level.algorithm == algorithm}
            cells = {
                (deviations[arm], *rest): scores for (arm, *rest), scores in self.scores.items() if arm in deviations
            }
            yield algorithm, WITHIN, cells
        yield "", BETWEEN, self.scores

    def levels(self, cells: Cells, factors: Sequence[str]) -> list[Levels]:
        """Each factor's levels but the reference, as (factor, level, reference). Of arms PPO is the reference."""
        pairs = list[Levels]()
        ppo = [key for key, level in self.arms.items() if level.algorithm.partition(" ")[0] == REFERENCE_ALGORITHM]
        for place, factor in enumerate(factors):
            levels, usual = levels_in(cells, place), [*ppo, *self.arms][0]
            if factor != ARM:
                levels, usual = sorted(levels, key=partial(_level_order, factor)), REFERENCES[factor]
            reference = usual if usual in levels else levels[0]
            pairs += [(factor, level, reference) for level in levels if level != reference]
        return pairs

    def names(self, levels: Levels) -> tuple[Text, Text]:
        factor, *pair = levels
        level, reference = (self.arms[key].name if factor == ARM else level_name(factor, key) for key in pair)
        return level, reference


@dataclass(frozen=True, kw_only=True, eq=False)
class FactorEffect:
    """Worth of a level of a factor against its reference; or the change of that by a level of another factor."""

    algorithm: Text  # empty for an arm against another
    levels: Levels
    names: tuple[Text, Text]
    under: tuple[Text, ...]  # of a change the level and the reference of the other factor
    style: Style
    comparison: Comparison
    parts: Sequence[float]
    """Its mean in each combination of the other settings, over which it is averaged; none of a change."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmDuel:
    """An arm of a combination of KL and format against one with a lower mean."""

    setting: Setting
    better: str
    other: str
    comparison: Comparison

    @property
    def is_clear(self) -> bool:
        return self.comparison.outcome is ArmOutcome.HIGHER


def build_factorial(experiment: RlExperiment) -> Factorial:
    """Lay trained arms out in cells, in the order of algorithms, then deviations. A setting of an algorithm's own that
    differs between its arms splits them into several levels, named by the algorithm with the setting."""
    is_algorithms_own, arms = belongs_to(design.DESIGN, ALGORITHM), experiment.trained_arms
    settings = [
        {name: value for name, value in arm.key if is_algorithms_own(name) and name not in design.CROSSED}
        for arm in arms
    ]
    further = dict(zip(arms, differences(settings, alike_in=(ALGORITHM,)), strict=True))
    cells_by_arm = {arm: design.factor_levels(arm.first) for arm in arms}
    deviations = grouped({cell[:2] for cell in cells_by_arm.values()}, lambda pair: pair[0])

    def order(arm: RlArm) -> tuple[Any, ...]:
        algorithm, deviation, *_ = cells_by_arm[arm]
        return option_sort_key(ALGORITHM, algorithm), _level_order(DEVIATION, deviation)

    cells, levels = dict[Cell, RlArm](), dict[str, ArmLevel]()
    for arm in sorted(arms, key=order):
        algorithm, deviation, *setting = cells_by_arm[arm]
        more = " · ".join(f"{name}={value}" for name, value in further[arm].items() if name != ALGORITHM)
        short = level_short(DEVIATION, deviation) if len(deviations[algorithm]) > 1 else ""
        key = f"{algorithm} {more}|{deviation}"
        level = ArmLevel(
            name=dotted(option_label(ALGORITHM, algorithm), more, short),
            style=option_style(ALGORITHM, algorithm),
            algorithm=f"{algorithm} {more}".strip(),
            deviation=deviation,
        )
        levels.setdefault(key, level)
        cells[key, *setting] = arm
    return Factorial(experiment=experiment, arms=levels, cells=cells)


def factor_effects(factorial: Factorial, *, are_crossed: bool = False) -> list[FactorEffect]:
    """The effect of each level on accuracy, all other settings held, within each algorithm, then between arms; judged
    together. `are_crossed`: instead, how much a level of another setting changes it, the largest first."""
    effects = []
    for algorithm, factors, cells in factorial.tables():
        levels = factorial.levels(cells, factors)
        for (factor, *pair), *crossed in combinations(levels, 2) if are_crossed else zip(levels):
            if (not algorithm and factor != ARM) or (crossed and crossed[0][0] == factor):
                continue
            place, (level, reference) = factors.index(factor), pair
            if crossed:
                other = factors.index(crossed[0][0])
                comparison = interaction(cells, place, (level, reference), other, crossed[0][1:], margin=SHARE_MARGIN)
            else:
                comparison = effect(cells, place, level, reference, bounds=factorial.bounds, margin=SHARE_MARGIN)
            if comparison is not None:
                name = algorithm.partition(" ")[0]
                effects.append(
                    FactorEffect(
                        algorithm=algorithm_name(algorithm) if algorithm else "",
                        levels=(factor, level, reference),
                        names=factorial.names((factor, level, reference)),
                        under=factorial.names(crossed[0]) if crossed else (),
                        style=option_style(ALGORITHM, name) if algorithm else factorial.arms[level].style,
                        comparison=comparison,
                        parts=[] if crossed else simple_effects(cells, place, level, reference),
                    )
                )
    judged = judged_rows(effects)
    return sorted(judged, key=lambda row: -abs(row.comparison.mean)) if are_crossed else judged


def arm_duels(factorial: Factorial) -> list[ArmDuel]:
    """Compare all arms of each combination of KL and format, the better first, judged together: the leader was picked
    from these very runs, so every pair that it could have come from counts."""
    duels = []
    for setting in factorial.settings:
        scores = {cell[0]: by_seed for cell, by_seed in factorial.scores.items() if cell[1:] == setting and by_seed}
        ranked = sorted(scores, key=lambda key: -fmean(scores[key].values()))
        for better, other in combinations(ranked, 2):
            comparison = compare(scores[better], scores[other], bounds=factorial.bounds, margin=SHARE_MARGIN)
            if comparison is not None:
                duels.append(ArmDuel(setting=setting, better=better, other=other, comparison=comparison))
    return judged_rows(duels)


def leader_duels(duels: Iterable[ArmDuel]) -> dict[Setting, list[ArmDuel]]:
    """For each combination of KL and format the comparisons of its best arm, the next best arm's first."""
    by_setting = grouped(duels, lambda duel: duel.setting)
    return {
        setting: [duel for duel in setting_duels if duel.better == setting_duels[0].better]
        for setting, setting_duels in by_setting.items()
    }


def _level_order(factor: str, level: str) -> tuple[float, float, str]:
    """The sort key of a level: a format by its weight, others by ORDERS, then by coefficient."""
    if factor == FORMAT:
        weight = parse_number(level)
        return (float(weight is None), weight or 0.0, level)
    (word, _, coefficient), order = level.partition(" "), ORDERS[factor]
    return (order.index(word) if word in order else len(order), parse_number(coefficient) or 0.0, level)


def algorithm_name(algorithm: str) -> Text:
    """The label of an algorithm; settings behind the name are added as they are."""
    name, _, more = algorithm.partition(" ")
    return dotted(option_label(ALGORITHM, name), more)


def level_name(factor: str, level: str, length: str = "level") -> Text:
    """What a level is called in a sentence; with the length `short` on an axis."""
    if factor == FORMAT:
        weight = parse_number(level)
        kind = "gate" if level == "gate" else "unknown" if weight is None else "weight" if weight else "none"
        return say(f"rl_why.{length}.format.{kind}", weight=level)
    word, _, coefficient = level.partition(" ")
    return say(f"rl_why.{length}.{factor}.{word or 'unknown'}", coefficient=coefficient)


level_short = partial(level_name, length="short")
"""What a level is called on an axis."""


def build(results: Results) -> Section | None:
    """The section on causes, from the experiments in which at least two factors are crossed; None without any."""
    factorials = [build_factorial(each) for each in design.layout(results).factorials if each.trained_arms]
    if not factorials:
        return None
    figures, tables = list[Figure](), list[Table]()
    for factorial in factorials:
        effects, changes = factor_effects(factorial), factor_effects(factorial, are_crossed=True)
        figures += [*([_forest(factorial, effects)] if effects else []), _cells_figure(factorial)]
        tables.append(_table(factorial, "rl_why.effects", effects))
        tables.append(_table(factorial, "rl_why.interactions", changes, folded=True))
    return section("rl_why", figures=figures, tables=add_verdict_note([table for table in tables if table.rows]))


def _table(factorial: Factorial, title: str, rows: Sequence[FactorEffect], **more: Any) -> Table:
    """A table of effects, or of their changes; its note says how many are judged together, and at which level."""

    def parts(row: FactorEffect) -> Text:
        return say("rl.range", low=points(min(row.parts)), high=points(max(row.parts))) if row.parts else ""

    def under(row: FactorEffect) -> Text:
        return say("rl_why.row.arm", level=row.under[0], reference=row.under[1]) if row.under else ""

    columns: list[Column[FactorEffect]] = [
        column("column.algorithm", lambda row: row.algorithm or say("rl_why.equal")),
        column("rl_why.level", lambda row: row.names[0]),
        column("rl_why.reference", lambda row: row.names[1]),
        column("rl_why.other", under, only_where_known=True),
        *frames.comparison_columns("rl_efficiency.difference", lambda row: row.comparison),
        column("rl_why.parts", parts, kind=Kind.NUMBER, only_where_known=True),
    ]
    count = sum(row.comparison.is_tested for row in rows)
    level = say("rl_why.corrected", count=count, level=f"{ALPHA / count:.2g}") if count else ""
    note = joined("sentence", [say(f"{title}_note"), level])
    return frames.experiment_table(factorial.experiment, title, rows, columns, None, note=note, **more)


def _forest(factorial: Factorial, effects: Sequence[FactorEffect]) -> Figure:
    """The figure of effects in points, a row each."""
    rows = []
    for row in effects:
        factor, *pair = row.levels
        # Short enough for a row on a telephone.
        level, reference = row.names if factor == ARM else (level_short(factor, level) for level in pair)
        name = say(f"rl_why.row.{factor}", level=level, reference=reference)
        group = row.algorithm or algorithm_name(factorial.arms[row.levels[1]].algorithm)
        named = {"name": dotted(row.algorithm, name), "group": group}
        rows.append(ForestRow(**named, style=row.style, comparison=row.comparison))
    return forest(factorial.experiment, "rl_why.effects", rows, factorial.run_keys)


def _cells_figure(factorial: Factorial) -> Figure:
    """The figure of every cell's mean accuracy; a dot marks the arms of a row that are not clearly below its best."""
    leaders = leader_duels(arm_duels(factorial))
    below = {(duel.other, *duel.setting) for duels in leaders.values() for duel in duels if duel.is_clear}

    def hover(cell: Cell) -> Text:
        if cell not in factorial.cells:
            return ""
        arm = dotted(factorial.arms[cell[0]].name, level_short(KL, cell[1]), level_short(FORMAT, cell[2]))
        accuracy = numbers.percent(factorial.mean(cell) or 0.0)
        return say("rl_why.map_hover", arm=arm, accuracy=accuracy, count=len(factorial.cells[cell].ended))

    def percent(cell: Cell) -> float | None:
        return None if (mean := factorial.mean(cell)) is None else 100 * mean

    def text(cell: Cell) -> str:
        return "" if (mean := percent(cell)) is None else f"{mean:.0f}{'' if cell in below else ' •'}"

    grid = [[(key, *setting) for key in factorial.arms] for setting in factorial.settings]
    figure = heatmap(
        [level.name for level in factorial.arms.values()],
        [dotted(level_short(KL, kl), level_short(FORMAT, form)) for kl, form in factorial.settings],
        values=[[None if (mean := percent(cell)) is None else round(mean, 1) for cell in row] for row in grid],
        cell_texts=[list(map(text, row)) for row in grid],
        hovers=[list(map(hover, row)) for row in grid],
        colours={
            "colorscale": [[0, "rgba(128, 128, 128, 0.06)"], [1, faint(BLUE, OPACITY)]],
            "zmin": 0,
            "zmax": 100,
            "showscale": False,
        },
        title=say("rl_why.map_axis"),
        text_px=12,
        behind=factorial.run_keys,
    )
    best = max(factorial.cells, key=lambda cell: factorial.mean(cell) or 0.0)
    finding = say(
        "rl_why.finding.map",
        accuracy=numbers.percent(factorial.mean(best) or 0.0),
        arm=factorial.arms[best[0]].name,
        count=len(factorial.cells[best].ended),
        kl=level_name(KL, best[1]),
        form=level_name(FORMAT, best[2]),
        alone=sum(all(duel.is_clear for duel in duels) for duels in leaders.values()),
        settings=len(factorial.settings),
    )
    height_px = MAP_FRAME_PX + MAP_ROW_PX * len(factorial.settings)
    caption = say("rl_why.map_caption")
    return frames.experiment_figure(
        factorial.experiment, "rl_why.map", {"": figure}, finding, caption, height_px=height_px
    )
