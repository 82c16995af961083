"""Causes of the differences between algorithms: what each of the settings is worth in which their usual forms differ.

GRPO, PPO and REINFORCE++ differ in several settings at once, so a comparison of two usual forms cannot say which
matters. Where deviation, KL and format are crossed, each has an effect of its own within an algorithm, averaged
over all combinations of the others, and the algorithms can be compared at equal settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from statistics import fmean
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.evidence import p_columns, verdict, with_rule
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import differing, grouped
from suite.report.model.formats import ends_of, plain, points, with_range
from suite.report.model.labels import ALGORITHM, BLUE, Style, label_of, rank_of, style_of
from suite.report.model.results import Results
from suite.report.model.run import number_of
from suite.report.plot import rows as plot_rows
from suite.report.plot.heatmap import OPACITY, heatmap
from suite.report.plot.marks import Point, Series, faint
from suite.report.plot.scales import linear
from suite.report.rl import design
from suite.report.rl.contrasts import BOUNDS
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.stability import mean_of_steps
from suite.report.table import Column, column, table
from suite.statistics.factorial import Cell, effect, interaction, levels_of
from suite.statistics.paired import ALPHA, SHARE_MARGIN, TOLD_APART, Comparison, Outcome, compare, judge_together

ARM, DEVIATION, KL, FORMAT = "arm", "deviation", "kl", "format"
BETWEEN, WITHIN = (ARM, KL, FORMAT), (DEVIATION, KL, FORMAT)
"""Factors of cells over all algorithms, where each deviation is an arm of its own, and within one algorithm."""
REFERENCES = {DEVIATION: "group", KL: "none", FORMAT: "0.1"}
"""The level that others of a factor are compared with, where it is there; else its first."""
DEVIATIONS = ("group", "batch", "none")
KL_PLACES = ("none", "loss", "reward")
REFERENCE_ALGORITHM = "ppo"
MOST_SAID = 3
MAP_ROW_PX, MAP_FRAME_PX = 26, 110
READINGS = ("explained_variance", "gradient_norm", "gradient_clipped", "clip_fraction_low", "clip_fraction_high")

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Interaction:
    """Change of an effect by a level of another factor."""

    algorithm: Text
    names: tuple[Text, Text]
    others: tuple[Text, Text]
    found: Comparison


@dataclass(frozen=True, kw_only=True, eq=False)
class Duel:
    """The leader of a combination of KL and format against another arm of it."""

    setting: tuple[str, str]
    leader: str
    other: str
    found: Comparison


def build(results: Results) -> Section | None:
    """Build it from the experiments in which at least two factors are crossed."""
    found = [_factorial(experiment) for experiment in design.factorials(results) if design.drawn(experiment)]
    if not found:
        return None
    figures: list[Figure | None] = []
    tables: list[Table] = []
    headlines, sentences = [], list[Text]()
    for factorial in found:
        effects, interactions, duels = _effects(factorial), _interactions(factorial), _duels(factorial)
        figures += [_forest(factorial, effects), _map(factorial, duels)]
        tables += [
            _effects_table(factorial, effects),
            _leaders(factorial, duels),
            _interactions_table(factorial, interactions),
            _readings(factorial),
        ]
        sentences += _said(effects, duels)
        headlines.append(_headline(factorial, effects, interactions, duels))
    return section(
        "rl_why",
        explanation=joined("sentence", [say("rl_why.explanation"), *sentences]),
        figures=figures,
        tables=with_rule([table for table in tables if table.rows]),
        headlines=headlines,
    )


def _factorial(experiment: RlExperiment) -> Factorial:
    """Lay an experiment out in cells. What belongs to an algorithm and differs within it makes arms of their own."""
    found: dict[Cell, RlArm] = {}
    arms: dict[str, ArmLevel] = {}
    of_algorithm = grouped(design.drawn(experiment), lambda arm: arm.value(ALGORITHM))
    for algorithm in sorted(of_algorithm, key=partial(rank_of, ALGORITHM)):
        own = {arm: _own_settings(arm) for arm in of_algorithm[algorithm]}
        names = differing(list(own.values()))
        by_deviation = grouped(own, lambda arm: design.cell_of(arm.first)[1])
        for deviation in _ordered(DEVIATION, by_deviation):
            for arm in by_deviation[deviation]:
                more = dotted(*(f"{name}={value}" for name, value in own[arm] if name in names))
                key = f"{algorithm} {more}|{deviation}"
                parts = [label_of(ALGORITHM, algorithm), more]
                parts += [_short(DEVIATION, deviation)] if len(by_deviation) > 1 else []
                style = style_of(ALGORITHM, algorithm)
                level = ArmLevel(name=dotted(*parts), style=style, algorithm=f"{algorithm} {more}".strip())
                arms.setdefault(key, level)
                found[key, *design.cell_of(arm.first)[2:]] = arm
    return Factorial(experiment=experiment, arms=arms, cells=found)


def _own_settings(arm: RlArm) -> tuple[tuple[str, str], ...]:
    of_algorithm = belongs_to(design.DESIGN, ALGORITHM)
    return tuple(pair for pair in arm.key if of_algorithm(pair[0]) and pair[0] not in (ALGORITHM, *design.CROSSED))


def _effects(factorial: Factorial) -> list[Effect]:
    """Return every level's effect within each algorithm, then every arm against the reference, judged together."""
    found = []
    for algorithm in factorial.algorithms:
        cells = factorial.within(algorithm)
        for of in _levels(cells, WITHIN):
            place, name = WITHIN.index(of[0]), _algorithm_name(algorithm)
            names = _name(*of[:2]), _name(of[0], of[2])
            compared = effect(cells, place, *of[1:], bounds=BOUNDS, margin=SHARE_MARGIN)
            found.append((name, of, names, style_of(ALGORITHM, algorithm.partition(" ")[0]), compared))
    for of in _levels(factorial.scores, BETWEEN, _arm_reference(factorial)):
        if of[0] == ARM:
            names = factorial.arms[of[1]].name, factorial.arms[of[2]].name
            compared = effect(factorial.scores, 0, *of[1:], bounds=BOUNDS, margin=SHARE_MARGIN)
            found.append(("", of, names, factorial.arms[of[1]].style, compared))
    return _judged(
        Effect(algorithm=name, of=of, names=names, style=style, found=compared)
        for name, of, names, style, compared in found
        if compared is not None
    )


def _interactions(factorial: Factorial) -> list[Interaction]:
    """Return the interactions of each pair of levels within each algorithm, and of arms with KL and format, the largest
    first, judged together."""
    found = []
    for algorithm in factorial.algorithms:
        cells = factorial.within(algorithm)
        found += [(_algorithm_name(algorithm), *row) for row in _crossed(cells, WITHIN, factorial)]
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


def _duels(factorial: Factorial) -> list[Duel]:
    """Compare the arm with the highest mean of each combination of KL and format with the others of it."""
    found, scores = [], factorial.scores
    for setting in factorial.settings:
        here = {cell[0]: of_seed for cell, of_seed in scores.items() if cell[1:] == setting and of_seed}
        ranked = sorted(here, key=lambda key: -fmean(here[key].values()))
        for other in ranked[1:]:
            compared = compare(here[ranked[0]], here[other], bounds=BOUNDS, margin=SHARE_MARGIN)
            if compared is not None:
                found.append(Duel(setting=setting, leader=ranked[0], other=other, found=compared))
    return _judged(found)


def _judged(rows: Iterable[J]) -> list[J]:
    """Return the rows of one table with Holm's correction over all of them."""
    known = list(rows)
    together = judge_together([row.found for row in known])
    return [replace(row, found=found) for row, found in zip(known, together, strict=True)]


def _levels(cells: Iterable[Cell], factors: Sequence[str], arm_reference: str = "") -> list[Of]:
    """Return each factor's levels but the reference, with that."""
    known, found = list(cells), []
    for place, factor in enumerate(factors):
        levels = levels_of(known, place) if factor == ARM else _ordered(factor, levels_of(known, place))
        usual = arm_reference if factor == ARM else REFERENCES[factor]
        reference = usual if usual in levels else levels[0]
        found += [(factor, level, reference) for level in levels if level != reference]
    return found


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
    """Return PPO's arm level, or the first."""
    ppo = [key for key, level in factorial.arms.items() if level.algorithm.partition(" ")[0] == REFERENCE_ALGORITHM]
    return next(iter([*ppo, *factorial.arms]))


def _algorithm_name(algorithm: str) -> Text:
    name, _, more = algorithm.partition(" ")
    return dotted(label_of(ALGORITHM, name), more)


def _names(factorial: Factorial, of: Of) -> tuple[Text, Text]:
    if of[0] == ARM:
        return factorial.arms[of[1]].name, factorial.arms[of[2]].name
    return _name(*of[:2]), _name(of[0], of[2])


def _name(factor: str, level: str) -> Text:
    """Return what a level is called in a sentence."""
    return _called("level", factor, level)


def _short(factor: str, level: str) -> Text:
    """Return what a level is called on an axis."""
    return _called("short", factor, level)


def _called(length: str, factor: str, level: str) -> Text:
    if factor == FORMAT:
        weight = number_of(level)
        kind = "gate" if level == "gate" else "unknown" if weight is None else "weight" if weight else "none"
        return say(f"rl_why.{length}.format.{kind}", weight=level)
    word, _, coefficient = level.partition(" ")
    return say(f"rl_why.{length}.{factor}.{word or 'unknown'}", coefficient=coefficient)


def _difference(found: Comparison) -> Text:
    return with_range(found.mean, found.interval, points)


def _said(effects: Sequence[Effect], duels: Sequence[Duel]) -> list[Text]:
    """Say what a deviation is worth, what arms differ by at equal settings, and in how many of these one leads."""
    told = [_sentence(row) for row in effects if row.of[0] in (DEVIATION, ARM) and row.found.outcome is not Outcome.FEW]
    leaders = _alone(duels)
    if any(duel.found.is_tested for duel in duels):
        told.append(say("rl_why.lead", alone=len(leaders), count=len({duel.setting for duel in duels})))
    return told


def _sentence(row: Effect) -> Text:
    kind = "arms" if row.of[0] == ARM else "effect"
    return say(
        f"rl_why.said.{kind}",
        algorithm=row.algorithm,
        level=row.names[0],
        reference=row.names[1],
        difference=_difference(row.found),
        verdict=verdict(row.found),
    )


def _alone(duels: Iterable[Duel]) -> dict[tuple[str, str], str]:
    """Return the leader of each combination in which the rule tells it from every other arm."""
    of_setting = grouped(duels, lambda duel: duel.setting)
    return {
        setting: same[0].leader
        for setting, same in of_setting.items()
        if all(duel.found.outcome is Outcome.HIGHER for duel in same)
    }


def _headline(
    factorial: Factorial, effects: Sequence[Effect], interactions: Sequence[Interaction], duels: Sequence[Duel]
) -> Headline | None:
    """Tell the largest effects and interactions, of those that the rule tells from nothing."""
    if not any(row.found.is_tested for row in effects):
        return None
    told = sorted((row for row in effects if row.found.outcome in TOLD_APART), key=lambda row: -abs(row.found.mean))
    changed = [row for row in interactions if row.found.outcome in TOLD_APART]
    detail: list[Text] = [say("rl_why.detail", title=factorial.experiment.name)]
    detail += [_sentence(row) for row in told[:MOST_SAID]]
    for row in changed[:MOST_SAID]:
        parts = {"level": row.names[0], "reference": row.names[1], "other": row.others[0], "against": row.others[1]}
        kind = "effect" if row.algorithm else "arms"
        difference = _difference(row.found)
        detail.append(say(f"rl_why.changed.{kind}", algorithm=row.algorithm, difference=difference, **parts))
    settings = len({duel.setting for duel in duels})
    point = say("rl_why.point", told=len(told), count=len(effects), alone=len(_alone(duels)), settings=settings)
    return Headline(text=point, detail=joined("sentence", detail))


def _corrected(rows: Sequence[Effect] | Sequence[Interaction] | Sequence[Duel], note: str) -> Text:
    """Return a table's note, with how many comparisons are corrected together and what that asks of the first."""
    count = sum(row.found.is_tested for row in rows)
    level = say("rl_why.corrected", count=count, level=f"{ALPHA / count:.2g}") if count else ""
    return joined("sentence", [say(note), level])


def _judged_columns() -> list[Column[Any]]:
    return [
        column("rl_efficiency.difference", lambda row: _difference(row.found), kind=Kind.NUMBER),
        column("rl_efficiency.pairs", lambda row: row.found.pairs, numbers.count),
        column("rl_efficiency.in_words", lambda row: verdict(row.found)),
        *p_columns(lambda row: row.found),
    ]


def _table(factorial: Factorial, title: str, rows: Sequence[Any], columns: Sequence[Column[Any]], **more: Any) -> Table:
    experiment = factorial.experiment
    heading = say(title, title=experiment.title)
    return table(heading, rows, columns, settings=experiment.settings, facets=experiment.facets, **more)


def _effects_table(factorial: Factorial, effects: Sequence[Effect]) -> Table:
    columns: list[Column[Effect]] = [
        column("column.algorithm", lambda row: row.algorithm or say("rl_why.equal")),
        column("rl_why.level", lambda row: row.names[0]),
        column("rl_why.reference", lambda row: row.names[1]),
        *_judged_columns(),
    ]
    return _table(factorial, "rl_why.effects", effects, columns, note=_corrected(effects, "rl_why.effects_note"))


def _interactions_table(factorial: Factorial, rows: Sequence[Interaction]) -> Table:
    columns: list[Column[Interaction]] = [
        column("column.algorithm", lambda row: row.algorithm or say("rl_why.equal")),
        column("rl_why.level", lambda row: row.names[0]),
        column("rl_why.reference", lambda row: row.names[1]),
        column("rl_why.other", lambda row: row.others[0]),
        column("rl_why.reference", lambda row: row.others[1]),
        *_judged_columns(),
    ]
    note = _corrected(rows, "rl_why.interactions_note")
    return _table(factorial, "rl_why.interactions", rows, columns, note=note, folded=True)


def _leaders(factorial: Factorial, duels: Sequence[Duel]) -> Table:
    """Lay out each combination's leader beside the next, and whom the rule does not tell from it."""
    of_setting = grouped(duels, lambda duel: duel.setting)
    alone = _alone(duels)

    def level_with(duel: Duel) -> Text:
        if duel.setting in alone:
            return say("rl_why.nobody")
        same = [other for other in of_setting[duel.setting] if other.found.outcome is not Outcome.HIGHER]
        return joined("list", [factorial.arms[other.other].name for other in same])

    columns: list[Column[Duel]] = [
        column("rl_why.kl", lambda duel: _short(KL, duel.setting[0])),
        column("rl_why.format", lambda duel: _short(FORMAT, duel.setting[1])),
        column("rl_why.leader", lambda duel: factorial.arms[duel.leader].name),
        column("rl_efficiency.accuracy", lambda duel: _mean(factorial, (duel.leader, *duel.setting)), numbers.percent),
        column("rl_why.next", lambda duel: factorial.arms[duel.other].name),
        *_judged_columns(),
        column("rl_why.level_with", level_with),
    ]
    firsts = [same[0] for same in of_setting.values()]
    return _table(factorial, "rl_why.leaders", firsts, columns, note=_corrected(duels, "rl_why.leaders_note"))


def _readings(factorial: Factorial) -> Table:
    """Lay out what the steps of each arm tell of the critic, the gradient and the clipping."""
    rows = [(key, *setting) for key, setting in product(factorial.arms, factorial.settings)]
    rows = [cell for cell in rows if cell in factorial.cells]
    columns: list[Column[Cell]] = [
        column("rl.arm", lambda cell: factorial.arms[cell[0]].name),
        column("rl_why.kl", lambda cell: _short(KL, cell[1])),
        column("rl_why.format", lambda cell: _short(FORMAT, cell[2])),
        column("rl.seeds", lambda cell: len(factorial.cells[cell].ended), numbers.count),
        column("rl_efficiency.accuracy", partial(_mean, factorial), numbers.percent),
    ]
    for metric in READINGS:
        text = numbers.percent if "clip" in metric else plain
        columns.append(
            column(f"rl_stability.{metric}", partial(_reading, factorial, metric), text, only_where_known=True)
        )
    return _table(factorial, "rl_why.readings", rows, columns, note=say("rl_why.readings_note"), folded=True)


def _reading(factorial: Factorial, metric: str, cell: Cell) -> float | None:
    return mean_of_steps(metric, factorial.cells[cell])


def _mean(factorial: Factorial, cell: Cell) -> float | None:
    return factorial.cells[cell].mean(design.final)


def _forest(factorial: Factorial, effects: Sequence[Effect]) -> Figure | None:
    """Draw a row for each effect, filled where the rule tells it from nothing."""
    if not effects:
        return None
    series = []

    def drawn_as(item: tuple[int, Effect]) -> tuple[Text, bool]:
        row = item[1]
        name = row.algorithm or _algorithm_name(factorial.arms[row.of[1]].algorithm)
        return name, row.found.outcome in TOLD_APART

    for (name, is_told), rows in grouped(enumerate(effects), drawn_as).items():
        drawn = [_point(place, row) for place, row in rows]
        style = replace(rows[0][1].style, marker="circle")
        series.append(Series(name=name, points=drawn, style=style, ordinal=int(not is_told), along="x"))
    names = [dotted(row.algorithm, _row_name(row)) for row in effects]
    figure = plot_rows.rows(names, series, xaxis=linear(say("rl_why.axis"), zeroline=True), showlegend=False)
    return Figure(
        title=say("rl_why.effects", title=factorial.experiment.title),
        caption=say("rl_why.forest_caption"),
        settings=factorial.experiment.settings,
        views=[View(title="", figure=figure)],
        height_px=plot_rows.height_px(len(effects), row_px=36),
        wide=True,
        facets=factorial.experiment.facets,
    )


def _row_name(row: Effect) -> Text:
    """Return an effect's name, short enough for a row on a telephone."""
    factor, *levels = row.of
    level, reference = row.names if factor == ARM else (_short(factor, level) for level in levels)
    return say(f"rl_why.row.{factor}", level=level, reference=reference)


def _point(place: int, row: Effect) -> Point:
    hover = say("rl_why.hover", difference=_difference(row.found), verdict=verdict(row.found))
    return Point(x=100 * row.found.mean, y=place, ends=ends_of(row.found.interval, factor=100), hover=hover)


def _map(factorial: Factorial, duels: Sequence[Duel]) -> Figure:
    """Draw the mean accuracy of every cell; a dot marks the arms of a row that are not below its leader by the rule."""
    below = {(duel.other, *duel.setting) for duel in duels if duel.found.outcome is Outcome.HIGHER}
    means = [[_mean(factorial, cell) if cell in factorial.cells else None for cell in row] for row in _grid(factorial)]
    written, hovers = list[list[Text]](), list[list[Text]]()
    for row, values in zip(_grid(factorial), means, strict=True):
        known = [(cell, value) for cell, value in zip(row, values, strict=True)]
        written.append(
            ["" if value is None else f"{100 * value:.0f}{'' if cell in below else ' •'}" for cell, value in known]
        )
        hovers.append([_cell_hover(factorial, cell, value) for cell, value in known])
    scale = [[0, "rgba(128, 128, 128, 0.06)"], [1, faint(BLUE, OPACITY)]]
    figure = heatmap(
        [level.name for level in factorial.arms.values()],
        [dotted(_short(KL, kl), _short(FORMAT, form)) for kl, form in factorial.settings],
        values=[[None if value is None else round(100 * value, 1) for value in row] for row in means],
        written=written,
        hovers=hovers,
        colours={"colorscale": scale, "zmin": 0, "zmax": 100, "showscale": False},
        title=say("rl_why.map_axis"),
        text_px=12,
    )
    return Figure(
        title=say("rl_why.map", title=factorial.experiment.title),
        caption=say("rl_why.map_caption"),
        settings=factorial.experiment.settings,
        views=[View(title="", figure=figure)],
        height_px=MAP_FRAME_PX + MAP_ROW_PX * len(factorial.settings),
        wide=True,
        facets=factorial.experiment.facets,
    )


def _grid(factorial: Factorial) -> list[list[Cell]]:
    return [[(key, *setting) for key in factorial.arms] for setting in factorial.settings]


def _cell_hover(factorial: Factorial, cell: Cell, value: float | None) -> Text:
    if value is None:
        return ""
    name = dotted(factorial.arms[cell[0]].name, _short(KL, cell[1]), _short(FORMAT, cell[2]))
    count = len(factorial.cells[cell].ended)
    return say("rl_why.map_hover", arm=name, accuracy=numbers.percent(value), count=count)
