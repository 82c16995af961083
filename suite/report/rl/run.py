"""A run of reinforcement learning as its record tells it: its evaluations, and what had been spent before each."""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product

from suite.records.metrics import EVALUATE, PHASES, TRIVIAL_ACCURACY
from suite.records.record import STEP, Status
from suite.report.blocks import Text
from suite.report.model.labels import RECIPE, name_facets
from suite.report.model.results import CurrentRecord
from suite.report.model.run import LABEL, MOST, MOST_STEPS, Pairs, Run, numbers_by_step, share
from suite.report.rl.naming import SHAPE

COMPLETIONS, TOKENS, UPDATES, CPU, WALL, JOULES = "completions", "tokens", "updates", "cpu", "wall", "joules"
BUDGETS = (COMPLETIONS, TOKENS, UPDATES, CPU, WALL, JOULES)
STEPS = "steps"  # no budget that a record counts, but one where each step trains on as much
COUNTED = {COMPLETIONS: "completions", TOKENS: "sampled_tokens", UPDATES: "updates", JOULES: "energy_j"}
"""Budgets that are a metric of the span `step`."""
CLOCKS = {CPU: "process_cpu_s", WALL: "wall_s"}
"""Budgets that readings of the timed spans have."""
SHARES = (
    *("accuracy", "format", "truncated", "corrections", "step_reward", "groups_without_signal"),
    *("clip_fraction_low", "clip_fraction_high", "gradient_clipped"),
)
"""Metrics of a step or an evaluation that lie between 0 and 1."""
LARGEST = {**dict.fromkeys(SHARES, 1.0), "thought_length": MOST}
"""Metrics that are no number below 0, and the largest that they can be."""
SUPERVISION, REWARD_SOURCE = "supervision", "reward_source"
ROLLOUTS = {"rollout_lag": "0", "rollout_dtype": "", "rollout_cache_dtype": "", "rollout_correction": "none"}
# Settings that older records do not have: to name the default says no more than to name none.
DEFAULTS = {RECIPE: "r1_zero", SUPERVISION: "outcome", REWARD_SOURCE: "ground_truth", "format_reward": "added"}
DEFAULTS |= ROLLOUTS


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Held-out accuracy at the evaluations, and what had been spent before each."""

    steps: Sequence[int]  # training steps before the evaluation
    accuracy: Sequence[float]
    spent: Mapping[str, Sequence[float]]
    """Amounts by budget, or STEPS; a budget that is not known at every evaluation is not there."""

    def by_step(self, budget: str = "") -> dict[int, float]:
        """The accuracy by step; with a budget what had been spent of it by step."""
        return dict(zip(self.steps, self.spent[budget] if budget else self.accuracy, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class RlRun(Run):
    """A record of reinforcement learning. It may be old or foreign: what it lacks is absent."""

    curve: Curve | None
    """None where nothing was evaluated, or the run did not end well."""
    seconds_by_span: Mapping[tuple[str, str], float]
    """Of the whole run, by span and clock; NaN where any reading lacks it."""
    _totals: dict[str, float | None] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.curve is not None

    @property
    def facets(self) -> dict[str, Text]:
        return name_facets(self.record.case.axes) | {LABEL: self.label}

    @property
    def clock(self) -> str:
        """The name of its clock: `cpu` on a CPU, whose seconds a busy machine stretches less; elsewhere `wall`."""
        return CPU if self.axis("device") == "cpu" else WALL

    def value(self, name: str) -> str:
        """A setting of its key; else the default of older records, or empty."""
        return dict(self.key).get(name) or DEFAULTS.get(name, "")

    @functools.cached_property
    def trivial_accuracy(self) -> float | None:
        """Held-out accuracy of the best strategy without skill, see suite.rl.tasks.task; None where nobody knows it."""
        return share(self.constant(TRIVIAL_ACCURACY, EVALUATE))

    def by_step(self, metric: str) -> Mapping[int, float]:
        """A metric of the steps, or of the evaluations, whose names begin with `heldout_`; empty where it is not there.
        Made when it is asked for: of all metrics at once it is most of a page's memory."""
        return _amounts(self.current, metric)

    def series(self, metric: str) -> Mapping[int, float]:
        """A metric by step, without values that it cannot have."""
        values = self.by_step(metric)
        largest = LARGEST.get(metric.removeprefix("heldout_"))
        return values if largest is None else {step: value for step, value in values.items() if 0 <= value <= largest}

    def last(self, metric: str) -> float | None:
        """A metric at the last step that has it; None where none has."""
        values = self.series(metric)
        return values[max(values)] if values else None

    def total(self, metric: str) -> float | None:
        """The sum of a metric over all steps; None where no step has it."""
        if metric not in self._totals:
            by_step = self.by_step(metric)
            self._totals[metric] = sum(by_step.values()) if by_step else None
        return self._totals[metric]

    def seconds(self, span: str, clock: str = "") -> float | None:
        """The seconds of the whole run in a span, by `clock` or its own one; None where any reading lacks them."""
        seconds = self.seconds_by_span.get((span, clock or self.clock), math.nan)
        return seconds if math.isfinite(seconds) else None


def read_run(current: CurrentRecord, key: Pairs) -> RlRun | None:
    """Read a run; None for one that tracked its memory, since to hold every tensor by its owner costs seconds."""
    record = current.record
    if record.settings.get("track_memory") is True:
        return None
    factors = [record.case.axes.get(name) for name in ("steps", *SHAPE)]
    sensible = [factor for factor in factors if isinstance(factor, int) and 0 < factor < MOST_STEPS]
    if len(sensible) == len(factors):
        key = (*key[:-1], (COMPLETIONS, str(math.prod(sensible))), key[-1])
    timed = [span for span, metric in record.by_span if metric == "latency_s" and current.is_of_one_machine]
    # The sum of a span's timings by step on one clock; NaN where a reading lacks it.
    seconds: dict[tuple[str, str], dict[int, float]] = {}
    for span, clock in product(timed, CLOCKS):
        timings, totals = record.series("latency_s", span), defaultdict[int, float](float)
        for step, value in zip(timings.column("step"), timings.array(CLOCKS[clock]).tolist(), strict=True):
            if 0 <= step < MOST_STEPS:
                totals[step] += value if 0 <= value < MOST else math.nan
        seconds[span, clock] = totals
    return RlRun(
        current=current,
        key=key,
        curve=_curve(current, seconds) if record.status is Status.OK else None,
        seconds_by_span={place: sum(by_step.values()) for place, by_step in seconds.items() if by_step},
    )


def _amounts(current: CurrentRecord, metric: str) -> Mapping[int, float]:
    """A metric by step, as `RlRun.by_step`. One that is COUNTED is never below 0, and energy is of one machine."""
    spans = (EVALUATE, STEP) if metric.startswith("heldout_") else (STEP,)
    by_step = next(filter(None, (numbers_by_step(current.record, metric, span) for span in spans)), {})
    is_spread = metric == COUNTED[JOULES] and not current.is_of_one_machine
    is_impossible = metric in COUNTED.values() and min(by_step.values(), default=0.0) < 0
    return {} if is_spread or is_impossible else by_step


def _curve(current: CurrentRecord, seconds: Mapping[tuple[str, str], Mapping[int, float]]) -> Curve | None:
    """The held-out accuracies with what had been spent before each, by budget; None where none was evaluated."""
    accuracies = _amounts(current, "heldout_accuracy")
    points = sorted((step, value) for step, value in accuracies.items() if 0 <= value <= 1)
    if not points:
        return None
    steps = [step for step, _ in points]
    amounts = {budget: _amounts(current, metric) for budget, metric in COUNTED.items()}
    for clock in CLOCKS:
        totals = Counter[int]()
        for phase in PHASES:
            totals.update(seconds.get((phase, clock), {}))
        amounts[clock] = {step: total for step, total in totals.items() if math.isfinite(total)}
    spent: dict[str, Sequence[float]] = {}
    for budget in (budget for budget in BUDGETS if amounts[budget]):
        by_step = amounts[budget]
        # Without a budget of which one step is missing, or nothing was spent.
        if all(step in by_step for step in range(steps[-1])):
            sums = [0.0, *accumulate(by_step[step] for step in range(steps[-1]))]
            if sums[-1] > 0 or steps[-1] == 0:
                spent[budget] = [sums[step] for step in steps]
    return Curve(steps=steps, accuracy=[value for _, value in points], spent={STEPS: steps, **spent})


def final_accuracy(run: RlRun) -> float | None:
    """The accuracy at a run's last evaluation; None without one."""
    return None if run.curve is None else run.curve.accuracy[-1]
