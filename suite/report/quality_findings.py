"""The headlines of workload=quality: what a narrow latent keeps of each tier, and how the tasks end against MHA."""

from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Text, joined, say
from suite.report.model.results import Results
from suite.report.quality_contests import Contest, of_outcome
from suite.report.quality_names import variant_name
from suite.report.quality_rulings_tiers import graded_of
from suite.report.quality_rulings_variants import RARELY, rare_pairs
from suite.report.quality_run import UNEVENLY
from suite.report.quality_runs import Arm, longest_trained
from suite.report.quality_tasks import against_mha, tasks_of
from suite.report.quality_tiers_family import EVENLY, Family, families, tier_share
from suite.statistics.paired import Outcome


def quality_headlines(results: Results) -> list[Text]:
    """A sentence on the tiers and one on the other tasks for each label."""
    sentences = [(family.main.label, sentence) for family in families(results) if (sentence := _of_tiers(family))]
    for label in dict.fromkeys(study.label for study in tasks_of(results)):
        if sentence := _of_tasks(results, label):
            sentences.append((label, sentence))
    return [joined(": ", [label, sentence]) if results.several else sentence for label, sentence in sentences]


def _of_tiers(family: Family) -> Text:
    """Of the latent that has other forms of training, else the widest that grades: what it and its like answer."""
    with_forms = [arm for arm, _ in family.with_forms if arm.is_latent]
    chosen = next(iter([*with_forms, *graded_of(family)]), None)
    if chosen is None or len(family.tiers) < 2:
        return ""
    reference = family.main.reference
    compared = [chosen, *([reference] if reference is not None else [])]
    told = joined("notes", [_tiers_told(arm, family) for arm in compared])
    parts = [
        say(
            "quality_tiers.headline",
            told=told,
            updates=numbers.count(family.usual_updates or 0),
            seeds=len(chosen.runs),
        )
    ]
    parts += _of_other_forms(chosen, family)
    for one in [pair for pair in rare_pairs(family) if pair.arm is chosen][:1]:
        parts.append(
            say(
                "quality_tiers.headline_pair",
                other=variant_name(one.other),
                name=variant_name(chosen),
                share=numbers.percent(fmean(one.theirs)),
                said=one.said(),
            )
        )
    return joined("sentence", parts)


def _of_other_forms(arm: Arm, family: Family) -> list[str]:
    """What it answers of the rarest where that was asked as often as the rest, and where it was trained for longer."""
    told = [
        say("quality_tiers.headline_form", form=form.said(), share=numbers.percent(fmean(shares)))
        for form in family.forms_of(arm)
        if (form.asked == EVENLY and form.times == 1) or (form.asked == UNEVENLY and form.times > 1)
        if (shares := form.arm.values(tier_share(RARELY)))
    ]
    if not told:
        return []
    name, forms = variant_name(arm), joined("notes", told)
    return [say("quality_tiers.headline_forms", name=name, forms=forms)]


def _tiers_told(arm: Arm, family: Family) -> Text:
    shares = [numbers.percent(fmean(values)) for tier in family.tiers if (values := arm.values(tier_share(tier)))]
    return joined(" ", [variant_name(arm), " / ".join(shares)])


def _of_tasks(results: Results, label: str) -> Text:
    """Count how plain latents at MHA's width end, over all studies, each by its longest training."""
    found: list[Contest] = []
    tasks: dict[str, None] = {}
    held = [
        (study, arm)
        for study in tasks_of(results)
        if study.label == label and study.match == "heads" and study.reference is not None
        for arm in study.others
        if arm.is_latent and arm.is_plain
    ]
    for study, arm in longest_trained(held):
        for one in against_mha(study, by_loss=True):
            if one.arm is arm:
                found.append(one)
                tasks[study.task] = None
    if not found:
        return ""
    return say(
        "quality.headline",
        count=len(found),
        tasks=joined("list", tasks),
        told=joined(
            "list",
            [
                say(f"verdict.count.{outcome}", count=len(ended))
                for outcome in Outcome
                if (ended := of_outcome(found, outcome))
            ],
        ),
    )
