"""What runs of one seed are compared by: the quantities of each workload, and the change of one over pairs of runs.

A workload names its quantities, a `Judging`, in its YAML under `judged_by`; suite.gate.stored.seed_arms judges arms.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from suite.configuration.files import locate, workload_definition
from suite.gate.output.sentences import POINTS, in_unit
from suite.gate.rules.multiple_testing import TestedChange
from suite.gate.rules.tolerances import Tolerance
from suite.gate.verdict import LATENCY
from suite.records.metrics import EVALUATE, PHASES, TEXT, TRAIN, below
from suite.records.record import Reading, Record
from suite.statistics.paired import changes

LAST, MEAN, COST = "last", "mean", "+".join(PHASES)
"""Stand-ins for spans: the last evaluation, all evaluations, and the phases of all steps together."""
USUAL_COST = Tolerance(minimum_effect=0.1, equivalence_margin=0.2)
"""The tolerance where conf/gate.yaml says nothing of the case. The seeds of one side share their hour, and pairs cannot
tell an hour's drift of a machine from a change of the code."""


@dataclass(frozen=True, kw_only=True)
class TakenValue:
    """A run's value of a quantity, and the span and step of each reading that made it up.

    A sum or a mean over other readings is another quantity.
    """

    value: float
    readings: tuple[tuple[str, int], ...]
    clock: str = ""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A value that each run has, and that is compared over pairs."""

    span: str
    metric: str
    take: Callable[[Record], TakenValue | None]
    """Computes the value of a run; None if the run did not record it."""
    usual: Tolerance | None = None
    """The tolerance where conf/gate.yaml says nothing of the case; None where it is that of the metric."""

    @property
    def is_accuracy(self) -> bool:
        """True if it changes by points; a cost or a loss does by a ratio, and is above zero."""
        return self.metric in POINTS

    def in_words(self, before: float, after: float) -> str:
        """Write `1.2 s before, 1.3 s now`, in the unit of the metric."""
        return f"{in_unit(before, self.metric)} before, {in_unit(after, self.metric)} now"

    def average(self, values: Sequence[float]) -> float:
        """The arithmetic mean of an accuracy, and the geometric one of a cost, which is above zero."""
        return float(np.mean(values)) if self.is_accuracy else float(np.exp(np.mean(np.log(values))))


def last_share(metric: str, record: Record) -> TakenValue | None:
    """The value of a metric at the last evaluation of a run; None without an evaluation."""
    evaluations = _evaluations(metric, record)
    return _taken(evaluations[-1].value, evaluations[-1:]) if evaluations else None


def mean_share(metric: str, record: Record) -> TakenValue | None:
    """The mean of a metric over all evaluations of a run; None without one. It is less noisy than the last one, and
    also lower if a run learns later."""
    evaluations = _evaluations(metric, record)
    return _taken(float(np.mean([reading.value for reading in evaluations])), evaluations) if evaluations else None


def loss_per_token(record: Record) -> TakenValue | None:
    """The mean loss per token over all windows of text; None without a loss or a token."""
    losses, tokens = (
        [reading for reading in record.series(metric) if reading.span == TEXT or below(reading.span, TEXT)]
        for metric in ("text_loss", "text_tokens")
    )
    total = math.fsum(reading.value for reading in tokens)  # windows differ in length, so no mean of means
    if not losses or not total > 0:
        return None
    return _taken(math.fsum(reading.value for reading in losses) / total, losses)


def cost(phases: Sequence[str], record: Record) -> TakenValue | None:
    """Seconds that a run spent in these phases: CPU time of the process, or on another device that device's time. None
    without timed phases, and if a reading on a CPU lacks the process's time."""
    timed = [reading for reading in record.series(LATENCY) if reading.span in phases]
    is_cpu = record.settings.get("device") == "cpu"
    # The span's own clock may be that of one thread, so an old record without the process's has no cost.
    if not timed or (is_cpu and any(reading.process_cpu_s is None for reading in timed)):
        return None
    value = math.fsum((reading.process_cpu_s or 0.0) if is_cpu else reading.value for reading in timed)
    return _taken(value, timed, "process_cpu" if is_cpu else str(record.provenance.get("clock") or ""))


def _evaluations(metric: str, record: Record) -> list[Reading]:
    """The readings of a metric at the evaluations, by step."""
    return sorted(record.series(metric, EVALUATE), key=lambda reading: reading.step)


def _taken(value: float, readings: Sequence[Reading], clock: str = "") -> TakenValue:
    """A value with the span and step of each reading that it was computed from."""
    places = tuple(sorted((reading.span, reading.step) for reading in readings))
    return TakenValue(value=value, readings=places, clock=clock)


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Quantities that judge a workload's runs where they are not bit-equal. Its YAML names it under `judged_by`."""

    learnt: Sequence[Quantity]
    spent: Quantity | None
    """The cost; None where no timed part is the whole of the work."""


def _shares(metric: str) -> tuple[Quantity, Quantity]:
    """A metric at the last evaluation, and its mean over all evaluations."""
    return (
        Quantity(span=LAST, metric=metric, take=partial(last_share, metric)),
        Quantity(span=MEAN, metric=metric, take=partial(mean_share, metric)),
    )


def _cost(span: str, phases: Sequence[str]) -> Quantity:
    """The time spent in some phases, under the name `span`."""
    return Quantity(span=span, metric=LATENCY, take=partial(cost, phases), usual=USUAL_COST)


BY_HELDOUT_ACCURACY = Judging(learnt=_shares("heldout_accuracy"), spent=_cost(COST, PHASES))
BY_ANSWERS = Judging(learnt=_shares("answer_accuracy"), spent=_cost(TRAIN, (TRAIN,)))
BY_TEXT_LOSS = Judging(learnt=(Quantity(span=TEXT, metric="text_loss", take=loss_per_token),), spent=None)


def judging_of(workload: str) -> Judging:
    """The quantities that judge a workload's runs, from its YAML. Raises ValueError if they cannot be loaded."""
    judging: Judging = locate(workload_definition(workload)["judged_by"])
    return judging


def compare_pairs(
    case: str, quantity: Quantity, before: Sequence[TakenValue], after: Sequence[TakenValue], notes: Sequence[str] = ()
) -> TestedChange:
    """The mean change over pairs of one seed each, to be tested; `before` and `after` are in the same order of seeds.
    Accuracies are subtracted, and of others the log-ratio is taken. At least two pairs are needed."""
    old, new = ([run.value for run in side] for side in (before, after))
    # On the scale on which it is tested, above 0 is for the worse.
    pairs = changes([b - a if quantity.is_accuracy else math.log(a / b) for b, a in zip(old, new, strict=True)])
    assert pairs is not None
    averages = quantity.average(old), quantity.average(new)
    return TestedChange(
        case=case,
        span=quantity.span,
        metric=quantity.metric,
        before=averages[0],
        after=averages[1],
        shift=pairs.mean,
        error=pairs.error,
        freedom=pairs.pairs - 1,
        by_points=quantity.is_accuracy,
        usual=quantity.usual,
        values=f"{quantity.in_words(*averages)} over {pairs.pairs} paired seeds",
        runs="seeds",
        signed_margin=True,
        launches=pairs.pairs,
        clock=after[0].clock,
        notes=notes,
    )
