"""Claims on variants: whether MLA, GQA and MQA are below MHA, and where the whole context is needed."""

from collections.abc import Callable, Iterable

from suite.report.blocks import joined, say
from suite.report.quality_contests import Contest, of_outcome
from suite.report.quality_rulings import FAILS, HOLDS, MIXED, Evidence, Ruling, Titled, by_lower, counted
from suite.report.quality_run import TIERS
from suite.report.quality_runs import RECALL, Arm, Study, longest_trained
from suite.report.quality_tasks import against_mha, against_pairs
from suite.report.quality_tiers_family import Family
from suite.report.quality_tiers_tables import tier_contests
from suite.statistics.paired import JUDGED

FULL_CONTEXT = ("two_hop", "copying", "counting")
"""Tasks whose answer needs more than one place of the context."""
ONE_HOP = "one hop"
RARELY = TIERS[-1]
Chosen = Callable[[Arm], bool]


def lower_ceiling(evidence: Evidence) -> Ruling | None:
    """MLA against MHA, by its usual rank and by smaller ones, and against other caches of its size."""
    usual = [*_against_mha(evidence, lambda arm: _is_mla(arm) and arm.has_default_rank)]
    narrow = [*_against_mha(evidence, lambda arm: _is_mla(arm) and not arm.has_default_rank)]
    level = [*_at_equal_cache(evidence)]
    if not usual and not narrow:
        return None
    told = (("usual", usual), ("narrow", narrow), ("level", level))
    said = [say(f"claim.ceiling.{name}", counted=counted(titled)) for name, titled in told if titled]
    outcome = by_lower([one for _, one in (*usual, *narrow)])
    if not of_outcome([one for _, one in usual], *JUDGED):
        # A latent that was starved on purpose says nothing of one that was not.
        said.append(say("claim.ceiling.no_usual"))
        outcome = MIXED if outcome == HOLDS else outcome
    return Ruling(outcome=outcome, said=joined("sentence", said))


def gqa_between(evidence: Evidence) -> Ruling | None:
    """GQA and MQA with heads as wide as MHA's."""
    titled = [*_against_mha(evidence, lambda arm: arm.attention in ("gqa", "mqa") and arm.is_wide)]
    if not titled:
        return None
    return Ruling(outcome=by_lower([one for _, one in titled]), said=counted(titled))


def full_context(evidence: Evidence) -> Ruling | None:
    """MLA against MHA on tasks that need the whole context; weaker there means: and not on recall of single pairs."""
    titled = [*_of_tasks(evidence.tasks, _is_mla, lambda study: study.task in FULL_CONTEXT)]
    recall = [*_of_tasks(evidence.tasks, _is_mla, lambda study: study.task == RECALL), *_one_hop(evidence)]
    if not titled:
        return None
    said = [say("claim.context.full", counted=counted(titled))]
    said += [say("claim.context.recall", counted=counted(recall))] if recall else []
    return Ruling(outcome=_context_outcome(titled, recall), said=joined("sentence", said))


def _context_outcome(titled: list[Titled], recall: list[Titled]) -> str:
    contests, of_recall = [one for _, one in titled], [one for _, one in recall]
    outcome = by_lower(contests)
    if outcome != HOLDS:
        return outcome
    return HOLDS if of_recall and by_lower(of_recall) == FAILS else MIXED


def _one_hop(evidence: Evidence) -> Iterable[Titled]:
    """The same contexts as two hops, asked for what one look-up finds."""
    for study in evidence.tasks:
        for one in against_mha(study, kind=ONE_HOP):
            if _is_mla(one.arm):
                yield say("claim.one_hop", title=study.title), one


def _is_mla(arm: Arm) -> bool:
    return arm.is_latent and arm.is_plain


def _against_mha(evidence: Evidence, chosen: Chosen) -> Iterable[Titled]:
    """On every task, and in the tier of task=tiers that is asked rarely."""
    yield from _of_tasks(evidence.tasks, chosen, lambda _: True)
    for family in evidence.families:
        for study, arm in _longest_others(family.uneven):
            for one in against_mha(study, kind=RARELY):
                if one.arm is arm and chosen(arm):
                    yield say("claim.rarely", title=study.task), one


def _of_tasks(tasks: Iterable[Study], chosen: Chosen, fits: Callable[[Study], bool]) -> Iterable[Titled]:
    for study, arm in _longest_others(study for study in tasks if fits(study)):
        for one in against_mha(study, by_loss=True):
            if one.arm is arm and chosen(arm):
                yield study.title, one


def _longest_others(found: Iterable[Study]) -> list[tuple[Study, Arm]]:
    """What may be held against MHA, by its longest training."""
    return longest_trained((study, arm) for study in found if study.reference is not None for arm in study.others)


def _at_equal_cache(evidence: Evidence) -> Iterable[Titled]:
    for study in evidence.tasks:
        for pair, one in against_pairs(study, by_loss=True):
            if pair.is_equal:
                yield study.title, one
    for family in evidence.families:
        for one in rare_pairs(family):
            yield say("claim.rarely", title=family.main.task), one


def rare_pairs(family: Family) -> list[Contest]:
    """Compare, in the tier that is asked rarely, latents with grouped heads of the same cache."""
    return [one for pair, one in tier_contests(family) if pair.is_equal and one.kind == RARELY]
