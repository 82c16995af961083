"""Studies of tasks other than the tiers: their arms against MHA, what a level cost, and what one setting changes."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from suite.report.alike import Pairs, differing, grouped
from suite.report.blocks import Text, joined
from suite.report.model.results import Results
from suite.report.quality_contests import Contest, contest, judged
from suite.report.quality_pairs import Pair, pairs_of
from suite.report.quality_run import ALL, LATENT_NORM, ROPE_DIM, QualityRun
from suite.report.quality_runs import (
    PLAYS,
    TIERS_TASK,
    UNSAID,
    Arm,
    Study,
    number_of,
    order,
    studies,
    without_names,
)
from suite.statistics.learning import Arrivals, arrivals, to_threshold

LEVEL = 0.95
OF_A_TASK = "task."
TAKEN_AWAY = {ROPE_DIM: "0", LATENT_NORM: "false"}
"""What MLA can do without, and the value that says so."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A setting of a task that has several values, all else equal."""

    name: str
    title: str
    studies: Sequence[tuple[float, Study]]
    """By its value, ascending."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """MLA without something, and with it."""

    study: Study
    name: str
    without: Arm
    with_it: Arm


@functools.lru_cache(maxsize=1)
def tasks_of(results: Results) -> Sequence[Study]:
    return [study for study in studies(results) if study.task != TIERS_TASK]


def against_mha(study: Study, *, kind: str = ALL, by_loss: bool = False) -> list[Contest]:
    """Compare every other arm with MHA, all of a study together; none where MHA is missing.

    `by_loss`: of a task without right answers by its loss.
    """
    reference = study.reference
    if reference is None:
        return []
    return judged(_one(arm, reference, study, kind, by_loss) for arm in study.others)


def against_pairs(study: Study, *, kinds: Sequence[str] = (ALL,), by_loss: bool = False) -> list[tuple[Pair, Contest]]:
    """Compare every latent with grouped heads of as wide a cache, by kind of question; all of a study together."""
    pairs = {(pair.latent, pair.grouped): pair for pair in pairs_of(study)}
    found = judged(_one(*arms, study, kind, by_loss) for arms in pairs for kind in kinds)
    return [(pairs[one.arm, one.other], one) for one in found]


def is_by_loss(study: Study) -> bool:
    """Whether there is no right answer, and the loss says how good a guess was."""
    return study.task == PLAYS


def _one(arm: Arm, other: Arm, study: Study, kind: str, by_loss: bool) -> Contest | None:
    """Higher is better: a loss counts with its sign turned."""
    if by_loss and is_by_loss(study):
        return contest(arm, other, _less_loss, is_share=False)
    return contest(arm, other, kind=kind)


def _less_loss(run: QualityRun) -> float | None:
    loss = run.final_loss()
    return None if loss is None else -loss


def arrivals_of(arm: Arm) -> Arrivals | None:
    """Updates until LEVEL was first answered; None where a seed's updates are not known."""
    curves = [run.curve() for run in arm.runs]
    if not all(spent for spent, _ in curves):
        return None
    return arrivals([to_threshold(spent, shares, LEVEL) for spent, shares in curves])


def arrival_contest(arm: Arm, other: Arm) -> Contest | None:
    """How many updates later it reached LEVEL, where every seed of both did: when all is answered, this still tells."""
    found = [arrivals_of(one) for one in (arm, other)]
    if any(one is None or one.arrived < one.runs for one in found):
        return None
    return contest(arm, other, _arrived_at, is_share=False)


def _arrived_at(run: QualityRun) -> float | None:
    return to_threshold(*run.curve(), LEVEL)


def axes_of(found: Sequence[Study]) -> list[Axis]:
    """For each task and setting of it with several numbers, those that the most values share."""
    names = sorted({name for study in found for name, _ in study.setting if name.startswith(OF_A_TASK)})
    axes = []
    for name in names:
        for of_rest in grouped(found, functools.partial(_but, name)).values():
            numbered = [(value, study) for study in of_rest if (value := number_of(study.value(name))) is not None]
            if len(numbered) > 1:
                title = joined(" · ", [study_title(of_rest[0], found, but=name), name.removeprefix(OF_A_TASK)])
                axes.append(Axis(name=name, title=title, studies=sorted(numbered, key=lambda pair: pair[0])))
    return sorted(axes, key=lambda axis: -len(axis.studies))


def study_title(study: Study, found: Sequence[Study], *, but: str) -> Text:
    """Without one setting's value."""
    differ = differing([other.setting for other in found if other.task == study.task])
    parts = [
        f"{name.removeprefix(OF_A_TASK)}={value}"
        for name, value in study.setting
        if name in differ and value and (name, value) not in UNSAID and name not in ("task", "label", but)
    ]
    return joined(" · ", [study.task, *parts])


def variants_of(found: Sequence[Study]) -> dict[Pairs, list[tuple[Study, Arm]]]:
    """Arms of one variant over studies, in the order of variants."""
    items = [(study, arm) for study in found for arm in study.arms]
    by_variant = grouped(items, lambda item: item[1].variant)
    return dict(sorted(by_variant.items(), key=lambda item: order(item[1][0][1])))


def _but(name: str, study: Study) -> Pairs:
    return without_names(study.setting, [name])


def contrasts_of(found: Sequence[Study]) -> list[Contrast]:
    """Of arms that agree in everything else."""
    contrasts = []
    for study in found:
        by_variant = {arm.variant: arm for arm in study.arms if arm.is_latent}
        for variant, arm in by_variant.items():
            for name, value in TAKEN_AWAY.items():
                with_it = by_variant.get(without_names(variant, [name]))
                if dict(variant).get(name) == value and with_it is not None:
                    contrasts.append(Contrast(study=study, name=name, without=arm, with_it=with_it))
    return contrasts
