"""What each stage of a recipe added to held-out accuracy, and what it spent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from suite.report.rl_palette import RECIPE
from suite.report.rl_run import DEFAULTS, MOST_STEPS, Curve, Run
from suite.report.rl_runs import Arm, clock_of
from suite.report.watched import cut
from suite.statistics.paired import SHARE_MARGIN, Comparison, changes, judge_together

REINFORCED = "rl"
"""The one kind of a run that says no stages."""
MOST_STAGES = 16
COUNTED = ("completions", "examples_kept", "examples", "updates")
"""Metrics of the steps that a stage's spending is told by."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    kind: str
    begins: int
    ends: int
    """Steps of the run before it, and before the next."""

    @property
    def steps(self) -> int:
        return self.ends - self.begins


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What one stage of an arm did, over the runs that were evaluated where it begins and where it ends."""

    arm: Arm
    place: int
    of: int
    """The first stage of one is 1 of 1."""
    stage: Stage
    before: Sequence[float]
    after: Sequence[float]
    """Held-out accuracy, run by run."""
    added: Comparison
    """After less before, each run against itself."""
    seconds: float | None
    """The mean over the runs, by the arm's clock."""
    spent: Mapping[str, float]
    """The mean over the runs of what its steps counted, by metric."""


def gains_of(arms: Iterable[Arm]) -> dict[Arm, list[Gain]]:
    """Return every arm's gains, with Holm's correction over all of them together."""
    found = {arm: _gains(arm) for arm in arms}
    together = iter(judge_together([gain.added for gains in found.values() for gain in gains]))
    return {arm: [replace(gain, added=next(together)) for gain in gains] for arm, gains in found.items()}


def _gains(arm: Arm) -> list[Gain]:
    """Return gains stage by stage; none where no run says its stages, or none was evaluated at their ends."""
    staged = [(run, curve, stages) for run in arm.runs if (curve := run.curve) and (stages := stages_of(run))]
    if not staged:
        return []
    stages = staged[0][2]
    alike = [(run, curve) for run, curve, said in staged if said == stages]
    gains = [_gain(arm, place, stages, alike) for place in range(len(stages))]
    return [gain for gain in gains if gain is not None]


def stages_of(run: Run) -> list[Stage] | None:
    """None where a record says something else than stages."""
    said = run.record.provenance.get("stages")
    if said is None and run.setting(RECIPE) == DEFAULTS[RECIPE] and run.curve is not None:
        said = [{"kind": REINFORCED, "steps": run.curve.at[-1]}]
    if not isinstance(said, list) or not 0 < len(said) <= MOST_STAGES:
        return None
    stages: list[Stage] = []
    for one in said:
        begins = stages[-1].ends if stages else 0
        steps = one.get("steps") if isinstance(one, Mapping) else None
        if not isinstance(steps, int) or not 0 < steps < MOST_STEPS:
            return None
        stages.append(Stage(kind=cut(one.get("kind")), begins=begins, ends=begins + steps))
    return stages


def _gain(arm: Arm, place: int, stages: Sequence[Stage], runs: Sequence[tuple[Run, Curve]]) -> Gain | None:
    stage, clock = stages[place], clock_of(arm)
    known = [
        (run, curve, curve.at.index(stage.begins), curve.at.index(stage.ends))
        for run, curve in runs
        if stage.begins in curve.at and stage.ends in curve.at
    ]
    if not known:
        return None
    before = [curve.accuracy[first] for _, curve, first, _ in known]
    after = [curve.accuracy[last] for _, curve, _, last in known]
    added = changes(after, less=before, margin=SHARE_MARGIN)
    assert added is not None
    seconds = [curve.by(clock)[last] - curve.by(clock)[first] for _, curve, first, last in known if curve.has(clock)]
    return Gain(
        arm=arm,
        place=place + 1,
        of=len(stages),
        stage=stage,
        before=before,
        after=after,
        added=added,
        seconds=fmean(seconds) if seconds else None,
        spent=_spent(stage, [run for run, *_ in known]),
    )


def _spent(stage: Stage, runs: Sequence[Run]) -> dict[str, float]:
    sums = {metric: [_sum(run.of_step.get(metric, {}), stage) for run in runs] for metric in COUNTED}
    known = {metric: [one for one in values if one is not None] for metric, values in sums.items()}
    return {metric: fmean(values) for metric, values in known.items() if values}


def _sum(of_step: Mapping[int, float], stage: Stage) -> float | None:
    values = [of_step[step] for step in range(stage.begins, stage.ends) if step in of_step]
    return sum(values) if values else None
