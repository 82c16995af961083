"""Trials of the article's claims on quality: shares of questions that decoders answer, and what their heads carry.

conf/claims.yaml says which arms are compared, and by which measure. Tasks that tell nothing apart, since both arms
answer all or neither learnt it, are left out of a mean and are named.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from suite.report.answers.claims import Claim, ClaimVerdict
from suite.report.answers.decide import decide_by_trials
from suite.report.answers.trials import Question, Trial, arms_trial, change_trial, mean_trial
from suite.report.blocks import joined, say
from suite.report.evidence import estimate
from suite.report.model.experiment import contrast, grouped, with_outcome
from suite.report.model.formats import points, signed
from suite.report.model.labels import variant_label
from suite.report.model.results import Results
from suite.report.quality import design, families
from suite.report.quality.compress import compressed_evidence
from suite.report.quality.compress_design import compress_experiments
from suite.report.quality.contrasts import LOSS, against_untrained, at_nearest_cache, is_same_cache, longest_against_mha
from suite.report.quality.design import QualityArm, QualityContrast, QualityExperiment, QualityRun
from suite.report.quality.families import MOST_OF_IT, REVERSED, Family, carried, query_form
from suite.statistics.curve_words import PLATEAU_MARGIN
from suite.statistics.learning import FEWEST_EVALUATIONS, fit_sigmoid
from suite.statistics.paired import SHARE_MARGIN, ArmOutcome, changes, compare

FEWEST_FIRST = 2  # heads that must come first for some attribute, or one head does all the work
# Arms by the words of conf/claims.yaml; grouped heads are as wide as MHA's.
ARMS: Mapping[str, Callable[[QualityArm], bool]] = {
    "mla": design.is_plain_mla,
    "mla_usual_rank": lambda arm: design.is_plain_mla(arm) and design.has_default_rank(arm),
    "mla_other_rank": lambda arm: design.is_plain_mla(arm) and not design.has_default_rank(arm),
    "gqa": lambda arm: arm.first.attention == "gqa" and arm.first.is_wide,
    "mqa": lambda arm: arm.first.attention == "mqa" and arm.first.is_wide,
    "gqa_mqa": lambda arm: arm.first.attention in ("gqa", "mqa") and arm.first.is_wide,
    "without_latent": lambda arm: not design.is_latent(arm),
}


def decide(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict on a claim on quality, pooled from the trials that its questions find."""
    return decide_by_trials(claim, partial(quality_trials, results, claim["trial"]["over"]))


def quality_trials(results: Results, over: Sequence[str], question: Question) -> list[Trial]:
    """The trials that answer a question by its `measure`, one for each experiment and unit of the settings `over`.

    Arms that are held against one reference share its luck, so that their differences are no independent units: each
    seed counts with the mean over the arms that all ran it.
    """
    measure = question["measure"]
    if "against" in question:
        pairs = _question_contrasts(results, question)
        pairs = [pair for pair in pairs if (pair.quantity is LOSS) is (measure == "loss")]
        if measure in ("plateau", "mix"):
            pairs = [measured for pair in pairs if (measured := _contrast_by(measure, pair))]
        trials = [arms_trial(pair) for pair in pairs]
    else:
        makers = {"grading": _grading_trials, "reversed": _reversed_trials, "fixed": _fixed_mix_trials}
        make = makers.get(measure, _head_trials)
        groups = families.families(results)
        mains = _with_controls([family.main for family in groups])
        groups = [family for family in groups if measure != "grading" or family.main in mains]
        trials = [trial for family in groups for trial in make(family, question)]
    by_unit = grouped(trials, lambda trial: (trial.place, trial.values(over))).values()
    return [trial for unit in by_unit if (trial := mean_trial(unit, is_loss=measure == "loss"))]


def _contrast_by(measure: str, pair: QualityContrast) -> QualityContrast | None:
    """The arms of a contrast by another measure: `plateau`, the level of each run's sigmoid, which a late run may still
    reach, or `mix`, the share of questions as skewed training asks them. None where no seed of both has it."""

    def plateau(run: QualityRun) -> float | None:
        curve = run.curve(pair.about)
        return fit_sigmoid(*curve).plateau if len(curve[0]) >= FEWEST_EVALUATIONS else None

    if measure == "plateau":
        quantity = replace(pair.quantity, value=plateau, margin=PLATEAU_MARGIN)
    else:  # Often and sometimes asked, nearly all is answered: no bound says that this tells nothing.
        quantity = replace(pair.quantity, value=families.mix_share("trained"), bounds=(None, None))
    return contrast(pair.arm, pair.other, quantity, pair.about)


def _question_contrasts(results: Results, question: Question) -> list[QualityContrast]:
    """The contrasts of a question's `arms` with `against`, on its `tasks` or on all, with settings of `only`.

    A task may name a kind of question (`two_hop/one hop`). task=tiers counts in the tier that is asked rarely.
    """
    if question["against"] == "same_cache":
        in_tiers = [pair for family in families.families(results) for pair in families.rare_contrasts(family)]
        if question.get("tasks") == [design.TIERS_TASK]:
            return in_tiers
        nearest = [at_nearest_cache(experiment, by_loss=True) for experiment in design.task_experiments(results)]
        return [*filter(is_same_cache, chain.from_iterable(nearest)), *in_tiers]
    by_task = grouped(design.quality_experiments(results), lambda experiment: experiment.value("task"))
    tasks: list[str] = question.get("tasks") or sorted(by_task, key=lambda task: task == design.TIERS_TASK)
    pairs = list[QualityContrast]()
    for task, _, kind in (name.partition("/") for name in tasks):
        experiments = by_task.get(task, [])
        if task == design.TIERS_TASK:
            kind, experiments = design.RARELY, [each for each in experiments if not each.value(design.FREQUENCY)]
        experiments, is_chosen = _with_controls(experiments), ARMS[question["arms"]]
        if question["against"] in ("untrained", "nearest_cache"):
            is_nearest = question["against"] == "nearest_cache"
            for each in experiments:
                compared = at_nearest_cache(each, [kind], by_loss=True) if is_nearest else against_untrained(each, kind)
                pairs += [pair for pair in compared if is_chosen(pair.arm)]
        else:
            pairs += longest_against_mha(experiments, is_chosen, kind)
    return [pair for pair in pairs if question.get("only", {}).items() <= dict(pair.arm.setting).items()]


def _with_controls(candidates: list[QualityExperiment]) -> list[QualityExperiment]:
    return [each for each in candidates if any(design.lacks(arm, design.LATENT) for arm in each.arms)] or candidates


def _grading_trials(family: Family, question: Question) -> list[Trial]:
    gradings = families.tier_gradings(family.main)
    arms = [arm for arm in design.tuned_arms(family.main.arms) if ARMS[question["arms"]](arm) and arm in gradings]
    return [change_trial(arm, gradings[arm], points, variant_label(arm.first.attention)) for arm in arms]


def _reversed_trials(family: Family, _: Question) -> list[Trial]:
    """Compare latents trained on reversed queries with those on skewed ones, in the tier that the latter ask rarely."""
    contrasts = families.form_contrasts(family)
    arms = [arm for _, *forms in family.latents_in_forms for arm in forms if arm in contrasts]
    pairs = [contrasts[arm] for arm in arms if query_form(arm) == REVERSED and family.times(arm) == 1]
    return [arms_trial(pair, [family.form_name(pair.arm), family.form_name(pair.other)]) for pair in pairs]


def _fixed_mix_trials(family: Family, _: Question) -> list[Trial]:
    """What trained latents answer of the mix in training, less what they answer of the mix with its queries reversed.

    One trial for each latent variant, of its first form; none for a variant that cannot be compared.
    """
    trials = []
    for arm in (forms[0] for forms in family.latents_in_forms):
        shares = [arm.by_seed(families.mix_share(mix)) for mix in ("trained", REVERSED)]
        if change := compare(*shares, margin=SHARE_MARGIN):
            trials.append(change_trial(arm, change, points, variant_label(arm.first.attention)))
    return trials


def _head_trials(family: Family, question: Question) -> list[Trial]:
    """For each probed arm, its most needed head's share of an attribute's fall, or how many heads ever come first."""
    trials = []
    for arm in family.probed_arms:
        falls = carried(arm)
        if question["measure"] == "head_share":
            values, less, write, name = [fall.share for fall in falls], MOST_OF_IT, points, "claim.most_needed"
        else:
            values, less, write, name = [float(fall.first_heads) for fall in falls], FEWEST_FIRST, signed, "claim.first"
        if change := changes(values, less=less):
            trials.append(change_trial(arm, change, write, say(name)))
    return trials


def lower_ceiling(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict on MLA's usual rank; as to when it changes, how many other ranks are lower, and the widest such."""
    verdict = decide(results, claim)
    narrow = _question_contrasts(results, {"arms": "mla_other_rank", "against": "mha"})
    if verdict is None or not narrow:
        return verdict
    lower = sorted(with_outcome(narrow, ArmOutcome.LOWER), key=lambda pair: pair.comparison.mean)
    if not lower:
        return replace(verdict, flips=verdict.limit or say("answer.flips.no_narrow", total=len(narrow)))
    widest = max(lower, key=lambda pair: design.latent_rank(pair.arm) or 0)
    sign, run = -1 if widest.quantity is LOSS else 1, widest.arm.first
    fields = {
        "name": widest.arm.name,
        "size": estimate(sign * widest.comparison.mean, None, widest.quantity.difference),
        "where": say("claim.rarely", title=run.task) if widest.about == design.RARELY else run.task,
    }
    narrower = say("answer.flips.narrow", lower=len(lower), total=len(narrow), **fields)
    return replace(verdict, flips=joined("sentence", [verdict.limit, narrower]))


def information_tiers(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict by trials, with sentences on what compressed real models lose: no latent was trained with them."""
    verdict = decide(results, claim)
    compressed = [compressed_evidence(model) for model in compress_experiments(results)]
    return verdict and replace(verdict, evidence=[*verdict.evidence, *compressed])
