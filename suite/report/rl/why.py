"""Causes of the differences between algorithms: what each setting is worth in which their usual forms differ.

GRPO, PPO and REINFORCE++ differ in several settings at once, so a comparison of two usual forms cannot say which
matters. Where deviation, KL and format are crossed, an experiment is a table of cells: each setting has an effect of
its own within an algorithm, averaged over all combinations of the others, and algorithms compare at equal settings.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.records.labels import differences
from suite.report.blocks import Figure, Kind, Section, Table, Text, dotted, joined, say, section
from suite.report.evidence import with_rule
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import grouped
from suite.report.model.formats import points
from suite.report.model.labels import ALGORITHM, BLUE, Style, label_of, rank_of, style_of
from suite.report.model.results import Results
from suite.report.model.run import number_of
from suite.report.plot.heatmap import OPACITY, heatmap
from suite.report.plot.marks import faint
from suite.report.rl import design
from suite.report.rl.contrasts import ForestRow, difference_columns, forest, judged_rows
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.frames import figure_of, runs_behind, table_of
from suite.report.table import Column, column
from suite.statistics.factorial import Cell, Cells, effect, interaction, levels_of, simple_effects
from suite.statistics.paired import ALPHA, SHARE_MARGIN, ArmOutcome, Comparison, compare

ARM, DEVIATION, KL, FORMAT = "arm", "deviation", "kl", "format"
BETWEEN, WITHIN = (ARM, KL, FORMAT), (DEVIATION, KL, FORMAT)
"""Factors of cells over all algorithms, where each deviation is an arm of its own, and within one algorithm."""
REFERENCES = {DEVIATION: "group", KL: "none", FORMAT: "0.1"}
"""The level that others of a factor are compared with, where it is there; else its first."""
ORDERS = {DEVIATION: ("group", "batch", "none"), KL: ("none", "loss", "reward")}
REFERENCE_ALGORITHM = "ppo"
MAP_ROW_PX, MAP_FRAME_PX = 26, 110

Of = tuple[str, str, str]
"""A factor, a level of it and its reference."""
Setting = tuple[str, str]
"""A combination of KL and format."""
Place = tuple[float, float, str]


@dataclass(frozen=True, kw_only=True)
class ArmLevel:
    """An algorithm with a deviation: an arm in every combination of KL and format."""

    name: Text
    style: Style
    algorithm: str
    """With what belongs to it and differs within it."""
    deviation: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Factorial:
    """An experiment as a table of cells."""

    experiment: RlExperiment
    arms: Mapping[str, ArmLevel]
    """Its arm levels by their key, in their order."""
    cells: Mapping[Cell, RlArm]
    """The arm of each cell, by arm level, KL and format."""

    @property
    def scores(self) -> dict[Cell, dict[str, float]]:
        """Final accuracies by cell and seed."""
        return {cell: arm.by_seed(design.final) for cell, arm in self.cells.items()}

    @property
    def settings(self) -> list[Setting]:
        """The combinations of KL and format, in their order."""
        settings = {(kl, form) for _, kl, form in self.cells}
        return sorted(settings, key=lambda pair: (_place(KL, pair[0]), _place(FORMAT, pair[1])))

    @property
    def runs(self) -> list[str]:
        return [key for arm in self.cells.values() for key in runs_behind(arm)]

    def mean(self, cell: Cell) -> float | None:
        return self.cells[cell].mean(design.final) if cell in self.cells else None

    def tables(self) -> Iterator[tuple[str, Sequence[str], Cells]]:
        """Each algorithm's cells by deviation, KL and format, then all cells by arm, KL and format."""
        scores = self.scores
        for algorithm in dict.fromkeys(level.algorithm for level in self.arms.values()):
            of_key = {key: level.deviation for key, level in self.arms.items() if level.algorithm == algorithm}
            yield algorithm, WITHIN, {(of_key[key], *rest): of for (key, *rest), of in scores.items() if key in of_key}
        yield "", BETWEEN, scores

    def levels(self, cells: Iterable[Cell], factors: Sequence[str]) -> list[Of]:
        """Each factor's levels but the reference, with that."""
        every_cell, contrasts = list(cells), []
        ppo = [key for key, level in self.arms.items() if level.algorithm.partition(" ")[0] == REFERENCE_ALGORITHM]
        for place, factor in enumerate(factors):
            levels = levels_of(every_cell, place)
            levels = levels if factor == ARM else sorted(levels, key=partial(_place, factor))
            usual = next(iter([*ppo, *self.arms])) if factor == ARM else REFERENCES[factor]
            reference = usual if usual in levels else levels[0]
            contrasts += [(factor, level, reference) for level in levels if level != reference]
        return contrasts

    def names(self, of: Of) -> tuple[Text, Text]:
        """What a level and its reference are called."""
        level, reference = (self.arms[key].name if of[0] == ARM else level_name(of[0], key) for key in of[1:])
        return level, reference


@dataclass(frozen=True, kw_only=True, eq=False)
class FactorEffect:
    """Worth of a level of a factor against its reference; or the change of that by a level of another factor."""

    algorithm: Text
    """Empty for an arm against another."""
    of: Of
    names: tuple[Text, Text]
    others: tuple[Text, ...]
    """The level and the reference of the other factor, of a change."""
    style: Style
    found: Comparison
    parts: Sequence[float]
    """Its mean in each combination of the other settings, over which it is averaged; none of a change."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmDuel:
    """An arm of a combination of KL and format against one with a lower mean."""

    setting: Setting
    better: str
    other: str
    found: Comparison


def build_factorial(experiment: RlExperiment) -> Factorial:
    """Lay an experiment out in cells. What belongs to an algorithm and differs within it makes arms of their own."""
    is_own, drawn = belongs_to(design.DESIGN, ALGORITHM), experiment.drawn
    own = [{name: value for name, value in arm.key if is_own(name) and name not in design.CROSSED} for arm in drawn]
    telling = dict(zip(drawn, differences(own, alike_in=(ALGORITHM,)), strict=True))
    of_arm = {arm: design.cell_of(arm.first) for arm in drawn}
    deviations = grouped({cell[:2] for cell in of_arm.values()}, lambda pair: pair[0])

    def place(arm: RlArm) -> tuple[tuple[int, str], Place]:
        algorithm, deviation, *_ = of_arm[arm]
        return rank_of(ALGORITHM, algorithm), _place(DEVIATION, deviation)

    cells, arms = dict[Cell, RlArm](), dict[str, ArmLevel]()
    for arm in sorted(drawn, key=place):
        algorithm, deviation, *setting = of_arm[arm]
        more = " · ".join(f"{name}={value}" for name, value in telling[arm].items() if name != ALGORITHM)
        short = level_short(DEVIATION, deviation) if len(deviations[algorithm]) > 1 else ""
        level = ArmLevel(
            name=dotted(label_of(ALGORITHM, algorithm), more, short),
            style=style_of(ALGORITHM, algorithm),
            algorithm=f"{algorithm} {more}".strip(),
            deviation=deviation,
        )
        key = f"{algorithm} {more}|{deviation}"
        arms.setdefault(key, level)
        cells[key, *setting] = arm
    return Factorial(experiment=experiment, arms=arms, cells=cells)


def factor_effects(factorial: Factorial, *, are_crossed: bool = False) -> list[FactorEffect]:
    """What each level is worth with all other settings held: within each algorithm, then of arms; judged together.

    `are_crossed`: instead, what a level of another setting changes about it, the largest first.
    """
    effects, bounds = [], design.accuracy_bounds(next(iter(factorial.cells.values())))
    for algorithm, factors, cells in factorial.tables():
        levels = factorial.levels(cells, factors)
        for of, *other in combinations(levels, 2) if are_crossed else ((of,) for of in levels):
            if (not algorithm and of[0] != ARM) or (other and other[0][0] == of[0]):
                continue
            place = factors.index(of[0])
            if other:
                beside = factors.index(other[0][0]), other[0][1:]
                compared = interaction(cells, place, of[1:], *beside, margin=SHARE_MARGIN)
            else:
                compared = effect(cells, place, *of[1:], bounds=bounds, margin=SHARE_MARGIN)
            if compared is not None:
                style = style_of(ALGORITHM, algorithm.partition(" ")[0]) if algorithm else factorial.arms[of[1]].style
                more: dict[str, Any] = {"style": style, "found": compared}
                more["others"] = factorial.names(other[0]) if other else ()
                more["parts"] = [] if other else simple_effects(cells, place, *of[1:])
                name = algorithm_name(algorithm) if algorithm else ""
                effects.append(FactorEffect(algorithm=name, of=of, names=factorial.names(of), **more))
    judged = judged_rows(effects)
    return sorted(judged, key=lambda row: -abs(row.found.mean)) if are_crossed else judged


def arm_duels(factorial: Factorial) -> list[ArmDuel]:
    """Compare all arms of each combination of KL and format, the best of it first, judged together: which of them leads
    was seen in these very runs, so that a leader stands for every pair that could have been told of."""
    duels, scores = [], factorial.scores
    bounds = design.accuracy_bounds(next(iter(factorial.cells.values())))
    for setting in factorial.settings:
        here = {cell[0]: of_seed for cell, of_seed in scores.items() if cell[1:] == setting and of_seed}
        ranked = sorted(here, key=lambda key: -fmean(here[key].values()))
        for better, other in combinations(ranked, 2):
            compared = compare(here[better], here[other], bounds=bounds, margin=SHARE_MARGIN)
            if compared is not None:
                duels.append(ArmDuel(setting=setting, better=better, other=other, found=compared))
    return judged_rows(duels)


def leader_duels(duels: Iterable[ArmDuel]) -> dict[Setting, list[ArmDuel]]:
    """The leader's comparisons with the others by combination of KL and format, the next arm's first."""
    of_setting = grouped(duels, lambda duel: duel.setting)
    leaders = {setting: alike[0].better for setting, alike in of_setting.items()}
    return {setting: [duel for duel in of_setting[setting] if duel.better == leaders[setting]] for setting in leaders}


def leaders_alone(duels: Iterable[ArmDuel]) -> set[Setting]:
    """The combinations in which the rule tells the leader from every other arm."""
    of_setting = leader_duels(duels).items()
    return {setting for setting, led in of_setting if all(duel.found.outcome is ArmOutcome.HIGHER for duel in led)}


def _place(factor: str, level: str) -> Place:
    """A level's place among those of its factor."""
    if factor == FORMAT:
        weight = number_of(level)
        return (float(weight is None), weight or 0.0, level)
    (word, _, coefficient), order = level.partition(" "), ORDERS[factor]
    return (order.index(word) if word in order else len(order), number_of(coefficient) or 0.0, level)


def algorithm_name(algorithm: str) -> Text:
    name, _, more = algorithm.partition(" ")
    return dotted(label_of(ALGORITHM, name), more)


def level_name(factor: str, level: str, length: str = "level") -> Text:
    """What a level is called in a sentence."""
    if factor == FORMAT:
        weight = number_of(level)
        kind = "gate" if level == "gate" else "unknown" if weight is None else "weight" if weight else "none"
        return say(f"rl_why.{length}.format.{kind}", weight=level)
    word, _, coefficient = level.partition(" ")
    return say(f"rl_why.{length}.{factor}.{word or 'unknown'}", coefficient=coefficient)


level_short = partial(level_name, length="short")
"""What a level is called on an axis."""


def build(results: Results) -> Section | None:
    """Build it from the experiments in which at least two factors are crossed."""
    factorials = [build_factorial(experiment) for experiment in design.layout(results).factorials if experiment.drawn]
    if not factorials:
        return None
    figures, tables = list[Figure](), list[Table]()
    for factorial in factorials:
        effects, changes = factor_effects(factorial), factor_effects(factorial, are_crossed=True)
        figures += [*([_forest(factorial, effects)] if effects else []), _map(factorial, arm_duels(factorial))]
        tables.append(_table(factorial, "rl_why.effects", effects))
        tables.append(_table(factorial, "rl_why.interactions", changes, folded=True))
    tables = with_rule([table for table in tables if table.rows])
    return section("rl_why", figures=figures, tables=tables)


def _table(factorial: Factorial, title: str, rows: Sequence[FactorEffect], **more: Any) -> Table:
    """Lay out effects, or changes of them; its note says how many are corrected together, and what that asks of the
    first."""

    def parts(row: FactorEffect) -> Text:
        return say("rl.range", low=points(min(row.parts)), high=points(max(row.parts))) if row.parts else ""

    def under(row: FactorEffect) -> Text:
        names = dict(zip(("level", "reference"), row.others, strict=False))
        return say("rl_why.row.arm", **names) if names else ""

    columns: list[Column[FactorEffect]] = [
        column("column.algorithm", lambda row: row.algorithm or say("rl_why.equal")),
        column("rl_why.level", lambda row: row.names[0]),
        column("rl_why.reference", lambda row: row.names[1]),
        column("rl_why.other", under, only_where_known=True),
        *difference_columns("rl_efficiency.difference"),
        column("rl_why.parts", parts, kind=Kind.NUMBER, only_where_known=True),
    ]
    count = sum(row.found.is_tested for row in rows)
    level = say("rl_why.corrected", count=count, level=f"{ALPHA / count:.2g}") if count else ""
    note = joined("sentence", [say(f"{title}_note"), level])
    return table_of(factorial.experiment, title, rows, columns, None, note=note, **more)


def _forest(factorial: Factorial, effects: Sequence[FactorEffect]) -> Figure:
    rows = [
        ForestRow(
            name=dotted(row.algorithm, _row_name(row)),
            group=row.algorithm or algorithm_name(factorial.arms[row.of[1]].algorithm),
            style=row.style,
            found=row.found,
        )
        for row in effects
    ]
    return forest(factorial.experiment, "rl_why.effects", rows, factorial.runs)


def _row_name(row: FactorEffect) -> Text:
    """An effect's name, short enough for a row on a telephone."""
    factor, *levels = row.of
    level, reference = row.names if factor == ARM else (level_short(factor, level) for level in levels)
    return say(f"rl_why.row.{factor}", level=level, reference=reference)


def _map(factorial: Factorial, duels: Sequence[ArmDuel]) -> Figure:
    """Draw the mean accuracy of every cell; a dot marks the arms of a row that are not below its leader by the rule."""
    led = [duel for of_leader in leader_duels(duels).values() for duel in of_leader]
    below = {(duel.other, *duel.setting) for duel in led if duel.found.outcome is ArmOutcome.HIGHER}

    def hover(cell: Cell) -> Text:
        arm = dotted(factorial.arms[cell[0]].name, level_short(KL, cell[1]), level_short(FORMAT, cell[2]))
        accuracy = numbers.percent(factorial.mean(cell) or 0.0)
        return say("rl_why.map_hover", arm=arm, accuracy=accuracy, count=len(factorial.cells[cell].ended))

    grid = [[(key, *setting) for key in factorial.arms] for setting in factorial.settings]
    means = [[None if (mean := factorial.mean(cell)) is None else 100 * mean for cell in row] for row in grid]
    marks = [["" if cell in below else " •" for cell in row] for row in grid]
    figure = heatmap(
        [level.name for level in factorial.arms.values()],
        [dotted(level_short(KL, kl), level_short(FORMAT, form)) for kl, form in factorial.settings],
        values=[[None if mean is None else round(mean, 1) for mean in row] for row in means],
        written=[
            ["" if mean is None else f"{mean:.0f}{mark}" for mean, mark in zip(*row, strict=True)]
            for row in zip(means, marks, strict=True)
        ],
        hovers=[[hover(cell) if cell in factorial.cells else "" for cell in row] for row in grid],
        colours={
            "colorscale": [[0, "rgba(128, 128, 128, 0.06)"], [1, faint(BLUE, OPACITY)]],
            "zmin": 0,
            "zmax": 100,
            "showscale": False,
        },
        title=say("rl_why.map_axis"),
        text_px=12,
        behind=factorial.runs,
    )
    best = max(factorial.cells, key=lambda cell: factorial.mean(cell) or 0.0)
    fields: dict[str, Any] = {"arm": factorial.arms[best[0]].name, "count": len(factorial.cells[best].ended)}
    fields |= {"kl": level_name(KL, best[1]), "form": level_name(FORMAT, best[2])}
    fields |= {"alone": len(leaders_alone(duels)), "settings": len(factorial.settings)}
    finding = say("rl_why.finding.map", accuracy=numbers.percent(factorial.mean(best) or 0.0), **fields)
    height_px = MAP_FRAME_PX + MAP_ROW_PX * len(factorial.settings)
    caption = say("rl_why.map_caption")
    return figure_of(factorial.experiment, "rl_why.map", {"": figure}, finding, caption, height_px=height_px)
