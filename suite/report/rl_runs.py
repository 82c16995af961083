"""Runs of reinforcement learning as the sections need them: which repeat each other, and which are compared.

Runs that differ in their seed alone repeat one arm. Arms stand in one comparison where the task, the models, the device
and the completions that were planned agree; what then differs between them is their name.
"""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from suite.records.derived import started_at
from suite.report.alike import Pairs, differing, grouped, named_in
from suite.report.blocks import Text, joined, say
from suite.report.facets import name_facets
from suite.report.model.results import Results
from suite.report.palette import shown
from suite.report.rl_palette import ALGORITHM, RECIPE, lead_rank, led_by, shown_algorithm, shown_lead
from suite.report.rl_run import (
    BUDGETS,
    CPU,
    DEFAULTS,
    MOST_STEPS,
    SEED,
    WALL,
    Curve,
    Run,
    read_run,
    tracks_memory,
)
from suite.report.timings import axis

WORKLOAD = "rl"
SHAPE = ("prompts_per_step", "num_generations")
TOGETHER = ("task", "policy", "attention", "dtype", "device", "threads")
"""Axes in which the arms of one comparison agree."""
TOGETHER_BELOW = ("task.", "policy.", "attention.", "base.", "eval_")
"""And the settings that say more of them."""
BY_ALGORITHM = ("kl_coef", "critic_lr")
"""Axes that an algorithm sets by its name: they are said only where arms of one algorithm differ in them."""
OF_A_CONTEST = ("recipe", "reward_from")
"""Settings whose other values are no arm among algorithms: other training, or another reward."""
MOST_LINES = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """Runs that differ in their seed alone."""

    key: Pairs
    """What its runs agree in and another arm may not."""
    name: str
    algorithm: str
    attention: str
    drawn_as: str
    """What gives it its colour: the algorithm, or the value of the setting that its comparison is about."""
    runs: Sequence[Run]
    """By seed, the failed ones included."""

    @property
    def ended(self) -> list[Run]:
        """Runs with a curve."""
        return [run for run in self.runs if run.curve is not None]

    @property
    def curves(self) -> list[Curve]:
        return [run.curve for run in self.runs if run.curve is not None]

    @property
    def failed(self) -> int:
        return sum(not run.is_ok for run in self.runs)

    @property
    def mean_final(self) -> float:
        """Of an arm with a curve."""
        return fmean(curve.final for curve in self.curves)

    @property
    def by_seed(self) -> dict[str, Curve]:
        return {run.seed: run.curve for run in self.runs if run.curve is not None}

    @property
    def facets(self) -> dict[str, str]:
        return name_facets(self.runs[0].record.case.axes) | {"label": self.runs[0].current.label}


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Arms that may be held against each other."""

    together: Pairs
    """What they agree in."""
    title: str
    arms: Sequence[Arm]

    @property
    def drawn(self) -> list[Arm]:
        """Arms with a curve."""
        return [arm for arm in self.arms if arm.ended]

    @property
    def chosen(self) -> list[Arm]:
        """What figures and sentences show: all of them, or where that is too many the best of each algorithm."""
        if len(self.drawn) <= MOST_LINES:
            return self.drawn
        best: dict[str, Arm] = {}
        for arm in self.drawn:
            if arm.algorithm not in best or arm.mean_final > best[arm.algorithm].mean_final:
                best[arm.algorithm] = arm
        return list(best.values())

    @property
    def is_picked(self) -> bool:
        return len(self.chosen) < len(self.drawn)

    @property
    def budgets(self) -> list[str]:
        """Those that every curve has."""
        return [budget for budget in BUDGETS if self.has(budget)]

    def has(self, budget: str) -> bool:
        curves = [curve for arm in self.arms for curve in arm.curves]
        return bool(curves) and all(curve.has(budget) for curve in curves)

    @property
    def most_seeds(self) -> int:
        return max((len(arm.ended) for arm in self.arms), default=0)

    @property
    def facets(self) -> dict[str, str]:
        """What every arm is about."""
        every = [arm.facets for arm in self.arms]
        return {name: text for name, text in every[0].items() if all(one.get(name) == text for one in every)}


@functools.lru_cache(maxsize=1)
def comparisons(results: Results) -> Sequence[Comparison]:
    """Every comparison of algorithms, the ones that show the most arms first. An arm that is alone among algorithms and
    not among recipes is told with those.
    """
    arms = {key: arms_of(runs) for key, runs in grouped(contestants(results), together_of).items()}
    of_recipes = {together_of(run) for run in runs_of(results) if run.setting(RECIPE) != DEFAULTS[RECIPE]}
    kept = {key: of_key for key, of_key in arms.items() if len(of_key) > 1 or key not in of_recipes}
    titles = titles_of(list(kept), results.several)
    made = [Comparison(together=key, title=titles[key], arms=of_key) for key, of_key in kept.items()]
    return sorted(made, key=lambda one: (-len(one.chosen), -one.most_seeds, one.title))


def contestants(results: Results) -> list[Run]:
    """Runs that speak for their algorithm: by RL alone from a base model, and paid by the key."""
    return [run for run in runs_of(results) if all(run.setting(name) == DEFAULTS[name] for name in OF_A_CONTEST)]


@functools.lru_cache(maxsize=1)
def runs_of(results: Results) -> Sequence[Run]:
    """Without those that held memory by owner, which take longer for it: their seconds are no algorithm's. Of runs that
    differ in nothing but whether they name a default, the one that was taken with most of its experiment, so that
    seconds are of one sitting; else the newest.
    """
    records = [one for one in results.records if one.record.case.workload == WORKLOAD]
    named = named_in((one.record for one in records), ignored=("track_memory",))
    runs = [read_run(one, named) for one in records if not tracks_memory(one.record)]
    at_commit = Counter((together_of(run), _commit(run)) for run in runs)

    def weight(run: Run) -> tuple[int, str]:
        return at_commit[together_of(run), _commit(run)], started_at(run.record)

    found: dict[tuple[Pairs, Pairs, str], list[Run]] = defaultdict(list)
    for run in runs:
        found[together_of(run), apart_of(run), run.seed].append(run)
    return [max(same, key=weight) for same in found.values()]


def _commit(run: Run) -> str:
    return str(run.record.provenance.get("commit"))


def together_of(run: Run) -> Pairs:
    """What the runs of one comparison agree in."""
    shared = [pair for pair in run.key if _is_shared(pair[0])]
    planned = _planned(run.record.case.axes)
    return (*shared, *([("completions", planned)] if planned else []), ("label", run.current.label))


def arms_of(runs: Iterable[Run], lead: str = ALGORITHM) -> list[Arm]:
    """The arms among runs, named by `lead` and by what else differs between them."""
    found = grouped(runs, apart_of)
    names = _arm_names(list(found), lead)
    arms = []
    for key in sorted(found, key=lambda key: (lead_rank(lead, _value(key, lead)), names[key])):
        first = found[key][0]
        arms.append(
            Arm(
                key=key,
                name=names[key],
                algorithm=first.algorithm,
                attention=first.attention,
                drawn_as=led_by(lead, _value(key, lead)),
                runs=sorted(found[key], key=lambda run: _as_number(run.seed)),
            )
        )
    return arms


def titles_of(keys: Sequence[Pairs], has_labels: bool) -> dict[Pairs, Text]:
    """Each comparison by its task, policy and attention, and by what else tells it from the others."""
    titles = {}
    for key in keys:
        said = dict(key)
        # Another task has other settings: they tell it from no other of its own.
        differ = differing([other for other in keys if dict(other).get("task") == said.get("task")])
        parts = [said.get("task", ""), said.get("policy", ""), shown(said.get("attention", ""))]
        parts += [shown_algorithm(said[ALGORITHM])] if ALGORITHM in said else []
        parts += [said.get("label", "")] if has_labels else []
        parts += [
            f"{name}={value}"
            for name, value in key
            if name in differ and value and name not in ("task", "policy", "attention", "label", ALGORITHM)
        ]
        titles[key] = joined(" · ", filter(None, parts))
    return titles


def clock_of(arm: Arm) -> str:
    """CPU seconds say what a run on a CPU costs, however busy the machine is; elsewhere seconds on the wall do."""
    return CPU if axis(arm.runs[0].record, "device") == "cpu" else WALL


def seconds_of(run: Run, clock: str) -> Mapping[str, float]:
    """Of the whole run, by timed span."""
    return run.cpu_s if clock == CPU else run.wall_s


def numbers_of(runs: Iterable[Run], value: Callable[[Run], float | None]) -> list[float]:
    """The values that are known."""
    return [found for run in runs if (found := value(run)) is not None]


def budget_name(budget: str) -> Text:
    return say(f"rl.budget.{budget}")


def apart_of(run: Run) -> Pairs:
    """What tells arms of one comparison apart."""
    return tuple(pair for pair in run.key if pair[0] != SEED and not _is_shared(pair[0]))


def _is_shared(name: str) -> bool:
    return name in TOGETHER or name.startswith(TOGETHER_BELOW)


def _value(key: Pairs, name: str) -> str:
    return dict(key).get(name, DEFAULTS.get(name, ""))


def _planned(axes: Mapping[str, Any]) -> str:
    """Completions of the whole run, if all goes as it was asked for."""
    factors = [axes.get(name) for name in ("steps", *SHAPE)]
    known = [factor for factor in factors if isinstance(factor, int) and 0 < factor < MOST_STEPS]
    return str(math.prod(known)) if len(known) == len(factors) else ""


def _arm_names(keys: Sequence[Pairs], lead: str) -> dict[Pairs, Text]:
    differ, names = differing(keys), {}
    for key in keys:
        said = dict(key)
        # Steps follow from the shape, as long as arms of one shape do not differ in them.
        silent = {name for name in (*BY_ALGORITHM, "steps") if name not in differing(_alike(said, name, keys))}
        parts = [shown_lead(lead, _value(key, lead))]
        if not differ.isdisjoint(SHAPE):
            parts.append(" × ".join(said.get(name, "") for name in SHAPE))
        parts += [
            f"{name}={_brief(value)}"
            for name, value in key
            if value and name in differ and name not in (lead, *SHAPE, *silent)
        ]
        names[key] = joined(" · ", filter(None, parts))
    return names


def _brief(value: str) -> str:
    """A drawn rate has seventeen digits."""
    try:
        return f"{float(value):.3g}" if "." in value else value
    except ValueError:
        return value


def _alike(said: Mapping[str, str], name: str, keys: Sequence[Pairs]) -> list[Pairs]:
    """The arms that share what an axis follows from."""
    shared = SHAPE if name == "steps" else ("algorithm",)
    return [key for key in keys if all(dict(key).get(one) == said.get(one) for one in shared)]


def _as_number(seed: str) -> tuple[float, str]:
    try:
        return float(seed), seed
    except ValueError:
        return math.inf, seed
