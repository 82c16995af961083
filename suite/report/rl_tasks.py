"""The same arms on several tasks: interquartile means and performance profiles over runs × tasks."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suite.report.alike import Pairs
from suite.report.rl_runs import Arm, Comparison, titles_of
from suite.statistics.scores import Estimate, Profile, bootstrap_profile, iqm, stratified_bootstrap

OF_TASK = "task"
FEWEST = 2
"""Seeds to draw from."""
THRESHOLDS = np.linspace(0, 1, 41)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One arm on every task of a set."""

    arm: Arm
    scores_RT: NDArray[np.float64]
    """Final accuracies: a row for each seed that every task has."""
    iqm: Estimate
    profile: Profile


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskSet:
    title: str
    tasks: Sequence[str]
    scored: Sequence[Scored]


def task_sets(comparisons: Sequence[Comparison], *, several: bool) -> list[TaskSet]:
    """Comparisons that differ in their task alone, where at least two arms ran on all of at least two tasks."""
    alike: dict[Pairs, list[Comparison]] = defaultdict(list)
    for one in comparisons:
        alike[_but_task(one.together)].append(one)
    titles = titles_of(list(alike), several)
    found = []
    for key, of_tasks in alike.items():
        scored = _scored(of_tasks)
        if len(of_tasks) > 1 and len(scored) > 1:
            found.append(TaskSet(title=titles[key], tasks=[_task(one) for one in of_tasks], scored=scored))
    return found


def _scored(of_tasks: Sequence[Comparison]) -> list[Scored]:
    found = []
    for arm in max(of_tasks, key=lambda one: len(one.arms)).drawn:
        everywhere = [other for one in of_tasks for other in one.drawn if other.key == arm.key]
        seeds = [seed for seed in arm.by_seed if all(seed in other.by_seed for other in everywhere)]
        if len(everywhere) == len(of_tasks) and len(seeds) >= FEWEST:
            scores_RT = np.asarray([[other.by_seed[seed].final for other in everywhere] for seed in seeds])
            found.append(
                Scored(
                    arm=arm,
                    scores_RT=scores_RT,
                    iqm=stratified_bootstrap(iqm, scores_RT),
                    profile=bootstrap_profile(scores_RT, THRESHOLDS),
                )
            )
    return found


def _but_task(together: Pairs) -> Pairs:
    return tuple((name, value) for name, value in together if name.partition(".")[0] != OF_TASK)


def _task(comparison: Comparison) -> str:
    named = [(name, value) for name, value in comparison.together if name.partition(".")[0] == OF_TASK]
    return " ".join([named[0][1], *(f"{name}={value}" for name, value in named[1:])])
