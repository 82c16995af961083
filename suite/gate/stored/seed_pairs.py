"""Quantities that an arm of reinforcement learning or of decoders' quality is judged by, over pairs of one seed.

Runs of one seed share the base model, the prompts or questions and the order of both, and the variance between base
models is as large as the gaps between algorithms: so each pair gives a difference, and they are compared as
suite.statistics.paired says. The page asks whether arms differ at all, at 5 % a table; a gate asks on one side only, at
1 % a judgement, and beyond a minimum effect.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from suite.configuration.files import locate, workload_definition
from suite.gate.output.sentences import POINTS, in_unit
from suite.gate.rules.multiple_testing import Change
from suite.gate.rules.tolerances import Tolerance
from suite.gate.verdict import LATENCY
from suite.records.metrics import EVALUATE, PHASES, TEXT, TRAIN, below
from suite.records.record import Reading, Record
from suite.statistics.paired import changes

ACCURACY, ANSWER_ACCURACY, TEXT_LOSS = "heldout_accuracy", "answer_accuracy", "text_loss"
LAST, MEAN, COST = "last", "mean", "+".join(PHASES)
"""Stand-ins for spans: the last evaluation, all evaluations, and the phases of all steps together."""
USUAL_OF_COST = Tolerance(minimum_effect=0.1, equivalence_margin=0.2)
"""The tolerance where conf/gate.yaml says nothing of the case. The seeds of one side share their hour, and pairs cannot
tell an hour's drift of a machine from a change of the code."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A run's value of a quantity, and the readings that made it up."""

    value: float
    of: tuple[tuple[str, int], ...]
    """Spans and steps. A sum or a mean over others is another quantity."""
    clock: str = ""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A value that each run has, and that is compared over pairs."""

    span: str
    metric: str
    take: Callable[[Record], Taken | None]
    """The value of a run; None where it has nothing of it."""
    usual: Tolerance | None = None
    """The tolerance where conf/gate.yaml says nothing of the case; None where it is that of the metric."""

    @property
    def is_accuracy(self) -> bool:
        """Return whether it changes by points; a cost or a loss does by a ratio, and is above zero."""
        return self.metric in POINTS

    def in_words(self, before: float, after: float) -> str:
        return f"{in_unit(before, self.metric)} before, {in_unit(after, self.metric)} now"

    def average(self, values: Sequence[float]) -> float:
        """Return the arithmetic mean of an accuracy, and the geometric one of a cost, which is above zero."""
        return float(np.mean(values)) if self.is_accuracy else float(np.exp(np.mean(np.log(values))))

    def worsening(self, before: Sequence[float], after: Sequence[float]) -> list[float]:
        """Return each pair's change on the scale on which it is tested: above 0 is for the worse."""
        pairs = zip(before, after, strict=True)
        return [old - new if self.is_accuracy else math.log(new / old) for old, new in pairs]


def last_share(metric: str, record: Record) -> Taken | None:
    """Return a share at the last evaluation."""
    evaluated = _evaluated(metric, record)
    return Taken(value=evaluated[-1].value, of=((EVALUATE, evaluated[-1].step),)) if evaluated else None


def mean_share(metric: str, record: Record) -> Taken | None:
    """Return the area under the curve: less noisy than its end, and lower too where a run learns later."""
    evaluated = _evaluated(metric, record)
    if not evaluated:
        return None
    return Taken(value=float(np.mean([reading.value for reading in evaluated])), of=_where(evaluated))


def loss_of_a_token(record: Record) -> Taken | None:
    """Return the loss over every window of text."""
    loss, tokens = (
        [one for one in record.series(metric) if one.span == TEXT or below(one.span, TEXT)]
        for metric in (TEXT_LOSS, "text_tokens")
    )
    total = math.fsum(reading.value for reading in tokens)
    if not loss or not total > 0:
        return None
    return Taken(value=math.fsum(reading.value for reading in loss) / total, of=tuple(sorted(_where(loss))))


def cost(phases: Sequence[str], record: Record) -> Taken | None:
    """Return the CPU seconds of the whole process; on another device the time by its own clock, for which a CPU only
    waits."""
    timed = [reading for reading in record.series(LATENCY) if reading.span in phases]
    if not timed:
        return None
    is_cpu = record.settings.get("device") == "cpu"
    if is_cpu and any(reading.process_cpu_s is None for reading in timed):
        return None
    value = math.fsum((reading.process_cpu_s or 0.0) if is_cpu else reading.value for reading in timed)
    clock = "process_cpu" if is_cpu else str(record.provenance.get("clock") or "")
    return Taken(value=value, of=tuple(sorted(_where(timed))), clock=clock)


def _shares(metric: str) -> tuple[Quantity, Quantity]:
    return (
        Quantity(span=LAST, metric=metric, take=partial(last_share, metric)),
        Quantity(span=MEAN, metric=metric, take=partial(mean_share, metric)),
    )


def _cost(span: str, phases: Sequence[str]) -> Quantity:
    return Quantity(span=span, metric=LATENCY, take=partial(cost, phases), usual=USUAL_OF_COST)


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Quantities that judge a workload's runs where they are not bit-equal. Its YAML names it under `judged_by`."""

    learnt: Sequence[Quantity]
    spent: Quantity | None
    """The cost; None where no timed part is the whole of the work."""


BY_HELDOUT_ACCURACY = Judging(learnt=_shares(ACCURACY), spent=_cost(COST, PHASES))
BY_ANSWERS = Judging(learnt=_shares(ANSWER_ACCURACY), spent=_cost(TRAIN, (TRAIN,)))
BY_TEXT_LOSS = Judging(learnt=(Quantity(span=TEXT, metric=TEXT_LOSS, take=loss_of_a_token),), spent=None)


def judging_of(workload: str) -> Judging:
    """Return what a workload's YAML says that its runs are judged by. Raises ValueError where it cannot be loaded."""
    found: Judging = locate(workload_definition(workload)["judged_by"])
    return found


def compare_pairs(
    case: str, quantity: Quantity, before: Sequence[Taken], after: Sequence[Taken], notes: Sequence[str] = ()
) -> Change:
    """Compare values in the order of their seeds, which are at least two."""
    old, new = ([taken.value for taken in side] for side in (before, after))
    pairs = changes(quantity.worsening(old, new))
    assert pairs is not None
    averages = quantity.average(old), quantity.average(new)
    return Change(
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


def _evaluated(metric: str, record: Record) -> list[Reading]:
    return sorted(record.series(metric, EVALUATE), key=lambda reading: reading.step)


def _where(readings: Sequence[Reading]) -> tuple[tuple[str, int], ...]:
    return tuple((reading.span, reading.step) for reading in readings)
