"""Tuning that is fair: every arm gets the same trials, and its best are run again on seeds that chose nothing.

A trial's values are drawn by its number, so no file holds them; which was best is read from the trials' records. No
torch here: the parent composes a sweep with these.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from suite.measure.rng import python_rng
from suite.records.case import as_typed, value_under
from suite.records.metrics import EVALUATE
from suite.records.record import Record, Status
from suite.records.stores.store import read_contents

TRIAL = "trial"
STRATA = 8  # trials that share out every range among them: as many as sweep=rl_tuned has


def trial_value(trial: int, name: str, low: float, high: float) -> float:
    """A setting's value in a trial: log-uniform from `low` to `high`, with three digits. Raises ValueError unless
    `trial` is a whole number of at least 0."""
    value = math.log(low) + _uniform(trial, name) * (math.log(high) - math.log(low))
    return float(f"{math.exp(value):.3g}")


def trial_choice(trial: int, name: str, choices: Sequence[Any]) -> Any:
    """A setting's value in a trial, each choice equally likely. Raises ValueError as `trial_value` does."""
    return choices[int(_uniform(trial, name) * len(choices))]


def _uniform(trial: int, name: str) -> float:
    """A number from 0 to 1 by Latin hypercube sampling (M. D. McKay et al., 1979).

    Of each STRATA trials one lies in each stratum, so that few trials see the whole of every range. The stream's name
    was picked, before any run, for draws of sweep=rl_tuned in which no deviation goes with one weight of the format
    alone.
    """
    if not isinstance(trial, int) or isinstance(trial, bool) or trial < 0:
        raise ValueError(f"trial must be a whole number of at least 0; got {trial!r}")
    block, place = divmod(trial, STRATA)
    order = list(range(STRATA))
    python_rng("stratum", block, name).shuffle(order)
    return (order[place] + python_rng("trial", trial, name).random()) / STRATA


def best_trial_value(folder: str, arm: Mapping[str, Any], rank: int, name: str) -> Any:
    """Value that a setting has in the trial of this rank among those of one arm; None for a setting that it lacks.

    `arm`: axes and settings by dotted name, such as {algorithm: grpo}, that its records have. Records of one trial
    have one number TRIAL, or where none in the folder has any, one learning rate. Rank 1 has the highest final held-out
    accuracy, the mean over seeds; a failed run counts 0. Raises ValueError where a trial is missing for a seed that
    another has, since fewer trials would be no fair tuning, and for a rank that no trial has.
    """
    scores: dict[float, dict[Any, float]] = defaultdict(dict)
    settings: dict[float, Any] = {}
    advice = f"run suite run -m sweep={Path(folder).name} first"
    for trial, record in _trials(Path(folder).absolute(), advice):
        values_of_arm = {key: record.case.axes.get(key, value_under(record.settings, key)) for key in arm}
        if values_of_arm == dict(arm):
            # A run that failed is worth 0, which no rate may do.
            values = {
                reading.step: reading.value
                for metric in ("heldout_accuracy", "answer_accuracy")
                for reading in record.series(metric, EVALUATE)
            }
            score = values[max(values)] if record.status is Status.OK and values else 0.0
            scores[trial][record.case.axes["seed"]], settings[trial] = score, record.settings
    seeds = {seed for by_seed in scores.values() for seed in by_seed}
    if not scores or any(set(by_seed) != seeds for by_seed in scores.values()):
        arm_text = " ".join(f"{key}={as_typed(value)}" for key, value in arm.items())
        raise ValueError(f"{folder} must hold every trial of {arm_text} on every seed: {advice}")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= len(scores):
        raise ValueError(f"rank must be a whole number from 1 to {len(scores)}, the number of trials; got {rank!r}")
    ranked = sorted(scores, key=lambda trial: (-mean(scores[trial].values()), trial))
    return settings[ranked[rank - 1]][name]


@functools.cache
def _trials(folder: Path, advice: str) -> Sequence[tuple[float, Record]]:
    """Trials and their records, read once. `folder` is absolute, since a process may change its working directory.

    Raises ValueError for no folder, or a damaged record.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} must hold the trials, and is no folder: {advice}")
    contents = read_contents([folder])
    for damage in contents.damaged:  # a trial that is left out could have been the best
        raise ValueError(f"{folder} must hold whole trials; {damage.folder.name} is damaged: {damage.reason}")
    records = [stored.record for stored in contents.stored]
    numbered = [(trial, record) for record in records if isinstance(trial := record.case.extras.get(TRIAL), int)]
    return numbered or [(record.case.axes["lr"], record) for record in records if "lr" in record.case.axes]
