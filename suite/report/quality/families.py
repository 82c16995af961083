"""Experiments of task=tiers that belong together: the same sizes, asked in several forms and trained for longer.

A tier is always the same attributes. How often it is asked is its form's: the third tier is asked rarely where asking
is skewed, and most often where it is reversed.

Heads are asked by how many points each attribute falls with one of them ablated. Two numbers tell "each head a feature
of its own" from its two contraries. If every head served every attribute alike, the head that an attribute needs most
would take 1/H of its fall; if one head served all attributes, that share would be 1 too, but only one head would come
first for any. So the share of the largest fall is told with the number of heads that some attribute needs most. Falls
do not add up exactly: a decoder is not linear in its heads.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from suite.report.blocks import Text, dotted, say, say_or
from suite.report.model.experiment import drop_settings, experiment_titles, grouped, holm_corrected
from suite.report.model.results import Results, cached_by_results
from suite.report.model.run import parse_number
from suite.report.quality import design
from suite.report.quality.contrasts import at_nearest_cache, compare_arms, is_same_cache
from suite.report.quality.design import QualityArm, QualityContrast, QualityExperiment, QualityRun, Value
from suite.statistics.paired import ArmOutcome, Comparison, compare, judge_together

SHARES = (0.85, 0.12, 0.03)  # of the skewed questions, by tier (suite/quality/tasks/tiers.py)
UNIFORM, REVERSED = "uniform", "reversed"
MIXES = {"trained": SHARES, REVERSED: SHARES[::-1]}
"""Ways to ask a decoder that was trained on uneven questions."""
FORMS = (design.SKEWED, UNIFORM, "uniform_weighted", REVERSED, "shifted")
LEAST_GAP = 0.05  # tiers that lie nearer are not graded, however sure it is that they differ
ATTRIBUTE = re.compile(r"attribute [1-9]\d?")
ABLATED = re.compile(r"layer \d{1,3} head \d{1,3}/")
LEAST_FALL = 0.05  # the falls of an attribute must come to as much together to say who carries it
MOST_OF_IT = 0.5  # a head with more of an attribute's fall carries it more than all the others do together


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """Experiments that differ in how often each tier was asked, and in their updates."""

    name: Text  # the settings that tell it from other families; empty where it stands alone
    facets: Mapping[str, Text]  # its label and its settings, by which a reader chooses it
    main: QualityExperiment  # skewed queries, with the number of updates that most variants have
    arms: Sequence[QualityArm]  # in every form

    @property
    def main_updates(self) -> float:
        return parse_number(self.main.value(design.UPDATES)) or 0.0

    @property
    def tiers(self) -> list[str]:
        return [tier for tier in design.TIERS if any(arm.values(design.final_share(tier)) for arm in self.main.arms)]

    def times(self, arm: QualityArm) -> float | None:
        """An arm's updates over those of the main experiment; None where either is not known."""
        updates = parse_number(arm.value(design.UPDATES))
        return updates / self.main_updates if updates and self.main_updates else None

    def form_name(self, arm: QualityArm) -> Text:
        """How often an arm was asked of each tier, in words; and how many times as long as usual it was trained."""
        form, times = say_or(f"quality_tiers.form.{query_form(arm)}", query_form(arm)), self.times(arm)
        return form if times == 1 else say("quality_tiers.longer", form=form, times=f"{times or 0.0:.3g}")

    @property
    def in_forms(self) -> list[list[QualityArm]]:
        """Variants that were trained in several forms, each with its skewed one first: MHA, then latents, then others,
        the most forms first."""

        variants = []
        for first in self.main.arms:
            forms = [arm for arm in self.arms if arm.key == first.key and arm is not first and self.times(arm)]
            forms.sort(key=lambda arm: (self.times(arm) or 0.0, [*FORMS, query_form(arm)].index(query_form(arm))))
            variants += [[first, *forms]] if forms else []
        return sorted(
            variants, key=lambda arms: (not design.is_mha(arms[0]), not design.is_latent(arms[0]), -len(arms))
        )

    @property
    def latents_in_forms(self) -> list[list[QualityArm]]:
        return [arms for arms in self.in_forms if design.is_latent(arms[0])]

    @property
    def probed_arms(self) -> list[QualityArm]:
        """MHA, and the latents that were trained in several forms; without such latents, plain MLA."""
        latents = [arms[0] for arms in self.latents_in_forms] or filter(design.is_plain_mla, self.main.arms)
        return [*filter(design.is_mha, self.main.arms), *latents]


def query_form(arm: QualityArm) -> str:
    """How often an arm's tiers were asked in training: one of FORMS, or one that we do not know; skewed by default."""
    return arm.value(design.FREQUENCY) or design.SKEWED


@cached_by_results
def families(results: Results) -> Sequence[Family]:
    """Group tiered experiments that differ in form and updates alone, most variants first. The main one of a family is
    the skewed one with the most variants; without a skewed one there is no family."""
    tiered = [each for each in design.quality_experiments(results) if each.value("task") == design.TIERS_TASK]
    by_rest = grouped(tiered, lambda experiment: drop_settings(experiment.key, (design.FREQUENCY, design.UPDATES)))
    titles = experiment_titles(list(by_rest), design.DESIGN, has_labels=results.several)
    all_families = []
    for rest, experiments in by_rest.items():
        if uneven := [experiment for experiment in experiments if not experiment.value(design.FREQUENCY)]:
            main = max(uneven, key=lambda each: (len(each.arms), sum(len(arm.ended) for arm in each.arms)))
            arms = sorted((arm for experiment in experiments for arm in experiment.arms), key=design.arm_order)
            facets = {"label": main.label, "setting": titles[rest][1] or say("rl.usual")}
            all_families.append(Family(name=dotted(*titles[rest]), facets=facets, main=main, arms=arms))
    return sorted(all_families, key=lambda family: (-len(family.main.arms), family.main.key))


def mix_share(mix: str) -> Value:
    """A function that gives a run's share of questions asked in one of MIXES; None for a run without every tier."""

    def share(run: QualityRun) -> float | None:
        finals = [final for tier in design.TIERS if (final := run.final(tier)) is not None]
        is_whole = len(finals) == len(design.TIERS)
        return sum(share * final for share, final in zip(MIXES[mix], finals, strict=True)) if is_whole else None

    return share


def tier_contrasts(family: Family) -> list[QualityContrast]:
    """Compare latents with heads of the nearest cache, the rarest tier first; others unless both are at the ceiling."""
    pairs = at_nearest_cache(family.main, [*reversed(family.tiers)])
    return [
        pair for pair in pairs if pair.about == design.RARELY or pair.comparison.at_bounds is not ArmOutcome.CEILING
    ]


def rare_contrasts(family: Family) -> list[QualityContrast]:
    """Compare, in the tier that is asked rarely, latents with grouped heads of the same cache."""
    return [pair for pair in tier_contrasts(family) if is_same_cache(pair) and pair.about == design.RARELY]


def form_contrasts(family: Family) -> dict[QualityArm, QualityContrast]:
    """Compare, by arm, each form of training with its variant's skewed form, in the tier that is asked rarely there."""
    pairs = [(arm, first) for first, *arms in family.in_forms for arm in arms]
    return {pair.arm: pair for pair in holm_corrected(compare_arms(*pair, design.RARELY) for pair in pairs)}


def tier_gradings(experiment: QualityExperiment) -> dict[QualityArm, Comparison]:
    """Compare, within each arm, the answers to the tier asked often with those to the rare one; judged together."""
    ends = [design.final_share(tier) for tier in (design.TIERS[0], design.RARELY)]
    compared = {arm: compare(*map(arm.by_seed, ends), margin=LEAST_GAP) for arm in experiment.arms}
    gradings = {arm: grading for arm, grading in compared.items() if grading is not None}
    return dict(zip(gradings, judge_together([*gradings.values()]), strict=True))


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Which heads carry the attributes that one run answers."""

    heads: int  # that were ablated
    share: float  # the mean over attributes of the share of the fall that the head most needed carries
    first_heads: int  # how many different heads are the most needed one of at least one attribute


def carried(arm: QualityArm) -> list[Carried]:
    """What heads carry in each of an arm's runs, of those in which as many heads were ablated as in the first.

    A run counts where two heads or more were ablated, and an attribute that was asked without each falls by LEAST_FALL
    in all. A rise counts as no fall.
    """
    by_run = []
    for run in arm.runs:
        heads = sorted({span.partition("/")[0] for span in run.without_heads if ABLATED.match(span)})
        attributes, carriers = 0, list[tuple[int, float]]()
        for kind in filter(ATTRIBUTE.fullmatch, run.answered):
            shares = [design.last(run.without_heads, f"{head}/{kind}") for head in heads]
            if None not in shares:
                attributes += 1
                falls = [max(0.0, (run.final(kind) or 0.0) - (share or 0.0)) for share in shares]
                if sum(falls) >= LEAST_FALL:
                    carriers.append((falls.index(max(falls)), max(falls) / sum(falls)))
        if len(heads) > 1 and attributes:
            by_run.append((len(heads), carriers))
    return [
        Carried(
            heads=heads, share=fmean(share for _, share in carriers), first_heads=len({head for head, _ in carriers})
        )
        for heads, carriers in by_run
        if heads == by_run[0][0] and carriers
    ]
