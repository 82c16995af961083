"""Records of reinforcement learning with invented numbers, for tests of the report alone: curves that are logistic in
the completions, with noise of the seed. Nothing of this stands in results/.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from suite.records.case import Case
from suite.records.record import Evidence, Reading, Record, Status
from tests.records.factory import ENVIRONMENT, PROVENANCE

AXES = {
    "algorithm": "grpo",
    "task": "sort",
    "policy": "small",
    "attention": "mha",
    "steps": 80,
    "prompts_per_step": 32,
    "num_generations": 8,
    "minibatch": 64,
    "lr": 3e-4,
    "critic_lr": None,
    "kl_coef": 0.04,
    "seed": 1,
    "dtype": "float32",
    "device": "cpu",
    "threads": 1,
}
PPO = {"critic_lr": 1e-3}
ARMS: dict[tuple[str, int, int], dict[str, Any]] = {
    ("grpo", 32, 8): {"top": 0.79, "half": 4200},
    ("grpo_token_mean", 32, 8): {"top": 0.80, "half": 3600},
    ("dr_grpo", 32, 8): {"top": 0.79, "half": 3300, "kl_coef": 0.0},
    ("rloo", 32, 8): {"top": 0.82, "half": 3300},
    ("ppo", 32, 8): {"top": 0.82, "half": 3100, "update_s": 0.17, **PPO},
    ("ppo", 256, 1): {"top": 0.91, "half": 3200, "update_s": 0.17, **PPO},
    ("ppo_lam95", 32, 8): {"top": 0.60, "half": 6000, "update_s": 0.17, **PPO},
}
PHASE_S = {"rollout": 0.06, "score": 0.01, "update": 0.08, "evaluate": 0.03}


def rl_record(
    *,
    top: float = 0.8,
    half: float = 4000.0,
    noise: float = 0.03,
    update_s: float = PHASE_S["update"],
    energy_j: float | None = None,
    hacks: bool = False,
    tokens_each: int = 14,
    eval_every: int = 4,
    parameters: int = 98_624,
    status: Status = Status.OK,
    reason: str | None = None,
    extras: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    **axes: Any,
) -> Record:
    """A run whose accuracy goes to `top`, half of it after `half` completions. `hacks`: it ends in the form alone."""
    axes = AXES | axes
    run = {"top": top, "half": half, "noise": noise, "update_s": update_s, "energy_j": energy_j}
    run |= {"hacks": hacks, "tokens_each": tokens_each, "eval_every": eval_every, "parameters": parameters}
    return Record(
        case=Case(workload="rl", axes=axes, extras=extras or {}),
        run_key="0123456789abcdef" * 4,
        status=status,
        reason=reason,
        evidence=Evidence.MEASURED,
        settings=settings or {},
        environment=ENVIRONMENT,
        provenance=PROVENANCE | {"clock": "process_cpu"} | (provenance or {}),
        readings=list(_readings(axes, run)) if status is Status.OK else [],
    )


def study(seeds: int = 5, steps: int = 80, **axes: Any) -> list[Record]:
    """Every arm with as many seeds, one of them failed and one that ends in the form alone."""
    records = [
        rl_record(
            algorithm=algorithm, prompts_per_step=prompts, num_generations=samples, seed=seed, steps=steps, **arm | axes
        )
        for (algorithm, prompts, samples), arm in ARMS.items()
        for seed in range(1, seeds + 1)
    ]
    hacked = rl_record(algorithm="dr_grpo", seed=seeds + 1, steps=steps, kl_coef=0.0, hacks=True, **axes)
    broken = rl_record(algorithm="grpo", seed=seeds + 1, steps=steps, status=Status.FAILED, reason="it broke", **axes)
    return [*records, hacked, broken]


def only(record: Record, *metrics: str) -> Record:
    """The record without other metrics than these."""
    return replace(record, readings=[reading for reading in record.readings if reading.metric in metrics])


def _readings(axes: dict[str, Any], run: dict[str, Any]) -> Iterable[Reading]:
    steps, each = axes["steps"], axes["prompts_per_step"] * axes["num_generations"]
    has_critic = axes["critic_lr"] is not None
    # The base model is the seed's own, whatever the algorithm: noise that all arms share.
    shared = np.random.default_rng(int(axes["seed"]))
    own = np.random.default_rng([int(axes["seed"]), *map(ord, str(axes["algorithm"])), axes["prompts_per_step"]])
    top = run["top"] + run["noise"] * (shared.standard_normal() + 0.4 * own.standard_normal())
    half = run["half"] * math.exp(0.15 * shared.standard_normal())
    for metric, value in {
        "policy_parameter_count": run["parameters"],
        "critic_parameter_count": run["parameters"] * has_critic,
        "base_loss": 1.9 + 0.02 * shared.standard_normal(),
    }.items():
        yield Reading(step=0, span="case" if "count" in metric else "base", metric=metric, value=value)
    for step in range(steps + 1):
        accuracy = _accuracy(step * each, top, half)
        form = 0.03 + 0.95 / (1 + math.exp(-(step - 0.12 * steps) / (0.04 * steps + 0.1)))
        if run["hacks"] and step > steps / 2:
            accuracy *= math.exp(-(step - steps / 2) / (0.05 * steps))
        if step % run["eval_every"] == 0 or step == steps:
            noisy = min(1.0, max(0.0, accuracy + run["noise"] / 4 * own.standard_normal()))
            held = {"heldout_accuracy": noisy, "heldout_format": form, "heldout_length": run["tokens_each"]}
            yield from (Reading(step=step, span="evaluate", metric=name, value=value) for name, value in held.items())
            yield _timing(step, "evaluate", PHASE_S["evaluate"])
        if step < steps:
            yield from _step(step, axes, run, accuracy, form, has_critic, own)


def _accuracy(completions: float, top: float, half: float) -> float:
    return top / (1 + math.exp(-(completions - half) / (half / 3)))


def _step(
    step: int,
    axes: dict[str, Any],
    run: dict[str, Any],
    accuracy: float,
    form: float,
    has_critic: bool,
    own: np.random.Generator,
) -> Iterable[Reading]:
    each, progress = axes["prompts_per_step"] * axes["num_generations"], step / axes["steps"]
    found = {
        "completions": each,
        "sampled_tokens": each * run["tokens_each"],
        "updates": each / axes["minibatch"],
        "reward": accuracy + 0.1 * form,
        "accuracy": 0.9 * accuracy,
        "format": form,
        "kl_reference": 0.4 * progress * (1.6 if axes["kl_coef"] == 0 else 1.0),
        "kl_behaviour": 0.002,
        "entropy": 0.9 * math.exp(-3 * progress) + 0.05,
        "clip_fraction_low": 0.01,
        "clip_fraction_high": 0.02,
        "gradient_norm": 0.8 + 0.1 * own.standard_normal(),
        "policy_loss": -0.01,
        "groups_without_signal": 0.6 * progress if axes["num_generations"] > 1 else 0.0,
        "completion_length": 2.0 if run["hacks"] and progress > 0.5 else run["tokens_each"],
        "truncated": 0.05 * (1 - progress),
    }
    if has_critic:
        found |= {"critic_gradient_norm": 1.1, "explained_variance": 0.7 * progress, "value_loss": 0.03}
    if run["energy_j"] is not None:
        found["energy_j"] = run["energy_j"]
    yield from (Reading(step=step, span="step", metric=name, value=value) for name, value in found.items())
    for span in ("rollout", "score", "update"):
        yield _timing(step, span, run["update_s"] if span == "update" else PHASE_S[span])


def _timing(step: int, span: str, cpu_s: float) -> Reading:
    return Reading(
        step=step,
        span=span,
        metric="latency_s",
        value=cpu_s,
        wall_s=1.1 * cpu_s,
        thread_cpu_s=cpu_s,
        process_cpu_s=cpu_s,
        involuntary_switches=0,
    )
