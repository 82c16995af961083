"""Verdicts on the article's claims on reinforcement learning.

conf/claims.yaml says of a claim which arms are compared, that agree in everything else, and by which measure. Sizes,
which no seed varies, and what a formula says are told as facts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.aliases import EARLIER_DEFAULTS
from suite.records.case import value_under
from suite.records.record import Record
from suite.report.answers.claims import Claim, ClaimVerdict, Standing, setting_name, size_standing
from suite.report.answers.decide import answer_question, decide_by_trials
from suite.report.answers.trials import Question, Trial, arms_trial, change_trial, machine_label
from suite.report.blocks import Text, dotted, joined, say
from suite.report.evidence import lead_number
from suite.report.model.experiment import ArmQuantity, Contrast, contrast, grouped
from suite.report.model.formats import mean_with_range, points, signed, three_digits
from suite.report.model.labels import ALGORITHM, RECIPE, option_label, setting_text
from suite.report.model.results import Results
from suite.report.model.run import SEED, parse_number
from suite.report.rl import design, memory_design, pass_at_k, stability, stages
from suite.report.rl.contrasts import at_equal_budgets, mean_over_budgets
from suite.report.rl.cost import cost_s, run_price
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.memory_design import MemoryExperiment, Saving
from suite.report.rl.run import COMPLETIONS, DEFAULTS, REWARD_SOURCE, STEPS, SUPERVISION, RlRun, final_accuracy
from suite.statistics.paired import Comparison
from suite.statistics.pooled import Conclusion

FORMAT = "format"  # stands for format_weight and format_reward: `paid` or `unpaid`
SECONDS = "seconds"  # stands for the seconds of an arm's clock
# Measures of accuracy where both arms have spent as much, and what of; then those of its mean over all such budgets.
BUDGETS = {"accuracy": COMPLETIONS, "steps": COMPLETIONS, "accuracy_at_steps": STEPS}
MEAN_BUDGETS = {"learning": COMPLETIONS, "learning_at_seconds": SECONDS}
LINEAR = "_linear"  # ends the name of one of the latter whose mean is over a linear scale of its budget
QUANTITIES: Mapping[str, ArmQuantity[RlRun]] = {
    "drawdown": stability.FALL,
    "cost": ArmQuantity(name="cost", value=cost_s, text=numbers.seconds, difference="{:+.2f} s".format),
    "solved": pass_at_k.SOLVED,
}
NAMED = (RECIPE, ALGORITHM, SUPERVISION, REWARD_SOURCE)  # settings by whose values sentences name two arms
# Measures by which a run's last evaluation is compared with its first.
GAINS = {"gain": stability.ACCURACY, "thought_length": stability.LENGTH, "corrections": stability.CORRECTIONS}


def decide(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict on a claim on reinforcement learning, pooled from the trials that its questions find."""
    return decide_by_trials(claim, partial(rl_trials, results))


def _experiments(results: Results, name: str) -> Sequence[RlExperiment]:
    """The experiments about the setting `name`, in which a question looks for its arms; of algorithms by default."""
    if name == "thought":
        return stability.thinking(results)
    if name == RECIPE:
        return stages.recipes(results)
    if name in (SUPERVISION, REWARD_SOURCE):
        return design.layout(results).rewards[name]
    return design.layout(results).whole_experiments


def _arms(experiment: RlExperiment, values: Mapping[str, str]) -> list[RlArm]:
    """The experiment's trained arms whose settings match `values`, patterns as of file names.

    Without a reward source in `values` only arms that are paid by the answer key; never a trial of a tuning sweep.
    """
    values = {REWARD_SOURCE: DEFAULTS[REWARD_SOURCE], **values}

    def setting(arm: RlArm, name: str) -> str:
        """An arm's value of a setting; of FORMAT `paid` or `unpaid`."""
        if name != FORMAT:
            return arm.first.value(name)
        # Paid as part of a sum or as a gate. Older records say their weight alone.
        is_gate, weight = arm.first.setting("format_reward") == "gate", arm.first.setting("format_weight")
        return "paid" if is_gate or weight not in ("0", "0.0", "") else "unpaid"

    arms = [arm for arm in experiment.trained_arms if not arm.value("trial")]
    return [arm for arm in arms if all(fnmatchcase(setting(arm, name), pattern) for name, pattern in values.items())]


def arm_pairs(results: Results, question: Question) -> Iterator[tuple[RlArm, RlArm]]:
    """Each arm of `question["arms"]` with each of `question["against"]` that agrees in all other settings.

    "differ_in" of the question names settings that may differ too, by default those in which the selections differ.
    """
    ours, theirs = question["arms"], question["against"]
    differ_in = question.get("differ_in") or {name for name in ours if theirs.get(name) != ours[name]}

    def agree(*records: Record) -> bool:
        names = {name for record in records for name in (*record.case.axes, *record.case.extras)}
        values = [[_setting(record, name) for record in records] for name in names - {SEED, *differ_in}]
        return all(first == second for first, second in values if first is not None and second is not None)

    for experiment in _experiments(results, question["experiments"]):
        references = _arms(experiment, theirs)
        for arm in _arms(experiment, ours):
            for reference in references:
                if reference is not arm and agree(arm.first.record, reference.first.record):
                    yield arm, reference


def _setting(record: Record, name: str) -> Any:
    """A setting as a case names it or its record resolved it, else its value before it was introduced; None where it
    does not apply.
    """
    for settings in (record.case.axes, record.case.extras):
        if name in settings:
            return settings[name]
    value = value_under(record.settings, name)
    value = EARLIER_DEFAULTS.get(name) if value is None else value
    return value if isinstance(value, str | int | float) else None


def rl_trials(results: Results, question: Question) -> list[Trial]:
    """The trials of a question of conf/claims.yaml: of pairs of arms, or without `against` of changes in one arm."""
    if "against" not in question:
        arms = [
            arm
            for experiment in _experiments(results, question["experiments"])
            for arm in _arms(experiment, question["arms"])
        ]
        return [trial for arm in arms if (trial := _change_trial(arm, GAINS.get(question["measure"])))]
    trials = []
    for arm, reference in arm_pairs(results, question):
        values = [(name, arm.first.value(name), reference.first.value(name)) for name in NAMED]
        labels = ([_named(name, ours), _named(name, theirs)] for name, ours, theirs in values if ours != theirs)
        names = next(labels, ())
        trials += [arms_trial(compared, names) for compared in _contrasts(arm, reference, question["measure"])]
    return trials


def _named(name: str, value: str) -> Text:
    return setting_text(name, value) if name in (SUPERVISION, REWARD_SOURCE) else option_label(name, value)


def _contrasts(arm: RlArm, reference: RlArm, measure: str) -> list[Contrast[RlRun]]:
    """One contrast of two arms by a measure, such as accuracy at an equal budget; empty where they share no seed."""
    pair = RlExperiment(key=arm.setting, arms=[arm, reference], baseline=reference)
    is_linear = measure.endswith(LINEAR)
    measure = measure.removesuffix(LINEAR)
    if measure in BUDGETS:
        rows = [row for row in at_equal_budgets(pair, BUDGETS[measure]) if row.quantity.name == BUDGETS[measure]][:1]
        return [row.contrast for row in rows if row.contrast]
    if measure in MEAN_BUDGETS:
        counted = MEAN_BUDGETS[measure]
        budget = pair.clock if counted == SECONDS else counted
        if not pair.budgets(budget):
            return []
        quantity = mean_over_budgets(pair, budget, is_linear=is_linear)
    elif measure == "spread":
        # How far each run ends from the median of its arm, by which Brown and Forsythe compare spreads.
        distances: dict[RlRun, float] = {}
        for side in (arm, reference):
            finals = {run: final for run in side.ended if (final := final_accuracy(run)) is not None}
            distances |= {run: abs(final - median(finals.values())) for run, final in finals.items()}
        quantity = replace(stability.FALL, value=distances.get)
    else:
        quantity = QUANTITIES[measure]
    compared = contrast(arm, reference, quantity)
    return [compared] if compared else []


def _change_trial(arm: RlArm, measure: str | None) -> Trial | None:
    """The change in an arm by itself: of a measure from its first evaluation to its last, or without one what its last
    stage of RL added. None for a habit that cannot change: thoughts that all have one length, as columns of a sum, and
    corrections that the base model never makes."""
    change: Comparison | None = None
    if measure is None:
        arm_stages, gains = stages.read_stages(arm.first), stages.stage_gains([arm])[arm]
        if arm_stages and arm_stages[-1][0] == "rl" and gains and gains[-1].ends == arm_stages[-1][2]:
            change = gains[-1].comparison
    elif measure != stability.CORRECTIONS or stability.corrects([arm]):
        change = stability.evaluation_changes([arm])[measure].get(arm)
    if change is None:
        return None
    values = (*change.ours, *change.theirs)
    if measure == stability.LENGTH:
        is_fixed = max(values) - min(values) < 1
        bounds, write = change.bounds, signed
    else:
        is_fixed, bounds, write = False, (change.bounds[0], 1.0), points
    name = option_label(ALGORITHM, arm.first.value(ALGORITHM))
    return None if is_fixed else change_trial(arm, replace(change, bounds=bounds), write, name)


def cheaper(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict on GRPO as cheaper than PPO, by a step's peak memory, which has no noise; seconds stand beside it.

    The case that a figure draws leads, of the largest model. If that one is projected, all projected savings decide,
    else all measured ones. Without any saving the seconds decide.
    """
    by_seconds = decide(results, claim)
    algorithms = [claim["trial"]["decides"][0][side][ALGORITHM].rstrip("*") for side in ("arms", "against")]

    def savings_in(compared: Iterable[MemoryExperiment]) -> list[Saving]:
        pairs = memory_design.savings(compared)
        return [pair for pair in pairs if [pair.arm.value(ALGORITHM), pair.baseline.value(ALGORITHM)] == algorithms]

    experiments = memory_design.memory_experiments(results)
    savings = savings_in(experiments)
    if not savings:
        return by_seconds
    drawn = savings_in(memory_design.experiments_to_draw(experiments))
    # Of one model, an arm with a reference model, as the figure's headline has it.
    leading = max(drawn or savings, key=lambda pair: (pair.arm.first.parameters or 0.0, pair.arm.first.has_reference))
    run, baseline = leading.arm.first, leading.baseline.first
    deciding = [saving for saving in savings if saving.arm.first.is_measured is run.is_measured]
    peaks = say("answer.memory", ours=numbers.bytes_iec(run.peak), theirs=numbers.bytes_iec(baseline.peak))
    share = 1 - leading.share
    by_evidence = grouped(savings, lambda saving: "measured" if saving.arm.first.is_measured else "projected")
    tokens = parse_number(leading.arm.value("seq_len"))
    case = [run.model, say("own.tokens", count=numbers.count(tokens)) if tokens else ""]
    lead = lead_number(
        share,
        None,
        numbers.percent,
        about=say("answer.about.memory", case=joined("list", case), evidence=say(f"evidence.{run.evidence}")),
        count=peaks,
        written=say("answer.of", share=numbers.percent(share), other=option_label(ALGORITHM, algorithms[1])),
        neutral=1.0,
    )
    return ClaimVerdict(
        outcome=size_standing(1 - saving.share for saving in deciding),
        evidence=[
            *(say(f"claim.memory.{kind}", told=_least_saved(cases)) for kind, cases in by_evidence.items()),
            *(by_seconds.evidence if by_seconds else []),
        ],
        depends_on=setting_name("policy"),
        lead=replace(lead, link=memory_design.case_facets(run)),
        flips=_least_saved(deciding),
        machine=machine_label(run) if run.is_measured else by_seconds.machine if by_seconds else "",
        is_projected=not run.is_measured,
    )


def _least_saved(savings: Sequence[Saving]) -> Text:
    """Say in how many cases GRPO's peak memory is lower, and where it saves least."""
    least = min(savings, key=lambda saving: saving.share)
    tokens = parse_number(least.arm.value("seq_len"))
    fields = {"least": numbers.percent(least.share), "model": least.arm.first.model}
    where = say("answer.flips.memory_of", **fields)
    if tokens:
        where = say("answer.flips.memory_at", tokens=numbers.count(tokens), **fields)
    return say("answer.flips.memory", less=sum(saving.share > 0 for saving in savings), count=len(savings), told=where)


def cost_decides(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict on whether cost turns the order round: clearly higher at equal completions, lower at equal seconds.

    Otherwise undecided, or open if no difference at equal seconds is clear, or untested if the evidence does not
    suffice. The prices of the arms' runs are evidence. On one device money is seconds times a price, which turns no
    order round.
    """
    verdict, arms = decide(results, claim), dict[RlArm, None]()
    if verdict is None:
        return None
    conclusions = set[Conclusion]()
    for question in claim["trial"]["decides"]:
        answer = answer_question(claim["trial"], question, partial(rl_trials, results))
        conclusions |= {answer.conclusion} if answer else set()
        arms |= dict.fromkeys(arm for pair in arm_pairs(results, question) for arm in pair)
    is_turned = conclusions == {Conclusion.HIGHER, Conclusion.LOWER}
    prices = []
    for arm, run_prices in ((arm, arm.values(run_price)) for arm in arms):
        if run_prices:
            where, cost = dotted(arm.value("task"), arm.value("policy")), mean_with_range(run_prices, three_digits)
            prices.append(say("claim.cost.price", where=where, arm=arm.name, cost=cost, count=len(run_prices)))
    money = say("claim.cost.prices", told=joined("notes", prices)) if prices else say("claim.cost.no_price")
    if not verdict.suffices:
        outcome = Standing.UNTESTED
    elif is_turned:
        outcome = Standing.SUPPORTED
    elif verdict.outcome in (Standing.SUPPORTED, Standing.CONTRADICTED):
        outcome = Standing.UNDECIDED  # the number that leads is clear
    else:
        outcome = Standing.OPEN
    return replace(
        verdict,
        outcome=outcome,
        evidence=[say("claim.cost.turned" if is_turned else "claim.cost.same"), *verdict.evidence, money],
    )
