"""Gains of each stage of DeepSeek-R1's training, on small models and at equal budgets: recipes side by side.

Every step of every stage trains on as many completions or examples, in as many updates, so recipes stand at equal
budgets after as many steps. Tasks on which no recipe learns stay: that a stage adds nothing is a result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import starmap
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Section, Table, Text, dotted, say, say_or, section
from suite.report.evidence import add_verdict_note, difference_columns, p_columns
from suite.report.model.experiment import grouped
from suite.report.model.formats import share_with_range
from suite.report.model.labels import RECIPE
from suite.report.model.results import Results, cached_by_results
from suite.report.model.run import MOST, MOST_STEPS, Pairs, clip_text, mapping
from suite.report.rl import contrasts, design, frames
from suite.report.rl.contrasts import AgainstReference, ForestRow, accuracy_change, at, at_equal_budgets
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.frames import MOST_FIGURES
from suite.report.rl.naming import named, with_baseline
from suite.report.rl.run import DEFAULTS, STEPS, RlRun
from suite.report.table import Column, column, part_columns, quoted_tables
from suite.statistics.paired import Comparison

# Metrics of the steps that a stage's spending is told by.
COUNTED = ("completions", "examples_kept", "pairs_kept", "examples", "updates")
PREFERRED = "preference_accuracy"
R1, R1_ABLATIONS = "r1", ("cold_start", "r1_unfiltered", "r1_preference")
"""R1, and the recipes that leave out or add one thing, which only beside R1 say what that does."""

Stage = tuple[str, int, int]
"""A kind, and the steps of the run before the stage, and before the next."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The gain of one stage of an arm, over the runs that were evaluated where it begins and where it ends."""

    arm: RlArm
    begins: int  # steps of the run before the stage
    ends: int  # and before the next
    kind: Text
    name: Text  # its kind, and of several stages its place among them
    comparison: Comparison
    """Held-out accuracy after the stage less that before, each run against itself."""
    runs: Sequence[RlRun]

    def mean_count(self, metric: str) -> float | None:
        """The sum of a metric over the steps of the stage, the mean over the runs; None where no run has it."""
        series = [run.by_step(metric) for run in self.runs]
        steps = [[values[step] for step in range(self.begins, self.ends) if step in values] for values in series]
        return fmean(sums) if (sums := [sum(values) for values in steps if values]) else None

    def teacher_s(self) -> float | None:
        """The mean over the arm's runs that ended of their teacher's CPU seconds; None where none says it."""
        spent = [mapping(run.record.provenance, "teacher").get("process_cpu_s") for run in self.arm.ended]
        seconds = [each for each in spent if isinstance(each, int | float) and 0 < each < MOST]
        return fmean(seconds) if seconds else None

    def seconds(self, clock: str) -> float | None:
        """The mean over the runs of the seconds of the stage; None where the clock is not known."""
        spent = [run.curve.by_step(clock) for run in self.runs if run.curve and clock in run.curve.spent]
        return fmean(by_step[self.ends] - by_step[self.begins] for by_step in spent) if spent else None

    @property
    def preferred_share(self) -> float | None:
        """The share of pairs preferred at the stage's last step, the mean over the runs; None where none says it."""
        series = [run.by_step(PREFERRED) for run in self.runs]
        shares = [values[self.ends - 1] for values in series if self.ends - 1 in values]
        return fmean(shares) if shares else None


Gains = Mapping[RlArm, Sequence[Gain]]


def build(results: Results) -> Section | None:
    """The section on recipes with several stages; None where no stage has a gain to show."""
    gains = {experiment: stage_gains(experiment.trained_arms) for experiment in recipes(results)}
    gains = {experiment: by_arm for experiment, by_arm in gains.items() if any(by_arm.values())}
    if not gains:
        return None
    compared = {experiment: at_equal_budgets(experiment, STEPS) for experiment in gains}
    ablations = []
    for experiment in gains:
        r1, without = ([a for a in experiment.arms if a.value(RECIPE) in names] for names in ((R1,), R1_ABLATIONS))
        beside_r1 = replace(experiment, arms=[*r1, *without], baseline=r1[0] if len(r1) == 1 else None)
        ablations.append(at_equal_budgets(beside_r1, STEPS))
    tables = [
        contrasts.comparison_table(rows, "rl_stages.comparisons") for rows in [*compared.values(), *ablations] if rows
    ]
    figures = list(gains.items())[:MOST_FIGURES]
    quoted = {"title": "rl_stages.published", "row": "rl_stages.benchmark", "note": "rl_stages.published_note"}
    return section(
        "rl_stages",
        figures=[*(_over_training(*pair, compared[pair[0]]) for pair in figures), *starmap(_forest, figures)],
        tables=[
            *add_verdict_note([*tables, *starmap(_table, gains.items())]),
            *quoted_tables("published_training", **quoted),
        ],
    )


@cached_by_results
def recipes(results: Results) -> Sequence[RlExperiment]:
    """The experiments whose arms are recipes and agree in all else, most arms first; empty if every run is R1-Zero."""
    layout = design.layout(results)
    axes = {name for run in layout.runs for name in run.record.case.axes}

    def is_factor(name: str) -> bool:
        return design.tells_arms_apart(name) and name not in axes

    def further_settings(run: RlRun) -> Pairs:
        return tuple(pair for pair in run.key if is_factor(pair[0]) and pair[0] != RECIPE)

    runs = list[RlRun]()
    families = grouped(layout.runs, lambda run: tuple(pair for pair in run.key if not is_factor(pair[0])))
    for family in families.values():
        # Runs of R1-Zero that ask something else, which no other recipe was asked, stand elsewhere.
        questions = {further_settings(run) for run in family if run.value(RECIPE) != DEFAULTS[RECIPE]}
        runs += [run for run in family if further_settings(run) in questions]
    experiments = layout.split(runs, is_factor, partial(named, lead=RECIPE))
    return design.most_arms_first(
        with_baseline(each, design.default_arm(each, RECIPE) or next(iter(each.trained_arms), None))
        for each in experiments
    )


def stage_gains(arms: Sequence[RlArm]) -> dict[RlArm, list[Gain]]:
    """Every arm's gains, stage by stage, judged together."""
    gains = contrasts.judged_rows(gain for arm in arms for gain in _gains(arm))
    return {arm: [gain for gain in gains if gain.arm is arm] for arm in arms}


def _gains(arm: RlArm) -> list[Gain]:
    """The gains of an arm's stages; those without a run that was evaluated at both of their ends are left out."""
    staged = [(run, stages) for run in arm.ended if (stages := read_stages(run))]
    stages, gains = staged[0][1] if staged else [], []
    for place, (kind, begins, ends) in enumerate(stages, start=1):
        curves = {run: run.curve.by_step() for run, run_stages in staged if run_stages == stages and run.curve}
        accuracies = {run: by_step for run, by_step in curves.items() if {begins, ends} <= by_step.keys()}
        before, after = ([by_step[step] for by_step in accuracies.values()] for step in (begins, ends))
        if (change := accuracy_change(arm, after, before)) is not None:
            # A kind that another package brought goes by its own name.
            word = say_or(f"rl_stages.kind.{kind}", kind)
            name = word if len(stages) == 1 else say("rl_stages.of", place=place, of=len(stages), kind=word)
            bounds = {"begins": begins, "ends": ends}
            gains.append(Gain(arm=arm, kind=word, name=name, comparison=change, runs=list(accuracies), **bounds))
    return gains


def read_stages(run: RlRun) -> list[Stage]:
    """The stages of a run by its record, a single one for R1-Zero; empty where the record is not to be read."""
    noted_stages = run.record.provenance.get("stages")
    if noted_stages is None and run.value(RECIPE) == DEFAULTS[RECIPE] and run.curve is not None:
        noted_stages = [{"kind": "rl", "steps": run.curve.steps[-1]}]
    stages: list[Stage] = []
    for stage in noted_stages if isinstance(noted_stages, list) else ():
        begins, steps = stages[-1][2] if stages else 0, stage.get("steps") if isinstance(stage, Mapping) else None
        if not isinstance(steps, int) or not 0 < steps < MOST_STEPS:
            return []
        stages.append((clip_text(stage.get("kind")), begins, begins + steps))
    return stages


def _over_training(experiment: RlExperiment, gains: Gains, rows: Sequence[AgainstReference]) -> Figure:
    """The figure of accuracy over a run, with the name of each stage but the last at its end, once for all recipes."""
    names, labelled = dict[RlArm, dict[int, Text]](), set[tuple[int, Text]]()
    for arm, arm_gains in gains.items():
        ends = {gain.ends: gain.kind for gain in arm_gains[:-1]}
        names[arm] = {step: kind for step, kind in ends.items() if (step, kind) not in labelled}
        labelled |= {*ends.items()}
    views = frames.curves_by_budget(experiment, (STEPS, experiment.clock), names)
    finding = contrasts.finding(at(STEPS, rows), say("rl.points"), say("rl_stages.at_equal"))
    return frames.experiment_figure(experiment, "rl_stages.over", views, finding)


def _forest(experiment: RlExperiment, gains: Gains) -> Figure:
    """The figure of each stage's mean gain in points, with its interval."""
    rows = [
        ForestRow(
            name=dotted(arm.short_name, gain.name), group=arm.short_name, style=arm.style, comparison=gain.comparison
        )
        for arm, arm_gains in gains.items()
        for gain in arm_gains
    ]
    return contrasts.forest(experiment, "rl_stages.added", rows, [key for arm in gains for key in arm.run_keys])


def _table(experiment: RlExperiment, gains: Gains) -> Table:
    """The table of stages, a row for each of each arm: accuracy before and after, the gain, its test, and its cost."""
    rows, clock = [gain for arm_gains in gains.values() for gain in arm_gains], experiment.clock

    gained: list[Column[Comparison]] = [
        column("rl_stages.after", lambda gain: share_with_range(gain.ours), kind=Kind.NUMBER),
        *difference_columns("rl_stages.points"),
        column("rl.seeds", lambda gain: gain.pairs, numbers.count),
    ]
    columns: list[Column[Gain]] = [
        column("rl_stages.recipe", lambda gain: gain.arm.name),
        column("rl_stages.stage", lambda gain: gain.name),
        *part_columns(lambda gain: gain.comparison, gained),
        *part_columns(lambda gain: gain.arm, [frames.GUESSING]),
        column("rl_stages.before", lambda gain: share_with_range(gain.comparison.theirs), kind=Kind.NUMBER),
        column("rl_stages.steps", lambda gain: gain.ends - gain.begins, numbers.count),
        *p_columns(lambda gain: gain.comparison),
        column(frames.budget_name(clock), lambda gain: gain.seconds(clock), numbers.seconds),
    ]
    for metric in COUNTED:
        mean_count = partial(Gain.mean_count, metric=metric)
        if any(map(mean_count, rows)):
            columns.append(column(f"rl_stages.{metric}", mean_count, numbers.count))
    columns += [
        column(f"rl_stages.{PREFERRED}", lambda gain: gain.preferred_share, numbers.percent, only_where_known=True),
        column("rl_stages.teacher", Gain.teacher_s, numbers.seconds, only_where_known=True),
    ]
    return frames.experiment_table(experiment, "rl_stages.table", rows, columns, lambda gain: gain.arm)
