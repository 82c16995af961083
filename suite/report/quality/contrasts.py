"""Which arms of an experiment are compared: with MHA, with the nearest cache, with latents that nobody trained."""

import math
from collections.abc import Callable, Iterable, Sequence

from suite.report.model.experiment import ArmQuantity, contrast, drop_settings, grouped, holm_corrected
from suite.report.model.formats import bits
from suite.report.model.outcome import share_quantity
from suite.report.model.run import parse_number
from suite.report.quality import design
from suite.statistics.paired import BITS_MARGIN

LARGEST_RATIO = 1.5  # caches that differ by more are not compared
EQUAL_RATIO = 1.05  # up to here two caches count as equal: sizes are whole numbers

LOSS: ArmQuantity[design.QualityRun] = ArmQuantity(
    name="loss",
    value=lambda run: None if (loss := run.final_loss()) is None else -loss,
    text="{:.3f}".format,
    difference=bits,
    unit="bits",
    margin=BITS_MARGIN,
)
"""With its sign turned, so that higher is better."""


def compare_arms(
    arm: design.QualityArm, other: design.QualityArm, kind: str = design.ALL, *, by_loss: bool = False
) -> design.QualityContrast | None:
    """Compare two arms by the share of a kind of questions; None where they have no seed in common. `by_loss`: by the
    loss where their task has no right answers."""
    answered = share_quantity("answered", design.final_share(kind), (arm.first.chance(kind), 1.0))
    return contrast(arm, other, LOSS if by_loss and design.is_by_loss(arm) else answered, about=kind)


def against_mha(
    experiment: design.QualityExperiment, kind: str = design.ALL, *, by_loss: bool = False
) -> list[design.QualityContrast]:
    """Compare every other arm of an experiment with MHA, judged together; empty where MHA is missing."""
    mha, arms = experiment.baseline, experiment.others
    return holm_corrected(compare_arms(arm, mha, kind, by_loss=by_loss) for arm in arms) if mha else []


def longest_against_mha(
    candidates: Iterable[design.QualityExperiment],
    is_chosen: Callable[[design.QualityArm], bool],
    kind: str = design.ALL,
) -> list[design.QualityContrast]:
    """Compare chosen arms with MHA at tuned rates, judged together by experiment. Of comparisons that differ in updates
    alone, the longest counts: what comes late is no ceiling."""
    pairs = []
    for experiment in candidates:
        chosen = [arm for arm in design.tuned_arms(experiment.others) if is_chosen(arm)]
        pairs += [pair for pair in against_mha(experiment, kind, by_loss=True) if pair.arm in chosen]
    by_rest = grouped(
        pairs,
        lambda pair: (drop_settings(pair.arm.setting, [design.UPDATES]), drop_settings(pair.arm.key, [design.RATE])),
    )
    longest = [
        max(siblings, key=lambda pair: parse_number(pair.arm.value(design.UPDATES)) or 0.0)
        for siblings in by_rest.values()
    ]
    return [pair for pair in pairs if pair in longest]


def against_untrained(experiment: design.QualityExperiment, kind: str = design.ALL) -> list[design.QualityContrast]:
    """Compare latents at tuned rates with those of the same rank that are frozen or a slice, judged together."""
    pairs = [
        (whole, arm)
        for arm in design.tuned_arms(experiment.arms)
        if (whole := design.whole_arm(experiment, arm, design.LATENT)) and design.is_plain(whole)
    ]
    return holm_corrected(compare_arms(*pair, kind, by_loss=True) for pair in pairs)


def at_nearest_cache(
    experiment: design.QualityExperiment, kinds: Sequence[str] = (design.ALL,), *, by_loss: bool = False
) -> list[design.QualityContrast]:
    """Compare every plain latent with the grouped heads of the nearest cache, or several as near, within LARGEST_RATIO;
    judged together. Whether a narrow cache loses detail is one question, whether MLA's loses more is another."""
    sized = [arm for arm in design.tuned_arms(experiment.arms) if design.cache_bytes(arm)]
    heads = [arm for arm in sized if not design.is_latent(arm)]
    pairs = []
    for latent in filter(design.is_plain_mla, sized):
        distances = {arm: abs(math.log(cache_ratio(latent, arm))) for arm in heads}
        least = min(distances.values(), default=math.inf)
        if least <= math.log(LARGEST_RATIO):
            pairs += [(latent, arm) for arm, distance in distances.items() if distance <= least + 1e-9]
    return holm_corrected(compare_arms(*pair, kind, by_loss=by_loss) for pair in pairs for kind in kinds)


def cache_ratio(arm: design.QualityArm, other: design.QualityArm) -> float:
    """The bytes that the other arm caches over this one's; NaN where either is not known."""
    return (design.cache_bytes(other) or math.nan) / (design.cache_bytes(arm) or math.nan)


def is_same_cache(pair: design.QualityContrast) -> bool:
    """Whether the arms' cache sizes differ by at most EQUAL_RATIO."""
    return abs(math.log(cache_ratio(pair.arm, pair.other))) <= math.log(EQUAL_RATIO)
