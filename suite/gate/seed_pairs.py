"""What an arm is judged by, of reinforcement learning or of decoders' quality, and its change over pairs of one seed.

Runs of one seed share the base model, the prompts or questions and the order of both, and the variance between base
models is as large as the gaps between algorithms: so each pair gives a difference, and they are compared as
suite.statistics.paired says. The page asks whether arms differ at all, at 5 % a table; a gate asks on one side only, at
1 % a judgement, and beyond a floor.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from suite.configuration.files import locate, workload_definition
from suite.gate.family import LEVEL, outcome_of, reach_of, t_of
from suite.gate.sentences import POINTS, in_unit
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.records import numbers
from suite.records.quality_metrics import TEXT, TRAIN, below
from suite.records.record import Reading, Record
from suite.records.rl_metrics import EVALUATE, PHASES
from suite.statistics.paired import Comparison, changes

ACCURACY, ANSWER_ACCURACY, LATENCY, TEXT_LOSS = "heldout_accuracy", "answer_accuracy", "latency_s", "text_loss"
LAST, MEAN, COST = "last", "mean", "+".join(PHASES)
"""Stand for spans: the last evaluation, all evaluations, and the phases of all steps together."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A run's value of a quantity, and which of its readings made it up."""

    value: float
    of: tuple[tuple[str, int], ...]
    """Spans and steps. What was summed or averaged over others is another quantity."""
    clock: str = ""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    span: str
    metric: str
    take: Callable[[Record], Taken | None]
    """None where a run has nothing of it."""
    floor: float | None = None
    target: float | None = None
    """Where conf/gate.yaml says nothing of the case. The seeds of one side share their hour, and pairs cannot tell an
    hour's drift of a machine from a change of the code."""

    @property
    def is_accuracy(self) -> bool:
        """It changes by points; a cost or a loss by a ratio, and is above zero."""
        return self.metric in POINTS

    def floor_and_target(self, case: str, tolerances: Tolerances) -> tuple[float, float]:
        """Return points of an accuracy, and shares of a cost."""
        floor = tolerances.floor(case, self.span, self.metric, usual=self.floor)
        return floor, max(floor, tolerances.target(case, self.span, self.metric, usual=self.target))

    def said(self, value: float) -> str:
        return in_unit(value, self.metric)

    def average(self, values: Sequence[float]) -> float:
        """Arithmetic of an accuracy, geometric of a cost, which is above zero."""
        return float(np.mean(values)) if self.is_accuracy else float(np.exp(np.mean(np.log(values))))

    def worsening(self, before: Sequence[float], after: Sequence[float]) -> list[float]:
        """Of each pair, on the scale on which it is tested: above 0 is for the worse."""
        pairs = zip(before, after, strict=True)
        return [old - new if self.is_accuracy else math.log(new / old) for old, new in pairs]


def last_share(metric: str, record: Record) -> Taken | None:
    evaluated = _evaluated(metric, record)
    return Taken(value=evaluated[-1].value, of=((EVALUATE, evaluated[-1].step),)) if evaluated else None


def mean_share(metric: str, record: Record) -> Taken | None:
    """The area under the curve: less noisy than its end, and lower too where a run learns later."""
    evaluated = _evaluated(metric, record)
    if not evaluated:
        return None
    return Taken(value=float(np.mean([one.value for one in evaluated])), of=_where(evaluated))


def loss_of_a_token(record: Record) -> Taken | None:
    """Over every window of text."""
    loss, tokens = (
        [one for one in record.readings if one.metric == metric and (one.span == TEXT or below(one.span, TEXT))]
        for metric in (TEXT_LOSS, "text_tokens")
    )
    total = math.fsum(one.value for one in tokens)
    if not loss or not total > 0:
        return None
    return Taken(value=math.fsum(one.value for one in loss) / total, of=tuple(sorted(_where(loss))))


def cost(phases: Sequence[str], record: Record) -> Taken | None:
    """CPU seconds of the whole process; on another device the time by its own clock, since a CPU only waits there."""
    timed = [one for one in record.readings if one.metric == LATENCY and one.span in phases]
    if not timed:
        return None
    is_cpu = record.settings.get("device") == "cpu"
    if is_cpu and any(one.process_cpu_s is None for one in timed):
        return None
    value = math.fsum((one.process_cpu_s or 0.0) if is_cpu else one.value for one in timed)
    clock = "process_cpu" if is_cpu else str(record.provenance.get("clock") or "")
    return Taken(value=value, of=tuple(sorted(_where(timed))), clock=clock)


def _shares(metric: str) -> tuple[Quantity, Quantity]:
    return (
        Quantity(span=LAST, metric=metric, take=partial(last_share, metric)),
        Quantity(span=MEAN, metric=metric, take=partial(mean_share, metric)),
    )


def _cost(span: str, phases: Sequence[str]) -> Quantity:
    return Quantity(span=span, metric=LATENCY, take=partial(cost, phases), floor=0.1, target=0.2)


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What runs of a workload are judged by where they are not bit-equal. Its YAML names it under `judged_by`."""

    learnt: Sequence[Quantity]
    spent: Quantity | None
    """None where no timed part is the whole of the work."""


BY_HELDOUT_ACCURACY = Judging(learnt=_shares(ACCURACY), spent=_cost(COST, PHASES))
BY_ANSWERS = Judging(learnt=_shares(ANSWER_ACCURACY), spent=_cost(TRAIN, (TRAIN,)))
BY_TEXT_LOSS = Judging(learnt=(Quantity(span=TEXT, metric=TEXT_LOSS, take=loss_of_a_token),), spent=None)


def judging_of(workload: str) -> Judging:
    """Return what a workload's YAML says that its runs are judged by. Raises ValueError where it cannot be loaded."""
    found: Judging = locate(workload_definition(workload)["judged_by"])
    return found


@dataclass(frozen=True, kw_only=True)
class SeedComparison:
    """One quantity over paired seeds: an accuracy by its difference, a cost by the logarithm of its ratio."""

    case: str
    quantity: Quantity
    before: float
    after: float
    change: Comparison
    """Of the pairs, on the scale on which they are tested; above 0 is for the worse."""
    clock: str
    notes: Sequence[str] = ()

    @property
    def t(self) -> float:
        return t_of(self.shift, self.change.error)

    @property
    def shift(self) -> float:
        return self.change.mean

    @property
    def freedom(self) -> int:
        return self.change.pairs - 1

    def judged(self, p_worse: float, p_better: float, tolerances: Tolerances) -> Verdict:
        """Floor and target are points of an accuracy, and shares of a cost."""
        is_accuracy = self.quantity.is_accuracy
        floor, target = self.quantity.floor_and_target(self.case, tolerances)
        reach = reach_of(self.change.error, self.freedom)
        on_scale = [floor, target] if is_accuracy else [math.log1p(floor), math.log1p(target)]
        outcome = outcome_of(p_worse, p_better, shift=self.shift, reach=reach, floor=on_scale[0], target=on_scale[1])
        ends = [self.shift - reach, self.shift + reach]
        low, high = (self._ratio(shift) for shift in (reversed(ends) if is_accuracy else ends))
        return Verdict(
            case=self.case,
            span=self.quantity.span,
            metric=self.quantity.metric,
            outcome=outcome,
            reason=self._reason(outcome, reach, target),
            before=self.before,
            after=self.after,
            ratio=self._ratio(self.shift),
            low=low,
            high=high,
            level=LEVEL,
            allowed=self._ratio(on_scale[0]),
            clock=self.clock,
            launches=self.change.pairs,
            notes=self.notes,
        )

    def _ratio(self, shift: float) -> float | None:
        """After over before by a shift; of an accuracy of 0 there is none."""
        if self.quantity.is_accuracy:
            return (self.before - shift) / self.before if self.before > 0 else None
        return math.exp(shift)

    def _reason(self, outcome: Outcome, reach: float, target: float) -> str:
        is_accuracy = self.quantity.is_accuracy
        signed = _points if is_accuracy else _share
        change, *ends = (signed(shift) for shift in (self.shift, self.shift - reach, self.shift + reach))
        low, high = reversed(ends) if is_accuracy else ends
        told = (
            f"{self.quantity.said(self.before)} before, {self.quantity.said(self.after)} now over {self.change.pairs} "
            f"paired seeds: {change} ({low} to {high})"
        )
        if outcome is Outcome.INCONCLUSIVE:
            return (
                f"{told}; the seeds spread too far to rule out {signed(target if is_accuracy else math.log1p(target))}"
            )
        return told


def compared(
    case: str, quantity: Quantity, before: Sequence[Taken], after: Sequence[Taken], notes: Sequence[str] = ()
) -> SeedComparison:
    """In the order of their seeds, which are at least two."""
    old, new = ([one.value for one in side] for side in (before, after))
    change = changes(quantity.worsening(old, new))
    assert change is not None
    return SeedComparison(
        case=case,
        quantity=quantity,
        before=quantity.average(old),
        after=quantity.average(new),
        change=change,
        clock=after[0].clock,
        notes=notes,
    )


def _evaluated(metric: str, record: Record) -> list[Reading]:
    found = [one for one in record.readings if (one.span, one.metric) == (EVALUATE, metric)]
    return sorted(found, key=lambda one: one.step)


def _where(readings: Sequence[Reading]) -> tuple[tuple[str, int], ...]:
    return tuple((one.span, one.step) for one in readings)


def _points(fall: float) -> str:
    """With a sign that says which way the accuracy went."""
    return f"{'−' if fall > 0 else '+'}{abs(fall):.3f}"


def _share(shift: float) -> str:
    return f"{'+' if shift >= 0 else '−'}{numbers.percent(abs(math.exp(shift) - 1))}"
