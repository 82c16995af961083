"""Sources of a reward: the outcome or its steps, the task's key or the vote of a group. Each is compared with the
other, with every other setting the same.
"""

from collections.abc import Mapping, Sequence

from suite.report.blocks import Figure, Headline, Section, Text, joined, say, section
from suite.report.evidence import with_rule
from suite.report.model.results import Results
from suite.report.plot.scales import shares
from suite.report.rl import curves, design
from suite.report.rl.contrasts import Beside, at_equal_budgets, by_outcome, finding, table_of_experiments, tally
from suite.report.rl.design import REWARD_SOURCE, SUPERVISION, RlExperiment

SETTINGS = (SUPERVISION, REWARD_SOURCE)
MOST_FIGURES = 12
STEP_REWARD = "step_reward"


def build(results: Results) -> Section | None:
    """Build it from the experiments whose arms differ in what a reward is of."""
    found = {name: design.values_of(results, name) for name in SETTINGS}
    if not any(found.values()):
        return None
    figures, rows = [], dict[str, list[Beside]]()
    for name, experiments in found.items():
        compared = {experiment: at_equal_budgets(experiment) for experiment in experiments if design.drawn(experiment)}
        figures += [_figure(name, experiment, of_it) for experiment, of_it in compared.items()]
        rows[name] = [row for of_it in compared.values() for row in of_it]
    tables = [
        table_of_experiments(say(f"rl_feedback.table.{name}"), of_setting, note=say(f"rl_feedback.note.{name}"))
        for name, of_setting in rows.items()
        if of_setting
    ]
    return section("rl_feedback", figures=figures[:MOST_FIGURES], tables=with_rule(tables), headlines=[_headline(rows)])


def _figure(name: str, experiment: RlExperiment, rows: Sequence[Beside]) -> Figure:
    arms = design.chosen(experiment)
    # What process supervision pays for, which all arms are told to have whoever is paid for it.
    steps = curves.step_lines(arms, lambda run: design.within(run.of_step.get(STEP_REWARD, {})))
    checked = curves.over_steps(steps, shares(say("rl_feedback.steps_axis"), rangemode="tozero"))
    views = curves.over_budgets(experiment) | {say("rl_feedback.steps"): checked}
    caption = design.caption_of(experiment, "rl_efficiency.caption", "rl_efficiency.caption_single")
    counted = [row for row in rows if row.quantity.name == design.COMPLETIONS]
    told = finding(counted, say("rl_efficiency.at.completions"), unit=say("rl.points"))
    return design.figure_of(experiment, say(f"rl_feedback.table.{name}"), caption, views, finding=told)


def _headline(found: Mapping[str, Sequence[Beside]]) -> Headline | None:
    """Tell what rewards are worth over every task, at equal completions."""
    details, texts = [], []
    for name, rows in found.items():
        counted = [row for row in rows if row.quantity.name == design.COMPLETIONS]
        if names := by_outcome([(_named(row, counted), row.outcome) for row in counted]):
            details.append(say(f"rl_feedback.headline.{name}", told=names))
            texts.append(say(f"rl_feedback.point.{name}", **tally(row.outcome for row in counted)))
    if not texts:
        return None
    point = say("rl_feedback.point", told=joined("notes", texts))
    return Headline(text=point, detail=say("rl_feedback.headline", told=joined("notes", details)))


def _named(row: Beside, rows: Sequence[Beside]) -> Text:
    """An arm's name, with what tells its experiment from the others of the sentence."""
    has_several = len({other.experiment.title for other in rows}) > 1
    where = joined(" ", [row.experiment.title if has_several else "", row.experiment.settings])
    return say("rl_feedback.named", arm=row.arm.short_name, where=where) if where else row.arm.short_name
