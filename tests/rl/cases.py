"""Settings of tiny cases of RL, as Hydra would compose them, without Hydra."""

import functools

from suite.configuration.files import read_choice, read_settings
from suite.records.metrics import METRICS
from suite.rl.plan import RlPlan
from suite.rl.tasks.sorting import Sorting

TINY = {
    "steps": 3,
    "prompts_per_step": 4,
    "num_generations": 4,
    "minibatch": 8,
    "eval_every": 2,
    "eval_prompts": 8,
    "base": {"updates": 3, "batch": 8, "lr": 1e-3},
    "task": {"_target_": f"{Sorting.__module__}.Sorting", "digits": 2},
    "checkpoint_seconds": 1000,
}
TINY_RL = (
    "workload=rl",
    *(f"{name}={value}" for name, value in TINY.items() if name not in ("base", "task")),
    *("base.updates=3", "base.batch=8", "task.digits=2"),
    *("policy.hidden_size=16", "policy.num_heads=2", "policy.head_dim=8", "policy.intermediate_size=24"),
)
"""The same on the command line."""
SIZES = {"hidden_size": 16, "num_heads": 2, "head_dim": 8, "intermediate_size": 24}


def seeded(record):
    """Return all readings that follow from the seed."""
    return [reading for reading in record.readings if METRICS[reading.metric].seeded]


@functools.cache
def _read(group, name):
    return read_choice(group, name)


_settings = functools.cache(read_settings)


def settings(algorithm="grpo", **changes):
    read = _settings("rl")
    policy = {**_read("policy", "small"), **SIZES}
    run = {"device": "cpu", "threads": 1, "seed": 0, "matmul_precision": None, "telemetry": {"energy": "none"}}
    workload = {"name": "rl", "_target_": "suite.rl.workload.RlWorkload"}
    run["recipe"] = _read("recipe", "r1_zero")
    composed = {**run, **read, **_read("algorithm", algorithm), "policy": policy, "workload": workload}
    composed["critic_sizes"] = critic_of(changes, "policy")
    return {**composed, "attention": _read("attention", "mha"), **TINY, **changes}


def critic_of(changes, group):
    """What Hydra's resolver makes of `critic_model`."""
    return _read(group, changes["critic_model"]) if changes.get("critic_model") else None


def recipe(name):
    """Read a recipe as Hydra composes it, with a tiny teacher."""
    read = {key: value for key, value in _read("recipe", name).items() if key != "defaults"}
    if name == "distill":
        read["teacher"] = {"policy": {**_read("policy", "small"), **SIZES}, "recipe": recipe("r1")}
    return read


def plan(algorithm="grpo", **changes):
    return RlPlan(settings(algorithm, **changes))
