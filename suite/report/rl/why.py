"""Causes of the differences between algorithms: what each setting is worth in which their usual forms differ."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, dotted, joined, say, section
from suite.report.evidence import p_columns, verdict, with_rule
from suite.report.model.experiment import grouped
from suite.report.model.formats import ends_of, plain, points, with_range
from suite.report.model.labels import BLUE
from suite.report.model.results import Results
from suite.report.plot import rows as plot_rows
from suite.report.plot.heatmap import OPACITY, heatmap
from suite.report.plot.marks import Point, Series, faint
from suite.report.plot.scales import linear
from suite.report.rl import design
from suite.report.rl.curves import runs_behind
from suite.report.rl.factorial import (
    ARM,
    DEVIATION,
    FORMAT,
    KL,
    Duel,
    Effect,
    Factorial,
    Interaction,
    algorithm_name,
    duels_of,
    effects_of,
    factorial_of,
    interactions_of,
    leaders_alone,
    level_name,
    level_short,
    of_leaders,
)
from suite.report.rl.stability import mean_of_steps
from suite.report.table import Column, column, table
from suite.statistics.factorial import Cell
from suite.statistics.paired import ALPHA, TOLD_APART, Comparison, Outcome

MOST_SAID = 3
ROW_PX, MAP_ROW_PX, MAP_FRAME_PX = 32, 26, 110
READINGS = ("explained_variance", "gradient_norm", "gradient_clipped", "clip_fraction_low", "clip_fraction_high")


def build(results: Results) -> Section | None:
    """Build it from the experiments in which at least two factors are crossed."""
    found = [factorial_of(experiment) for experiment in design.factorials(results) if design.drawn(experiment)]
    if not found:
        return None
    figures: list[Figure | None] = []
    tables: list[Table] = []
    headlines, sentences = [], list[Text]()
    for factorial in found:
        effects, interactions, duels = effects_of(factorial), interactions_of(factorial), duels_of(factorial)
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


def _difference(found: Comparison) -> Text:
    return with_range(found.mean, found.interval, points)


def _said(effects: Sequence[Effect], duels: Sequence[Duel]) -> list[Text]:
    """Say what a deviation is worth, what arms differ by at equal settings, and in how many of these one leads."""
    told = [_sentence(row) for row in effects if row.of[0] in (DEVIATION, ARM) and row.found.outcome is not Outcome.FEW]
    leaders = leaders_alone(duels)
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
    point = say("rl_why.point", told=len(told), count=len(effects), alone=len(leaders_alone(duels)), settings=settings)
    return Headline(text=point, detail=joined("sentence", detail))


def _corrected(rows: Sequence[Effect] | Sequence[Interaction] | Sequence[Duel], note: str) -> Text:
    """A table's note, with how many comparisons are corrected together and what that asks of the first."""
    count = sum(row.found.is_tested for row in rows)
    level = say("rl_why.corrected", count=count, level=f"{ALPHA / count:.2g}") if count else ""
    return joined("sentence", [say(note), level])


def _judged_columns() -> list[Column[Any]]:
    return [
        column("rl_efficiency.difference", lambda row: _difference(row.found), kind=Kind.NUMBER),
        column("rl_efficiency.in_words", lambda row: verdict(row.found)),
        column("rl_efficiency.pairs", lambda row: row.found.pairs, numbers.count),
        *p_columns(lambda row: row.found),
    ]


def _table(factorial: Factorial, title: str, rows: Sequence[Any], columns: Sequence[Column[Any]], **more: Any) -> Table:
    experiment = factorial.experiment
    facets = design.facets_of(experiment)
    return replace(table(say(title), rows, columns, settings=experiment.name, facets=facets, **more), family=say(title))


def _effects_table(factorial: Factorial, effects: Sequence[Effect]) -> Table:
    columns: list[Column[Effect]] = [
        column("column.algorithm", lambda row: row.algorithm or say("rl_why.equal")),
        column("rl_why.level", lambda row: row.names[0]),
        column("rl_why.reference", lambda row: row.names[1]),
        *_judged_columns(),
        column("rl_why.parts", _parts, kind=Kind.NUMBER),
    ]
    return _table(factorial, "rl_why.effects", effects, columns, note=_corrected(effects, "rl_why.effects_note"))


def _parts(row: Effect) -> Text:
    """Tell between which means an effect lies in the single combinations of the other settings."""
    return say("rl.range", low=points(min(row.parts)), high=points(max(row.parts)))


def _interactions_table(factorial: Factorial, rows: Sequence[Interaction]) -> Table:
    columns: list[Column[Interaction]] = [
        column("column.algorithm", lambda row: row.algorithm or say("rl_why.equal")),
        column("rl_why.level", lambda row: _pair(row.names)),
        column("rl_why.other", lambda row: _pair(row.others)),
        *_judged_columns(),
    ]
    note = _corrected(rows, "rl_why.interactions_note")
    return _table(factorial, "rl_why.interactions", rows, columns, note=note, folded=True)


def _pair(names: tuple[Text, Text]) -> Text:
    return say("rl_why.row.arm", level=names[0], reference=names[1])


def _leaders(factorial: Factorial, duels: Sequence[Duel]) -> Table:
    """Lay out each combination's leader beside the next, and whom the rule does not tell from it."""
    of_setting, alone = of_leaders(duels), leaders_alone(duels)

    def level_with(duel: Duel) -> Text:
        if duel.setting in alone:
            return say("rl_why.nobody")
        same = [other for other in of_setting[duel.setting] if other.found.outcome is not Outcome.HIGHER]
        return joined("list", [factorial.arms[other.other].name for other in same])

    *judged_so, by_t, by_flips = _judged_columns()
    tested = [by_t, by_flips]
    columns: list[Column[Duel]] = [
        column("rl_why.kl", lambda duel: level_short(KL, duel.setting[0])),
        column("rl_why.format", lambda duel: level_short(FORMAT, duel.setting[1])),
        column("rl_why.leader", lambda duel: factorial.arms[duel.better].name),
        *judged_so,
        column("rl_efficiency.accuracy", lambda duel: _mean(factorial, (duel.better, *duel.setting)), numbers.percent),
        column("rl_why.next", lambda duel: factorial.arms[duel.other].name),
        *tested,
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
        column("rl_why.kl", lambda cell: level_short(KL, cell[1])),
        column("rl_why.format", lambda cell: level_short(FORMAT, cell[2])),
        column("rl_efficiency.accuracy", partial(_mean, factorial), numbers.percent),
        column("rl.seeds", lambda cell: len(factorial.cells[cell].ended), numbers.count),
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
    series: list[Series] = []

    def drawn_as(item: tuple[int, Effect]) -> tuple[Text, bool]:
        row = item[1]
        name = row.algorithm or algorithm_name(factorial.arms[row.of[1]].algorithm)
        return name, row.found.outcome in TOLD_APART

    for (name, is_told), rows in grouped(enumerate(effects), drawn_as).items():
        drawn = [_point(place, row) for place, row in rows]
        style = replace(rows[0][1].style, marker="circle")
        look: dict[str, Any] = {"style": style, "ordinal": int(not is_told), "along": "x"}
        series.append(Series(name=name, points=drawn, runs=[] if series else _runs(factorial), **look))
    names = [dotted(row.algorithm, _row_name(row)) for row in effects]
    figure = plot_rows.rows(names, series, xaxis=linear(say("rl_why.axis"), zeroline=True), showlegend=False)
    size: dict[str, Any] = {"height_px": plot_rows.height_px(len(effects), row_px=ROW_PX)}
    caption, finding = say("rl_why.forest_caption"), _largest(effects)
    return design.figure_of(factorial.experiment, say("rl_why.effects"), caption, {"": figure}, finding=finding, **size)


def _largest(effects: Sequence[Effect]) -> Text:
    """Tell the largest effect that the rule tells from nothing; else that it tells none."""
    tested = [row for row in effects if row.found.is_tested]
    if not tested:
        return ""
    told = [row for row in tested if row.found.outcome in TOLD_APART]
    first = max(told or tested, key=lambda row: abs(row.found.mean))
    fields = {"effect": dotted(first.algorithm, _row_name(first)), "difference": _difference(first.found)}
    counts = {"count": len(tested), "told": len(told), "pairs": first.found.pairs}
    return say(f"rl_why.finding.{'told' if told else 'open'}", **fields, **counts)


def _runs(factorial: Factorial) -> list[str]:
    return [key for arm in factorial.cells.values() for key in runs_behind(arm)]


def _row_name(row: Effect) -> Text:
    """An effect's name, short enough for a row on a telephone."""
    factor, *levels = row.of
    level, reference = row.names if factor == ARM else (level_short(factor, level) for level in levels)
    return say(f"rl_why.row.{factor}", level=level, reference=reference)


def _point(place: int, row: Effect) -> Point:
    hover = say("rl_why.hover", difference=_difference(row.found), verdict=verdict(row.found))
    return Point(x=100 * row.found.mean, y=place, ends=ends_of(row.found.interval, factor=100), hover=hover)


def _map(factorial: Factorial, duels: Sequence[Duel]) -> Figure:
    """Draw the mean accuracy of every cell; a dot marks the arms of a row that are not below its leader by the rule."""
    led = [duel for same in of_leaders(duels).values() for duel in same]
    below = {(duel.other, *duel.setting) for duel in led if duel.found.outcome is Outcome.HIGHER}
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
        [dotted(level_short(KL, kl), level_short(FORMAT, form)) for kl, form in factorial.settings],
        values=[[None if value is None else round(100 * value, 1) for value in row] for row in means],
        written=written,
        hovers=hovers,
        colours={"colorscale": scale, "zmin": 0, "zmax": 100, "showscale": False},
        title=say("rl_why.map_axis"),
        text_px=12,
        behind=_runs(factorial),
    )
    alone, best = len(leaders_alone(duels)), max(factorial.cells, key=lambda cell: _mean(factorial, cell) or 0.0)
    fields: dict[str, Any] = {"arm": factorial.arms[best[0]].name, "count": len(factorial.cells[best].ended)}
    fields |= {"kl": level_name(KL, best[1]), "form": level_name(FORMAT, best[2])}
    accuracy = numbers.percent(_mean(factorial, best) or 0.0)
    finding = say("rl_why.finding.map", accuracy=accuracy, alone=alone, settings=len(factorial.settings), **fields)
    size: dict[str, Any] = {"height_px": MAP_FRAME_PX + MAP_ROW_PX * len(factorial.settings)}
    caption = say("rl_why.map_caption")
    return design.figure_of(factorial.experiment, say("rl_why.map"), caption, {"": figure}, finding=finding, **size)


def _grid(factorial: Factorial) -> list[list[Cell]]:
    return [[(key, *setting) for key in factorial.arms] for setting in factorial.settings]


def _cell_hover(factorial: Factorial, cell: Cell, value: float | None) -> Text:
    if value is None:
        return ""
    name = dotted(factorial.arms[cell[0]].name, level_short(KL, cell[1]), level_short(FORMAT, cell[2]))
    count = len(factorial.cells[cell].ended)
    return say("rl_why.map_hover", arm=name, accuracy=numbers.percent(value), count=count)
