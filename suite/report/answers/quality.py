"""Verdicts on the article's claims on quality.

Arms are compared by the share of questions that they answer, as a mean over tasks. Tasks that tell nothing apart, since
both arms answer all or neither learnt it, are left out of the mean and are named.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from statistics import fmean

from suite.records import numbers
from suite.report.answers.claims import Claim, ClaimVerdict, Standing
from suite.report.answers.trials import ABOUT, Question, Trial, decide_by_trials, machine_of, trial_of_arms
from suite.report.blocks import Lead, Text, joined, say
from suite.report.evidence import estimate, lead_number, lead_of_comparison, verdict_of
from suite.report.model.experiment import grouped, of_outcome
from suite.report.model.formats import points, share_interval
from suite.report.model.results import Results
from suite.report.quality import design, families
from suite.report.quality.cache import at_nearest_cache, is_same_cache
from suite.report.quality.compress import compressed_told
from suite.report.quality.compress_design import compress_experiments
from suite.report.quality.design import QualityArm, QualityContrast
from suite.report.quality.families import REVERSED, Family, asked_of, is_graded
from suite.report.quality.heads import MOST_OF_IT, carried, first_heads, largest_share
from suite.report.quality.layout import listed
from suite.statistics.paired import JUDGED, Comparison, Outcome, changes, compare, judge_together

FEWEST_FIRST = 2
"""Heads that must come first for some attribute, or one head does all the work."""
ARMS: Mapping[str, Callable[[QualityArm], bool]] = {
    "mla": design.is_plain_mla,
    "mla_usual_rank": lambda arm: design.is_plain_mla(arm) and design.has_default_rank(arm),
    "mla_other_rank": lambda arm: design.is_plain_mla(arm) and not design.has_default_rank(arm),
    "gqa": lambda arm: arm.first.attention == "gqa" and arm.first.is_wide,
    "mqa": lambda arm: arm.first.attention == "mqa" and arm.first.is_wide,
    "gqa_mqa": lambda arm: arm.first.attention in ("gqa", "mqa") and arm.first.is_wide,
}
"""Arms by the words of conf/claims.yaml; grouped heads are as wide as MHA's."""


def decide(results: Results, claim: Claim) -> ClaimVerdict | None:
    return decide_by_trials(claim, partial(quality_trials, results))


def quality_trials(results: Results, question: Question) -> list[Trial]:
    """One trial of each experiment and kind of question.

    Arms that are held against one reference share its luck, so that their differences are no independent units: each
    seed counts with the mean over the arms that all ran it.
    """
    is_loss = question["measure"] == "loss"
    pairs = [pair for pair in _pairs(results, question) if (pair.quantity is design.LOSS) is is_loss]
    trials = []
    for of_kind in grouped(map(trial_of_arms, pairs), lambda trial: (trial.place, trial.value(ABOUT))).values():
        first = of_kind[0].comparison
        means = [_mean_by_seed([side(trial.comparison) for trial in of_kind]) for side in (_ours, _theirs)]
        if is_loss:  # with its own sign again: more is worse
            means = [{seed: -loss for seed, loss in side.items()} for side in means]
        comparison = compare(*means, bounds=first.bounds, margin=first.margin)
        if comparison is not None:
            name = joined("list", dict.fromkeys(trial.name for trial in of_kind))
            trials.append(replace(of_kind[0], name=name, comparison=comparison))
    return trials


def _ours(comparison: Comparison) -> dict[str, float]:
    return dict(zip(comparison.names, comparison.ours, strict=True))


def _theirs(comparison: Comparison) -> dict[str, float]:
    return dict(zip(comparison.names, comparison.theirs, strict=True))


def _mean_by_seed(arms: Sequence[Mapping[str, float]]) -> dict[str, float]:
    shared = [seed for seed in arms[0] if all(seed in scores for scores in arms)]
    return {seed: fmean(scores[seed] for scores in arms) for seed in shared}


def _pairs(results: Results, question: Question) -> list[QualityContrast]:
    """The comparisons of a question on its `tasks`, each perhaps with a kind (`two_hop/one hop`), or on all tasks; of
    task=tiers in the tier that is asked rarely.
    """
    every = design.quality_experiments(results)
    if question["against"] == "same_cache":
        of_tasks = [at_nearest_cache(experiment, by_loss=True) for experiment in design.task_experiments(results)]
        of_tiers = map(families.rare_contrasts, families.families(results))
        return [*filter(is_same_cache, chain.from_iterable(of_tasks)), *chain.from_iterable(of_tiers)]
    by_task = grouped(every, lambda experiment: experiment.value("task"))
    tasks: list[str] = question.get("tasks") or sorted(by_task, key=lambda task: task == design.TIERS_TASK)
    pairs = list[QualityContrast]()
    for task, _, kind in (name.partition("/") for name in tasks):
        experiments = by_task.get(task, [])
        if task == design.TIERS_TASK:
            kind, experiments = design.RARELY, [each for each in experiments if not each.value(design.FREQUENCY)]
        pairs += design.longest_against_mha(experiments, ARMS[question["arms"]], kind)
    return pairs


def lower_ceiling(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict on MLA's usual rank. It changes with other ranks: how many of them lose, and the widest that does."""
    verdict = decide(results, claim)
    narrow = _pairs(results, {"arms": "mla_other_rank", "against": "mha"})
    if verdict is None or not narrow:
        return verdict
    lower = sorted(of_outcome(narrow, Outcome.LOWER), key=lambda pair: pair.found.mean)
    if not lower:
        return replace(verdict, flips=say("answer.flips.no_narrow", total=len(narrow)))
    widest = max(lower, key=lambda pair: design.latent_rank(pair.arm) or 0)
    sign, task = -1 if widest.quantity is design.LOSS else 1, widest.arm.first.experiment_name
    fields = {
        "name": widest.arm.name,
        "size": estimate(sign * widest.found.mean, None, widest.quantity.difference),
        "where": say("claim.rarely", title=widest.arm.first.task) if widest.about == design.RARELY else task,
    }
    return replace(verdict, flips=say("answer.flips.narrow", lower=len(lower), total=len(narrow), **fields))


def heads_specialise(results: Results, _: Claim) -> ClaimVerdict | None:
    """Whether for each attribute one head carries most of it, and not one head all of them."""
    sentences, comparisons, leads, machines = [], list[Comparison](), list[Lead](), list[str]()
    for arm in (arm for family in families.families(results) for arm in family.looked_into):
        falls = carried(arm)
        shares, firsts = [fall.share for fall in falls], [float(fall.first_heads) for fall in falls]
        most, several = changes(shares, less=MOST_OF_IT), changes(firsts, less=FEWEST_FIRST)
        if most is None or several is None:
            continue
        heads, count = len(falls[0].heads), len(falls)
        comparisons += [most, several]
        fields = {"share": largest_share(falls), "alike": numbers.percent(1 / heads), "first": first_heads(falls)}
        sentences.append(say("claim.heads.of", name=arm.name, heads=heads, count=count, **fields))
        about = say("answer.about.heads", name=arm.name, heads=heads)
        ends, seeds = share_interval(shares), say("answer.count.seed", count=count)
        leads.append(lead_number(fmean(shares), ends, numbers.percent, about=about, count=seeds, neutral=MOST_OF_IT))
        machines.append(machine_of(arm.first))
    if not sentences:
        return None
    judged = judge_together(comparisons)
    outcomes = [_specialised(*pair) for pair in zip(judged[::2], judged[1::2], strict=True)]
    counts = {"supported": outcomes.count(Standing.SUPPORTED), "contradicted": outcomes.count(Standing.CONTRADICTED)}
    return ClaimVerdict(
        outcome=_together(outcomes),
        evidence=[say("claim.heads", told=joined("notes", sentences))],
        lead=leads[0],
        flips=say("answer.flips.heads", total=len(outcomes), **counts),
        machine=machines[0],
        suffices=any(comparison.is_tested for comparison in judged),
    )


def _specialised(most: Comparison, several: Comparison) -> str:
    """By the share that the most needed head carries, over a half, and by how many heads come first, over two."""
    if Outcome.LOWER in (most.outcome, several.outcome):
        return Standing.CONTRADICTED
    return Standing.SUPPORTED if most.outcome is Outcome.HIGHER and several.mean >= 0 else Standing.OPEN


def _together(outcomes: Sequence[str]) -> str:
    """Over several arms or families: it holds in part where it holds of some, and fails where it fails of all."""
    if len(set(outcomes)) == 1:
        return outcomes[0]
    return Standing.MIXED if {Standing.SUPPORTED, Standing.MIXED} & set(outcomes) else Standing.OPEN


def information_tiers(results: Results, _: Claim) -> ClaimVerdict | None:
    """Whether latents hold what is asked often and drop what is asked rarely, and other narrow caches do not.

    What a real model loses stands beside it and decides nothing: it was not trained with its latent.
    """
    found = [family for family in families.families(results) if any(map(design.is_latent, family.main.arms))]
    if not found:
        return None
    verdicts = [_tiers_of(family) for family in found]
    outcome = _together([verdict.outcome for verdict in verdicts])
    sentences = [sentence for verdict in verdicts for sentence in verdict.evidence]
    sentences += [compressed_told(model) for model in compress_experiments(results)]
    leading = next((verdict for verdict in verdicts if verdict.outcome == outcome), verdicts[0])
    suffices = any(verdict.suffices for verdict in verdicts)
    return replace(leading, outcome=outcome, evidence=sentences, suffices=suffices)


def _tiers_of(family: Family) -> ClaimVerdict:
    """Whether latents grade, and whether they do so more than other caches: what each does is no doing of MLA's.

    That other caches do not grade needs evidence, too.
    """
    gradings, pairs = families.gradings_of(family.main), families.rare_contrasts(family)
    latents = [arm for arm in family.main.arms if design.is_plain_mla(arm)]
    caches = [arm for arm in family.main.arms if not design.is_latent(arm)]
    graded_latents, graded_caches = (
        [arm for arm in arms if is_graded(gradings.get(arm))] for arms in (latents, caches)
    )
    tested_latents, tested_caches = (
        [gradings[arm] for arm in arms if arm in gradings and gradings[arm].is_tested] for arms in (latents, caches)
    )
    is_own = len(tested_caches) == len(caches) and all(grading.rules_out_higher for grading in tested_caches)
    is_more = len(pairs) > 0 and len(of_outcome(pairs, Outcome.LOWER)) == len(pairs)
    if graded_latents:
        outcome = Standing.SUPPORTED if is_own or is_more else Standing.MIXED
    elif tested_latents:
        outcome = Standing.BOUNDED if all(grading.rules_out_higher for grading in tested_latents) else Standing.OPEN
    else:
        outcome = Standing.UNTESTED

    def clearest(arm: QualityArm) -> tuple[bool, int, int]:
        return arm in graded_latents, gradings[arm].pairs, design.latent_rank(arm) or 0

    first = max((arm for arm in latents if arm in gradings), key=clearest, default=None)
    counts = {"latents": len(graded_latents), "of_latents": len(latents)}
    counts |= {"others": len(graded_caches), "of_others": len(caches)}
    about = say("answer.about.tiers", name=first.name) if first else ""
    return ClaimVerdict(
        outcome=outcome,
        evidence=[
            _graded("graded", graded_latents, len(latents)),
            *([_graded("others", graded_caches, len(caches))] if caches else []),
            say("claim.tiers.pairs", counted=_counted(pairs)) if pairs else say("claim.tiers.no_pairs"),
        ],
        lead=lead_of_comparison(gradings[first], points, about) if first else None,
        flips=say("answer.flips.tiers", **counts),
        machine=machine_of(first.first) if first else "",
        suffices=bool(tested_latents),
    )


def _graded(key: str, graded: Sequence[QualityArm], total: int) -> Text:
    names = listed([arm.name for arm in graded]) if graded else say("claim.none")
    return say(f"claim.tiers.{key}", names=names, of=total)


def _counted(contrasts: Sequence[QualityContrast]) -> Text:
    """How many comparisons ended how."""
    counts = {outcome: len(of_outcome(contrasts, outcome)) for outcome in Outcome}
    parts = [say(f"verdict.count.{outcome}", count=count) for outcome, count in counts.items() if count]
    return say("claim.counted", total=len(contrasts), parts=joined("notes", parts))


def grading_automatic(results: Results, _: Claim) -> ClaimVerdict | None:
    """Whether the grading follows what training asks, by itself.

    That a trained decoder does not regrade is arithmetic, and told by what it loses where the queries are reversed.
    """
    sentences, follows, fixed = list[Text](), list[QualityContrast](), list[QualityArm]()
    for family in families.families(results):
        against, gradings = families.form_contrasts(family), families.gradings_of(family.main)
        for first, *arms in family.latents_in_forms:
            pairs = [against[arm] for arm in arms if arm in against]
            follows += [pair for pair in pairs if asked_of(pair.arm) == REVERSED and family.times(pair.arm) == 1]
            fixed += [first] if is_graded(gradings.get(first)) else []
            forms = joined("notes", [_form(family.form_of(pair.arm), pair) for pair in pairs])
            sentences += [say("claim.grading.of", name=first.name, told=forms)] if pairs else []
    if not follows:
        return None
    for arm in fixed:
        shares = {mix: numbers.percent(arm.mean(families.mix_share(mix)) or 0.0) for mix in ("trained", REVERSED)}
        sentences.append(say("claim.grading.asked", name=arm.name, **shares))
    clearest = max(follows, key=lambda pair: (pair.found.is_tested, pair.found.pairs, abs(pair.found.mean)))
    about = say("answer.about.reversed", name=clearest.arm.name)
    return ClaimVerdict(
        outcome=_follows(follows, fixed),
        evidence=sentences,
        lead=lead_of_comparison(clearest.found, clearest.quantity.difference, about),
        flips=say("answer.flips.grading", fixed=len(fixed)) if fixed else _counted(follows),
        machine=machine_of(clearest.arm.first),
        suffices=any(pair.found.is_tested for pair in follows),
    )


def _follows(follows: Sequence[QualityContrast], fixed: Sequence[QualityArm]) -> str:
    """By the tier asked rarely: it follows training where it is higher once it is asked most."""
    if of_outcome(follows, Outcome.HIGHER):
        return Standing.MIXED if fixed else Standing.OPEN
    judged = of_outcome(follows, *JUDGED)
    if of_outcome(judged, Outcome.LOWER):
        return Standing.CONTRADICTED
    if not judged:
        return Standing.UNTESTED
    return Standing.BOUNDED if all(pair.found.rules_out_higher for pair in judged) else Standing.OPEN


def _form(form: Text, pair: QualityContrast) -> Text:
    """What a form makes of the tier that is asked rarely where asking is uneven."""
    share, skewed = (numbers.percent(fmean(values)) for values in (pair.found.ours, pair.found.theirs))
    return say("claim.grading.form", form=form, share=share, first=skewed, said=verdict_of(pair))
