"""Verdicts on the article's claims on reinforcement learning.

Each claim compares two arms that agree in everything but what the claim is about; conf/claims.yaml says over which
tasks and at which settings. Sizes, which no seed varies, and what a formula says are told as facts.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.aliases import CAME_LATER
from suite.records.case import value_under
from suite.records.record import Record
from suite.report.answers.claims import CONTRADICTED, DEFINED, DEPENDS, LEFT_OPEN, SUPPORTED, UNTESTED, Verdict
from suite.report.answers.leads import lead_of_size
from suite.report.answers.trials import (
    Trial,
    answer_of,
    machine_of,
    setting_name,
    trial_of_arms,
    trial_of_change,
    verdict_of,
)
from suite.report.blocks import Text, joined, say
from suite.report.model.experiment import Quantity, contrast
from suite.report.model.formats import mean_with_range, plain, points, signed
from suite.report.model.labels import ALGORITHM, RECIPE, label_of
from suite.report.model.results import Results
from suite.report.model.run import SEED, number_of
from suite.report.rl import design, evolution, memory_design, stability, stages
from suite.report.rl.contrasts import at_equal_budgets
from suite.report.rl.cost import cost_s, price_of
from suite.report.rl.design import REWARD_SOURCE, STEPS, SUPERVISION, RlArm, RlExperiment, RlRun
from suite.report.rl.memory_design import Saving
from suite.statistics.learning import is_collapsed
from suite.statistics.paired import SHARE_MARGIN, TOLD_APART, Comparison, Outcome, changes, judge_together

GRPO, PPO = "grpo", "ppo"
FORMAT_SETTINGS = ("format_weight", "format_reward")
SHARES: dict[str, Any] = {"text": numbers.percent, "difference": points, "unit": "points", "margin": SHARE_MARGIN}
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
"""Comparisons of recipes: one, and the one that it is compared with."""

Pair = tuple[RlExperiment, RlArm, RlArm]
"""An arm, and the arm that it is compared with; both of one experiment."""


def cheaper(results: Results) -> Verdict | None:
    """GRPO as cheaper than PPO: by the peak memory of a step, a size without noise. Seconds are told beside it."""
    savings = [
        saving
        for saving in memory_design.savings(memory_design.memory_experiments(results))
        if saving.arm.value(ALGORITHM) == GRPO and saving.baseline.value(ALGORITHM) == PPO
    ]
    pairs = list(beside_ppo(results))
    costs = [
        trial
        for pair in pairs
        for trial in _trials(
            pair, Quantity(name="cost", value=cost_s, text=numbers.seconds, difference="{:+.2f} s".format)
        )
    ]
    clock = pairs[0][0].clock if pairs else ""
    answer = answer_of("grpo-cheaper", costs)
    by_seconds = verdict_of(answer, f"cost_{clock}", supports=Outcome.LOWER) if answer else None
    if not savings:
        return by_seconds
    largest = max(saving.arm.first.parameters or 0.0 for saving in savings)
    of_largest = [saving for saving in savings if (saving.arm.first.parameters or 0.0) == largest]
    typical = sorted(of_largest, key=lambda saving: saving.share)[len(of_largest) // 2]
    is_measured = typical.arm.first.is_measured
    alike = [saving for saving in savings if saving.arm.first.is_measured is is_measured]
    shares = [saving.share for saving in alike]
    outcome = SUPPORTED if min(shares) > 0 else CONTRADICTED if max(shares) < 0 else DEPENDS
    evidence = [
        _told_memory(name, same)
        for name, measured in (("projected", False), ("measured", True))
        if (same := [saving for saving in savings if saving.arm.first.is_measured is measured])
    ]
    ours, theirs = typical.arm.first, typical.baseline.first
    about = say("answer.about.memory", model=ours.model, evidence=say(f"evidence.{ours.evidence}"))
    peaks = {"ours": numbers.bytes_iec(ours.peak), "theirs": numbers.bytes_iec(theirs.peak)}
    written = say("answer.of", share=numbers.percent(1 - typical.share), other=label_of(ALGORITHM, PPO))
    lead = lead_of_size(1 - typical.share, about, written, count=say("answer.memory", **peaks))
    return Verdict(
        outcome=outcome,
        evidence=[*evidence, *(by_seconds.evidence if by_seconds else [])],
        on=setting_name("policy"),
        lead=lead,
        flips=_least_saved(alike),
        machine=machine_of(typical.arm) if is_measured else by_seconds.machine if by_seconds else "",
        is_projected=not is_measured,
    )


def _least_saved(savings: Sequence[Saving]) -> Text:
    """Say in how many cases GRPO holds less, and where it saves least."""
    least = min(savings, key=lambda saving: saving.share)
    fields = {"least": numbers.percent(least.share), "model": least.arm.first.model}
    tokens = numbers.count(number_of(least.arm.value("seq_len")) or 0.0)
    told = (
        say("answer.flips.memory_at", tokens=tokens, **fields)
        if tokens != "0"
        else say("answer.flips.memory_of", **fields)
    )
    less = sum(saving.share > 0 for saving in savings)
    return say("answer.flips.memory", less=less, count=len(savings), told=told)


def _told_memory(evidence: str, savings: Sequence[Saving]) -> Text:
    shares = sorted(saving.share for saving in savings)
    low, high = numbers.percent(shares[0]), numbers.percent(shares[-1])
    saves = low if low == high else say("rl.range", low=low, high=high)
    return say(f"claim.memory.{evidence}", less=sum(share > 0 for share in shares), count=len(shares), saves=saves)


def sample_efficient(results: Results) -> Verdict | None:
    """GRPO against PPO by accuracy at equal completions."""
    trials = [trial for pair in beside_ppo(results) for trial in _accuracy_trials(pair, design.COMPLETIONS)]
    answer = answer_of("grpo-sample-efficient", trials)
    return verdict_of(answer, "accuracy") if answer else None


def stable(results: Results) -> Verdict | None:
    """GRPO against PPO by the worst fall of a run; beside it, how far seeds end from their median."""
    falls, spreads, pairs = list[Trial](), list[Trial](), list(beside_ppo(results))
    for pair in pairs:
        _, ours, theirs = pair
        falls += _trials(pair, Quantity(name="drawdown", value=stability.worst_fall, **SHARES))
        distances = {**_from_median(ours), **_from_median(theirs)}
        spreads += _trials(pair, Quantity(name="spread", value=distances.get, **SHARES))
    answer = answer_of("grpo-stable", falls)
    if answer is None:
        return None
    ours_fell, ours_all = _collapsed({arm for _, arm, _ in pairs})
    theirs_fell, theirs_all = _collapsed({reference for *_, reference in pairs})
    collapsed = say("claim.collapsed", ours=ours_fell, of_ours=ours_all, theirs=theirs_fell, of_theirs=theirs_all)
    beside = {"spread": answer_of("grpo-stable", spreads)}
    return verdict_of(answer, "drawdown", supports=Outcome.LOWER, facts=[collapsed], beside=beside)


def _collapsed(arms: Iterable[RlArm]) -> tuple[int, int]:
    """The number of curves that collapsed, and of all."""
    curves = [curve for arm in arms for curve in design.curves_of(arm)]
    return sum(is_collapsed(curve.accuracy) for curve in curves), len(curves)


def _from_median(arm: RlArm) -> dict[RlRun, float]:
    """How far each run ends from the median of its arm, by which Brown and Forsythe compare spreads."""
    finals = {run: final for run in arm.ended if (final := design.final(run)) is not None}
    return {run: abs(final - median(finals.values())) for run, final in finals.items()}


def two_rewards(results: Results) -> Verdict | None:
    """Whether accuracy rises under GRPO with both rewards; beside it, what the reward for the format adds."""
    gains, formats = list[Trial](), list[Trial]()
    for experiment in _of_algorithms(results):
        arms = [arm for arm in _untuned(experiment) if arm.value(ALGORITHM) == GRPO and _is_outcome(arm)]
        for arm in filter(_pays_format, arms):
            curves = design.curves_of(arm)
            firsts, lasts = ([curve.accuracy[place] for curve in curves] for place in (0, -1))
            change = changes(lasts, less=firsts, margin=SHARE_MARGIN)
            gain = change and replace(change, bounds=design.accuracy_bounds(arm))
            gains += _change_trials(arm, experiment, gain, points)
            for other in arms:
                if not _pays_format(other) and agree(arm, other, FORMAT_SETTINGS):
                    formats += _accuracy_trials((experiment, arm, other), design.COMPLETIONS)
    answer = answer_of("accuracy-and-format-rewards", gains)
    beside = {"format": answer_of("accuracy-and-format-rewards", formats)}
    return verdict_of(answer, "gain", beside=beside) if answer else None


def _is_outcome(arm: RlArm) -> bool:
    return arm.first.value(SUPERVISION) == design.DEFAULTS[SUPERVISION]


def _pays_format(arm: RlArm) -> bool:
    """Whether the format is paid for, as part of a sum or as a gate. Older records say their weight alone."""
    weight = arm.first.setting("format_weight")
    return arm.first.setting("format_reward") == "gate" or weight not in ("0", "0.0", "")


def step_feedback(results: Results) -> Verdict | None:
    """Feedback on steps: outcome supervision gives none, by its formula, so what counts is what steps add."""
    trials = [
        trial
        for experiment in design.values_of(results, SUPERVISION)
        if (reference := experiment.baseline) is not None
        for arm in design.drawn(experiment)
        if arm is not reference
        for trial in _accuracy_trials((experiment, arm, reference), design.COMPLETIONS)
    ]
    answer = answer_of("grpo-step-feedback", trials)
    if answer is None:
        return None
    verdict = verdict_of(answer, "steps", facts=[say("claim.steps.formula")])
    if verdict.outcome != SUPPORTED:
        return verdict
    return replace(verdict, outcome=DEPENDS, on=setting_name(SUPERVISION), flips=say("answer.flips.supervision"))


def no_labels(results: Results) -> Verdict | None:
    """Whether RL adds accuracy where the vote of the group takes the place of the key."""
    votes, against_key = list[Trial](), list[Trial]()
    for experiment in design.values_of(results, REWARD_SOURCE):
        for arm in design.drawn(experiment):
            if arm.first.value(REWARD_SOURCE) == "majority":
                votes += _change_trials(arm, experiment, _added_by_rl(arm), points)
                if experiment.baseline is not None:
                    against_key += _accuracy_trials((experiment, arm, experiment.baseline), design.COMPLETIONS)
    answer = answer_of("grpo-no-labels", votes)
    beside = {"vote_key": answer_of("grpo-no-labels", against_key)}
    return verdict_of(answer, "vote", beside=beside) if answer else None


def _added_by_rl(arm: RlArm) -> Comparison | None:
    """What the last stage added, where that is one of RL."""
    of_stages = stages.stages_of(arm.first)
    gains = stages.gains_of([arm])[arm]
    is_rl = bool(of_stages) and of_stages[-1][0] == "rl" and bool(gains) and gains[-1].ends == of_stages[-1][2]
    return gains[-1].added if is_rl else None


def compares_samples(results: Results) -> Verdict:
    """By definition: a group is samples of one policy."""
    return Verdict(outcome=DEFINED, evidence=[say("claim.samples.defined")])


def without_sft(results: Results) -> Verdict | None:
    """R1-Zero against a base model that went on reading."""
    answer = answer_of("r1-zero-without-sft", _recipe_trials(results, "zero_base"))
    if answer is None:
        return None
    collapsed, runs = _collapsed({ours for _, ours, _ in recipe_pairs(results, "zero_base")})
    return verdict_of(answer, "accuracy_at_steps", facts=[say("claim.zero.collapsed", collapsed=collapsed, runs=runs)])


def cold_start(results: Results) -> Verdict | None:
    return _of_recipes(results, "cold-start-helps", "cold_zero", "r1_zero")


def distillation(results: Results) -> Verdict | None:
    return _of_recipes(results, "distillation-lifts-small-models", "distill_zero")


def stages_add(results: Results) -> Verdict | None:
    return _of_recipes(results, "stages-add", "cold_sft", "sft_base", "r1_cold")


def filtering(results: Results) -> Verdict | None:
    return _of_recipes(results, "filtering-and-preference", "r1_unfiltered", "preference_r1")


def _of_recipes(results: Results, claim_id: str, asked: str, *beside: str) -> Verdict | None:
    """A verdict by one comparison of recipes; others are told beside it."""
    answers = {about: answer_of(claim_id, _recipe_trials(results, about)) for about in (asked, *beside)}
    # Where nobody ran the comparison that is asked for, the next one stands for it.
    first = next((about for about, answer in answers.items() if answer is not None), None)
    if first is None or (answer := answers.pop(first)) is None:
        return None
    return verdict_of(answer, "accuracy_at_steps", beside=answers)


def _recipe_trials(results: Results, about: str) -> list[Trial]:
    return [trial for pair in recipe_pairs(results, about) for trial in _accuracy_trials(pair, STEPS)]


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
    """Whether thoughts become longer in training by GRPO; beside it, whether they correct themselves more often."""
    lengths, corrections = _thought_trials(results)
    answer = answer_of("self-evolution", lengths)
    beside = {evolution.CORRECTIONS: answer_of("self-evolution", corrections)}
    return verdict_of(answer, evolution.LENGTH, beside=beside) if answer else None


def shorter(results: Results) -> Verdict | None:
    """Whether thoughts become shorter in training by GRPO; beside it, their length at equal accuracy against others."""
    lengths, _ = _thought_trials(results)
    answer = answer_of("grpo-shorter-solutions", lengths)
    if answer is None:
        return None
    at_levels = dict[str, list[Trial]]()
    for experiment in evolution.thinking(results):
        if experiment.baseline is not None and experiment.baseline.value(ALGORITHM) == GRPO:
            for row in evolution.at_levels(experiment):
                if row.contrast is not None and row.arm.value(ALGORITHM) in ("grpo_token_mean", PPO):
                    level = at_levels.setdefault(f"length_at_{100 * row.held:.0f}", [])
                    level.append(trial_of_arms(row.contrast, experiment))
    beside = {level: answer_of("grpo-shorter-solutions", trials) for level, trials in at_levels.items()}
    return verdict_of(answer, evolution.LENGTH, supports=Outcome.LOWER, beside=beside)


def _thought_trials(results: Results) -> tuple[list[Trial], list[Trial]]:
    """How thoughts of GRPO changed in training: their length, and the share that correct themselves."""
    lengths, corrections = list[Trial](), list[Trial]()
    for experiment in evolution.thinking(results):
        arms = [arm for arm in experiment.arms if arm.value(ALGORITHM) == GRPO and _is_outcome(arm)]
        changed = evolution.changes_of(arms)
        for arm, change in changed[evolution.LENGTH].items():
            # A task whose thoughts all have one length, as columns of a sum, cannot tell.
            if change is not None and max(*change.ours, *change.theirs) - min(*change.ours, *change.theirs) >= 1:
                lengths += _change_trials(arm, experiment, change, signed)
        # What the base model never does cannot become more frequent by being paid for.
        for arm, change in changed[evolution.CORRECTIONS].items() if evolution.corrects(arms) else ():
            corrections += _change_trials(arm, experiment, change, points)
    return lengths, corrections


def cost_decides(results: Results) -> Verdict | None:
    """Whether an arm that is clearly different from PPO at equal completions is so the other way at equal seconds.

    One such arm bears the claim out. On one device money is seconds times a price, which turns no order round.
    """
    trials, prices = list[Trial](), list[Text]()
    for experiment in _of_algorithms(results):
        arms, clock = _untuned(experiment), experiment.clock
        for reference in arms:
            beside = [arm for arm in arms if arm is not reference and agree(arm, reference, (ALGORITHM,))]
            for arm in beside if reference.value(ALGORITHM) == PPO else ():
                pair = experiment, arm, reference
                both = [_accuracy_trials(pair, budget)[:1] for budget in (design.COMPLETIONS, clock)]
                trials += [trial for at_budget in both for trial in at_budget] if all(both) else []
        prices += [cost for arm in arms if (cost := _told_price(arm, experiment))]
    if not trials:
        return None
    judged = judge_together([trial.comparison for trial in trials])
    outcomes = [(first.outcome, second.outcome) for first, second in zip(judged[::2], judged[1::2], strict=True)]
    apart = [pair for pair in outcomes if {*pair} <= {*TOLD_APART}]
    turned = sum(first is not second for first, second in apart)
    is_tested = any(comparison.is_tested for comparison in judged)
    fields = {"turned": turned, "apart": len(apart), "count": len(outcomes)}
    money = say("claim.cost.prices", told=joined("notes", prices)) if prices else say("claim.cost.no_price")
    return Verdict(
        outcome=SUPPORTED if turned else LEFT_OPEN if is_tested else UNTESTED,
        evidence=[say("claim.cost.turned", **fields), money],
        lead=lead_of_size(turned, say("answer.about.turned"), say("answer.turned", **fields), neutral=0.0),
        flips=say("answer.flips.price") if not prices else "",
        machine=trials[0].machine,
        suffices=is_tested,
    )


def _told_price(arm: RlArm, experiment: RlExperiment) -> Text:
    """Say what a run of an arm costs, at the price of a device hour that its records give; nothing where none does."""
    prices = arm.values(price_of)
    cost = mean_with_range(prices, plain)
    return say("claim.cost.price", where=experiment.name, arm=arm.name, cost=cost, count=len(prices)) if prices else ""


def _accuracy_trials(pair: Pair, budget: str) -> list[Trial]:
    """Compare two arms by their accuracy where both had spent as much."""
    experiment, ours, theirs = pair
    rows = at_equal_budgets(replace(experiment, arms=[ours, theirs], baseline=theirs), budget)
    return [
        trial_of_arms(row.contrast, experiment, _names(ours, theirs))
        for row in rows
        if row.quantity.name == budget and row.contrast
    ]


def _trials(pair: Pair, quantity: Quantity[RlRun]) -> list[Trial]:
    experiment, ours, theirs = pair
    compared = contrast(ours, theirs, quantity)
    return [trial_of_arms(compared, experiment, _names(ours, theirs))] if compared else []


def _names(ours: RlArm, theirs: RlArm) -> Sequence[Text]:
    """Two arms by their recipes or algorithms, where these differ; else nothing, and their own names stand."""
    for name in (RECIPE, ALGORITHM):
        values = [arm.first.value(name) for arm in (ours, theirs)]
        if len({*values}) > 1:
            return [label_of(name, value) for value in values]
    return ()


def _change_trials(
    arm: RlArm, experiment: RlExperiment, change: Comparison | None, write: Callable[[float], str]
) -> list[Trial]:
    if change is None:
        return []
    if write is points:
        change = replace(change, bounds=(change.bounds[0], 1.0))
    return [trial_of_change(arm, experiment, change, write, label_of(ALGORITHM, arm.first.value(ALGORITHM)))]


def _of_algorithms(results: Results) -> list[RlExperiment]:
    """Every experiment with algorithms, those that cross settings in many arms too."""
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
    """The arms with a curve, without trials of a tuning sweep, which were drawn to be picked from."""
    return [arm for arm in design.drawn(experiment) if not arm.value("trial")]


def agree(ours: RlArm, theirs: RlArm, but: Collection[str]) -> bool:
    """Whether arms agree in all settings that a case names and both have, besides `but`.

    What no case names is an algorithm's own, as the place of its KL.
    """
    records = [arm.first.record for arm in (ours, theirs)]
    names = {name for record in records for name in (*record.case.axes, *record.case.extras)} - {SEED, *but}
    values = [[_setting(record, name) for record in records] for name in names]
    return all(first == second for first, second in values if first is not None and second is not None)


def _setting(record: Record, name: str) -> Any:
    """A setting as a case names it or its record resolved it, else as it was before it came; None where it does not
    apply.
    """
    for named in (record.case.axes, record.case.extras):
        if name in named:
            return named[name]
    value = value_under(record.settings, name)
    value = CAME_LATER.get(name) if value is None else value
    return value if isinstance(value, str | int | float) else None
