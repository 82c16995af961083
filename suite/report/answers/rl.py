"""Rulings on the article's claims on reinforcement learning.

Each takes the comparisons that a section of the chapter lays out, of runs that agree in everything but what the claim
is about, and rules by them. What no seed can vary, as a projected size or what a formula says, is told as such.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.aliases import CAME_LATER
from suite.records.case import value_under
from suite.records.record import Record
from suite.report.answers.claims import CONTRADICTED, DEFINED, DEPENDS, LEFT_OPEN, SUPPORTED, Verdict
from suite.report.answers.leads import lead_of_size
from suite.report.answers.rulings import (
    ABOUT,
    Finding,
    between,
    extras_of,
    machine_of,
    rule,
    setting_name,
    settings_of,
    short_name,
    tell,
    together,
)
from suite.report.blocks import Lead, Text, joined, say
from suite.report.model.experiment import Contrast, Quantity, contrast
from suite.report.model.formats import mean_with_range, plain, points, signed
from suite.report.model.labels import ALGORITHM, RECIPE
from suite.report.model.results import Results
from suite.report.model.run import SEED
from suite.report.rl import design, evolution, memory_design, stages
from suite.report.rl.contrasts import at_equal_budgets
from suite.report.rl.cost import cost_s, price_of
from suite.report.rl.design import REWARD_SOURCE, STEPS, SUPERVISION, RlArm, RlExperiment, RlRun
from suite.report.rl.efficiency import LEVELS
from suite.report.rl.memory_design import Saving
from suite.statistics.learning import is_collapsed, to_threshold, worst_drawdown
from suite.statistics.paired import SHARE_MARGIN, TOLD_APART, Comparison, Outcome, changes

GRPO, PPO = "grpo", "ppo"
FORMAT_SETTINGS = ("format_weight", "format_reward")
DRAWDOWN, SPREAD = "drawdown", "spread"
RECIPES = {
    "zero_base": ("r1_zero", "base"),
    "cold_zero": ("cold_start", "r1_zero"),
    "r1_zero": ("r1", "r1_zero"),
    "distill_zero": ("distill", "r1_zero"),
    "sft_base": ("sft", "base"),
    "cold_sft": ("cold_start", "sft"),
    "r1_cold": ("r1", "cold_start"),
    "r1_unfiltered": ("r1", "r1_unfiltered"),
    "preference_r1": ("r1_preference", "r1"),
}
"""Recipes by what is asked of them: one, and the one that it is compared with."""

Pair = tuple[RlExperiment, RlArm, RlArm]
"""An arm, and the arm that it is compared with; both of one experiment."""


def cheaper(results: Results) -> Verdict | None:
    """Rule on GRPO as cheaper than PPO: in memory, in seconds a completion, and in seconds to a level of accuracy."""
    saved = [
        saving
        for saving in memory_design.savings(memory_design.memory_experiments(results))
        if saving.arm.value(ALGORITHM) == GRPO and saving.baseline.value(ALGORITHM) == PPO
    ]
    facts, known = [], dict[str, str]()
    for name, same in (("projected", _of_evidence(saved, False)), ("measured", _of_evidence(saved, True))):
        if same:
            facts.append(_told_memory(name, same))
            shares = [saving.share for saving in same]
            known[f"memory_{name}"] = SUPPORTED if min(shares) > 0 else CONTRADICTED if max(shares) < 0 else LEFT_OPEN
    findings, pairs = list[Finding](), list(beside_ppo(results))
    for pair in pairs:
        clock = design.clock_of(pair[0])
        cost = Quantity[RlRun](name="cost", value=cost_s, text=numbers.seconds, difference=_seconds)
        findings += _less(pair, cost, f"cost_{clock}")
        findings += [finding for level in LEVELS for finding in _until(pair, clock, level, _seconds)]
    verdict = rule(findings, *facts, *_not_reached(pairs), known=known)
    if verdict is None or not saved:
        return verdict
    typical = _typical(saved)
    step = typical.arm.first
    return replace(
        verdict,
        lead=_memory_lead(typical),
        flips=verdict.flips if verdict.outcome == DEPENDS else _least_saved(_of_evidence(saved, step.is_measured)),
        machine=machine_of(typical.arm) if step.is_measured else verdict.machine,
        is_projected=not step.is_measured,
    )


def _typical(saved: Sequence[Saving]) -> Saving:
    """Return the saving of the largest model that is its median."""
    most = max(saving.arm.first.parameters or 0.0 for saving in saved)
    alike = [saving for saving in saved if (saving.arm.first.parameters or 0.0) == most]
    return sorted(alike, key=lambda saving: saving.share)[len(alike) // 2]


def _memory_lead(saving: Saving) -> Lead:
    """Return what GRPO's peak is of PPO's."""
    ours, theirs = saving.arm.first, saving.baseline.first
    about = say("answer.about.memory", model=ours.model, evidence=say(f"evidence.{ours.evidence}"))
    peaks = {"ours": numbers.bytes_iec(ours.peak), "theirs": numbers.bytes_iec(theirs.peak)}
    return lead_of_size(1 - saving.share, about, numbers.percent(1 - saving.share), count=say("answer.memory", **peaks))


def _least_saved(saved: Sequence[Saving]) -> Text:
    """Say in how many cases GRPO holds less, and where it saves least."""
    least = min(saved, key=lambda saving: saving.share)
    fields = {"least": numbers.percent(least.share), "model": least.arm.first.model}
    less, tokens = sum(saving.share > 0 for saving in saved), least.arm.value("seq_len")
    told = say("answer.flips.memory_at", tokens=tokens, **fields) if tokens else say("answer.flips.memory_of", **fields)
    return say("answer.flips.memory", less=less, count=len(saved), told=told)


def _not_reached(pairs: Sequence[Pair]) -> list[Text]:
    """Say for how many pairs some run never came to a level, so that what it took is not compared."""
    missed = [sum(not _all_reach(pair, level) for pair in pairs) for level in LEVELS]
    fields = {
        "levels": joined("list", map(numbers.percent, LEVELS)),
        "missed": sum(missed),
        "count": len(pairs) * len(LEVELS),
    }
    return [say("claim.not_reached", **fields)] if sum(missed) else []


def _all_reach(pair: Pair, level: float) -> bool:
    curves = [curve for arm in pair[1:] for curve in design.curves_of(arm)]
    return all(max(curve.accuracy) >= level for curve in curves)


def _of_evidence(saved: Iterable[Saving], is_measured: bool) -> list[Saving]:
    return [saving for saving in saved if saving.arm.first.is_measured is is_measured]


def _told_memory(name: str, saved: Sequence[Saving]) -> Text:
    """Say what share of PPO's peak GRPO does without, over all cases: sizes, which no seed varies."""
    shares = sorted(saving.share for saving in saved)
    low, high = numbers.percent(shares[0]), numbers.percent(shares[-1])
    saves = low if low == high else say("rl.range", low=low, high=high)
    less = sum(share > 0 for share in shares)
    return say(f"claim.memory.{name}", less=less, count=len(shares), saves=saves)


def _seconds(difference: float) -> str:
    return f"{difference:+.2f} s"


def _until(pair: Pair, budget: str, level: float, text: Callable[[float], str]) -> list[Finding]:
    """Compare what two arms had spent when they came to a level, where every run of both did."""
    spent = Quantity[RlRun](name=budget, value=partial(_spent_until, budget, level), text=text, difference=text)
    return _less(pair, spent, f"until_{budget}_{100 * level:.0f}") if _all_reach(pair, level) else []


def _spent_until(budget: str, level: float, run: RlRun) -> float | None:
    if run.curve is None or budget not in run.curve.spent:
        return None
    return to_threshold(run.curve.spent[budget], run.curve.accuracy, level)


def _less(pair: Pair, quantity: Quantity[RlRun], about: str) -> list[Finding]:
    """Compare two arms by a quantity of which less is better."""
    experiment, ours, theirs = pair
    found = contrast(ours, theirs, quantity)
    return [between(found, experiment, about, supports=Outcome.LOWER)] if found else []


def sample_efficient(results: Results) -> Verdict | None:
    """Rule on GRPO above PPO: by accuracy at equal completions, and by completions to a level of accuracy."""
    findings, pairs = list[Finding](), list(beside_ppo(results))
    for pair in pairs:
        findings += _at_equal(pair, design.COMPLETIONS, "accuracy")
        for level in LEVELS:
            findings += _until(pair, design.COMPLETIONS, level, "{:+,.0f}".format)
    return rule(findings, *_not_reached(pairs))


def _at_equal(pair: Pair, budget: str, about: str) -> list[Finding]:
    """Compare two arms by their accuracy where both had spent as much."""
    found = _contrast_at(pair, budget)
    return [between(found, pair[0], about)] if found else []


def _contrast_at(pair: Pair, budget: str) -> Contrast[RlRun] | None:
    experiment, ours, theirs = pair
    rows = at_equal_budgets(replace(experiment, arms=[ours, theirs], baseline=theirs), budget)
    return next((row.contrast for row in rows if row.quantity.name == budget), None)


def stable(results: Results) -> Verdict | None:
    """Rule on GRPO as steadier than PPO: by the worst fall of a run, and by how far seeds end from their median."""
    findings, pairs = [], list(beside_ppo(results))
    more: dict[str, Any] = {"text": numbers.percent, "difference": points, "unit": "points", "margin": SHARE_MARGIN}
    for pair in pairs:
        _, ours, theirs = pair
        findings += _less(pair, Quantity(name=DRAWDOWN, value=_drawdown, **more), DRAWDOWN)
        apart = {**_from_median(ours), **_from_median(theirs)}
        findings += _less(pair, Quantity(name=SPREAD, value=apart.get, **more), SPREAD)
    first, of_first = _collapsed({arm for _, arm, _ in pairs})
    second, of_second = _collapsed({reference for *_, reference in pairs})
    collapsed = say("claim.collapsed", ours=first, of_ours=of_first, theirs=second, of_theirs=of_second)
    return rule(findings, collapsed) if findings else None


def _collapsed(arms: Iterable[RlArm]) -> tuple[int, int]:
    """Return how many curves collapsed, and how many there are."""
    every = [curve for arm in arms for curve in design.curves_of(arm)]
    return sum(is_collapsed(curve.accuracy) for curve in every), len(every)


def _drawdown(run: RlRun) -> float | None:
    return None if run.curve is None else worst_drawdown(run.curve.accuracy)


def _from_median(arm: RlArm) -> dict[RlRun, float]:
    """Return how far each run ends from the median of its arm, by which Brown and Forsythe compare spreads."""
    finals = {run: final for run in arm.ended if (final := design.final(run)) is not None}
    return {run: abs(final - median(finals.values())) for run, final in finals.items()}


def two_rewards(results: Results) -> Verdict | None:
    """Rule whether accuracy rises under GRPO with both rewards; and tell what it is without the one for the format."""
    findings = []
    for experiment in _of_algorithms(results):
        arms = [arm for arm in _untuned(experiment) if arm.value(ALGORITHM) == GRPO and _is_outcome(arm)]
        for arm in arms:
            if _pays_format(arm):
                findings += _risen(arm, experiment, "gain", _gain(arm))
        for ours in filter(_pays_format, arms):
            for theirs in arms:
                if not _pays_format(theirs) and agree(ours, theirs, FORMAT_SETTINGS):
                    pair = experiment, ours, theirs
                    findings += [
                        replace(found, supports=None) for found in _at_equal(pair, design.COMPLETIONS, "format")
                    ]
    return rule(findings)


def _is_outcome(arm: RlArm) -> bool:
    return arm.first.value(SUPERVISION) == design.DEFAULTS[SUPERVISION]


def _pays_format(arm: RlArm) -> bool:
    """Return whether the format is paid for: as part of a sum, or as a gate. Records of before say their weight."""
    weight = arm.first.setting("format_weight")
    return arm.first.setting("format_reward") == "gate" or weight not in ("0", "0.0", "")


def _gain(arm: RlArm) -> Comparison | None:
    curves = design.curves_of(arm)
    firsts, lasts = ([curve.accuracy[place] for curve in curves] for place in (0, -1))
    return changes(lasts, less=firsts, margin=SHARE_MARGIN)


def _risen(arm: RlArm, experiment: RlExperiment, about: str, found: Comparison | None) -> list[Finding]:
    """Return the finding that an arm's accuracy rose."""
    if found is None:
        return []
    settings = settings_of(arm) | {ABOUT: about}
    return [
        Finding(
            experiment=experiment,
            name=arm.name,
            found=found,
            text=points,
            settings=settings,
            machine=machine_of(arm),
            short=short_name(arm),
            extras=extras_of(arm),
        )
    ]


def step_feedback(results: Results) -> Verdict | None:
    """Rule on feedback on steps: outcome supervision gives none, by its formula, so what counts is what steps add."""
    findings = []
    for experiment in design.values_of(results, SUPERVISION):
        if (reference := experiment.baseline) is not None:
            for arm in design.drawn(experiment):
                if arm is not reference:
                    findings += _at_equal((experiment, arm, reference), design.COMPLETIONS, "steps")
    verdict = rule(findings, say("claim.steps.formula"))
    if verdict is None or verdict.outcome != SUPPORTED:
        return verdict if findings else None
    return replace(verdict, outcome=DEPENDS, on=setting_name(SUPERVISION), flips=say("answer.flips.supervision"))


def no_labels(results: Results) -> Verdict | None:
    """Rule whether RL adds accuracy where the vote of the group takes the place of the key."""
    findings = []
    for experiment in design.values_of(results, REWARD_SOURCE):
        for arm in design.drawn(experiment):
            if arm.first.value(REWARD_SOURCE) == "majority":
                findings += _risen(arm, experiment, "vote", _added_by_rl(arm))
                if experiment.baseline is not None:
                    pair = experiment, arm, experiment.baseline
                    found = _at_equal(pair, design.COMPLETIONS, "vote_key")
                    findings += [replace(finding, supports=None) for finding in found]
    return rule(findings)


def _added_by_rl(arm: RlArm) -> Comparison | None:
    """Return what the last stage added, where that is one of RL."""
    of_stages = stages.stages_of(arm.first)
    gains = stages.gains_of([arm])[arm]
    is_rl = bool(of_stages) and of_stages[-1][0] == "rl" and bool(gains) and gains[-1].ends == of_stages[-1][2]
    return gains[-1].added if is_rl else None


def compares_samples(results: Results) -> Verdict:
    """Rule by definition: a group is samples of one policy."""
    return Verdict(outcome=DEFINED, text=say("claim.samples.defined"))


def without_sft(results: Results) -> Verdict | None:
    """Rule on R1-Zero above a base model that went on reading, and count runs that collapsed."""
    pairs = list(recipe_pairs(results, "zero_base"))
    findings = [found for pair in pairs for found in _of_recipes(pair, "zero_base", must_learn=True)]
    collapsed, runs = _collapsed({ours for _, ours, _ in pairs})
    return rule(findings, say("claim.zero.collapsed", collapsed=collapsed, runs=runs)) if findings else None


def cold_start(results: Results) -> Verdict | None:
    """Rule on a cold start, and on all of R1, above R1-Zero."""
    return rule(_recipes(results, "cold_zero", "r1_zero"))


def distillation(results: Results) -> Verdict | None:
    """Rule on distillation above RL of the same small model."""
    return rule(_recipes(results, "distill_zero"))


def stages_add(results: Results) -> Verdict | None:
    """Rule whether each stage adds: fine-tuning to the base model, RL to fine-tuning, R1's second half to its first."""
    return rule(_recipes(results, "sft_base", "cold_sft", "r1_cold"), lead_about=["cold_sft"])


def filtering(results: Results) -> Verdict | None:
    """Rule on filtered fine-tuning above unfiltered, and on preference above neither."""
    return rule(_recipes(results, "r1_unfiltered", "preference_r1"))


def _recipes(results: Results, *asked: str) -> list[Finding]:
    return [found for about in asked for pair in recipe_pairs(results, about) for found in _of_recipes(pair, about)]


def _of_recipes(pair: Pair, about: str, *, must_learn: bool = False) -> list[Finding]:
    found = _contrast_at(pair, STEPS)
    if found is None:
        return []
    finding = between(found, pair[0], about, must_learn=must_learn, but=(RECIPE,))
    return [replace(finding, measure="accuracy_at_steps")]


def recipe_pairs(results: Results, about: str) -> Iterator[Pair]:
    """Yield the arms of two recipes that agree in everything else, and are paid by the key."""
    ours, theirs = RECIPES[about]
    for experiment in stages.recipes(results):
        arms = [
            arm for arm in design.drawn(experiment) if arm.first.value(REWARD_SOURCE) == design.DEFAULTS[REWARD_SOURCE]
        ]
        for arm in arms:
            for other in arms:
                is_asked = arm.first.value(RECIPE) == ours and other.first.value(RECIPE) == theirs
                if is_asked and agree(arm, other, (RECIPE,)):
                    yield experiment, arm, other


def self_evolution(results: Results) -> Verdict | None:
    """Rule whether thoughts become longer, and correct themselves more often, in training by GRPO."""
    findings = []
    for experiment in evolution.thinking(results):
        arms = [arm for arm in experiment.arms if arm.value(ALGORITHM) == GRPO and _is_outcome(arm)]
        changed = evolution.changes_of(arms)
        for metric, text in ((evolution.LENGTH, signed), (evolution.CORRECTIONS, points)):
            # What the base model never does cannot become more frequent by being paid for.
            is_there = metric == evolution.LENGTH or evolution.corrects(arms)
            for arm, found in changed[metric].items() if is_there else ():
                findings += [replace(one, text=text) for one in _risen(arm, experiment, metric, found)]
    return rule(findings)


def shorter(results: Results) -> Verdict | None:
    """Rule whether thoughts become shorter in training by GRPO, and are shorter than others' at equal accuracy."""
    findings = []
    for experiment in evolution.thinking(results):
        grpo = [arm for arm in experiment.arms if arm.value(ALGORITHM) == GRPO and _is_outcome(arm)]
        for arm, found in evolution.changes_of(grpo)[evolution.LENGTH].items():
            changed = _risen(arm, experiment, evolution.LENGTH, found)
            findings += [replace(one, text=signed, supports=Outcome.LOWER) for one in changed]
        if experiment.baseline in grpo:
            for row in evolution.at_levels(experiment):
                if row.contrast is not None and row.arm.value(ALGORITHM) in ("grpo_token_mean", PPO):
                    findings.append(between(row.contrast, experiment, f"length_at_{100 * row.held:.0f}"))
    return rule(findings)


def cost_decides(results: Results) -> Verdict | None:
    """Rule whether an arm that is told apart from PPO at equal completions is so the other way at equal seconds.

    One such arm bears the claim out. On one device money is seconds times a price, which turns no order round.
    """
    findings, prices = list[Finding](), list[Text]()
    for experiment in _of_algorithms(results):
        arms, clock = _untuned(experiment), design.clock_of(experiment)
        for reference in arms:
            beside = [arm for arm in arms if arm is not reference and agree(arm, reference, (ALGORITHM,))]
            for arm in beside if reference.value(ALGORITHM) == PPO else ():
                pair = experiment, arm, reference
                found = _at_equal(pair, design.COMPLETIONS, "accuracy"), _at_equal(pair, clock, f"accuracy_{clock}")
                findings += [finding for both in found for finding in both] if all(found) else []
        prices += [cost for arm in arms if (cost := _told_price(arm, experiment))]
    if not findings:
        return None
    judged = together(findings)
    outcomes = [
        (first.found.outcome, second.found.outcome) for first, second in zip(judged[::2], judged[1::2], strict=True)
    ]
    apart = [pair for pair in outcomes if {*pair} <= {*TOLD_APART}]
    turned = sum(first is not second for first, second in apart)
    outcome = SUPPORTED if turned else CONTRADICTED if len(apart) == len(outcomes) else LEFT_OPEN
    fields = {"turned": turned, "apart": len(apart), "count": len(outcomes)}
    money = say("claim.cost.prices", told=joined("notes", prices)) if prices else say("claim.cost.no_price")
    return Verdict(
        outcome=outcome,
        text=joined("sentence", [say("claim.cost.turned", **fields), *tell(judged), money]),
        lead=lead_of_size(turned, say("answer.about.turned"), say("answer.turned", **fields), neutral=0.0),
        flips=say("answer.flips.price") if not prices else "",
        machine=judged[0].machine,
        suffices=any(finding.found.is_tested for finding in judged),
    )


def _told_price(arm: RlArm, experiment: RlExperiment) -> Text:
    """Say what a run of an arm costs, at the price of a device hour that its records give; nothing where none does."""
    prices = arm.values(price_of)
    cost = mean_with_range(prices, plain)
    return say("claim.cost.price", where=experiment.name, arm=arm.name, cost=cost, count=len(prices)) if prices else ""


def _of_algorithms(results: Results) -> list[RlExperiment]:
    """Return every experiment with algorithms, those that cross settings in many arms too."""
    return [*design.algorithms(results), *design.large_factorials(results)]


def beside_ppo(results: Results) -> Iterator[Pair]:
    """Yield GRPO and each PPO that agree in every setting that both have, but for tuning trials."""
    for experiment in _of_algorithms(results):
        arms = _untuned(experiment)
        for arm in arms:
            for other in arms:
                is_asked = arm.value(ALGORITHM) == GRPO and other.value(ALGORITHM).startswith(PPO)
                if is_asked and agree(arm, other, (ALGORITHM,)):
                    yield experiment, arm, other


def _untuned(experiment: RlExperiment) -> list[RlArm]:
    """Return the arms with a curve, without trials of a tuning sweep, which were drawn to be picked from."""
    return [arm for arm in design.drawn(experiment) if not arm.value("trial")]


def agree(ours: RlArm, theirs: RlArm, but: Collection[str]) -> bool:
    """Return whether arms agree in all settings that a case names and both have, besides `but`.

    What no case names is an algorithm's own, as the place of its KL.
    """
    records = [arm.first.record for arm in (ours, theirs)]
    names = {name for record in records for name in (*record.case.axes, *record.case.extras)} - {SEED, *but}
    values = [[_setting(record, name) for record in records] for name in names]
    return all(first == second for first, second in values if first is not None and second is not None)


def _setting(record: Record, name: str) -> Any:
    """Return a setting as a case names it or its record resolved it, else as it was before it came; None where it does
    not apply.
    """
    for named in (record.case.axes, record.case.extras):
        if name in named:
            return named[name]
    found = value_under(record.settings, name)
    found = CAME_LATER.get(name) if found is None else found
    return found if isinstance(found, str | int | float) else None
