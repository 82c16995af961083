"""One run of reinforcement learning, read from its record: what it spent, and what it had learnt by then.

A record may be old or foreign: what it lacks is absent here, and nothing but an evaluation is required.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from suite.records.record import STEP, Reading, Record, Status
from suite.records.rl_metrics import EVALUATE, PHASES
from suite.report.alike import Pairs, case_key
from suite.report.model.results import CurrentRecord
from suite.report.timings import axis, own_extras
from suite.report.watched import cut

SEED, LATENCY = "seed", "latency_s"
COMPLETIONS, TOKENS, UPDATES, CPU, WALL, JOULES = "completions", "tokens", "updates", "cpu", "wall", "joules"
BUDGETS = (COMPLETIONS, TOKENS, UPDATES, CPU, WALL, JOULES)
STEPS = "steps"
"""No budget that a record counts: the steps themselves, which are a budget where each step trains on as much."""
DEFAULTS = {"recipe": "r1_zero", "supervision": "outcome", "reward_from": "key"}
"""Settings that older records do not have. To name the default says no more than to name none."""
COUNTED = {COMPLETIONS: "completions", TOKENS: "sampled_tokens", UPDATES: "updates", JOULES: "energy_j"}
"""Budgets that are a metric of the span `step`; the others are clocks of the timed spans."""
MOST = 1e15
MOST_STEPS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Held-out accuracy at the evaluations, and what had been spent before each."""

    at: Sequence[int]
    """Training steps before the evaluation."""
    accuracy: Sequence[float]
    spent: Mapping[str, Sequence[float]]
    """By budget; a budget that is not known at every evaluation is not there."""

    @property
    def final(self) -> float:
        return self.accuracy[-1]

    def has(self, budget: str) -> bool:
        return budget == STEPS or budget in self.spent

    def by(self, budget: str) -> Sequence[float]:
        """What had been spent before each evaluation, of a budget that it has."""
        return self.at if budget == STEPS else self.spent[budget]

    def total(self, budget: str) -> float | None:
        return self.by(budget)[-1] if self.has(budget) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    current: CurrentRecord
    key: Pairs
    """What its case says, by `case_key`."""
    curve: Curve | None
    """None where nothing was evaluated, or the run did not end well."""
    of_step: Mapping[str, Mapping[int, float]]
    """A step's numbers, by metric."""
    evaluated: Mapping[str, Mapping[int, float]]
    cpu_s: Mapping[str, float]
    """CPU seconds of the whole run by timed span; a span is missing where a reading has none."""
    wall_s: Mapping[str, float]

    @property
    def record(self) -> Record:
        return self.current.record

    @property
    def is_ok(self) -> bool:
        return self.record.status is Status.OK

    @property
    def seed(self) -> str:
        return axis(self.record, SEED)

    @property
    def algorithm(self) -> str:
        return axis(self.record, "algorithm")

    @property
    def attention(self) -> str:
        return axis(self.record, "attention")

    def setting(self, name: str) -> str:
        """One of DEFAULTS, named or not."""
        value = self.record.case.extras.get(name)
        return DEFAULTS[name] if value is None else cut(str(value))

    @property
    def own_sizes(self) -> list[str]:
        """Sizes of the attention variant that somebody set: kv_heads=2."""
        return [cut(text) for text in own_extras(self.record)]

    def total(self, metric: str) -> float | None:
        """Of the whole run."""
        values = self.of_step.get(metric)
        return sum(values.values()) if values else None

    def series(self, metric: str) -> list[tuple[int, float]]:
        return sorted(self.of_step.get(metric, {}).items())

    def constant(self, metric: str) -> float | None:
        found = (r.value for r in self.record.readings if r.metric == metric and 0 < r.value < MOST)
        return next(found, None)


def read_run(current: CurrentRecord, named: Iterable[str]) -> Run:
    """Read a run whose settings of these names are compared with those of others."""
    of_step: dict[str, dict[int, float]] = defaultdict(dict)
    evaluated: dict[str, dict[int, float]] = defaultdict(dict)
    timed: dict[str, list[Reading]] = defaultdict(list)
    for reading in current.record.readings:
        is_of_machine = reading.metric in (LATENCY, COUNTED[JOULES])
        if not 0 <= reading.step < MOST_STEPS or (is_of_machine and not current.is_of_one_machine):
            continue
        if reading.metric == LATENCY:
            timed[reading.span].append(reading)
        elif math.isfinite(reading.value) and abs(reading.value) < MOST:
            if reading.span == STEP:
                of_step[reading.metric][reading.step] = reading.value
            elif reading.span == EVALUATE:
                evaluated[reading.metric][reading.step] = reading.value
    of_step = {metric: values for metric, values in of_step.items() if _is_spent_sensibly(metric, values)}
    is_ok = current.record.status is Status.OK
    return Run(
        current=current,
        key=case_key(current.record, named, DEFAULTS),
        curve=_curve(of_step, evaluated, timed) if is_ok else None,
        of_step=of_step,
        evaluated=evaluated,
        cpu_s=_seconds(timed, lambda reading: reading.process_cpu_s),
        wall_s=_seconds(timed, lambda reading: reading.wall_s),
    )


def _is_spent_sensibly(metric: str, values: Mapping[int, float]) -> bool:
    return metric not in COUNTED.values() or all(value >= 0 for value in values.values())


def _curve(
    of_step: Mapping[str, Mapping[int, float]],
    evaluated: Mapping[str, Mapping[int, float]],
    timed: Mapping[str, Sequence[Reading]],
) -> Curve | None:
    points = sorted((at, value) for at, value in evaluated.get("heldout_accuracy", {}).items() if is_share(value))
    if not points:
        return None
    at = [step for step, _ in points]
    by_step = {budget: of_step.get(metric, {}) for budget, metric in COUNTED.items()}
    by_step[CPU] = _by_step(timed, lambda reading: reading.process_cpu_s)
    by_step[WALL] = _by_step(timed, lambda reading: reading.wall_s)
    spent = {budget: before for budget in BUDGETS if (before := _before(at, by_step[budget])) is not None}
    return Curve(at=at, accuracy=[value for _, value in points], spent=spent)


def _by_step(timed: Mapping[str, Sequence[Reading]], clock: Callable[[Reading], float | None]) -> dict[int, float]:
    """Seconds of each step's phases; a step with a reading that lacks this clock is left out."""
    seconds: dict[int, float] = defaultdict(float)
    for reading in (reading for phase in PHASES for reading in timed.get(phase, ())):
        said = clock(reading)
        seconds[reading.step] += said if said is not None and 0 <= said < MOST else math.nan
    return {step: value for step, value in seconds.items() if math.isfinite(value)}


def _before(at: Sequence[int], by_step: Mapping[int, float]) -> list[float] | None:
    """What was spent in the steps before each evaluation; None where a step is missing, or nothing was spent."""
    if not by_step or any(step not in by_step for step in range(at[-1])):
        return None
    before, sums = 0.0, {0: 0.0}
    for step in range(at[-1]):
        before += by_step[step]
        sums[step + 1] = before
    return [sums[step] for step in at] if before > 0 or at[-1] == 0 else None


def _seconds(timed: Mapping[str, Sequence[Reading]], clock: Callable[[Reading], float | None]) -> dict[str, float]:
    sums = {}
    for span in (*PHASES, EVALUATE):
        said = [clock(reading) for reading in timed.get(span, ())]
        known = [value for value in said if value is not None and 0 <= value < MOST]
        if said and len(known) == len(said):
            sums[span] = sum(known)
    return sums


def tracks_memory(record: Record) -> bool:
    """Whether a run held every tensor of its steps by its owner, which slows it down."""
    return record.settings.get("track_memory") is True


def is_share(value: float) -> bool:
    return 0 <= value <= 1
