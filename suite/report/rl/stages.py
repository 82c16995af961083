"""What each stage of DeepSeek-R1's training adds, on small models and at equal budgets: recipes side by side.

Every step of every stage trains on as many completions or examples, in as many updates, so recipes stand at equal
budgets after as many steps. Tasks on which no recipe learns stay: that a stage adds nothing is a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, say_or, section
from suite.report.evidence import p_columns, verdict, with_rule
from suite.report.model.experiment import grouped
from suite.report.model.formats import ends_of, percent_range, points, share_interval, with_range
from suite.report.model.labels import RECIPE
from suite.report.model.results import Results
from suite.report.model.run import MOST, MOST_STEPS, Pairs, cut, mapping
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import height_px, plot
from suite.report.plot.rows import height_px as rows_height_px
from suite.report.plot.rows import rows
from suite.report.plot.scales import linear
from suite.report.quoted import quoted_tables
from suite.report.rl.contrasts import Beside, at_equal_budgets, budget_columns, tally, told
from suite.report.rl.curves import accuracy_axis, budget_axis, budget_name, evaluations, ordinal_of
from suite.report.rl.design import (
    DEFAULTS,
    STEPS,
    TrainingArm,
    TrainingExperiment,
    TrainingRun,
    clock_of,
    default_arm,
    drawn,
    has_budget,
    lead_name,
    most_seeds,
    named,
    split,
    tells_arms_apart,
    training_runs,
)
from suite.report.table import Column, column, table
from suite.statistics.paired import SHARE_MARGIN, Comparison, changes, judge_together

PUBLISHED = "published_training"
REINFORCED = "rl"
"""The one kind of a run that says no stages."""
COUNTED = ("completions", "examples_kept", "examples", "updates")
"""Metrics of the steps that a stage's spending is told by."""
MOST_FIGURES, MOST_STAGES = 6, 16
FAINT = 0.55
SIDES = ("top left", "top right")
"""Names of neighbouring stages, of which one may be short, do not lie over each other."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run's steps."""

    kind: str
    begins: int
    ends: int
    """Steps of the run before it, and before the next."""

    @property
    def name(self) -> Text:
        """Return its name; of a kind that another package brought, its own."""
        return say_or(f"rl_stages.kind.{self.kind}", self.kind)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What one stage of an arm did, over the runs that were evaluated where it begins and where it ends."""

    arm: TrainingArm
    place: int
    of: int
    """The first stage of one is 1 of 1."""
    stage: Stage
    added: Comparison
    """Held-out accuracy after the stage less that before, each run against itself."""
    seconds: float | None
    """The mean over the runs, by the arm's clock."""
    spent: Mapping[str, float]
    """The mean over the runs of what its steps counted, by metric."""

    @property
    def name(self) -> Text:
        """Return the stage, and where there are several its place among them."""
        return self.stage.name if self.of == 1 else self.placed

    @property
    def placed(self) -> Text:
        return say("rl_stages.of", place=self.place, of=self.of, kind=self.stage.name)

    @property
    def added_text(self) -> Text:
        return with_range(self.added.mean, self.added.interval, points)


Gains = Mapping[TrainingArm, Sequence[Gain]]


def build(results: Results) -> Section | None:
    """Build it from recipes that agree in every other axis and say what their stages are."""
    found = {one: gains for one in recipes(results) if any((gains := gains_of(drawn(one))).values())}
    if not found:
        return None
    contrasts = {one: at_equal_budgets(one, STEPS) for one in found}
    return section(
        "rl_stages",
        figures=[
            *(_over_training(one, gains, is_lone=len(found) == 1) for one, gains in list(found.items())[:MOST_FIGURES]),
            _added(found),
        ],
        tables=[
            *with_rule(
                [
                    *(_table(one, gains, is_first=place == 0) for place, (one, gains) in enumerate(found.items())),
                    *_contrasts([row for rows_of_one in contrasts.values() for row in rows_of_one]),
                ]
            ),
            *quoted_tables(
                PUBLISHED, title="rl_stages.published", row="rl_stages.benchmark", note="rl_stages.published_note"
            ),
        ],
        headlines=[_headline(contrasts)],
    )


def recipes(results: Results) -> list[TrainingExperiment]:
    """Return experiments with recipes that agree in every other axis, the most of them first; none where no run has
    another than R1-Zero.
    """
    runs = training_runs(results)
    axes = {name for run in runs for name in run.record.case.axes}

    def is_factor(name: str) -> bool:
        return tells_arms_apart(name) and name not in axes

    def further(run: TrainingRun) -> Pairs:
        return tuple(pair for pair in run.key if is_factor(pair[0]) and pair[0] != RECIPE)

    families = grouped(runs, lambda run: tuple(pair for pair in run.key if not is_factor(pair[0])))
    about = []
    for family in families.values():
        # Runs of R1-Zero that ask something else, which no other recipe was asked, stand elsewhere.
        asked = {further(run) for run in family if run.said(RECIPE) != DEFAULTS[RECIPE]}
        about += [run for run in family if further(run) in asked]
    found = split(results, about, is_factor, partial(named, lead=RECIPE))
    made = [replace(one, baseline=default_arm(one, RECIPE) or next(iter(drawn(one)), None)) for one in found]
    return sorted(made, key=lambda one: (-len(drawn(one)), -most_seeds(one), str(one.name)))


def gains_of(arms: Iterable[TrainingArm]) -> dict[TrainingArm, list[Gain]]:
    """Return every arm's gains, with Holm's correction over all of them together."""
    found = {arm: _gains(arm) for arm in arms}
    together = iter(judge_together([gain.added for gains in found.values() for gain in gains]))
    return {arm: [replace(gain, added=next(together)) for gain in gains] for arm, gains in found.items()}


def _gains(arm: TrainingArm) -> list[Gain]:
    """Return gains stage by stage; none where no run says its stages, or none was evaluated at their ends."""
    staged = [(run, stages) for run in arm.ended if (stages := stages_of(run))]
    if not staged:
        return []
    stages = staged[0][1]
    alike = [run for run, said in staged if said == stages]
    gains = [_gain(arm, place, stages, alike) for place in range(len(stages))]
    return [gain for gain in gains if gain is not None]


def stages_of(run: TrainingRun) -> list[Stage]:
    """Return the stages of a run; none where a record says something else than stages."""
    said = run.record.provenance.get("stages")
    if said is None and run.said(RECIPE) == DEFAULTS[RECIPE] and run.curve is not None:
        said = [{"kind": REINFORCED, "steps": run.curve.at[-1]}]
    stages: list[Stage] = []
    for one in said if isinstance(said, list) and len(said) <= MOST_STAGES else ():
        begins = stages[-1].ends if stages else 0
        steps = one.get("steps") if isinstance(one, Mapping) else None
        if not isinstance(steps, int) or not 0 < steps < MOST_STEPS:
            return []
        stages.append(Stage(kind=cut(one.get("kind")), begins=begins, ends=begins + steps))
    return stages


def _gain(arm: TrainingArm, place: int, stages: Sequence[Stage], runs: Sequence[TrainingRun]) -> Gain | None:
    stage = stages[place]
    known = [run for run in runs if run.curve and {stage.begins, stage.ends} <= set(run.curve.at)]
    ends = [(run.curve, run.curve.at.index(stage.begins), run.curve.at.index(stage.ends)) for run in known if run.curve]
    before = [curve.accuracy[first] for curve, first, _ in ends]
    added = changes([curve.accuracy[last] for curve, _, last in ends], less=before, margin=SHARE_MARGIN)
    if added is None:
        return None
    clock = arm.first.clock
    seconds = [curve.by(clock)[last] - curve.by(clock)[first] for curve, first, last in ends if curve.has(clock)]
    return Gain(
        arm=arm,
        place=place + 1,
        of=len(stages),
        stage=stage,
        added=added,
        seconds=fmean(seconds) if seconds else None,
        spent=_spent(stage, known),
    )


def _spent(stage: Stage, runs: Sequence[TrainingRun]) -> dict[str, float]:
    """Return the mean over the runs of what the steps of a stage counted."""
    spent: dict[str, float] = {}
    for metric in COUNTED:
        of_runs = [[value for step, value in run.series(metric) if stage.begins <= step < stage.ends] for run in runs]
        sums = [sum(values) for values in of_runs if values]
        spent |= {metric: fmean(sums)} if sums else {}
    return spent


def teacher_seconds(run: TrainingRun) -> float | None:
    """Return the CPU seconds that training a run's teacher took, which are in no budget."""
    seconds = mapping(run.record.provenance, "teacher").get("process_cpu_s")
    return seconds if isinstance(seconds, int | float) and 0 < seconds < MOST and run.ended else None


def _over_training(experiment: TrainingExperiment, gains: Gains, *, is_lone: bool) -> Figure:
    """Draw accuracy over a run with the ends of its stages marked."""
    budgets = [budget for budget in (STEPS, clock_of(experiment)) if has_budget(experiment, budget)]
    return Figure(
        title=experiment.title,
        settings=experiment.settings,
        caption=say("rl_stages.caption" if most_seeds(experiment) > 1 else "rl_stages.caption_single"),
        views=[View(title=budget_name(budget), figure=_marked_lines(gains, budget)) for budget in budgets],
        height_px=height_px(len(gains)),
        wide=is_lone,
        facets=experiment.facets,
    )


def _marked_lines(gains: Gains, budget: str) -> dict[str, Any]:
    lines = [_line(arm, list(gains), budget) for arm in gains]
    marks = [_marks(arm, list(gains), of_arm, budget) for arm, of_arm in gains.items() if of_arm]
    return plot([*lines, *marks], xaxis=budget_axis(budget), yaxis=accuracy_axis())


def _line(arm: TrainingArm, arms: Sequence[TrainingArm], budget: str) -> Series:
    """Return every evaluation, faintly."""
    points = [replace(one.point(budget, None), hover="") for one in evaluations(arm)]
    return Series(
        name=arm.name,
        points=points,
        style=arm.style,
        ordinal=ordinal_of(arm, arms),
        mode="lines",
        facets=arm.facets,
        in_legend=False,
        more={"opacity": FAINT},
    )


def _marks(arm: TrainingArm, arms: Sequence[TrainingArm], gains: Sequence[Gain], budget: str) -> Series:
    """Return where stages begin and end, in the mean of the seeds; of several the name of each stands at its end."""
    names: dict[int, Text] = {gain.stage.ends: gain.stage.name if gain.of > 1 else "" for gain in gains}
    names = {gains[0].stage.begins: "", **names}
    found = [
        (one.point(budget, share_interval(one.scores)), names[one.step])
        for one in evaluations(arm)
        if one.step in names
    ]
    return Series(
        name=arm.name,
        points=[replace(point, text=name, hover=joined(" ", [name, point.hover])) for point, name in found],
        style=arm.style,
        ordinal=ordinal_of(arm, arms),
        mode="markers+text",
        facets=arm.facets,
        more={
            "textposition": [SIDES[place % len(SIDES)] for place in range(len(found))],
            "textfont": {"size": 10, "color": arm.style.colour},
        },
    )


def _added(found: Mapping[TrainingExperiment, Gains]) -> Figure:
    of_experiment = {one: [gain for of_arm in gains.values() for gain in of_arm] for one, gains in found.items()}
    return Figure(
        title=say("rl_stages.added"),
        caption=say("rl_stages.added_caption"),
        views=[
            View(title=one.name if len(found) > 1 else "", figure=_added_rows(gains))
            for one, gains in of_experiment.items()
        ],
        height_px=rows_height_px(max(map(len, of_experiment.values()))),
        wide=True,
    )


def _added_rows(gains: Sequence[Gain]) -> dict[str, Any]:
    """Draw a row for each stage: its mean gain in points, with the interval."""
    arms = list(dict.fromkeys(gain.arm for gain in gains))
    series = [
        Series(
            name=arm.name,
            points=[_added_point(row, gain) for row, gain in enumerate(gains) if gain.arm is arm],
            style=arm.style,
            ordinal=ordinal_of(arm, arms),
            along="x",
        )
        for arm in arms
    ]
    xaxis = linear(say("rl_stages.added_axis"), zeroline=True)
    return rows([dotted(gain.arm.name, gain.name) for gain in gains], series, xaxis=xaxis, showlegend=False)


def _added_point(row: int, gain: Gain) -> Point:
    return Point(
        x=100 * gain.added.mean,
        y=row,
        ends=ends_of(gain.added.interval, factor=100),
        hover=say("rl_stages.added_hover", stage=gain.name, added=gain.added_text, count=gain.added.pairs),
        facets=gain.arm.facets,
    )


def _table(experiment: TrainingExperiment, gains: Gains, *, is_first: bool) -> Table:
    shown = [gain for of_arm in gains.values() for gain in of_arm]
    counted = [name for name in COUNTED if any(gain.spent.get(name) for gain in shown)]
    columns: list[Column[Gain]] = [
        column("rl_stages.recipe", lambda gain: gain.arm.name),
        column("rl_stages.stage", lambda gain: gain.placed),
        column("rl_stages.steps", lambda gain: gain.stage.ends - gain.stage.begins, numbers.count),
        column("rl_stages.before", lambda gain: _share(gain.added.theirs), kind=Kind.NUMBER),
        column("rl_stages.after", lambda gain: _share(gain.added.ours), kind=Kind.NUMBER),
        column("rl_stages.points", lambda gain: gain.added_text, kind=Kind.NUMBER),
        column("rl.seeds", lambda gain: gain.added.pairs, numbers.count),
        column("rl_efficiency.in_words", lambda gain: verdict(gain.added)),
        *p_columns(lambda gain: gain.added),
        column(budget_name(clock_of(experiment)), lambda gain: gain.seconds, numbers.seconds),
        *(column(f"rl_stages.{name}", partial(_spent_of, name), numbers.count) for name in counted),
        column(
            "rl_stages.teacher",
            lambda gain: gain.arm.mean(teacher_seconds),
            numbers.seconds,
            only_where_known=True,
        ),
    ]
    return table(
        say("rl_stages.table", title=experiment.title),
        shown,
        columns,
        settings=experiment.settings,
        facets_of=lambda gain: gain.arm.facets,
        note=say("rl_stages.note") if is_first else "",
        folded=not is_first,
    )


def _spent_of(metric: str, gain: Gain) -> float | None:
    return gain.spent.get(metric)


def _share(scores: Sequence[float]) -> Text:
    interval, mean = share_interval(scores), numbers.percent(fmean(scores))
    return mean if interval is None else say("rl_stages.with_interval", value=mean, interval=percent_range(interval))


def _contrasts(found: Sequence[Beside]) -> list[Table]:
    """Lay out, for all tasks, which recipes differ from the reference where both have made as many steps."""
    if not found:
        return []
    reference = found[0].reference
    lead = lead_name(reference, RECIPE)
    return [
        table(
            say("rl_stages.contests", reference=lead),
            found,
            [column("column.group", lambda row: row.experiment.name), *budget_columns()],
            settings="" if reference.name == lead else say("rl.reference_is", arm=reference.name),
            facets_of=lambda row: row.arm.facets,
            note=say("rl_stages.contests_note"),
        )
    ]


def _headline(found: Mapping[TrainingExperiment, Sequence[Beside]]) -> Headline | None:
    """Tell how recipes end on the task with the most of them."""
    for experiment, every in found.items():
        at_steps = [row for row in every if row.quantity.name == STEPS]
        if names := told([(row.arm.name, row.outcome) for row in at_steps]):
            reference = at_steps[0].reference
            point = say(
                "rl_stages.point", reference=lead_name(reference, RECIPE), **tally(row.outcome for row in at_steps)
            )
            detail = say("rl_stages.headline", title=experiment.name, reference=reference.name, told=names)
            return Headline(text=point, detail=detail)
    return None
