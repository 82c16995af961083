"""Claims on task=tiers: whether heads specialise, whether MLA grades what it keeps, and what decides the grading."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Text, joined, say
from suite.report.quality.compress import compressed_told
from suite.report.quality_contests import Contest, of_outcome
from suite.report.quality_heads import MOST_OF_IT, falls_by_seed
from suite.report.quality_names import listed, variant_name
from suite.report.quality_numbers import mean_of, share_text
from suite.report.quality_rulings import FAILS, HOLDS, LEFT_OPEN, MIXED, Evidence, Ruling, counted
from suite.report.quality_rulings_variants import RARELY, rare_pairs
from suite.report.quality_run import TIERS
from suite.report.quality_runs import Arm, Study
from suite.report.quality_tiers_family import MIXES, Family, Form, mix_share, tier_share
from suite.report.quality_tiers_tables import form_contests
from suite.statistics.paired import JUDGED, Comparison, Outcome, changes, compare, judge_together

OFTEN = TIERS[0]
LEAST_GAP = 0.05
"""Tiers that lie nearer are not graded, however sure it is that they differ."""
FEWEST_FIRST = 2
"""Heads that must be somebody's first, or one head does all the work."""


def heads_specialise(evidence: Evidence) -> Ruling | None:
    """Rule whether for each attribute one head carries most of it, and not one head all of them."""
    parts, compared = [], []
    for arm in [arm for family in evidence.families for arm in family.looked_into]:
        found = [falls for falls in falls_by_seed(arm.runs) if falls.share is not None]
        shares = [falls.share or 0.0 for falls in found]
        carried = changes(shares, less=MOST_OF_IT)
        several = changes([float(falls.first_heads) for falls in found], less=FEWEST_FIRST)
        if carried is None or several is None:
            continue
        first = fmean(falls.first_heads for falls in found)
        compared += [carried, several]
        parts.append(
            say(
                "claim.heads.of",
                name=variant_name(arm),
                share=share_text(shares),
                alike=numbers.percent(1 / len(found[0].heads)),
                first=f"{first:.1f}",
                heads=len(found[0].heads),
                count=len(shares),
            )
        )
    if not parts:
        return None
    judged = judge_together(compared)
    outcomes = [_specialised(*pair) for pair in zip(judged[::2], judged[1::2], strict=True)]
    return Ruling(outcome=_together(outcomes), said=say("claim.heads", told=joined("notes", parts)))


def information_tiers(evidence: Evidence) -> Ruling | None:
    """Rule whether latents hold what is asked often and drop what is asked rarely, and other narrow caches do not.

    What a real model loses stands beside it and decides nothing: it was not trained with its latent.
    """
    families = [family for family in evidence.families if any(arm.is_latent for arm in family.main.arms)]
    if not families:
        return None
    said, outcomes = [], []
    for family in families:
        latents = [arm for arm in family.main.arms if arm.is_latent and arm.is_plain]
        gradings = gradings_of(family.main)
        graded = [arm for arm in latents if is_graded(gradings.get(arm))]
        others = [arm for arm in family.main.arms if not arm.is_latent]
        graded_others = [arm for arm in others if is_graded(gradings.get(arm))]
        pairs = rare_pairs(family)
        of_latents, of_others = ([gradings.get(arm) for arm in arms] for arms in (latents, others))
        outcomes.append(_graded_outcome(of_latents, of_others, pairs))
        said.append(say("claim.tiers.graded", names=_named(graded), of=len(latents)))
        if others:
            said.append(say("claim.tiers.others", names=_named(graded_others), of=len(others)))
        if pairs:
            titled = [(variant_name(one.other), one) for one in pairs]
            said.append(say("claim.tiers.pairs", counted=counted(titled)))
        else:
            said.append(say("claim.tiers.no_pairs"))
    said += filter(None, [compressed_told(study) for study in evidence.compressed])
    return Ruling(outcome=_together(outcomes), said=joined("sentence", said))


def grading_automatic(evidence: Evidence) -> Ruling | None:
    """Rule whether the grading follows what training asks, by itself.

    That a trained decoder does not regrade is arithmetic, and told by what it loses where the questions are swapped.
    """
    said: list[str] = []
    follows: list[Contest] = []
    fixed: list[Arm] = []
    for family in evidence.families:
        contests, gradings = form_contests(family), gradings_of(family.main)
        for arm, forms in [pair for pair in family.with_forms if pair[0].is_latent]:
            told, found = _followed(forms, contests)
            follows += found
            fixed += [arm] if is_graded(gradings.get(arm)) else []
            if told:
                said.append(say("claim.grading.of", name=variant_name(arm), told=told))
    if not follows:
        return None
    said += [_asked_differently(arm) for arm in fixed]
    return Ruling(outcome=_follows_outcome(follows, fixed), said=joined("sentence", said))


def gradings_of(study: Study) -> dict[Arm, Comparison]:
    """Compare what each arm answers of the tier asked often with the one asked rarely; all of a study together."""
    found = {
        arm: one
        for arm in study.arms
        if (one := compare(*map(arm.by_seed, map(tier_share, (OFTEN, RARELY))), margin=LEAST_GAP)) is not None
    }
    return dict(zip(found, judge_together([*found.values()]), strict=True))


def is_graded(grading: Comparison | None) -> bool:
    """Return whether the tier asked often is answered better than the one asked rarely, and by some points."""
    return grading is not None and grading.outcome is Outcome.HIGHER and grading.mean >= LEAST_GAP


def _named(arms: Sequence[Arm]) -> Text:
    return listed([variant_name(arm) for arm in arms]) if arms else say("claim.none")


def _specialised(carried: Comparison, several: Comparison) -> str:
    """Rule by the share that the most needed head carries, over a half, and by how many heads come first, over two."""
    if Outcome.LOWER in (carried.outcome, several.outcome):
        return FAILS
    return HOLDS if carried.outcome is Outcome.HIGHER and several.mean >= 0 else LEFT_OPEN


def _graded_outcome(
    latents: Sequence[Comparison | None], others: Sequence[Comparison | None], pairs: Sequence[Contest]
) -> str:
    """Rule whether latents grade, and whether they do so more than other caches: what each does is no doing of MLA's.

    That others do not grade needs evidence, too.
    """
    told, told_others = ([one for one in gradings if one and one.is_tested] for gradings in (latents, others))
    if not any(map(is_graded, told)):
        return FAILS if told and all(one.rules_out_higher for one in told) else LEFT_OPEN
    is_own = len(told_others) == len(others) and all(one.rules_out_higher for one in told_others)
    is_more = len(pairs) > 0 and len(of_outcome(pairs, Outcome.LOWER)) == len(pairs)
    return HOLDS if is_own or is_more else MIXED


def _follows_outcome(follows: Sequence[Contest], fixed: Sequence[Arm]) -> str:
    """Rule by the tier asked rarely: it follows training where it is higher once it is asked most."""
    if of_outcome(follows, Outcome.HIGHER):
        return MIXED if fixed else LEFT_OPEN
    judged = of_outcome(follows, *JUDGED)
    return FAILS if judged and all(one.found.rules_out_higher for one in judged) else LEFT_OPEN


def _together(outcomes: Sequence[str]) -> str:
    """Rule over several arms or families: it holds in part where it holds of some, and fails where it fails of all."""
    if len(set(outcomes)) == 1:
        return outcomes[0]
    return MIXED if {HOLDS, MIXED} & set(outcomes) else LEFT_OPEN


def _followed(forms: Sequence[Form], contests: Mapping[tuple[Arm, Arm], Contest]) -> tuple[Text, list[Contest]]:
    """Say what other forms make of the tier that is asked rarely where asking is uneven; return the swapped ones."""
    first, parts, follows = forms[0], [], []
    for form in forms[1:]:
        one = contests.get((form.arm, first.arm))
        if one is None:
            continue
        parts.append(
            say(
                "claim.grading.form",
                form=form.said(),
                share=numbers.percent(fmean(one.ours)),
                first=numbers.percent(fmean(one.theirs)),
                said=one.said(),
            )
        )
        if form.asked == "swapped" and form.times == 1:
            follows.append(one)
    return joined("notes", parts), follows


def _asked_differently(arm: Arm) -> Text:
    trained, swapped = (mean_of(arm, mix_share(MIXES[name])) or 0.0 for name in ("trained", "swapped"))
    return say(
        "claim.grading.asked",
        name=variant_name(arm),
        trained=numbers.percent(trained),
        swapped=numbers.percent(swapped),
    )


def graded_of(family: Family) -> list[Arm]:
    """Latents that grade, the widest first."""
    gradings = gradings_of(family.main)
    return [arm for arm in family.main.arms if arm.is_latent and arm.is_plain and is_graded(gradings.get(arm))]
