"""Settings of tiny cases of quality, as Hydra would compose them, without Hydra."""

import functools

from suite.configuration.files import read_choice, read_settings
from suite.quality.plan import QualityPlan

TINY = {"updates": 4, "eval_every": 2, "batch": 4, "warmup_updates": 1, "decode_len": 8, "checkpoint_seconds": 1000}
SIZES = {"hidden_size": 16, "num_heads": 2, "head_dim": 8, "intermediate_size": 24}
TINY_QUALITY = (
    "workload=quality",
    *(f"{name}={value}" for name, value in TINY.items()),
    *(f"geometry.{name}={value}" for name, value in SIZES.items()),
)
"""The same on the command line."""
_settings = functools.cache(read_settings)
_read = functools.cache(read_choice)


def task_settings(name, **changes):
    content = _read("task", name)
    return {**content["task"], **changes}


def settings(task="tiers", attention="mha", *, task_changes=None, sizes=None, **changes):
    run = {"device": "cpu", "threads": 1, "seed": 0, "match": "heads", "matmul_precision": None}
    own = {key: value for key, value in _read("task", task).items() if key not in ("task", "geometry")}
    geometry = {**_read("geometry", "probe"), **_read("task", task).get("geometry", {}), **SIZES, **(sizes or {})}
    workload = {"name": "quality", "_target_": "suite.quality.workload.QualityWorkload"}
    return {
        **run,
        **_settings("quality"),
        **own,
        "task": task_settings(task, **(task_changes or {})),
        "geometry": geometry,
        "attention": _read("attention", attention),
        "workload": workload,
        **TINY,
        **changes,
    }


def plan(task="tiers", attention="mha", **changes):
    return QualityPlan(settings(task, attention, **changes))
