"""Claims on task=tiers: whether heads specialise, whether MLA grades what it keeps, and what decides the grading."""

from collections.abc import Sequence
from statistics import fmean

from suite.records import numbers
from suite.report.compress_findings import compressed_told
from suite.report.quality_contests import HIGHER, LOWER, Contest, contest, interval_of, of_outcome, outcome_of
from suite.report.quality_heads import MOST_OF_IT, falls_by_seed
from suite.report.quality_names import listed, variant_name
from suite.report.quality_numbers import mean_of, share_text
from suite.report.quality_rulings import FAILS, HOLDS, LEFT_OPEN, MIXED, Evidence, Ruling, counted
from suite.report.quality_rulings_variants import RARELY, rare_pairs
from suite.report.quality_run import TIERS
from suite.report.quality_runs import Arm
from suite.report.quality_tiers_family import MIXES, Family, Form, mix_share, tier_share
from suite.report.words import Words

OFTEN = TIERS[0]
LEAST_GAP = 0.05
"""Tiers that lie nearer are not graded, however sure it is that they differ."""
FEWEST_FIRST = 2
"""Heads that must be somebody's first, or one head does all the work."""


def heads_specialise(evidence: Evidence, words: Words) -> Ruling | None:
    """Whether for each attribute one head carries most of it, and not one head all of them."""
    parts, outcomes = [], []
    for arm in [arm for family in evidence.families for arm in family.looked_into]:
        found = [falls for falls in falls_by_seed(arm.runs) if falls.share is not None]
        shares = [falls.share or 0.0 for falls in found]
        if not shares:
            continue
        first = fmean(falls.first_heads for falls in found)
        interval = interval_of([share - MOST_OF_IT for share in shares])
        outcomes.append(_specialised(outcome_of(interval), first))
        parts.append(
            words(
                "claim.heads.of",
                name=variant_name(arm, words),
                share=share_text(shares, words),
                alike=numbers.percent(1 / len(found[0].heads)),
                first=f"{first:.1f}",
                heads=len(found[0].heads),
                count=len(shares),
            )
        )
    if not parts:
        return None
    return Ruling(outcome=_together(outcomes), said=words("claim.heads", told=words("punctuation.notes").join(parts)))


def information_tiers(evidence: Evidence, words: Words) -> Ruling | None:
    """Latents that hold what is asked often and drop what is asked rarely; and whether other narrow caches do too.

    What a real model loses stands beside it and decides nothing: it was not trained with its latent.
    """
    families = [family for family in evidence.families if any(arm.is_latent for arm in family.main.arms)]
    if not families:
        return None
    said, outcomes = [], []
    for family in families:
        latents = [arm for arm in family.main.arms if arm.is_latent and arm.is_plain]
        graded = [arm for arm in latents if is_graded(arm)]
        others = [arm for arm in family.main.arms if not arm.is_latent]
        graded_others = [arm for arm in others if is_graded(arm)]
        pairs = rare_pairs(family.main)
        outcomes.append(_graded_outcome(latents, graded, graded_others, pairs))
        said.append(words("claim.tiers.graded", names=_named(graded, words), of=len(latents)))
        if others:
            said.append(words("claim.tiers.others", names=_named(graded_others, words), of=len(others)))
        if pairs:
            titled = [(variant_name(one.other, words), one) for one in pairs]
            said.append(words("claim.tiers.pairs", counted=counted(titled, words)))
        else:
            said.append(words("claim.tiers.no_pairs"))
    said += filter(None, [compressed_told(study, words) for study in evidence.compressed])
    return Ruling(outcome=_together(outcomes), said=words("punctuation.sentence").join(said))


def grading_automatic(evidence: Evidence, words: Words) -> Ruling | None:
    """Whether the grading follows what training asks, by itself; that a trained decoder does not regrade is arithmetic,
    and told by how many points it loses where the questions are swapped."""
    said, follows = [], []
    latents = [pair for family in evidence.families for pair in family.with_forms if pair[0].is_latent]
    for arm, forms in latents:
        told, found = _followed(forms, words)
        follows += found
        if told:
            said.append(words("claim.grading.of", name=variant_name(arm, words), told=told))
    if not follows:
        return None
    fixed = [arm for arm, _ in latents if is_graded(arm)]
    said += [_asked_differently(arm, words) for arm in fixed]
    outcome = FAILS if not any(follows) else MIXED if fixed else LEFT_OPEN
    return Ruling(outcome=outcome, said=words("punctuation.sentence").join(said))


def is_graded(arm: Arm) -> bool:
    """Whether it answers the tier asked often better than the one asked rarely, seed by seed and by some points."""
    often, rarely = arm.by_seed(tier_share(OFTEN)), arm.by_seed(tier_share(RARELY))
    gaps = [often[seed] - share for seed, share in rarely.items() if seed in often]
    return bool(gaps) and fmean(gaps) >= LEAST_GAP and outcome_of(interval_of(gaps)) == HIGHER


def _named(arms: Sequence[Arm], words: Words) -> str:
    return listed([variant_name(arm, words) for arm in arms], words) if arms else words("claim.none")


def _specialised(outcome: str, first: float) -> str:
    if outcome == HIGHER:
        return HOLDS if first >= FEWEST_FIRST else FAILS
    return FAILS if outcome == LOWER else LEFT_OPEN


def _graded_outcome(
    latents: Sequence[Arm], graded: Sequence[Arm], graded_others: Sequence[Arm], pairs: Sequence[Contest]
) -> str:
    if not any(len(arm.runs) > 1 for arm in latents):
        return LEFT_OPEN
    if not graded:
        return FAILS
    # What every narrow cache does is no doing of MLA's.
    is_own = not graded_others or (pairs and len(of_outcome(pairs, LOWER)) == len(pairs))
    return HOLDS if is_own else MIXED


def _together(outcomes: Sequence[str]) -> str:
    return outcomes[0] if len(set(outcomes)) == 1 else MIXED


def _followed(forms: Sequence[Form], words: Words) -> tuple[str, list[bool]]:
    """What each other form makes of the tier that is asked rarely where asking is uneven, and whether it follows."""
    first, parts, follows = forms[0], [], []
    for form in forms[1:]:
        one = contest(form.arm, first.arm, kind=RARELY)
        if one is None:
            continue
        parts.append(
            words(
                "claim.grading.form",
                form=form.said(words),
                share=numbers.percent(fmean(one.ours)),
                first=numbers.percent(fmean(one.theirs)),
                said=one.said(words),
            )
        )
        if form.asked == "swapped" and form.times == 1:
            follows.append(one.outcome == HIGHER)
    return words("punctuation.notes").join(parts), follows


def _asked_differently(arm: Arm, words: Words) -> str:
    trained, swapped = (mean_of(arm, mix_share(MIXES[name])) or 0.0 for name in ("trained", "swapped"))
    return words(
        "claim.grading.asked",
        name=variant_name(arm, words),
        trained=numbers.percent(trained),
        swapped=numbers.percent(swapped),
    )


def graded_of(family: Family) -> list[Arm]:
    """Latents that grade, the widest first."""
    return [arm for arm in family.main.arms if arm.is_latent and arm.is_plain and is_graded(arm)]
