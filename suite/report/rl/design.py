"""Runs of reinforcement learning: what each had learnt by what it had spent, and which of them are compared.

Runs that differ in their seed alone repeat an arm. Arms are compared where the task, the models, the device and the
completions that were planned agree. Each section asks one question of them, and so splits them by other settings.
"""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeVar

from suite.records.derived import started_at
from suite.records.metrics import EVALUATE, PHASES, TRIVIAL_ACCURACY
from suite.records.record import STEP, Record, Status
from suite.report.blocks import Figure, Table, Text, View, dotted, joined, say
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import Arm, Design, Experiment, arms_of, differing, experiments, grouped, runs_of
from suite.report.model.labels import (
    ALGORITHM,
    BLUE,
    GREEN,
    OTHER,
    RECIPE,
    VARIANT,
    VERMILION,
    Look,
    Style,
    looks,
    name_facets,
    setting_text,
    style_of,
    variant_label,
)
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import LABEL, MOST, MOST_STEPS, Pairs, Run, number_of, share
from suite.report.plot.marks import LINES
from suite.report.plot.plots import height_px
from suite.report.table import Column, table
from suite.statistics.factorial import is_crossed

COMPLETIONS, TOKENS, UPDATES, CPU, WALL, JOULES = "completions", "tokens", "updates", "cpu", "wall", "joules"
BUDGETS = (COMPLETIONS, TOKENS, UPDATES, CPU, WALL, JOULES)
STEPS = "steps"
"""No budget that a record counts: the steps themselves, which are a budget where each step trains on as much."""
COUNTED = {COMPLETIONS: "completions", TOKENS: "sampled_tokens", UPDATES: "updates", JOULES: "energy_j"}
"""Budgets that are a metric of the span `step`."""
CLOCKS = {CPU: "process_cpu_s", WALL: "wall_s"}
"""Budgets that readings of the timed spans have."""
SUPERVISION, REWARD_SOURCE = "supervision", "reward_source"
DEFAULTS = {RECIPE: "r1_zero", SUPERVISION: "outcome", REWARD_SOURCE: "ground_truth", "format_reward": "added"}
"""Settings that older records do not have. To name the default says no more than to name none."""
SHAPE = ("prompts_per_step", "num_generations")
SHARED = ("task", "policy", "attention", "dtype", "device", "threads", COMPLETIONS, LABEL)
"""Settings in which all arms of an experiment agree."""
SHARED_BELOW = ("task.", "policy.", "attention.", "base.", "eval_")
"""And those that say more of them."""
FOLLOWS = {
    "steps": SHAPE,
    **dict.fromkeys(("kl_coef", "kl_type", "use_kl_in_reward", "scale_rewards", "critic_lr"), (ALGORITHM,)),
}
"""Settings that are said only where arms that agree in these differ in them."""
STYLES = {
    (SUPERVISION, "outcome"): Style(colour=BLUE),
    (SUPERVISION, "process"): Style(colour=VERMILION, dash="dash", marker="square"),
    (REWARD_SOURCE, "ground_truth"): Style(colour=BLUE),
    (REWARD_SOURCE, "majority"): Style(colour=GREEN, dash="dashdot", marker="diamond"),
}
CROSSED = ("scale_rewards", "kl_coef", "kl_type", "use_kl_in_reward", "format_reward", "format_weight")
"""Settings that the factors of a factorial design are made of, beside the algorithm."""
MOST_LINES = 12
TRIAL = "trial="
USUAL = "trl_default"
"""The algorithm that others are compared with where PPO is not among them: GRPO as most people run it."""
MOST_OF_A_STYLE = 2
"""Lines of one colour that their dashes tell apart."""
NAMES = " · "
"""Between the parts of an arm's name."""

OfSteps = Mapping[str, Mapping[int, float]]
"""Numbers by step, of several metrics or spans."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Held-out accuracy at the evaluations, and what had been spent before each."""

    at: Sequence[int]
    """Training steps before the evaluation."""
    accuracy: Sequence[float]
    spent: Mapping[str, Sequence[float]]
    """Amounts by budget, or STEPS; a budget that is not known at every evaluation is not there."""

    def by_step(self, budget: str = "") -> dict[int, float]:
        """Return the accuracy by step, or what had been spent of a budget."""
        return dict(zip(self.at, self.spent[budget] if budget else self.accuracy, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class RlRun(Run):
    """A record of reinforcement learning. It may be old or foreign: what it lacks is absent."""

    curve: Curve | None
    """None where nothing was evaluated, or the run did not end well."""
    of_step: OfSteps
    evaluated: OfSteps
    timed: Mapping[str, OfSteps]
    """Seconds by clock; no number where a reading lacks it."""

    @property
    def ended(self) -> bool:
        return self.curve is not None

    @property
    def facets(self) -> dict[str, Text]:
        return name_facets(self.record.case.axes) | {LABEL: self.label}

    @property
    def clock(self) -> str:
        """Return CPU seconds on a CPU, which a busy machine stretches less; elsewhere seconds on the wall."""
        return CPU if self.axis("device") == "cpu" else WALL

    def value(self, name: str) -> str:
        """Return a setting of its key, or its default."""
        return dict(self.key).get(name) or DEFAULTS.get(name, "")

    @functools.cached_property
    def trivial_accuracy(self) -> float | None:
        """Held-out accuracy of the best strategy without skill, see suite.rl.tasks.task; None where nobody knows it."""
        return share(self.constant(TRIVIAL_ACCURACY, EVALUATE))

    def total(self, metric: str) -> float | None:
        """Return the sum over all steps."""
        return sum(self.of_step[metric].values()) if metric in self.of_step else None

    def seconds(self, span: str, clock: str = "") -> float | None:
        """Return the seconds of the whole run in a span, by its own clock if none is named."""
        found = sum(self.timed[clock or self.clock].get(span, {0: math.nan}).values())
        return found if math.isfinite(found) else None


RlArm = Arm[RlRun]
RlExperiment = Experiment[RlRun]
R = TypeVar("R")


def numbers_by_step(record: Record, *, above: float = -MOST) -> dict[str, dict[str, dict[int, float]]]:
    """Return the numbers of each span by metric and step, of those that a run could have."""
    found = defaultdict[str, dict[str, dict[int, float]]](lambda: defaultdict(dict))
    for (span, metric), readings in record.by_span.items():
        for step, value in zip(readings.column("step"), readings.column("value"), strict=True):
            if 0 <= step < MOST_STEPS and above < value < MOST:
                found[span][metric][step] = value
    return found


def read_run(current: CurrentRecord, key: Pairs) -> RlRun | None:
    """Read a run, but for one that tracked its memory: to hold every tensor by its owner costs seconds."""
    record = current.record
    if record.settings.get("track_memory") is True:
        return None
    found = numbers_by_step(record)
    of_step, evaluated = found.get(STEP, {}), found.get(EVALUATE, {})
    for metric in COUNTED.values():
        is_of_another = metric == COUNTED[JOULES] and not current.is_of_one_machine
        if is_of_another or min(of_step.get(metric, {}).values(), default=0.0) < 0:
            of_step.pop(metric, None)
    timed = {clock: _seconds(record, field) if current.is_of_one_machine else {} for clock, field in CLOCKS.items()}
    factors = [record.case.axes.get(name) for name in ("steps", *SHAPE)]
    known = [factor for factor in factors if isinstance(factor, int) and 0 < factor < MOST_STEPS]
    planned = [(COMPLETIONS, str(math.prod(known)))] if len(known) == len(factors) else []
    accuracy = evaluated.get("heldout_accuracy", {}) if record.status is Status.OK else {}
    curve = _curve(of_step, accuracy, timed)
    key = (*key[:-1], *planned, key[-1])
    return RlRun(current=current, key=key, curve=curve, of_step=of_step, evaluated=evaluated, timed=timed)


def _seconds(record: Record, clock: str) -> OfSteps:
    """The seconds of each span by step; no number where a reading lacks this field."""
    totals = defaultdict[str, dict[int, float]](lambda: defaultdict(float))
    for (span, metric), readings in record.by_span.items():
        timings = zip(readings.column("step"), readings.column(clock), strict=True) if metric == "latency_s" else ()
        for step, seconds in timings:
            if 0 <= step < MOST_STEPS:
                is_sensible = seconds is not None and 0 <= seconds < MOST
                totals[span][step] += seconds if is_sensible else math.nan
    return totals


def _curve(of_step: OfSteps, accuracy: Mapping[int, float], timed: Mapping[str, OfSteps]) -> Curve | None:
    points = sorted((step, value) for step, value in accuracy.items() if 0 <= value <= 1)
    if not points:
        return None
    at = [step for step, _ in points]
    by_step = {budget: of_step.get(metric, {}) for budget, metric in COUNTED.items()}
    for clock, of_span in timed.items():
        seconds = Counter[int]()
        for phase in PHASES:
            seconds.update(of_span.get(phase, {}))
        by_step[clock] = {step: value for step, value in seconds.items() if math.isfinite(value)}
    spent = {budget: before for budget in BUDGETS if (before := _before(at, by_step[budget])) is not None}
    return Curve(at=at, accuracy=[value for _, value in points], spent={STEPS: at, **spent})


def _before(at: Sequence[int], by_step: Mapping[int, float]) -> list[float] | None:
    """What was spent before each evaluation; None where a step is missing, or nothing was spent."""
    if not by_step or any(step not in by_step for step in range(at[-1])):
        return None
    sums = [0.0, *accumulate(by_step[step] for step in range(at[-1]))]
    return [sums[step] for step in at] if sums[-1] > 0 or at[-1] == 0 else None


def tells_arms_apart(name: str) -> bool:
    """Return whether arms of one experiment may differ in a setting."""
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


@functools.lru_cache(maxsize=1)
def training_runs(results: Results) -> Sequence[RlRun]:
    """Read all runs. Of two of one key and seed the one counts that was taken with most of its experiment, so that
    seconds are of one sitting; else the newest.
    """

    def weight(run: RlRun, runs: Sequence[RlRun]) -> tuple[int, str]:
        return [_sitting(other) for other in runs].count(_sitting(run)), started_at(run.record)

    return runs_of(results.records, DESIGN, weight)


def _sitting(run: RlRun) -> tuple[Pairs, str]:
    return _setting(run), str(run.record.provenance.get("commit"))


def _setting(run: RlRun) -> Pairs:
    return tuple(pair for pair in run.key if not tells_arms_apart(pair[0]))


def split(
    results: Results,
    runs: Iterable[RlRun],
    is_factor: Callable[[str], bool],
    named: Callable[[Sequence[RlArm]], Sequence[RlArm]],
    is_shown: Callable[[Sequence[RlArm]], bool] = bool,
) -> list[RlExperiment]:
    """Group runs into experiments whose arms differ in these settings. `is_shown`: of an experiment's arms."""
    found = grouped(arms_of(runs, is_factor), lambda arm: arm.setting)
    shown = [run for arms in found.values() if is_shown(arms) for arm in arms for run in arm.runs]
    return experiments(shown, replace(DESIGN, is_factor=is_factor), has_labels=results.several, named=named)


@functools.lru_cache(maxsize=1)
def algorithms(results: Results) -> Sequence[RlExperiment]:
    """Return the experiments with algorithms, the ones that show the most arms first. An arm that is alone among
    algorithms and not among recipes is told with those.
    """
    of_recipes = {_setting(run) for run in training_runs(results) if run.value(RECIPE) != DEFAULTS[RECIPE]}

    def is_shown(arms: Sequence[RlArm]) -> bool:
        return len(arms) > 1 or arms[0].setting not in of_recipes

    # Sixty arms are no comparison of algorithms: report/rl/why.py tells what each of their settings is worth.
    left = {run for experiment in large_factorials(results) for arm in experiment.arms for run in arm.runs}
    runs = [run for run in by_rl_alone(results) if run not in left]
    found = split(results, runs, tells_arms_apart, functools.partial(named, lead=ALGORITHM), is_shown)
    made = []
    for experiment in found:
        arms = chosen(experiment)
        # PPO on grouped prompts differs from the others in nothing but the algorithm.
        ppo = [arm for arm in arms if arm.value(ALGORITHM) == "ppo" and arm.value(SHAPE[1]) != "1"]
        usual = [arm for arm in arms if arm.value(ALGORITHM) == USUAL]
        made.append(beside(experiment, next(iter([*ppo, *usual, *arms]), None)))
    # People come with the question which of the two is better.
    return sorted(
        most_arms_first(made), key=lambda of: not {"grpo", "ppo"} <= {arm.value(ALGORITHM) for arm in of.arms}
    )


@functools.lru_cache(maxsize=1)
def factorials(results: Results) -> Sequence[RlExperiment]:
    """Return the experiments in which two or more of algorithm, deviation, KL and format are crossed, and nothing else
    differs but what belongs to an algorithm."""
    of_algorithm = belongs_to(DESIGN, ALGORITHM)

    def beside(arm: RlArm) -> Pairs:
        case = arm.first.record.case  # what another case names, the algorithm's own file may set
        own = [pair for pair in arm.key if pair[0] in case.axes or pair[0] in case.extras]
        return tuple(pair for pair in own if pair[0] not in CROSSED and not of_algorithm(pair[0]))

    named_by = functools.partial(named, lead=ALGORITHM)
    every = split(results, by_rl_alone(results), tells_arms_apart, named_by)
    alike = [(experiment, arms) for experiment in every for arms in grouped(experiment.arms, beside).values()]
    crossed = [(experiment, arms) for experiment, arms in alike if is_crossed({cell_of(arm.first) for arm in arms})]
    return most_arms_first(replace(experiment, arms=arms) for experiment, arms in crossed)


def large_factorials(results: Results) -> list[RlExperiment]:
    """Return those of more arms than a figure shows."""
    return [experiment for experiment in factorials(results) if len(experiment.arms) > MOST_LINES]


def cell_of(run: RlRun) -> tuple[str, str, str, str]:
    """Return the levels of a run's algorithm, deviation, KL (`none`, `loss 0.04`) and format (a weight, or `gate`)."""
    coefficient, weight = number_of(run.axis("kl_coef")), number_of(run.setting("format_weight"))
    place = "reward" if run.setting("use_kl_in_reward") == "true" else "loss"
    kl = f"{place} {coefficient:g}" if coefficient else "none"
    form = "gate" if run.setting("format_reward") == "gate" else "" if weight is None else f"{weight:g}"
    return run.value(ALGORITHM), run.setting("scale_rewards"), kl, form


def most_arms_first(found: Iterable[RlExperiment]) -> list[RlExperiment]:
    """Sort experiments by how many arms figures show, then by seeds and name."""
    return sorted(found, key=lambda of: (-len(chosen(of)), -most_seeds(of), of.key))


def by_rl_alone(results: Results) -> list[RlRun]:
    """Return the runs that speak for their algorithm: by RL alone from a base model, and paid by the key."""
    runs = training_runs(results)
    return [run for run in runs if all(run.value(name) == DEFAULTS[name] for name in (RECIPE, REWARD_SOURCE))]


def values_of(results: Results, name: str) -> list[RlExperiment]:
    """Return the experiments whose arms agree in all but one setting and what belongs to it."""
    named_by = functools.partial(named, lead=name)
    found = split(results, training_runs(results), belongs_to(DESIGN, name), named_by, lambda arms: len(arms) > 1)
    made = [beside(experiment, default_arm(experiment, name)) for experiment in found]
    return sorted(made, key=lambda experiment: experiment.key)


def default_arm(experiment: RlExperiment, name: str) -> RlArm | None:
    """Return the arm with a setting's default; None where it has no curve."""
    return next((arm for arm in drawn(experiment) if arm.first.value(name) == DEFAULTS[name]), None)


def named(arms: Sequence[RlArm], lead: str, is_said: Callable[[str], bool] = lambda name: True) -> list[RlArm]:
    """Give arms their names, by `lead` and by what else differs between them, their looks and their order.

    `is_said`: whether names may tell a setting.
    """
    keys = [{name: value for name, value in arm.key if is_said(name)} for arm in arms]
    names = differing([tuple(key.items()) for key in keys]) - {lead}
    made = []
    for arm, key in zip(arms, keys, strict=True):
        look = look_of(arm, lead)
        name = dotted(look.label, *_differences(key, names, keys))
        made.append((look.place, replace(arm, name=name, style=look.style)))
    return [arm for _, arm in sorted(made, key=lambda item: (item[0], str(item[1].name)))]


def look_of(arm: RlArm, lead: str) -> Look:
    """Return how an arm is called first and drawn, by the setting that its experiment is about."""
    value = arm.first.value(lead)
    if lead in (ALGORITHM, RECIPE):
        return looks(lead).get(value) or Look(label=value, style=style_of(lead, value), place=len(looks(lead)))
    known = {pair: place for place, pair in enumerate(STYLES)}
    place, style = known.get((lead, value), len(known)), STYLES.get((lead, value), OTHER)
    return Look(label=f"{lead}={value}", style=style, place=place)


def _differences(key: Mapping[str, str], names: set[str], keys: Sequence[Mapping[str, str]]) -> Iterable[str]:
    """An arm's shape and settings, of those in which arms differ."""
    if not names.isdisjoint(SHAPE):
        yield " × ".join(key.get(name, "") for name in SHAPE)
    for name, value in key.items():
        # What follows from other settings is said where arms that agree in those differ in it.
        alike = [other for other in keys if all(other.get(of) == key.get(of) for of in FOLLOWS.get(name, ()))]
        if name in names - set(SHAPE) and len({other.get(name) for other in alike}) > 1:
            # A drawn rate has seventeen digits.
            is_rate = "." in value and number_of(value) is not None
            yield f"{name}={float(value):.3g}" if is_rate else f"{name}={value}"


def within(values: Mapping[int, float], most: float = 1.0) -> dict[int, float]:
    """Return the numbers that a share, or a length up to a most, can be."""
    return {step: value for step, value in values.items() if 0 <= value <= most}


def accuracy_bounds(arm: RlArm) -> tuple[float, float]:
    """Bounds of a comparison of accuracies, on the held-out prompts that all arms of an experiment share: an arm that
    is not above the lower one has learnt nothing, whatever it gained."""
    return arm.first.trivial_accuracy or 0.0, 1.0


def curves_of(arm: RlArm) -> list[Curve]:
    """Return the curves of the runs that have one."""
    return [run.curve for run in arm.runs if run.curve is not None]


def beside(experiment: RlExperiment, baseline: RlArm | None) -> RlExperiment:
    """Return an experiment with a baseline, and its arms called by what they have unlike most: their first part, and
    where others have the same what few of all arms and few of those have. So a legend stays short; tables hold the
    whole names.
    """
    parts = {arm: str(arm.name).split(NAMES) for arm in experiment.arms}
    of_first = grouped(parts.values(), lambda of_arm: of_arm[0])
    everywhere = _most_have(parts.values())
    usual = {first: everywhere | _most_have(alike) for first, alike in of_first.items()}
    unlike = {
        arm: (first, *(part for part in rest if part not in usual[first])) if len(of_first[first]) > 1 else (first,)
        for arm, (first, *rest) in parts.items()
    }
    # A trial's number says which settings were drawn for it.
    numbered = {arm: (of_arm[0], of_arm[-1]) for arm, of_arm in parts.items() if of_arm[-1].startswith(TRIAL)}
    unlike |= numbered if len(set(numbered.values())) == len(numbered) else {}
    for alike in grouped(unlike, unlike.__getitem__).values():
        shared = set.intersection(*(set(parts[arm]) for arm in alike))
        unlike |= {
            arm: tuple(part for part in parts[arm] if part in unlike[arm] or part not in shared) for arm in alike
        }
    called = {arm: replace(arm, called=dotted(*map(_in_words, unlike[arm]))) for arm in experiment.arms}
    if MOST_OF_A_STYLE < len(called) <= len(LINES) and len({arm.style for arm in called.values()}) == 1:
        styles = iter(LINES)  # lines of one colour, which dashes alone would have to tell apart
        called = {arm: replace(named, style=next(styles)) for arm, named in called.items()}
    return replace(experiment, arms=[*called.values()], baseline=called[baseline] if baseline else None)


def _most_have(names: Collection[Sequence[str]]) -> set[str]:
    """The parts behind the first that more than half of the names have."""
    counts = Counter(part for _, *rest in names for part in rest)
    return {part for part, count in counts.items() if 2 * count > len(names)}


def _in_words(part: str) -> Text:
    name, is_setting, value = part.partition("=")
    return setting_text(name, value) if is_setting else part


def arrived_of(count: int, arm: RlArm) -> Text:
    """Say how many of an arm's curves came so far."""
    return say("rl_efficiency.arrived_of", arrived=count, runs=len(arm.ended))


def final(run: RlRun) -> float | None:
    """Return the accuracy at a run's last evaluation."""
    return None if run.curve is None else run.curve.accuracy[-1]


def drawn(experiment: RlExperiment) -> list[RlArm]:
    """Return the arms with a curve."""
    return [arm for arm in experiment.arms if arm.ended]


def chosen(experiment: RlExperiment) -> list[RlArm]:
    """Return what figures and sentences show: all arms, or where that is too many the best of each algorithm."""
    every = drawn(experiment)
    if len(every) <= MOST_LINES:
        return every
    of_algorithm = grouped(every, lambda arm: arm.value(ALGORITHM))
    return [max(arms, key=lambda arm: arm.mean(final) or 0.0) for arms in of_algorithm.values()]


def is_picked(experiment: RlExperiment) -> bool:
    """Return whether figures show fewer arms than there are."""
    return len(chosen(experiment)) < len(drawn(experiment))


def known_budgets(experiment: RlExperiment, *budgets: str) -> list[str]:
    """Return those that every curve has."""
    every = [curve for arm in experiment.arms for curve in curves_of(arm)]
    return [budget for budget in budgets if every and all(budget in curve.spent for curve in every)]


def most_seeds(experiment: RlExperiment) -> int:
    """Return the most curves that an arm has."""
    return max((len(arm.ended) for arm in experiment.arms), default=0)


def clock_of(experiment: RlExperiment) -> str:
    """Return the clock that its seconds are told by; all its runs are on one device."""
    return experiment.arms[0].first.clock


def clock_name(experiment: RlExperiment) -> Text:
    """Return what its clock is called."""
    return say(f"rl.clock.{clock_of(experiment)}")


def caption_of(experiment: RlExperiment, of_seeds: str, of_one: str, *more: Text) -> Text:
    """Return one of two captions, of several seeds or of a single one; and whether figures show the best arms alone."""
    first = say(of_seeds if most_seeds(experiment) > 1 else of_one)
    return joined("sentence", [first, say("rl.best_drawn") if is_picked(experiment) else "", *more])


def facets_of(experiment: Experiment[Any]) -> dict[str, Text]:
    """Return what tells an experiment from others, by which a reader chooses one."""
    named = {name: experiment.value(name) for name in ("task", "policy", VARIANT)}
    variant = named.pop(VARIANT)
    found = {**named, "variant": variant_label(variant) if variant else "", LABEL: experiment.label}
    return {name: text for name, text in found.items() if text} | {"setting": experiment.settings or say("rl.usual")}


def figure_of(
    experiment: RlExperiment, title: Text, caption: Text, views: Mapping[Text, Any], *, finding: Text = "", **more: Any
) -> Figure:
    """Return a figure of an experiment, with those views in which anything is drawn. Figures of one title are a family,
    of which a reader chooses one.
    """
    lines = len(chosen(experiment))
    return Figure(
        title=title,
        family=title,
        finding=finding,
        caption=caption,
        settings=experiment.name,
        views=[View(title=name, figure=figure) for name, figure in views.items() if figure["data"]],
        facets=facets_of(experiment),
        **{"height_px": height_px(lines), **more},
    )


def table_of(
    experiment: RlExperiment,
    title: str,
    rows: Iterable[R],
    columns: Iterable[Column[R]],
    arm: Callable[[R], Any] = lambda row: row,
    **more: Any,
) -> Table:
    """Return a table of an experiment, one of a family by its title's key. `arm`: of a row that is none."""
    shown = list(rows)
    named = {row_algorithm(arm(row)) for row in shown}
    more = {"settings": experiment.name, "facets": facets_of(experiment), **more}
    # What all rows share would tell the tables of a family apart.
    of_row = (lambda row: {ALGORITHM: row_algorithm(arm(row))}) if len(named) > 1 else None
    return replace(table(say(title), shown, columns, facets_of=of_row, **more), family=say(title))


def row_algorithm(arm: Arm[Any]) -> Text:
    return arm.facets.get(ALGORITHM, "")
