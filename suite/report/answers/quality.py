"""Rulings on the article's claims on quality.

Arms are compared by the share of questions that they answer, as a mean over tasks. Tasks that tell nothing apart, since
both arms answer all or neither learnt it, are left out of the mean and are named.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from suite.records import numbers
from suite.report.answers.claims import BOUNDED, CONTRADICTED, LEFT_OPEN, MIXED, SUPPORTED, UNTESTED, Verdict
from suite.report.answers.leads import lead_of_pairs, lead_of_shares
from suite.report.answers.trials import ABOUT, Trial, answer_of, machine_of, trial_of_arms, verdict_of
from suite.report.blocks import Lead, Text, joined, say
from suite.report.evidence import verdict_of as said_of
from suite.report.model.experiment import grouped, of_outcome
from suite.report.model.formats import points
from suite.report.model.results import Results
from suite.report.quality import design, families
from suite.report.quality.cache import at_nearest_cache, is_same_cache
from suite.report.quality.compress import compressed_told
from suite.report.quality.compress_design import compress_experiments
from suite.report.quality.design import QualityArm, QualityContrast, QualityExperiment
from suite.report.quality.families import REVERSED, Family, asked_of, is_graded
from suite.report.quality.heads import MOST_OF_IT, carried, first_heads, largest_share
from suite.report.quality.layout import listed
from suite.statistics.paired import JUDGED, TOLD_APART, Comparison, Outcome, changes, compare, judge_together

FULL_CONTEXT = ("two_hop", "copying", "counting")
"""Tasks whose answer needs more than one place of the context."""
ONE_HOP = "one hop"
FEWEST_FIRST = 2
"""Heads that must come first for some attribute, or one head does all the work."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The evidence by which claims are decided."""

    families: Sequence[Family]
    tasks: Sequence[QualityExperiment]
    compressed: Sequence[Text]
    """A sentence for each real model with a smaller cache, on what it loses."""


@functools.lru_cache(maxsize=1)
def evidence_of(results: Results) -> Evidence:
    """Return the evidence that runs of workload=quality give."""
    return Evidence(
        families=families.families(results),
        tasks=design.task_experiments(results),
        compressed=[compressed_told(model) for model in compress_experiments(results)],
    )


def lower_ceiling(results: Results) -> Verdict | None:
    """MLA against MHA, at DeepSeek-V2's ratio of rank to width; smaller ranks, which were starved on purpose, are told
    beside it, and so are grouped heads of the same cache.
    """
    evidence = evidence_of(results)
    usual = _against_mha(evidence, lambda arm: design.is_plain_mla(arm) and design.has_default_rank(arm))
    narrow = _against_mha(evidence, lambda arm: design.is_plain_mla(arm) and not design.has_default_rank(arm))
    of_tasks = [pair for experiment in evidence.tasks for pair in at_nearest_cache(experiment, by_loss=True)]
    of_tiers = [pair for family in evidence.families for pair in families.rare_contrasts(family)]
    counts = {"narrow": narrow, "level": [*filter(is_same_cache, of_tasks), *of_tiers]}
    beside: list[Text] = [
        say(f"claim.ceiling.{name}", counted=_counted(found)) for name, found in counts.items() if found
    ]
    verdict = _answered(evidence, "mla-lower-ceiling", usual, beside)
    return replace(verdict, flips=_starved(narrow) or verdict.flips) if verdict else None


def _answered(
    evidence: Evidence, claim_id: str, pairs: Sequence[QualityContrast], beside: Sequence[Text] = ()
) -> Verdict | None:
    """A verdict on a claim that some arms are lower: by the share answered, or where nothing has a right answer by the
    loss, which is higher then. Beside shares the loss is told and decides nothing.
    """
    shares = _means([_trial(evidence, pair) for pair in pairs if pair.quantity is not design.LOSS])
    losses = _means([_turned(_trial(evidence, pair)) for pair in pairs if pair.quantity is design.LOSS])
    by_share, by_loss = answer_of(claim_id, shares), answer_of(claim_id, losses)
    if by_share is not None:
        verdict = verdict_of(by_share, "answered", supports=Outcome.LOWER, beside={"loss": by_loss})
    elif by_loss is not None:
        verdict = verdict_of(by_loss, "loss", supports=Outcome.HIGHER)
    else:
        return None
    return replace(verdict, evidence=[*verdict.evidence, *beside])


def _trial(evidence: Evidence, pair: QualityContrast) -> Trial:
    of_families = [experiment for family in evidence.families for experiment in family.uneven]
    experiment = next(experiment for experiment in (*evidence.tasks, *of_families) if pair.arm in experiment.arms)
    return trial_of_arms(pair, experiment)


def _means(trials: Sequence[Trial]) -> list[Trial]:
    """One trial of each experiment and kind of question: arms that are held against one reference share its luck, so
    that their differences are no independent units. Each seed counts with the mean over the arms that all ran it.
    """
    means = []
    for alike in grouped(trials, lambda trial: (trial.experiment.key, trial.value(ABOUT))).values():
        sides = []
        for side in ("ours", "theirs"):
            by_arm = [dict(zip(t.comparison.names, getattr(t.comparison, side), strict=True)) for t in alike]
            shared = [seed for seed in by_arm[0] if all(seed in scores for scores in by_arm)]
            sides.append({seed: fmean(scores[seed] for scores in by_arm) for seed in shared})
        comparison = compare(*sides, bounds=alike[0].comparison.bounds, margin=alike[0].comparison.margin)
        if comparison is not None:
            name = joined("list", dict.fromkeys(trial.name for trial in alike))
            means.append(replace(alike[0], name=name, comparison=comparison))
    return means


def _turned(trial: Trial) -> Trial:
    """A trial of losses whose sign was turned, with their own sign again: more is worse."""
    ours, theirs = (tuple(-value for value in side) for side in (trial.comparison.ours, trial.comparison.theirs))
    return replace(trial, comparison=replace(trial.comparison, ours=ours, theirs=theirs))


def _starved(narrow: Sequence[QualityContrast]) -> Text:
    """Say how many latents of smaller ranks lose, and which of those is the widest."""
    lower = sorted(of_outcome(narrow, Outcome.LOWER), key=lambda pair: pair.found.mean)
    if not lower:
        return say("answer.flips.no_narrow", total=len(narrow)) if narrow else ""
    widest = max(lower, key=lambda pair: design.latent_rank(pair.arm) or 0)
    named = {"name": widest.arm.name, "size": _size_of(widest), "where": _experiment_name(widest)}
    return say("answer.flips.narrow", lower=len(lower), total=len(narrow), **named)


def gqa_between(results: Results) -> Verdict | None:
    """GQA and MQA, with heads as wide as MHA's, against MHA; the mean of both, since they share MHA's seeds."""
    evidence = evidence_of(results)
    pairs = _against_mha(evidence, lambda arm: arm.first.attention in ("gqa", "mqa") and arm.first.is_wide)
    verdict = _answered(evidence, "gqa-between", pairs)
    if verdict is None or len({pair.arm.name for pair in pairs}) == 1:
        return verdict
    return replace(verdict, evidence=[*verdict.evidence, say("claim.each", counted=_counted(pairs))])


def full_context(results: Results) -> Verdict | None:
    """MLA against MHA on tasks that need the whole context; single look-ups, where it must not be lower, beside it."""
    evidence = evidence_of(results)
    by_task = grouped(evidence.tasks, lambda experiment: experiment.value("task"))
    whole = [experiment for task in FULL_CONTEXT for experiment in by_task.get(task, ())]
    pairs = design.longest_against_mha(whole, design.is_plain_mla)
    look_ups = design.longest_against_mha(by_task.get(design.RECALL, ()), design.is_plain_mla)
    # The same contexts as two hops, asked for what one look-up finds.
    one_hop = [pair for experiment in evidence.tasks for pair in design.against_mha(experiment, ONE_HOP)]
    look_ups += [pair for pair in one_hop if design.is_plain_mla(pair.arm)]
    beside: list[Text] = [say("claim.context.recall", counted=_counted(look_ups))] if look_ups else []
    verdict = _answered(evidence, "full-context-tasks", pairs, beside)
    if verdict is not None and verdict.outcome == SUPPORTED and of_outcome(look_ups, Outcome.LOWER):
        return replace(verdict, outcome=MIXED)
    return verdict


def heads_specialise(results: Results) -> Verdict | None:
    """Rule whether for each attribute one head carries most of it, and not one head all of them."""
    evidence = evidence_of(results)
    parts, compared, leads = [], [], list[tuple[Lead, str]]()
    for arm in [arm for family in evidence.families for arm in family.looked_into]:
        found = carried(arm)
        most = changes([falls.share for falls in found], less=MOST_OF_IT)
        several = changes([float(falls.first_heads) for falls in found], less=FEWEST_FIRST)
        if most is None or several is None:
            continue
        heads = len(found[0].heads)
        compared += [most, several]
        fields = {"share": largest_share(found), "alike": numbers.percent(1 / heads), "first": first_heads(found)}
        parts.append(say("claim.heads.of", name=arm.name, **fields, heads=heads, count=len(found)))
        about = say("answer.about.heads", name=arm.name, heads=heads)
        leads.append((lead_of_shares([falls.share for falls in found], about, neutral=MOST_OF_IT), machine_of(arm)))
    if not parts:
        return None
    judged = judge_together(compared)
    outcomes = [_specialised(*pair) for pair in zip(judged[::2], judged[1::2], strict=True)]
    lead, machine = leads[0]
    counts = {"supported": outcomes.count(SUPPORTED), "contradicted": outcomes.count(CONTRADICTED)}
    return Verdict(
        outcome=_together(outcomes),
        evidence=[say("claim.heads", told=joined("notes", parts))],
        lead=lead,
        flips=say("answer.flips.heads", total=len(outcomes), **counts),
        machine=machine,
        suffices=any(one.is_tested for one in judged),
    )


def information_tiers(results: Results) -> Verdict | None:
    """Rule whether latents hold what is asked often and drop what is asked rarely, and other narrow caches do not.

    What a real model loses stands beside it and decides nothing: it was not trained with its latent.
    """
    evidence = evidence_of(results)
    of_latents = [family for family in evidence.families if any(map(design.is_latent, family.main.arms))]
    if not of_latents:
        return None
    ruled = [_tiers_of(family) for family in of_latents]
    sentences = [*(sentence for verdict in ruled for sentence in verdict.evidence), *evidence.compressed]
    outcome = _together([verdict.outcome for verdict in ruled])
    first = next((verdict for verdict in ruled if verdict.outcome == outcome), ruled[0])
    suffices = any(verdict.suffices for verdict in ruled)
    return replace(first, outcome=outcome, evidence=sentences, suffices=suffices)


def grading_automatic(results: Results) -> Verdict | None:
    """Rule whether the grading follows what training asks, by itself.

    That a trained decoder does not regrade is arithmetic, and told by what it loses where the queries are reversed.
    """
    evidence = evidence_of(results)
    sentences: list[Text] = []
    follows: list[QualityContrast] = []
    fixed: list[QualityArm] = []
    for family in evidence.families:
        against, gradings = families.form_contrasts(family), families.gradings_of(family.main)
        for first, *arms in family.latents_in_forms:
            compared = [against[arm] for arm in arms if arm in against]
            follows += [pair for pair in compared if asked_of(pair.arm) == REVERSED and family.times(pair.arm) == 1]
            fixed += [first] if is_graded(gradings.get(first)) else []
            sentence = joined("notes", [_form_told(family.form_of(pair.arm), pair) for pair in compared])
            sentences += [say("claim.grading.of", name=first.name, told=sentence)] if compared else []
    if not follows:
        return None
    for arm in fixed:
        trained, turned = (arm.mean(families.mix_share(mix)) or 0.0 for mix in ("trained", REVERSED))
        shares = {"trained": numbers.percent(trained), "reversed": numbers.percent(turned)}
        sentences.append(say("claim.grading.asked", name=arm.name, **shares))
    outcome = _follows_outcome(follows, fixed)
    clearest = max(follows, key=lambda pair: (pair.found.is_tested, pair.found.pairs, abs(pair.found.mean)))
    about = say("answer.about.reversed", name=clearest.arm.name)
    counts = {ending: len(of_outcome(follows, ending)) for ending in Outcome}
    ended = [say(f"verdict.count.{ending}", count=count) for ending, count in counts.items() if count]
    return Verdict(
        outcome=outcome,
        evidence=sentences,
        lead=lead_of_pairs(clearest.found, clearest.quantity.difference, about),
        flips=say("answer.flips.grading", fixed=len(fixed)) if fixed else joined("notes", ended),
        machine=machine_of(clearest.arm),
        suffices=any(pair.found.is_tested for pair in follows),
    )


def _against_mha(evidence: Evidence, chosen: Callable[[QualityArm], bool]) -> list[QualityContrast]:
    """Compare arms with MHA on every task, and in the tier of task=tiers that is asked rarely."""
    found = design.longest_against_mha(evidence.tasks, chosen)
    for family in evidence.families:
        found += design.longest_against_mha(family.uneven, chosen, design.RARELY)
    return found


def _experiment_name(found: QualityContrast) -> Text:
    first = found.arm.first
    if found.about == design.RARELY:
        return say("claim.rarely", title=first.task)
    return say("claim.one_hop", title=first.experiment_name) if found.about == ONE_HOP else first.experiment_name


def _size_of(found: QualityContrast) -> Text:
    mean = found.found.mean
    if found.quantity is design.LOSS:
        return say("claim.nats", nats=f"{-mean:+.3f}")
    return say("claim.points", points=f"{100 * mean:+.1f}")


def _counted(contrasts: Sequence[QualityContrast], named: Callable[[QualityContrast], Text] = _experiment_name) -> Text:
    """Count how many ended how, and name those that were lower or higher by most, points before nats."""
    by_size = sorted(contrasts, key=lambda pair: (pair.quantity is design.LOSS, -abs(pair.found.mean)))
    parts: list[Text] = []
    for outcome in Outcome:
        found = of_outcome(by_size, outcome)
        sentence = say(f"verdict.count.{outcome}", count=len(found))
        if outcome in TOLD_APART:
            names = [joined("", [named(pair), ": ", pair.arm.name, " ", _size_of(pair)]) for pair in found]
            sentence = say("claim.named", said=sentence, names=listed(names))
        parts += [sentence] if found else []
    return say("claim.counted", total=len(contrasts), parts=joined("notes", parts))


def _tiers_of(family: Family) -> Verdict:
    """Rule whether latents grade, and whether they do so more than other caches: what each does is no doing of MLA's.

    That others do not grade needs evidence, too.
    """
    gradings, pairs = families.gradings_of(family.main), families.rare_contrasts(family)
    latents = [arm for arm in family.main.arms if design.is_plain_mla(arm)]
    others = [arm for arm in family.main.arms if not design.is_latent(arm)]
    sentences = [_graded("graded", latents, gradings), *([_graded("others", others, gradings)] if others else [])]
    counted = _counted(pairs, named=lambda pair: pair.other.name)
    sentences.append(say("claim.tiers.pairs", counted=counted) if pairs else say("claim.tiers.no_pairs"))
    of_latents, of_others = (
        [gradings[arm] for arm in arms if arm in gradings and gradings[arm].is_tested] for arms in (latents, others)
    )
    is_own = len(of_others) == len(others) and all(grading.rules_out_higher for grading in of_others)
    is_more = len(pairs) > 0 and len(of_outcome(pairs, Outcome.LOWER)) == len(pairs)
    if any(map(is_graded, of_latents)):
        outcome = SUPPORTED if is_own or is_more else MIXED
    else:
        is_ruled_out = len(of_latents) > 0 and all(grading.rules_out_higher for grading in of_latents)
        outcome = BOUNDED if is_ruled_out else LEFT_OPEN if of_latents else UNTESTED
    told = {arm: gradings[arm] for arm in latents if arm in gradings}
    first = max(
        told, key=lambda arm: (is_graded(told[arm]), told[arm].pairs, design.latent_rank(arm) or 0), default=None
    )
    lead = None
    if first is not None:
        about = say("answer.about.tiers", name=first.name)
        lead = lead_of_pairs(told[first], points, about)
    graded = {
        "latents": sum(is_graded(gradings.get(arm)) for arm in latents),
        "others": sum(is_graded(gradings.get(arm)) for arm in others),
    }
    return Verdict(
        outcome=outcome,
        evidence=sentences,
        lead=lead,
        flips=say("answer.flips.tiers", of_latents=len(latents), of_others=len(others), **graded),
        machine=machine_of(first) if first else "",
        suffices=len(of_latents) > 0,
    )


def _graded(key: str, arms: Sequence[QualityArm], gradings: Mapping[QualityArm, Comparison]) -> Text:
    graded = [arm.name for arm in arms if is_graded(gradings.get(arm))]
    return say(f"claim.tiers.{key}", names=listed(graded) if graded else say("claim.none"), of=len(arms))


def _specialised(carried: Comparison, several: Comparison) -> str:
    """Rule by the share that the most needed head carries, over a half, and by how many heads come first, over two."""
    if Outcome.LOWER in (carried.outcome, several.outcome):
        return CONTRADICTED
    return SUPPORTED if carried.outcome is Outcome.HIGHER and several.mean >= 0 else LEFT_OPEN


def _follows_outcome(follows: Sequence[QualityContrast], fixed: Sequence[QualityArm]) -> str:
    """Rule by the tier asked rarely: it follows training where it is higher once it is asked most."""
    if of_outcome(follows, Outcome.HIGHER):
        return MIXED if fixed else LEFT_OPEN
    judged = of_outcome(follows, *JUDGED)
    if of_outcome(judged, Outcome.LOWER):
        return CONTRADICTED
    if not judged:
        return UNTESTED
    return BOUNDED if all(pair.found.rules_out_higher for pair in judged) else LEFT_OPEN


def _together(outcomes: Sequence[str]) -> str:
    """Rule over several arms or families: it holds in part where it holds of some, and fails where it fails of all."""
    if len(set(outcomes)) == 1:
        return outcomes[0]
    return MIXED if {SUPPORTED, MIXED} & set(outcomes) else LEFT_OPEN


def _form_told(form: Text, pair: QualityContrast) -> Text:
    """Say what a form makes of the tier that is asked rarely where asking is uneven."""
    share, first = (numbers.percent(fmean(values)) for values in (pair.found.ours, pair.found.theirs))
    return say("claim.grading.form", form=form, share=share, first=first, said=said_of(pair))
