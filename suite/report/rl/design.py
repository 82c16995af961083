"""Runs of reinforcement learning, and the experiments that they are laid out in, once for each Results.

An experiment holds arms, an arm the runs that differ in their seed alone, a run its evaluations and what had been spent
before each. Arms are compared where the task, the models, the device and the planned completions agree. Each question
(algorithms, crossed settings, rewards, recipes, variants) splits the same runs by other settings.
"""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from suite.records.derived import started_at
from suite.records.metrics import EVALUATE, PHASES, TRIVIAL_ACCURACY
from suite.records.record import STEP, Record, Status
from suite.report.blocks import Text, say
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import Arm, Design, Experiment, experiment_titles, grouped, make_arms, workload_runs
from suite.report.model.labels import ALGORITHM, RECIPE, name_facets
from suite.report.model.results import CurrentRecord, Results, cached_by_results
from suite.report.model.run import LABEL, MOST, MOST_STEPS, Pairs, Run, numbers_by_step, parse_number, share
from suite.report.rl.naming import SHAPE, named, with_baseline
from suite.statistics.factorial import is_crossed

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
SHARED = ("task", "policy", "attention", "dtype", "device", "threads", COMPLETIONS, LABEL)
"""Settings in which all arms of an experiment agree."""
SHARED_BELOW = ("task.", "policy.", "attention.", "base.", "eval_")  # and those that say more of them
FORMATS = frozenset({"format_reward", "format_weight"})
CROSSED = ("scale_rewards", "kl_coef", "kl_type", "use_kl_in_reward", *sorted(FORMATS))
"""Settings that the factors of a factorial design are made of, beside the algorithm."""
MOST_LINES = 12  # in a figure; of more arms it shows the best of each algorithm
USUAL = "trl_default"  # GRPO as most people run it: the reference where PPO is not among the arms


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
        """Whether it ended well and was evaluated."""
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


RlArm = Arm[RlRun]


@dataclass(frozen=True, kw_only=True, eq=False)
class RlExperiment(Experiment[RlRun]):
    """Arms of reinforcement learning that may be compared, and what figures and sentences show of them."""

    @functools.cached_property
    def trained_arms(self) -> list[RlArm]:
        """The arms with a curve."""
        return [arm for arm in self.arms if arm.ended]

    @functools.cached_property
    def shown_arms(self) -> list[RlArm]:
        """The arms of figures and sentences: the trained ones; of more than MOST_LINES each algorithm's best."""
        if len(self.trained_arms) <= MOST_LINES:
            return self.trained_arms
        by_algorithm = grouped(self.trained_arms, lambda arm: arm.value(ALGORITHM))
        return [max(arms, key=mean_final) for arms in by_algorithm.values()]

    @property
    def is_picked(self) -> bool:
        """Whether figures show fewer arms than there are: arms picked by their scores cannot be judged by them."""
        return len(self.shown_arms) < len(self.trained_arms)

    @property
    def rivals(self) -> list[RlArm]:
        """The arms with a curve besides the baseline."""
        return [arm for arm in self.trained_arms if arm is not self.baseline]

    @property
    def most_seeds(self) -> int:
        """The number of curves of the arm that has the most."""
        return max((len(arm.ended) for arm in self.arms), default=0)

    @property
    def clock(self) -> str:
        """The clock of its seconds, `cpu` or `wall`: all its runs are on one device."""
        return self.arms[0].first.clock

    @property
    def clock_name(self) -> Text:
        """What its clock is called."""
        return say(f"rl.clock.{self.clock}")

    @property
    def curves(self) -> list[Curve]:
        return [curve for arm in self.arms for curve in arm_curves(arm)]

    def budgets(self, *names: str) -> list[str]:
        """Those of the named budgets that every curve has."""
        curves = self.curves
        return [budget for budget in names if curves and all(budget in curve.spent for curve in curves)]


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
    seconds = {(span, clock): _seconds(record, span, CLOCKS[clock]) for span in timed for clock in CLOCKS}
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


def _seconds(record: Record, span: str, clock: str) -> Mapping[int, float]:
    """The sum of a span's timings by step on one clock; NaN where a reading lacks it."""
    timings, totals = record.series("latency_s", span), defaultdict[int, float](float)
    for step, seconds in zip(timings.column("step"), timings.array(clock).tolist(), strict=True):
        if 0 <= step < MOST_STEPS:
            totals[step] += seconds if 0 <= seconds < MOST else math.nan
    return totals


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
    spent = {budget: before for budget in BUDGETS if (before := _spent_before(steps, amounts[budget])) is not None}
    return Curve(steps=steps, accuracy=[value for _, value in points], spent={STEPS: steps, **spent})


def _spent_before(steps: Sequence[int], amounts: Mapping[int, float]) -> list[float] | None:
    """The sum of the amounts before each of these steps; None where one is missing, or nothing was spent."""
    if not amounts or any(step not in amounts for step in range(steps[-1])):
        return None
    sums = [0.0, *accumulate(amounts[step] for step in range(steps[-1]))]
    return [sums[step] for step in steps] if sums[-1] > 0 or steps[-1] == 0 else None


def final(run: RlRun) -> float | None:
    """The accuracy at a run's last evaluation; None without one."""
    return None if run.curve is None else run.curve.accuracy[-1]


def mean_final(arm: RlArm) -> float:
    """The mean over an arm's runs of the accuracy at the last evaluation; 0 without any."""
    return arm.mean(final) or 0.0


def arm_curves(arm: RlArm) -> list[Curve]:
    return [run.curve for run in arm.runs if run.curve is not None]


def accuracy_bounds(arm: RlArm) -> tuple[float, float]:
    """The floor and the ceiling of an arm's accuracies: what the best strategy without skill reaches, and 1. An arm
    that is not above the floor has learnt nothing, whatever it gained."""
    return arm.first.trivial_accuracy or 0.0, 1.0


def tells_arms_apart(name: str) -> bool:
    """Whether arms of one experiment may differ in a setting."""
    return name not in SHARED and not name.startswith(SHARED_BELOW)


DESIGN = Design(
    workload="rl",
    read=read_run,
    is_factor=tells_arms_apart,
    ignored=("track_memory",),
    belongs={ALGORITHM: ("adv_estimator", "kl_coef")},
    defaults=DEFAULTS,
    heads=("task", "policy", "attention", ALGORITHM),
    unsaid=tuple(DEFAULTS.items()),
)


def _shared_settings(run: RlRun) -> Pairs:
    """The settings of a run in which all arms of its experiment agree."""
    return tuple(pair for pair in run.key if not tells_arms_apart(pair[0]))


@dataclass(frozen=True, eq=False)
class RlLayout:
    """All experiments of reinforcement learning of a page. `layout` has one for each Results, so that each is laid out
    once, when a section first asks for it."""

    results: Results

    @functools.cached_property
    def runs(self) -> Sequence[RlRun]:
        """All runs, one for each key and seed. Of several the one counts that was taken at the same commit as most of
        its experiment, so that seconds are of one sitting; else the newest."""

        sittings = Counter[tuple[Pairs, str]]()

        def sitting(run: RlRun) -> tuple[Pairs, str]:
            """What runs that were taken together share: settings of the experiment, and the commit."""
            return _shared_settings(run), str(run.record.provenance.get("commit"))

        def weight(run: RlRun, runs: Sequence[RlRun]) -> tuple[int, str]:
            """How many runs were taken with this one, then when it started."""
            if not sittings:
                sittings.update(map(sitting, runs))
            return sittings[sitting(run)], started_at(run.record)

        return workload_runs(self.results.records, DESIGN, weight)

    @functools.cached_property
    def runs_by_rl_alone(self) -> Sequence[RlRun]:
        """The runs that speak for their algorithm: by RL alone from a base model, on completions of the policy itself,
        rewarded by the task's key."""
        names = (RECIPE, REWARD_SOURCE, *ROLLOUTS)
        return [run for run in self.runs if all(run.value(name) == DEFAULTS[name] for name in names)]

    def split(
        self,
        runs: Iterable[RlRun],
        is_factor: Callable[[str], bool],
        naming: Callable[[Sequence[RlArm]], Sequence[RlArm]],
        is_shown: Callable[[Sequence[RlArm]], bool] = bool,
    ) -> list[RlExperiment]:
        """Group runs into experiments whose arms differ in the factors. `naming` orders and names the arms of one;
        `is_shown`: whether arms make an experiment."""
        by_setting = grouped(make_arms(runs, is_factor), lambda arm: arm.setting)
        groups = {key: arms for key, arms in by_setting.items() if is_shown(arms)}
        titles = experiment_titles(list(groups), DESIGN, has_labels=self.results.several)
        return [
            RlExperiment(key=key, arms=naming(arms), title=titles[key][0], settings=titles[key][1])
            for key, arms in groups.items()
        ]

    @functools.cached_property
    def whole_experiments(self) -> Sequence[RlExperiment]:
        """The experiments of RL alone with all of their arms, few or many."""
        return self.split(self.runs_by_rl_alone, tells_arms_apart, functools.partial(named, lead=ALGORITHM))

    @functools.cached_property
    def algorithms(self) -> Sequence[RlExperiment]:
        """The experiments that compare algorithms: with GRPO and PPO first, then by how many arms are shown. PPO is the
        baseline, else TRL's GRPO. A lone arm that has recipes beside it stands with those. Of a large factorial only
        the arms that name no format: report/rl/why.py tells what each of its settings is worth.
        """
        with_recipes = {_shared_settings(run) for run in self.runs if run.value(RECIPE) != DEFAULTS[RECIPE]}

        def is_shown(arms: Sequence[RlArm]) -> bool:
            """Whether there are several arms, or a lone one without recipes beside it."""
            return len(arms) > 1 or arms[0].setting not in with_recipes

        crossed = {
            run
            for experiment in self.large_factorials
            for arm in experiment.arms
            for run in arm.runs
            if not FORMATS.isdisjoint(run.record.case.extras)
        }
        runs = [run for run in self.runs_by_rl_alone if run not in crossed]
        experiments = []
        for experiment in self.split(runs, tells_arms_apart, functools.partial(named, lead=ALGORITHM), is_shown):
            arms = experiment.shown_arms
            # PPO on grouped prompts differs from the others in nothing but the algorithm.
            ppo = [arm for arm in arms if arm.value(ALGORITHM) == "ppo" and arm.value(SHAPE[1]) != "1"]
            usual = [arm for arm in arms if arm.value(ALGORITHM) == USUAL]
            experiments.append(with_baseline(experiment, next(iter([*ppo, *usual, *arms]), None)))
        # People come with the question which of the two is better.
        return sorted(
            most_arms_first(experiments),
            key=lambda experiment: not {"grpo", "ppo"} <= {arm.value(ALGORITHM) for arm in experiment.arms},
        )

    @functools.cached_property
    def factorials(self) -> Sequence[RlExperiment]:
        """The experiments in which two or more of algorithm, deviation, KL and format are crossed, and nothing else
        differs but what belongs to an algorithm."""
        is_algorithms_own = belongs_to(DESIGN, ALGORITHM)

        def uncrossed_settings(arm: RlArm) -> Pairs:
            """The settings that a case names itself and that are neither crossed nor the algorithm's own."""
            case = arm.first.record.case  # what another case names, the algorithm's own file may set
            return tuple(
                (name, value)
                for name, value in arm.key
                if (name in case.axes or name in case.extras) and name not in CROSSED and not is_algorithms_own(name)
            )

        return most_arms_first(
            replace(experiment, arms=arms)
            for experiment in self.whole_experiments
            for arms in grouped(experiment.arms, uncrossed_settings).values()
            if is_crossed({factor_levels(arm.first) for arm in arms})
        )

    @property
    def large_factorials(self) -> list[RlExperiment]:
        """The factorials of more arms than a figure shows."""
        return [experiment for experiment in self.factorials if len(experiment.arms) > MOST_LINES]

    @functools.cached_property
    def rollouts(self) -> Sequence[RlExperiment]:
        """The experiments whose arms differ in the policy that samples, or in the correction for that; the baseline is
        the arm whose completions are its own."""

        def is_factor(name: str) -> bool:
            return name.startswith("rollout_")

        def is_shown(arms: Sequence[RlArm]) -> bool:
            """Whether an arm has rollouts of its own, and another one does not."""
            return len({_has_own_rollouts(arm) for arm in arms}) == 2

        experiments = self.split(self.runs, is_factor, functools.partial(named, lead="rollout_correction"), is_shown)
        return [with_baseline(each, next(filter(_has_own_rollouts, each.arms))) for each in experiments]

    @functools.cached_property
    def rewards(self) -> Mapping[str, Sequence[RlExperiment]]:
        """By SUPERVISION and REWARD_SOURCE the experiments whose arms differ only in that and what belongs to it."""
        rewards = {}
        for name in (SUPERVISION, REWARD_SOURCE):
            naming = functools.partial(named, lead=name)
            experiments = self.split(self.runs, belongs_to(DESIGN, name), naming, lambda arms: len(arms) > 1)
            with_default = [with_baseline(experiment, default_arm(experiment, name)) for experiment in experiments]
            rewards[name] = sorted(with_default, key=lambda experiment: experiment.key)
        return rewards


@cached_by_results
def layout(results: Results) -> RlLayout:
    """The layout of these results' runs, made once."""
    return RlLayout(results)


def _has_own_rollouts(arm: RlArm) -> bool:
    """Whether an arm learns from completions of its own, without a correction."""
    return all(arm.first.value(name) == default for name, default in ROLLOUTS.items())


def factor_levels(run: RlRun) -> tuple[str, str, str, str]:
    """The levels of a run's algorithm, deviation, KL (`none`, `loss 0.04`) and format (a weight, or `gate`)."""
    coefficient, weight = parse_number(run.axis("kl_coef")), parse_number(run.setting("format_weight"))
    place = "reward" if run.setting("use_kl_in_reward") == "true" else "loss"
    kl = f"{place} {coefficient:g}" if coefficient else "none"
    form = "gate" if run.setting("format_reward") == "gate" else "" if weight is None else f"{weight:g}"
    return run.value(ALGORITHM), run.setting("scale_rewards"), kl, form


def most_arms_first(experiments: Iterable[RlExperiment]) -> list[RlExperiment]:
    """Sort experiments by how many arms figures show, then by seeds and name."""
    return sorted(
        experiments, key=lambda experiment: (-len(experiment.shown_arms), -experiment.most_seeds, experiment.key)
    )


def default_arm(experiment: RlExperiment, name: str) -> RlArm | None:
    """The trained arm that has a setting's default; None without such an arm."""
    return next((arm for arm in experiment.trained_arms if arm.first.value(name) == DEFAULTS[name]), None)
