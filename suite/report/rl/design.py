"""Runs of reinforcement learning: what each had learnt by what it had spent, and which of them are compared.

Runs that differ in their seed alone repeat an arm. Arms are compared where the task, the models, the device and the
completions that were planned agree. A section then asks one question of them, and so splits them by other settings:
algorithms by all that is left, rewards and recipes by what says so.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.records.derived import started_at
from suite.records.record import STEP, Reading, Record
from suite.records.rl_metrics import EVALUATE, PHASES
from suite.report.blocks import Text, dotted
from suite.report.model.experiment import Arm, Design, Experiment, arms_of, differing, experiments, grouped, runs_of
from suite.report.model.labels import (
    ALGORITHM,
    BLUE,
    GREEN,
    OTHER,
    RECIPE,
    VERMILION,
    Style,
    label_of,
    name_facets,
    rank_of,
    style_of,
)
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import LABEL, MOST, MOST_STEPS, Pairs, Run

LATENCY = "latency_s"
COMPLETIONS, TOKENS, UPDATES, CPU, WALL, JOULES = "completions", "tokens", "updates", "cpu", "wall", "joules"
BUDGETS = (COMPLETIONS, TOKENS, UPDATES, CPU, WALL, JOULES)
STEPS = "steps"
"""No budget that a record counts: the steps themselves, which are a budget where each step trains on as much."""
COUNTED = {COMPLETIONS: "completions", TOKENS: "sampled_tokens", UPDATES: "updates", JOULES: "energy_j"}
"""Budgets that are a metric of the span `step`; the others are clocks of the timed spans."""
CLOCKS: Mapping[str, Callable[[Reading], float | None]] = {
    CPU: lambda reading: reading.process_cpu_s,
    WALL: lambda reading: reading.wall_s,
}
SUPERVISION, REWARD_FROM = "supervision", "reward_from"
DEFAULTS = {RECIPE: "r1_zero", SUPERVISION: "outcome", REWARD_FROM: "key"}
"""Settings that older records do not have. To name the default says no more than to name none."""
SHAPE = ("prompts_per_step", "num_generations")
SHARED = ("task", "policy", "attention", "dtype", "device", "threads", COMPLETIONS, LABEL)
"""Settings in which all arms of an experiment agree."""
SHARED_BELOW = ("task.", "policy.", "attention.", "base.", "eval_")
"""And those that say more of them."""
FOLLOWS = {"steps": SHAPE, "kl_coef": (ALGORITHM,), "critic_lr": (ALGORITHM,)}
"""Settings that are said only where arms that agree in these differ in them."""
OF_ONE_VALUE = {SUPERVISION: ("outcome_as_step",)}
"""Settings that only one value of a setting has: arms that lack them are compared with all that have it."""
STYLES = {
    (SUPERVISION, "outcome"): Style(colour=BLUE, dash="solid", marker="circle"),
    (SUPERVISION, "process"): Style(colour=VERMILION, dash="dash", marker="square"),
    (REWARD_FROM, "key"): Style(colour=BLUE, dash="solid", marker="circle"),
    (REWARD_FROM, "majority"): Style(colour=GREEN, dash="dashdot", marker="diamond"),
}
REFERENCE = "ppo"
MOST_LINES = 12


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
        """Return what had been spent before each evaluation, of a budget that it has."""
        return self.at if budget == STEPS else self.spent[budget]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRun(Run):
    """A record of reinforcement learning. A record may be old or foreign: what it lacks is absent."""

    curve: Curve | None
    """None where nothing was evaluated, or the run did not end well."""
    of_step: Mapping[str, Mapping[int, float]]
    """A step's numbers, by metric."""
    evaluated: Mapping[str, Mapping[int, float]]
    seconds: Mapping[str, Mapping[str, float]]
    """Seconds of the whole run by clock and timed span; a span is missing where a reading has none."""

    @property
    def ended(self) -> bool:
        return self.curve is not None

    @property
    def final(self) -> float | None:
        """Return the accuracy at the last evaluation."""
        return None if self.curve is None else self.curve.final

    @property
    def facets(self) -> dict[str, Text]:
        return name_facets(self.record.case.axes) | {LABEL: self.label}

    @property
    def clock(self) -> str:
        """Return CPU seconds on a CPU, which a busy machine stretches less; elsewhere seconds on the wall."""
        return CPU if self.axis("device") == "cpu" else WALL

    def said(self, name: str) -> str:
        """Return a setting of its key, or its default."""
        return dict(self.key).get(name) or DEFAULTS.get(name, "")

    def series(self, metric: str) -> list[tuple[int, float]]:
        return sorted(self.of_step.get(metric, {}).items())

    def total(self, metric: str) -> float | None:
        """Return the sum over all steps."""
        values = self.of_step.get(metric)
        return sum(values.values()) if values else None


TrainingArm = Arm[TrainingRun]
TrainingExperiment = Experiment[TrainingRun]


def tracks_memory(record: Record) -> bool:
    """Return whether a run held every tensor of its steps by its owner, which slows it down."""
    return record.settings.get("track_memory") is True


def read_run(current: CurrentRecord, key: Pairs) -> TrainingRun | None:
    """Read a run, but for one that tracked its memory: its seconds are no algorithm's."""
    if tracks_memory(current.record):
        return None
    of_step: dict[str, dict[int, float]] = defaultdict(dict)
    evaluated: dict[str, dict[int, float]] = defaultdict(dict)
    timed: dict[str, list[Reading]] = defaultdict(list)
    for reading in current.record.readings:
        is_of_machine = reading.metric in (LATENCY, COUNTED[JOULES])
        if not 0 <= reading.step < MOST_STEPS or (is_of_machine and not current.is_of_one_machine):
            continue
        if reading.metric == LATENCY:
            timed[reading.span].append(reading)
        elif math.isfinite(reading.value) and abs(reading.value) < MOST and reading.span in (STEP, EVALUATE):
            numbers = of_step if reading.span == STEP else evaluated
            numbers[reading.metric][reading.step] = reading.value
    for metric in COUNTED.values():
        if min(of_step.get(metric, {0: 0.0}).values()) < 0:
            del of_step[metric]
    planned = _planned(current.record.case.axes)
    run = TrainingRun(
        current=current,
        key=(*key[:-1], *([(COMPLETIONS, planned)] if planned else []), key[-1]),
        curve=None,
        of_step=of_step,
        evaluated=evaluated,
        seconds={clock: _seconds(timed, of_reading) for clock, of_reading in CLOCKS.items()},
    )
    return replace(run, curve=_curve(run, timed)) if run.is_ok else run


def _planned(axes: Mapping[str, Any]) -> str:
    """Return the completions of the whole run, if all goes as it was asked for."""
    factors = [axes.get(name) for name in ("steps", *SHAPE)]
    known = [factor for factor in factors if isinstance(factor, int) and 0 < factor < MOST_STEPS]
    return str(math.prod(known)) if len(known) == len(factors) else ""


def _curve(run: TrainingRun, timed: Mapping[str, Sequence[Reading]]) -> Curve | None:
    values = run.evaluated.get("heldout_accuracy", {})
    points = sorted((step, value) for step, value in values.items() if 0 <= value <= 1)
    if not points:
        return None
    at = [step for step, _ in points]
    by_step = {budget: run.of_step.get(metric, {}) for budget, metric in COUNTED.items()}
    by_step |= {clock: _seconds_by_step(timed, of_reading) for clock, of_reading in CLOCKS.items()}
    spent = {budget: before for budget in BUDGETS if (before := _before(at, by_step[budget])) is not None}
    return Curve(at=at, accuracy=[value for _, value in points], spent=spent)


def _before(at: Sequence[int], by_step: Mapping[int, float]) -> list[float] | None:
    """Return what was spent before each evaluation; None where a step is missing, or nothing was spent."""
    if not by_step or any(step not in by_step for step in range(at[-1])):
        return None
    before, sums = 0.0, {0: 0.0}
    for step in range(at[-1]):
        before += by_step[step]
        sums[step + 1] = before
    return [sums[step] for step in at] if before > 0 or at[-1] == 0 else None


def _seconds_by_step(
    timed: Mapping[str, Sequence[Reading]], clock: Callable[[Reading], float | None]
) -> dict[int, float]:
    """Return the seconds of each step's phases; a step with a reading that lacks this clock is left out."""
    seconds: dict[int, float] = defaultdict(float)
    for reading in (reading for phase in PHASES for reading in timed.get(phase, ())):
        said = clock(reading)
        seconds[reading.step] += said if said is not None and 0 <= said < MOST else math.nan
    return {step: value for step, value in seconds.items() if math.isfinite(value)}


def _seconds(timed: Mapping[str, Sequence[Reading]], clock: Callable[[Reading], float | None]) -> dict[str, float]:
    sums = {}
    for span in (*PHASES, EVALUATE):
        said = [clock(reading) for reading in timed.get(span, ())]
        known = [value for value in said if value is not None and 0 <= value < MOST]
        if said and len(known) == len(said):
            sums[span] = sum(known)
    return sums


def tells_arms_apart(name: str) -> bool:
    """Return whether arms of one experiment may differ in a setting."""
    return name not in SHARED and not name.startswith(SHARED_BELOW)


DESIGN = Design(
    workload="rl",
    read=read_run,
    is_factor=tells_arms_apart,
    ignored=("track_memory",),
    defaults=DEFAULTS,
    heads=("task", "policy", "attention", ALGORITHM),
    unsaid=tuple(DEFAULTS.items()),
)


@functools.lru_cache(maxsize=1)
def training_runs(results: Results) -> Sequence[TrainingRun]:
    """Read all runs. Of two of one key and seed the one counts that was taken with most of its experiment, so that
    seconds are of one sitting; else the newest.
    """

    def weight(run: TrainingRun, runs: Sequence[TrainingRun]) -> tuple[int, str]:
        return sum(_sitting(other) == _sitting(run) for other in runs), started_at(run.record)

    return runs_of(results, DESIGN, weight)


def _sitting(run: TrainingRun) -> tuple[Pairs, str]:
    return _setting(run), str(run.record.provenance.get("commit"))


def _setting(run: TrainingRun) -> Pairs:
    return tuple(pair for pair in run.key if not tells_arms_apart(pair[0]))


def split(
    results: Results,
    runs: Iterable[TrainingRun],
    is_factor: Callable[[str], bool],
    named: Callable[[Sequence[TrainingArm]], Sequence[TrainingArm]],
    is_shown: Callable[[Sequence[TrainingArm]], bool] = bool,
) -> list[TrainingExperiment]:
    """Group runs into experiments whose arms differ in these settings. `is_shown`: of an experiment's arms."""
    found = grouped(arms_of(runs, is_factor), lambda arm: arm.setting)
    shown = [run for arms in found.values() if is_shown(arms) for arm in arms for run in arm.runs]
    return experiments(shown, replace(DESIGN, is_factor=is_factor), has_labels=results.several, named=named)


@functools.lru_cache(maxsize=1)
def algorithms(results: Results) -> Sequence[TrainingExperiment]:
    """Return the experiments with algorithms, the ones that show the most arms first. An arm that is alone among
    algorithms and not among recipes is told with those.
    """
    of_recipes = {_setting(run) for run in training_runs(results) if run.said(RECIPE) != DEFAULTS[RECIPE]}
    found = split(
        results,
        by_rl_alone(results),
        tells_arms_apart,
        functools.partial(named, lead=ALGORITHM),
        lambda arms: len(arms) > 1 or arms[0].setting not in of_recipes,
    )
    made = [replace(one, baseline=_grouped_ppo(one)) for one in found]
    return sorted(made, key=lambda one: (-len(chosen(one)), -most_seeds(one), str(one.name)))


def by_rl_alone(results: Results) -> list[TrainingRun]:
    """Return the runs that speak for their algorithm: by RL alone from a base model, and paid by the key."""
    runs = training_runs(results)
    return [run for run in runs if all(run.said(name) == DEFAULTS[name] for name in (RECIPE, REWARD_FROM))]


def _grouped_ppo(experiment: TrainingExperiment) -> TrainingArm | None:
    """Return PPO on grouped prompts, which differs from the others in nothing but the algorithm; else the first arm."""
    drawn_arms = chosen(experiment)
    grouped_ppo = (arm for arm in drawn_arms if arm.said(ALGORITHM) == REFERENCE and arm.said("num_generations") != "1")
    return next(grouped_ppo, next(iter(drawn_arms), None))


def values_of(results: Results, name: str) -> list[TrainingExperiment]:
    """Return the experiments whose arms agree in all but one setting and what belongs to it."""
    own = (name, *OF_ONE_VALUE.get(name, ()))
    named_by = functools.partial(named, lead=name)
    found = split(results, training_runs(results), own.__contains__, named_by, lambda arms: len(arms) > 1)
    return sorted((replace(one, baseline=default_arm(one, name)) for one in found), key=lambda one: str(one.name))


def default_arm(experiment: TrainingExperiment, name: str) -> TrainingArm | None:
    """Return the arm with a setting's default; None where it has no curve."""
    return next((arm for arm in drawn(experiment) if value_of(arm, name) == DEFAULTS[name]), None)


def value_of(arm: TrainingArm, name: str) -> str:
    """Return a setting of an arm, or its default."""
    return arm.said(name) or DEFAULTS.get(name, "")


def lead_name(arm: TrainingArm, lead: str) -> str:
    """Return what an arm is called first, by the setting that its experiment is about."""
    return _led_by(lead, value_of(arm, lead))


def _led_by(lead: str, value: str) -> str:
    return label_of(lead, value) if lead in (ALGORITHM, RECIPE) else f"{lead}={value}"


def named(
    arms: Sequence[TrainingArm], lead: str, is_said: Callable[[str], bool] = lambda name: True
) -> list[TrainingArm]:
    """Give arms their names, by `lead` and by what else differs between them, their looks and their order.

    `is_said`: whether names may tell a setting.
    """
    keys = {arm: tuple(pair for pair in arm.key if is_said(pair[0])) for arm in arms}
    names = _names(list(dict.fromkeys(keys.values())), lead)
    made = [replace(arm, name=names[keys[arm]], style=_style(lead, value_of(arm, lead))) for arm in arms]
    return sorted(made, key=lambda arm: (_rank(lead, value_of(arm, lead)), str(arm.name)))


def _names(keys: Sequence[Pairs], lead: str) -> dict[Pairs, Text]:
    """Return each key's name: what it is called first, its shape, and the settings in which keys differ."""
    differ, names = differing(keys), {}
    for key in keys:
        said = dict(key)
        silent = {name for name, of in FOLLOWS.items() if name not in differing(_agreeing(said, of, keys))}
        shape = " × ".join(said.get(name, "") for name in SHAPE) if not differ.isdisjoint(SHAPE) else ""
        told = differ - {lead, *SHAPE, *silent}
        rest = [f"{name}={_brief(value)}" for name, value in key if name in told]
        names[key] = dotted(_led_by(lead, said.get(lead) or DEFAULTS.get(lead, "")), shape, *rest)
    return names


def _agreeing(said: Mapping[str, str], names: Sequence[str], keys: Sequence[Pairs]) -> list[Pairs]:
    return [key for key in keys if all(dict(key).get(name) == said.get(name) for name in names)]


def _brief(value: str) -> str:
    """A drawn rate has seventeen digits."""
    try:
        return f"{float(value):.3g}" if "." in value else value
    except ValueError:
        return value


def _style(lead: str, value: str) -> Style:
    return style_of(lead, value) if lead in (ALGORITHM, RECIPE) else STYLES.get((lead, value), OTHER)


def _rank(lead: str, value: str) -> tuple[int, str]:
    if lead in (ALGORITHM, RECIPE):
        return rank_of(lead, value)
    known = list(STYLES)
    return known.index((lead, value)) if (lead, value) in known else len(known), value


def curves(arm: TrainingArm) -> list[Curve]:
    """Return the curves of the runs that have one."""
    return [run.curve for run in arm.runs if run.curve is not None]


def final(run: TrainingRun) -> float | None:
    """Return the accuracy at a run's last evaluation."""
    return run.final


def drawn(experiment: TrainingExperiment) -> list[TrainingArm]:
    """Return the arms with a curve."""
    return [arm for arm in experiment.arms if arm.ended]


def chosen(experiment: TrainingExperiment) -> list[TrainingArm]:
    """Return what figures and sentences show: all arms, or where that is too many the best of each algorithm."""
    every = drawn(experiment)
    if len(every) <= MOST_LINES:
        return every
    of_algorithm = grouped(every, lambda arm: arm.said(ALGORITHM))
    return [max(arms, key=lambda arm: arm.mean(final) or 0.0) for arms in of_algorithm.values()]


def is_picked(experiment: TrainingExperiment) -> bool:
    """Return whether figures show fewer arms than there are."""
    return len(chosen(experiment)) < len(drawn(experiment))


def has_budget(experiment: TrainingExperiment, budget: str) -> bool:
    """Return whether every curve has a budget."""
    every = [curve for arm in experiment.arms for curve in curves(arm)]
    return bool(every) and all(curve.has(budget) for curve in every)


def budgets(experiment: TrainingExperiment) -> list[str]:
    """Return the budgets that every curve has."""
    return [budget for budget in BUDGETS if has_budget(experiment, budget)]


def most_seeds(experiment: TrainingExperiment) -> int:
    """Return the most curves that an arm has."""
    return max((len(arm.ended) for arm in experiment.arms), default=0)


def clock_of(experiment: TrainingExperiment) -> str:
    """Return the clock that its seconds are told by; all its runs are on one device."""
    return experiment.arms[0].first.clock
