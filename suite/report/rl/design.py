"""The experiments that runs of reinforcement learning are laid out in, once for each Results.

An experiment holds arms, an arm the runs that differ in their seed alone. Arms are compared where the task, the models,
the device and the planned completions agree. Each question (algorithms, crossed settings, rewards, recipes, variants)
splits the same runs by other settings.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from suite.records.derived import started_at
from suite.report.blocks import Text, say
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import Arm, Design, Experiment, experiments, grouped, workload_runs
from suite.report.model.labels import ALGORITHM, RECIPE
from suite.report.model.results import Results, cached_by_results
from suite.report.model.run import LABEL, Pairs, parse_number
from suite.report.rl.naming import SHAPE, named, with_baseline
from suite.report.rl.run import (
    COMPLETIONS,
    DEFAULTS,
    REWARD_SOURCE,
    ROLLOUTS,
    SUPERVISION,
    Curve,
    RlRun,
    final_accuracy,
    read_run,
)
from suite.statistics.factorial import is_crossed

SHARED = ("task", "policy", "attention", "dtype", "device", "threads", COMPLETIONS, LABEL)
"""Settings in which all arms of an experiment agree."""
SHARED_BELOW = ("task.", "policy.", "attention.", "base.", "eval_")  # and those that say more of them
FORMATS = frozenset({"format_reward", "format_weight"})
CROSSED = ("scale_rewards", "kl_coef", "kl_type", "use_kl_in_reward", *sorted(FORMATS))
"""Settings that the factors of a factorial design are made of, beside the algorithm."""
MOST_LINES = 12  # in a figure; of more arms it shows the best of each algorithm
USUAL = "trl_default"  # GRPO as most people run it: the reference where PPO is not among the arms

RlArm = Arm[RlRun]


@dataclass(frozen=True, kw_only=True, eq=False)
class RlExperiment(Experiment[RlRun]):
    """Arms of reinforcement learning that may be compared, and what figures and sentences show of them."""

    @functools.cached_property
    def trained_arms(self) -> list[RlArm]:
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
        return [arm for arm in self.trained_arms if arm is not self.baseline]

    @property
    def most_seeds(self) -> int:
        return max((len(arm.ended) for arm in self.arms), default=0)

    @property
    def clock(self) -> str:
        """The clock of its seconds, `cpu` or `wall`: all its runs are on one device."""
        return self.arms[0].first.clock

    @property
    def clock_name(self) -> Text:
        return say(f"rl.clock.{self.clock}")

    @property
    def curves(self) -> list[Curve]:
        return [curve for arm in self.arms for curve in arm_curves(arm)]

    def budgets(self, *names: str) -> list[str]:
        """Those of the named budgets that every curve has."""
        curves = self.curves
        return [budget for budget in names if curves and all(budget in curve.spent for curve in curves)]


def mean_final(arm: RlArm) -> float:
    """The mean over an arm's runs of the accuracy at the last evaluation; 0 without any."""
    return arm.mean(final_accuracy) or 0.0


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
            return _shared_settings(run), str(run.record.provenance.get("commit"))

        def weight(run: RlRun, runs: Sequence[RlRun]) -> tuple[int, str]:
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
        design, has_labels = replace(DESIGN, is_factor=is_factor), self.results.several
        plain = experiments(runs, design, has_labels=has_labels, named=naming, is_shown=is_shown)
        return [RlExperiment(**vars(experiment)) for experiment in plain]

    @functools.cached_property
    def whole_experiments(self) -> Sequence[RlExperiment]:
        return self.split(self.runs_by_rl_alone, tells_arms_apart, functools.partial(named, lead=ALGORITHM))

    @functools.cached_property
    def algorithms(self) -> Sequence[RlExperiment]:
        """The experiments that compare algorithms: with GRPO and PPO first, then by how many arms are shown. PPO is the
        baseline, else TRL's GRPO. A lone arm that has recipes beside it stands with those. Of a large factorial only
        the arms that name no format: report/rl/why.py tells what each of its settings is worth.
        """
        with_recipes = {_shared_settings(run) for run in self.runs if run.value(RECIPE) != DEFAULTS[RECIPE]}

        def is_shown(arms: Sequence[RlArm]) -> bool:
            return len(arms) > 1 or arms[0].setting not in with_recipes

        # Of large factorials.
        crossed = {
            run
            for experiment in self.factorials
            for arm in (experiment.arms if len(experiment.arms) > MOST_LINES else ())
            for run in arm.runs
            if not FORMATS.isdisjoint(run.record.case.extras)
        }
        runs = [run for run in self.runs_by_rl_alone if run not in crossed]
        compared = []
        for experiment in self.split(runs, tells_arms_apart, functools.partial(named, lead=ALGORITHM), is_shown):
            arms = experiment.shown_arms
            # PPO on grouped prompts differs from the others in nothing but the algorithm.
            ppo = [arm for arm in arms if arm.value(ALGORITHM) == "ppo" and arm.value(SHAPE[1]) != "1"]
            usual = [arm for arm in arms if arm.value(ALGORITHM) == USUAL]
            compared.append(with_baseline(experiment, next(iter([*ppo, *usual, *arms]), None)))
        # People come with the question which of the two is better.
        return sorted(
            most_arms_first(compared),
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

    @functools.cached_property
    def rollouts(self) -> Sequence[RlExperiment]:
        """The experiments whose arms differ in the policy that samples, or in the correction for that; the baseline is
        the arm whose completions are its own."""

        def is_factor(name: str) -> bool:
            return name.startswith("rollout_")

        def is_shown(arms: Sequence[RlArm]) -> bool:
            return len({_has_own_rollouts(arm) for arm in arms}) == 2

        split = self.split(self.runs, is_factor, functools.partial(named, lead="rollout_correction"), is_shown)
        return [with_baseline(each, next(filter(_has_own_rollouts, each.arms))) for each in split]

    @functools.cached_property
    def rewards(self) -> Mapping[str, Sequence[RlExperiment]]:
        """By SUPERVISION and REWARD_SOURCE the experiments whose arms differ only in that and what belongs to it."""
        rewards = {}
        for name in (SUPERVISION, REWARD_SOURCE):
            naming = functools.partial(named, lead=name)
            split = self.split(self.runs, belongs_to(DESIGN, name), naming, lambda arms: len(arms) > 1)
            with_default = [with_baseline(experiment, default_arm(experiment, name)) for experiment in split]
            rewards[name] = sorted(with_default, key=lambda experiment: experiment.key)
        return rewards


@cached_by_results
def layout(results: Results) -> RlLayout:
    return RlLayout(results)


def _has_own_rollouts(arm: RlArm) -> bool:
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
