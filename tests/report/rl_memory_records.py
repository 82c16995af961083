"""Records of what is held, with invented numbers in the proportions of real ones, for tests of the report alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.records.case import Case
from suite.records.holdings import held_readings
from suite.records.record import Evidence, Reading, Record, Status, constant_readings
from tests.records.factory import ENVIRONMENT, PROVENANCE

AXES = {
    "algorithm": "grpo",
    "geometry": "llama-3.1-8b",
    "attention": "gqa",
    "precision": "bf16",
    "seq_len": 1024,
    "num_generations": 8,
    "prompts_per_step": 8,
    "micro_batch": 1,
    "checkpointing": True,
    "kl_coef": 0.04,
    "critic_lr": None,
    "shards": 1,
    "device": "cpu",
}
SIZES = {"qwen2.5-0.5b": 494e6, "llama-3.2-3b": 3.2e9, "llama-3.1-8b": 8.03e9, "llama-3.1-70b": 70.6e9}
GPUS_GB, COUNTS, RESERVE_BYTES = (24, 40, 80, 141), (1, 2, 4, 8), 3 << 29

Held = Mapping[str, Mapping[tuple[str, str], float]]


def memory_record(
    held: Held,
    *,
    parameters: float = 1000.0,
    constants: Mapping[str, Mapping[str, float]] | None = None,
    workload: str = "rl_memory",
    evidence: Evidence = Evidence.PROJECTED,
    settings: Mapping[str, Any] | None = None,
    extras: Mapping[str, Any] | None = None,
    more: tuple[Reading, ...] = (),
    **axes: Any,
) -> Record:
    """What each phase holds, by owner and kind."""
    of_case = {"case": {"policy_parameter_count": parameters}, **(constants or {})}
    return Record(
        case=Case(workload=workload, axes=AXES | axes, extras=dict(extras or {})),
        run_key="0123456789abcdef" * 4,
        status=Status.OK,
        reason=None,
        evidence=evidence,
        settings=dict(settings or {}),
        environment=ENVIRONMENT,
        provenance=PROVENANCE,
        readings=[
            *constant_readings(of_case),
            *(reading for phase, parts in held.items() for reading in held_readings(0, phase, parts)),
            *more,
        ],
    )


def projected(**axes: Any) -> Record:
    """By rules of thumb: bfloat16 throughout, the critic as large as the policy, activations by the micro-batch."""
    axes = AXES | axes
    size, share = SIZES[axes["geometry"]], 1 / axes["shards"]
    tokens = axes["seq_len"] * axes["micro_batch"]
    width = (size / 90) ** 0.5
    activations = tokens * width * 70 * (1 if axes["checkpointing"] else 14)
    base: dict[tuple[str, str], float] = {("policy", "parameters"): 2 * size * share}
    if axes["kl_coef"]:
        base["reference", "parameters"] = 2 * size * share
    trained = ["policy"] if axes["critic_lr"] is None else ["policy", "critic"]
    for owner in trained:
        base[owner, "parameters"] = 2 * size * share
        base[owner, "optimiser"] = 4 * size * share
    base["shared", "experience"] = axes["num_generations"] * axes["prompts_per_step"] * axes["seq_len"] * 24
    logits = tokens * 130_000 * 8
    cache = axes["num_generations"] * axes["prompts_per_step"] * axes["seq_len"] * width * 8
    update = base | {("policy", "activations"): activations, ("policy", "logits"): logits}
    update |= {(owner, "gradients"): 2 * size * share for owner in trained}
    update |= {(owner, "optimiser_temporaries"): 0.1 * size * share for owner in trained}
    held = {"rollout": base | {("policy", "kv_cache"): cache}, "score": base | {("policy", "logits"): logits / 2}}
    held["update"] = update
    whole = sum(update.values()) / share
    counts = {"policy_parameter_count": size, "critic_parameter_count": size * (len(trained) - 1)}
    fits = {size_gb: [n for n in COUNTS if whole / n < size_gb * 1e9 - RESERVE_BYTES] for size_gb in GPUS_GB}
    constants = {
        "case": counts | {"reference_parameter_count": size * bool(axes["kl_coef"])},
        **{f"shards_{n}": {"peak_bytes_per_device": whole / n} for n in COUNTS},
        **{f"gpu_{size_gb}": {"devices_needed": min(n)} for size_gb, n in fits.items() if n},
    }
    return memory_record(held, constants=constants, settings={"reserve_bytes_per_device": RESERVE_BYTES}, **axes)


ALGORITHMS: tuple[dict[str, Any], ...] = (
    {"algorithm": "ppo", "critic_lr": 1e-3},
    {"algorithm": "grpo"},
    {"algorithm": "dr_grpo", "kl_coef": 0.0},
)


def sweep(geometries: Sequence[str] = tuple(SIZES), **lists: Any) -> list[Record]:
    """Every algorithm on every model, and again with each value of what is listed: `seq_len=(256, 4096)`."""
    changes = [{}, *({name: value} for name, part in lists.items() for value in part)]
    return [
        projected(**algorithm, **change, geometry=geometry)
        for algorithm in ALGORITHMS
        for change in changes
        for geometry in geometries
    ]
