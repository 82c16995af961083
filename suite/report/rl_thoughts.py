"""How thought changes over training: from the first evaluation to the last, and its length at equal accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from suite.report.model.results import Results
from suite.report.rl_run import MOST, Run, is_share
from suite.report.rl_runs import Arm, Comparison, comparisons
from suite.statistics.learning import to_threshold
from suite.statistics.paired import SHARE_MARGIN, changes, compare, judge_together
from suite.statistics.paired import Comparison as Paired

LENGTH, CORRECTIONS, ACCURACY = "thought_length", "corrections", "accuracy"
METRICS = (LENGTH, CORRECTIONS, ACCURACY)
HELD_OUT = "heldout_"
LEVELS = (0.25, 0.5, 0.75)
OFTEN = 0.01
REFERENCE = "grpo"
"""Its loss is a mean over each sequence before it is one over them; the token mean stands against it."""


@dataclass(frozen=True, kw_only=True)
class AtLevel:
    """How long an arm thinks at the evaluation where its accuracy first reaches a level."""

    arm: Arm
    level: float
    lengths: Mapping[str, float]
    """By seed, of those that got there and think at all."""
    runs: int
    less_reference: Paired | None
    """On the seeds that both have; None for the reference itself."""


def thinking(results: Results) -> dict[Comparison, list[Arm]]:
    """Arms whose thoughts were measured, of those that figures show; comparisons in which any corrects itself first."""
    found = {one: [arm for arm in one.chosen if _thinks(arm)] for one in comparisons(results)}
    return {one: found[one] for one in sorted(found, key=lambda one: not corrects(found[one])) if found[one]}


def _thinks(arm: Arm) -> bool:
    return any(held_out(run, LENGTH) for run in arm.ended)


def corrects(arms: Iterable[Arm]) -> bool:
    """Whether their thoughts correct themselves at any step or evaluation, more often than by a slip of sampling."""
    runs = [run for arm in arms for run in arm.ended]
    shares = (of_run(run, CORRECTIONS).values() for run in runs for of_run in (sampled, held_out))
    return any(share >= OFTEN for of_run in shares for share in of_run)


def sampled(run: Run, metric: str) -> dict[int, float]:
    return _sensible(run.of_step.get(metric, {}), metric)


def held_out(run: Run, metric: str) -> dict[int, float]:
    return _sensible(run.evaluated.get(HELD_OUT + metric, {}), metric)


def changes_of(arms: Sequence[Arm]) -> dict[tuple[Arm, str], Paired]:
    """Compare the last evaluation with the first, by arm and metric, each run with itself; all of them together."""
    found = {(arm, metric): one for arm in arms for metric in METRICS if (one := _change(arm, metric)) is not None}
    return dict(zip(found, judge_together([*found.values()]), strict=True))


def _change(arm: Arm, metric: str) -> Paired | None:
    series = [sorted(of_run.items()) for run in arm.ended if len(of_run := held_out(run, metric)) > 1]
    firsts, lasts = [values[0][1] for values in series], [values[-1][1] for values in series]
    return changes(lasts, less=firsts, margin=None if metric == LENGTH else SHARE_MARGIN)


def sequence_mean(arms: Sequence[Arm]) -> Arm:
    """GRPO as its paper has it, else the first."""
    return next((arm for arm in arms if arm.algorithm == REFERENCE), arms[0])


def at_levels(arms: Sequence[Arm]) -> list[AtLevel]:
    """Return level by level and arm by arm the length of thought, less that of `sequence_mean`, all judged together.

    Levels that no run reaches are left out.
    """
    reference = sequence_mean(arms)
    found = []
    for level in LEVELS:
        theirs = _lengths(reference, level)
        of_level = [_at_level(arm, level, {} if arm is reference else theirs) for arm in arms]
        found += of_level if any(one.lengths for one in of_level) else []
    together = iter(judge_together([one.less_reference for one in found if one.less_reference]))
    return [replace(one, less_reference=next(together)) if one.less_reference else one for one in found]


def _at_level(arm: Arm, level: float, theirs: Mapping[str, float]) -> AtLevel:
    ours = _lengths(arm, level)
    return AtLevel(arm=arm, level=level, lengths=ours, runs=len(arm.ended), less_reference=compare(ours, theirs))


def _lengths(arm: Arm, level: float) -> dict[str, float]:
    found = {}
    for run in arm.ended:
        assert run.curve is not None
        step = to_threshold(run.curve.at, run.curve.accuracy, level)
        length = None if step is None else held_out(run, LENGTH).get(int(step))
        if length is not None:
            found[run.seed] = length
    return found


def _sensible(values: Mapping[int, float], metric: str) -> dict[int, float]:
    is_sensible = _is_length if metric == LENGTH else is_share
    return {step: value for step, value in values.items() if is_sensible(value)}


def _is_length(value: float) -> bool:
    return 0 <= value < MOST
