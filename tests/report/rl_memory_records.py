"""Records of what is held, with invented numbers in the proportions of real ones, for tests of the report alone."""

from suite.records.holdings import held_readings
from suite.records.record import Evidence, Record, constant_readings
from tests.report.quality_records import finished

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


def memory_record(
    held,
    *,
    parameters=1000.0,
    constants=None,
    workload="rl_memory",
    evidence=Evidence.PROJECTED,
    settings=None,
    extras=None,
    more=(),
    **axes,
) -> Record:
    """What each phase holds, by owner and kind."""
    constants = {"case": {"policy_parameter_count": parameters}, **(constants or {})}
    readings = [reading for phase, parts in held.items() for reading in held_readings(0, phase, parts)]
    readings = [*constant_readings(constants), *readings, *more]
    return finished(workload, AXES | axes, readings, evidence=evidence, extras=extras, settings=settings)


def projected(**axes):
    """By rules of thumb: bfloat16 throughout, the critic as large as the policy, activations by the micro-batch."""
    axes = AXES | axes
    size, share = SIZES[axes["geometry"]], 1 / axes["shards"]
    tokens, completions = axes["seq_len"] * axes["micro_batch"], axes["num_generations"] * axes["prompts_per_step"]
    width, has_reference = (size / 90) ** 0.5, bool(axes["kl_coef"])
    trained = ["policy"] if axes["critic_lr"] is None else ["policy", "critic"]
    owners = [*trained, *["reference"] * has_reference]
    base = {(owner, "parameters"): 2 * size * share for owner in owners}
    base |= {(owner, "optimiser"): 4 * size * share for owner in trained}
    base["shared", "experience"] = completions * axes["seq_len"] * 24
    logits = tokens * 130_000 * 8
    activations = tokens * width * 70 * (1 if axes["checkpointing"] else 14)
    update = base | {("policy", "activations"): activations, ("policy", "logits"): logits}
    update |= {(owner, "gradients"): 2 * size * share for owner in trained}
    update |= {(owner, "optimiser_temporaries"): 0.1 * size * share for owner in trained}
    cache = completions * axes["seq_len"] * width * 8
    held = {"rollout": base | {("policy", "kv_cache"): cache}, "score": base | {("policy", "logits"): logits / 2}}
    whole = sum(update.values()) / share
    counts = {"policy_parameter_count": size, "critic_parameter_count": size * (len(trained) - 1)}
    fits = {size_gb: [n for n in COUNTS if whole / n < size_gb * 1e9 - RESERVE_BYTES] for size_gb in GPUS_GB}
    constants = {
        "case": counts | {"reference_parameter_count": size * has_reference},
        **{f"shards_{n}": {"peak_bytes_per_device": whole / n} for n in COUNTS},
        **{f"gpu_{size_gb}": {"devices_needed": min(n)} for size_gb, n in fits.items() if n},
    }
    settings = {"reserve_bytes_per_device": RESERVE_BYTES}
    return memory_record(held | {"update": update}, constants=constants, settings=settings, **axes)


ALGORITHMS = (
    {"algorithm": "ppo", "critic_lr": 1e-3},
    {"algorithm": "grpo"},
    {"algorithm": "dr_grpo", "kl_coef": 0.0},
)


def sweep(geometries=tuple(SIZES), **lists):
    """Every algorithm on every model, and again with each value of what is listed: `seq_len=(256, 4096)`."""
    changes = [{}, *({name: value} for name, values in lists.items() for value in values)]
    return [
        projected(**algorithm, **change, geometry=geometry)
        for algorithm in ALGORITHMS
        for change in changes
        for geometry in geometries
    ]
