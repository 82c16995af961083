"""Settings of projections at a tiny geometry, as Hydra would compose them, without Hydra."""

import functools

from suite.configuration.files import read_choice, read_settings
from suite.rl.memory.plan import RlMemoryPlan
from suite.theory.devices.gpus import gpu_count

TINY = {
    "name": "tiny",
    "attention": "gqa",
    "hidden_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "num_kv_heads": 1,
    "head_dim": 8,
    "intermediate_size": 24,
    "vocab_size": 50,
    "rope_theta": 10000,
    "tie_embeddings": False,
    "qkv_bias": True,
}
SMALLER = {
    "critic_model": "smaller",
    "critic_sizes": TINY | {"name": "smaller", "hidden_size": 8, "num_layers": 1, "head_dim": 4, "vocab_size": 9},
}
"""A critic of other sizes, which reads the policy's vocabulary."""
BUDGET = {"seq_len": 12, "prompt_len": 4, "prompts_per_step": 4, "num_generations": 4, "micro_batch": 6}
_settings = functools.cache(read_settings)
_read = functools.cache(read_choice)


def settings(algorithm="ppo", attention="gqa", geometry=TINY, **changes):
    composed = {"device": "cpu", "threads": 1, **_settings("rl_memory"), **_read("algorithm", algorithm), **BUDGET}
    composed["shards"] = gpu_count(changes.get("gpus"))
    if composed["adv_estimator"] != "gae":
        composed |= {"critic": None, "update_order": None}
    composed["critic_sizes"] = None
    return {**composed, "geometry": geometry, "attention": _read("attention", attention), **changes}


def plan(*arguments, **changes):
    return RlMemoryPlan(settings(*arguments, **changes))
