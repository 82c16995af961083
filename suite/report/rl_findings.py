"""What the seeds of a comparison say in a sentence for each budget, and which differences they leave open; and what an
algorithm without a critic saves of PPO's memory."""

from collections import Counter
from collections.abc import Sequence

from suite.records import numbers
from suite.report.blocks import Text, joined, say
from suite.report.model.results import Results
from suite.report.rl_contests import contests, contests_against
from suite.report.rl_contrasts import contests_of, contrasts_of
from suite.report.rl_recipes import recipe_comparisons, reference_recipe
from suite.report.rl_run import COMPLETIONS, STEPS
from suite.report.rl_runs import Arm, Comparison, clock_of, comparisons
from suite.report.rl_thoughts import CORRECTIONS, LENGTH, changes_of, thinking
from suite.statistics.paired import Outcome

MOST_HEADLINES = 2
COMPARED = ("supervision", "reward_from")


def rl_headlines(results: Results) -> list[str]:
    """Of the comparisons with the most arms; none where no two arms stand side by side."""
    telling = [one for one in comparisons(results) if contests(one) and not one.is_picked]
    return [
        *(say("rl_efficiency.headline", title=one.title, said=said(one)) for one in telling[:MOST_HEADLINES]),
        *_of_stages(results),
        *_of_thought(results),
        *_of_feedback(results),
    ]


def said(one: Comparison) -> Text:
    """Say how many seeds there are, and the outcome at each budget that is held equal."""
    counts = sorted({len(arm.ended) for arm in one.chosen})
    seeds = say("rl.range", low=counts[0], high=counts[-1]) if len(counts) > 1 else str(counts[0])
    parts = [say("rl_efficiency.seeds", arms=len(one.chosen), seeds=seeds)]
    for budget in (COMPLETIONS, clock_of(one.drawn[0])):
        fought = [contest for contest in contests(one) if contest.budget == budget]
        # Arms that were picked by their scores cannot be judged by them.
        told = _told([(contest.arm.name, contest.outcome) for contest in fought])
        if told and not one.is_picked:
            held, reference = say(f"rl_efficiency.at_equal.{budget}"), fought[0].reference.name
            parts.append(say("rl_efficiency.outcome", held=held, reference=reference, told=told))
    return joined("sentence", parts)


def _of_stages(results: Results) -> list[str]:
    """Say how recipes end on the task with the most of them."""
    for one in recipe_comparisons(results):
        reference = reference_recipe(one)
        fought = [] if reference is None else contests_against(reference, one, STEPS)
        outcomes = [(each.arm.name, each.outcome) for each in fought if each.budget == STEPS]
        if reference is not None and (told := _told(outcomes)):
            return [say("rl_stages.headline", title=one.title, reference=reference.name, told=told)]
    return []


def _of_thought(results: Results) -> list[str]:
    """Of the comparison with the most arms that think, before all others one in which they correct themselves."""
    for one, arms in thinking(results).items():
        length, corrections = (_changed(arms, metric) for metric in (LENGTH, CORRECTIONS))
        if length:
            told = corrections or numbers.NOTHING
            return [say("rl_evolution.headline", title=one.title, length=length, corrections=told)]
    return []


def _changed(arms: Sequence[Arm], metric: str) -> Text:
    found = [(arm.name, change.outcome) for (arm, of), change in changes_of(arms).items() if of == metric]
    return _told(found)


def _of_feedback(results: Results) -> list[str]:
    """Say what rewards are worth over every task, at equal completions."""
    parts = []
    for name in COMPARED:
        fought = [
            (one, contest)
            for one, contest in contests_of(contrasts_of(results, name), name)
            if contest.budget == COMPLETIONS
        ]
        # Arms are named where a comparison has several.
        several = [one for one, count in Counter(one for one, _ in fought).items() if count > 1]
        outcomes = [
            (joined(" ", [one.title, f"({contest.arm.name})"]) if one in several else one.title, contest.outcome)
            for one, contest in fought
        ]
        if told := _told(outcomes):
            parts.append(say(f"rl_feedback.headline.{name}", told=told))
    return [say("rl_feedback.headline", told=joined("notes", parts))] if parts else []


def _told(outcomes: Sequence[tuple[str, Outcome]]) -> Text:
    """Tell names by their outcome; nothing where none of them has pairs enough."""
    if all(outcome is Outcome.FEW for _, outcome in outcomes):
        return ""
    by_outcome = {outcome: [name for name, of in outcomes if of is outcome] for outcome in Outcome}
    parts = [
        say(f"verdict.of.{outcome}", names=joined("list", names)) for outcome, names in by_outcome.items() if names
    ]
    return joined("notes", parts)
