"""Gains of each stage of DeepSeek-R1's training, on small models and at equal budgets: recipes side by side.

Every step of every stage trains on as many completions or examples, in as many updates, so recipes stand at equal
budgets after as many steps. Tasks on which no recipe learns stay: that a stage adds nothing is a result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from operator import itemgetter
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, dotted, joined, say, say_or, section
from suite.report.evidence import p_columns, verdict, with_rule
from suite.report.model.experiment import grouped
from suite.report.model.formats import ends_of, percent_range, points, share_interval, with_range
from suite.report.model.labels import RECIPE
from suite.report.model.results import Results
from suite.report.model.run import MOST, MOST_STEPS, Pairs, clip_text, mapping
from suite.report.plot import rows as plot_rows
from suite.report.plot.marks import Point
from suite.report.plot.plots import plot
from suite.report.plot.scales import linear
from suite.report.quoted import quoted_tables
from suite.report.rl import curves, design
from suite.report.rl.contrasts import (
    Beside,
    at_equal_budgets,
    by_outcome,
    finding,
    reference_of,
    table_of_experiments,
    tally,
)
from suite.report.rl.design import STEPS, RlArm, RlExperiment, RlRun
from suite.report.table import Column, column, columns_of
from suite.statistics.paired import SHARE_MARGIN, TOLD_APART, Comparison, changes, judge_together

COUNTED = ("completions", "examples_kept", "pairs_kept", "examples", "updates")
"""Metrics of the steps that a stage's spending is told by."""
PREFERRED = "preference_accuracy"
R1, PARTS_OF_R1 = "r1", ("cold_start", "r1_unfiltered", "r1_preference")
"""R1, and the recipes that leave out or add one thing, which only beside R1 say what that does."""
MOST_FIGURES, MOST_STAGES, ROW_PX = 12, 16, 31
SIDES = ("top left", "top right")
"""Names of neighbouring stages, of which one may be short, do not lie over each other."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The gain of one stage of an arm, over the runs that were evaluated where it begins and where it ends."""

    arm: RlArm
    begins: int
    ends: int
    """Steps of the run before the stage, and before the next."""
    kind: Text
    placed: Text
    """Its kind, and its place among the stages."""
    is_only: bool
    added: Comparison
    """Held-out accuracy after the stage less that before, each run against itself."""
    spent: Mapping[str, float | None]
    """The mean over the runs of its seconds, of what its steps counted and of its last step's PREFERRED, by budget or
    metric."""

    @property
    def name(self) -> Text:
        return self.kind if self.is_only else self.placed

    @property
    def points(self) -> Text:
        return with_range(self.added.mean, self.added.interval, points)


Stage = tuple[str, int, int]
"""A kind, and the steps of the run before the stage, and before the next."""
Gains = Mapping[RlArm, Sequence[Gain]]


def build(results: Results) -> Section | None:
    """Build it from recipes that agree in every other axis and say what their stages are."""
    every = {experiment: gains_of(design.drawn(experiment)) for experiment in recipes(results)}
    found = {experiment: gains for experiment, gains in every.items() if any(gains.values())}
    if not found:
        return None
    rows = [row for experiment in found for row in at_equal_budgets(experiment, STEPS)]
    of_parts = [row for experiment in found for row in at_equal_budgets(_parts_of_r1(experiment), STEPS)]
    contrasts = [_contrasts(judged) for judged in (rows, of_parts) if judged]
    quoted = {"title": "rl_stages.published", "row": "rl_stages.benchmark", "note": "rl_stages.published_note"}
    return section(
        "rl_stages",
        figures=[
            *(_over_training(experiment, found, rows) for experiment in list(found)[:MOST_FIGURES]),
            *(_added(experiment, gains) for experiment, gains in list(found.items())[:MOST_FIGURES]),
        ],
        tables=[
            *with_rule([*contrasts, *(_table(experiment, gains) for experiment, gains in found.items())]),
            *quoted_tables("published_training", **quoted),
        ],
        headlines=[_headline(rows)],
    )


@lru_cache(maxsize=1)
def recipes(results: Results) -> Sequence[RlExperiment]:
    """Return experiments with recipes that agree in every other axis, the most of them first; none where no run has
    another than R1-Zero.
    """
    runs = design.training_runs(results)
    axes = {name for run in runs for name in run.record.case.axes}

    def is_factor(name: str) -> bool:
        return design.tells_arms_apart(name) and name not in axes

    def further(run: RlRun) -> Pairs:
        return tuple(pair for pair in run.key if is_factor(pair[0]) and pair[0] != RECIPE)

    families = grouped(runs, lambda run: tuple(pair for pair in run.key if not is_factor(pair[0])))
    about = []
    for family in families.values():
        # Runs of R1-Zero that ask something else, which no other recipe was asked, stand elsewhere.
        asked = {further(run) for run in family if run.value(RECIPE) != design.DEFAULTS[RECIPE]}
        about += [run for run in family if further(run) in asked]
    found = design.split(results, about, is_factor, partial(design.named, lead=RECIPE))
    made = []
    for experiment in found:
        first = next(iter(design.drawn(experiment)), None)
        made.append(design.beside(experiment, design.default_arm(experiment, RECIPE) or first))
    return design.most_arms_first(made)


def _parts_of_r1(experiment: RlExperiment) -> RlExperiment:
    """R1 and the recipes that differ from it in one thing; no baseline where there is no R1."""
    whole, parts = ([arm for arm in experiment.arms if arm.value(RECIPE) in names] for names in ((R1,), PARTS_OF_R1))
    return replace(experiment, arms=[*whole, *parts], baseline=whole[0] if len(whole) == 1 else None)


def gains_of(arms: Sequence[RlArm]) -> dict[RlArm, list[Gain]]:
    """Return every arm's gains, with Holm's correction over all of them together."""
    found = {arm: _gains(arm) for arm in arms}
    together = iter(judge_together([gain.added for gains in found.values() for gain in gains]))
    return {arm: [replace(gain, added=next(together)) for gain in gains] for arm, gains in found.items()}


def _gains(arm: RlArm) -> list[Gain]:
    """Gains stage by stage; none where no run says its stages, or none was evaluated at their ends."""
    staged = [(run, stages) for run in arm.ended if (stages := stages_of(run))]
    stages, gains = staged[0][1] if staged else [], []
    for place, (kind, begins, ends) in enumerate(stages, start=1):
        accuracies = [(run, run.curve.by_step()) for run, own in staged if own == stages and run.curve]
        evaluations = {run: accuracy for run, accuracy in accuracies if {begins, ends} <= accuracy.keys()}
        before, after = ([accuracy[step] for accuracy in evaluations.values()] for step in (begins, ends))
        if (added := changes(after, less=before, margin=SHARE_MARGIN)) is None:
            continue
        added = replace(added, bounds=design.accuracy_bounds(arm))
        # A kind that another package brought goes by its own name.
        name = say_or(f"rl_stages.kind.{kind}", kind)
        placed = say("rl_stages.of", place=place, of=len(stages), kind=name)
        fields: dict[str, Any] = {"kind": name, "placed": placed, "is_only": len(stages) == 1}
        spent = _spent(begins, ends, list(evaluations))
        gains.append(Gain(arm=arm, begins=begins, ends=ends, added=added, spent=spent, **fields))
    return gains


def _spent(begins: int, ends: int, runs: Sequence[RlRun]) -> dict[str, float | None]:
    sums: dict[str, list[float]] = {}
    for metric in COUNTED:
        of_runs = [run.of_step.get(metric, {}) for run in runs]
        known = [[by_step[step] for step in range(begins, ends) if step in by_step] for by_step in of_runs]
        sums[metric] = [sum(values) for values in known if values]
    clock = runs[0].clock
    by_clock = [run.curve.by_step(clock) for run in runs if run.curve and clock in run.curve.spent]
    sums[clock] = [spent[ends] - spent[begins] for spent in by_clock]
    preferred = [run.of_step.get(PREFERRED, {}) for run in runs]
    sums[PREFERRED] = [by_step[ends - 1] for by_step in preferred if ends - 1 in by_step]
    return {name: fmean(values) if values else None for name, values in sums.items()}


def stages_of(run: RlRun) -> list[Stage]:
    """Return the stages of a run; none where a record says something else than stages."""
    listed = run.record.provenance.get("stages")
    if listed is None and run.value(RECIPE) == design.DEFAULTS[RECIPE] and run.curve is not None:
        listed = [{"kind": "rl", "steps": run.curve.at[-1]}]
    stages: list[Stage] = []
    for stage in listed if isinstance(listed, list) and len(listed) <= MOST_STAGES else ():
        begins, steps = stages[-1][2] if stages else 0, stage.get("steps") if isinstance(stage, Mapping) else None
        if not isinstance(steps, int) or not 0 < steps < MOST_STEPS:
            return []
        stages.append((clip_text(stage.get("kind")), begins, begins + steps))
    return stages


def teacher_s(run: RlRun) -> float | None:
    """Return the CPU seconds that training a run's teacher took, which are in no budget."""
    seconds = mapping(run.record.provenance, "teacher").get("process_cpu_s")
    return seconds if isinstance(seconds, int | float) and 0 < seconds < MOST and run.ended else None


def _over_training(experiment: RlExperiment, found: Mapping[RlExperiment, Gains], rows: Sequence[Beside]) -> Figure:
    """Draw accuracy over a run with the ends of its stages marked."""
    budgets = design.known_budgets(experiment, STEPS, design.clock_of(experiment))
    views = {curves.budget_name(budget): _marked_lines(found[experiment], budget) for budget in budgets}
    caption = design.caption_of(experiment, "rl_stages.caption", "rl_stages.caption_single")
    at_steps = [row for row in rows if row.experiment is experiment and row.quantity.name == STEPS]
    told = finding(at_steps, say("rl_stages.at_equal"), unit=say("rl.points"))
    return design.figure_of(experiment, say("rl_stages.over"), caption, views, finding=told)


def _marked_lines(gains: Gains, budget: str) -> dict[str, Any]:
    """Draw every evaluation faintly, and marks where stages begin and end; a stage before the last has its name at its
    end, once where several recipes share it.
    """
    arms, lines, marks, written = list(gains), [], [], set[tuple[int, Text]]()
    for arm, of_arm in gains.items():
        every = [replace(point, hover="") for point in curves.evaluations(arm, budget, lambda _: None).values()]
        lines.append(curves.arm_series(arm, every, arms, in_legend=False, more={"opacity": 0.55}))
        names: dict[int, Text] = {gain.begins: "" for gain in of_arm[:1]}
        names |= {gain.ends: gain.kind if gain is not of_arm[-1] else "" for gain in of_arm}
        names |= {step: "" for step, name in names.items() if (step, name) in written}
        written |= {*names.items()}
        points = [
            replace(point, text=names[step], hover=joined(" ", [names[step], point.hover]))
            for step, point in curves.evaluations(arm, budget, share_interval).items()
            if step in names
        ]
        sides = [SIDES[place % len(SIDES)] for place in range(len(points))]
        more = {"textposition": sides, "textfont": {"size": 10, "color": arm.style.colour}}
        marks += [curves.arm_series(arm, points, arms, mode="markers+text", more=more)] if of_arm else []
    axes = {"xaxis": curves.budget_axis(budget), "yaxis": curves.accuracy_axis()}
    return plot([*lines, *marks], **axes, shapes=curves.guessing_level(arms))


def _added(experiment: RlExperiment, gains: Gains) -> Figure:
    """Draw a row for each stage: its mean gain in points, with the interval."""
    every = [gain for of_arm in gains.values() for gain in of_arm]
    told = sorted((gain for gain in every if gain.added.outcome in TOLD_APART), key=lambda gain: -gain.added.mean)
    first = next(iter(told or sorted(every, key=lambda gain: -gain.added.mean)))
    fields = {"stage": dotted(first.arm.short_name, first.name), "added": first.points, "pairs": first.added.pairs}
    fields |= {"told": len(told)} if told else {}
    kind = "told" if told else "open"
    said = say(f"rl_stages.finding.{kind}", count=len(every), **fields)
    caption, size = say("rl_stages.added_caption"), {"height_px": plot_rows.height_px(len(every), ROW_PX)}
    return design.figure_of(experiment, say("rl_stages.added"), caption, {"": _rows(every)}, finding=said, **size)


def _rows(gains: Sequence[Gain]) -> dict[str, Any]:
    points: dict[RlArm, list[Point]] = {gain.arm: [] for gain in gains}
    for row, gain in enumerate(gains):
        hover = say("rl_stages.added_hover", stage=gain.name, added=gain.points, count=gain.added.pairs)
        ends = ends_of(gain.added.interval, factor=100)
        points[gain.arm].append(Point(x=100 * gain.added.mean, y=row, ends=ends, hover=hover, facets=gain.arm.facets))
    look: dict[str, Any] = {"mode": "markers", "along": "x", "facets": {}}
    series = [curves.arm_series(arm, of_arm, list(points), **look) for arm, of_arm in points.items()]
    names, title = [dotted(gain.arm.short_name, gain.name) for gain in gains], say("rl_stages.added_axis")
    return plot_rows.rows(names, series, xaxis=linear(title, zeroline=True), showlegend=False)


def _table(experiment: RlExperiment, gains: Gains) -> Table:
    rows = [gain for of_arm in gains.values() for gain in of_arm]
    clock = design.clock_of(experiment)
    known = [name for name in COUNTED if any(gain.spent[name] for gain in rows)]
    counted = [column(f"rl_stages.{name}", itemgetter(name), numbers.count) for name in known]
    columns: list[Column[Gain]] = [
        column("rl_stages.recipe", lambda gain: gain.arm.name),
        column("rl_stages.stage", lambda gain: gain.placed),
        column("rl_stages.after", lambda gain: _share(gain.added.ours), kind=Kind.NUMBER),
        column("rl_stages.points", lambda gain: gain.points, kind=Kind.NUMBER),
        column("rl_efficiency.in_words", lambda gain: verdict(gain.added)),
        column("rl.seeds", lambda gain: gain.added.pairs, numbers.count),
        column("rl.guessing", lambda gain: gain.arm.first.trivial_accuracy, numbers.percent, only_where_known=True),
        column("rl_stages.before", lambda gain: _share(gain.added.theirs), kind=Kind.NUMBER),
        column("rl_stages.steps", lambda gain: gain.ends - gain.begins, numbers.count),
        *p_columns(lambda gain: gain.added),
        column(curves.budget_name(clock), lambda gain: gain.spent[clock], numbers.seconds),
        *columns_of(lambda gain: gain.spent, counted),
        column(
            "rl_stages.preference_accuracy", lambda gain: gain.spent[PREFERRED], numbers.percent, only_where_known=True
        ),
        column("rl_stages.teacher", lambda gain: gain.arm.mean(teacher_s), numbers.seconds, only_where_known=True),
    ]
    note = say("rl_stages.note")
    return design.table_of(experiment, "rl_stages.table", rows, columns, lambda gain: gain.arm, note=note)


def _share(scores: Sequence[float]) -> Text:
    interval, mean = share_interval(scores), numbers.percent(fmean(scores))
    return mean if interval is None else say("rl_stages.with_interval", value=mean, interval=percent_range(interval))


def _contrasts(rows: Sequence[Beside]) -> Table:
    """Lay out, for all tasks, which recipes differ from the reference where both have made as many steps."""
    reference, settings = reference_of(rows, RECIPE)
    title, note = say("rl_stages.comparisons", reference=reference), say("rl_stages.comparisons_note")
    return table_of_experiments(title, rows, settings=settings, note=note)


def _headline(rows: Sequence[Beside]) -> Headline | None:
    """Tell how recipes end on the task with the most of them, of those that are judged."""
    for experiment, same in grouped(rows, lambda row: row.experiment).items():
        at_steps = [row for row in same if row.quantity.name == STEPS]
        if names := by_outcome([(row.arm.short_name, row.outcome) for row in at_steps]):
            reference, _ = reference_of(at_steps, RECIPE)
            point = say("rl_stages.point", reference=reference, **tally(row.outcome for row in at_steps))
            whole = at_steps[0].reference.name
            detail = say("rl_stages.headline", title=experiment.name, reference=whole, told=names)
            return Headline(text=point, detail=detail)
    return None
