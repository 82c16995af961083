"""The numbers of `suite explain grpo` and `ppo`: what an update of each holds of a model, and what others found."""

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from suite.configuration.files import read_choice, read_settings, read_yaml
from suite.records import numbers
from suite.theory.answers.fit import algorithm_named, reserve_bytes
from suite.theory.answers.step_memory import (
    BF16,
    COMPUTED_BYTES,
    CRITIC,
    GRADIENTS,
    LOGITS,
    OPTIMISER,
    PARAMETERS,
    POLICY,
    REFERENCE,
    UPDATE,
    StepSizes,
    held_in,
    model_sizes,
    step_peak,
)
from suite.theory.devices.gpus import GPU_GIGABYTES, SHARDS
from suite.theory.layers.layer_plan import load_plan

CLAIMS = {"grpo": "grpo-cheaper", "ppo": "grpo-sample-efficient"}
"""The claim of conf/claims.yaml whose literature a topic quotes: what is saved, and what the critic is worth."""
WITHOUT_KL, LOW_LAMBDA = "dr_grpo", "ppo_lam95"
ELEMENT_BYTES = COMPUTED_BYTES[BF16]
PARTS = {
    "weights": [(POLICY, PARAMETERS)],
    "gradients": [(POLICY, GRADIENTS)],
    "moments": [(POLICY, OPTIMISER)],
    "reference": [(REFERENCE, PARAMETERS)],
    "critic": [(CRITIC, PARAMETERS), (CRITIC, OPTIMISER)],
    "logits": [(POLICY, LOGITS)],
}
"""Rows of the table, by owner and kind; the rest is activations, and little else."""
REST, TOGETHER = "rest", "together"
SMALLER = 10
"""Times that a small critic is smaller (AsyPPO, arXiv 2510.01656)."""
FAR = 100
"""Tokens between an action and its reward, in the text's example."""
LEAST_SAVED = 1e-3
"""A smaller share is nothing."""
WIDTH = 119


def facts_of(topic: str, geometry: str, words: Mapping[str, Any], table: Callable[..., str]) -> dict[str, str]:
    """Return every placeholder's text. `table`: writes rows whose first is the head.

    Raises ValueError for a geometry with experts or uneven layers.
    """
    settings = read_settings("rl_memory")
    seq_len, cache = settings["seq_len"], load_plan(geometry).cache_bytes(settings["seq_len"])
    steps = [_step(geometry, name, settings) for name in ("grpo", WITHOUT_KL, "ppo")]
    grpo, free, ppo = map(_parts, steps)
    own_bytes = sum(held_in(UPDATE, steps[2])[label] for label in PARTS["critic"])
    weights_bytes = held_in(UPDATE, steps[2])[CRITIC, PARAMETERS]
    model = steps[0].model

    def with_critic(size_bytes: float) -> dict[str, float]:
        """Return PPO's update with another critic, which is as much larger or smaller in all."""
        parts = {**ppo, "critic": size_bytes}
        return {**parts, TOGETHER: ppo[TOGETHER] - own_bytes + size_bytes}

    on_trunk = with_critic(own_bytes / weights_bytes * model.hidden * ELEMENT_BYTES)

    def saved(from_bytes: float, kept_bytes: float = grpo[TOGETHER]) -> str:
        share = 1 - kept_bytes / from_bytes
        return numbers.percent(share) if share >= LEAST_SAVED else f"< {numbers.percent(LEAST_SAVED)}"

    low_lambda = read_choice("algorithm", LOW_LAMBDA)["lam"]
    (claim,) = (claim for claim in read_yaml("claims.yaml")["claims"] if claim["id"] == CLAIMS[topic])
    quoted = [f"{words['says'][work['says']]}{work['what']} ({work['source']})" for work in claim["literature"]]
    wrap = textwrap.TextWrapper(WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    literature = "\n".join(line for text in quoted for line in wrap.wrap(text))
    return {
        "geometry": geometry,
        "billions": f"{model.parameters / 1e9:.3g}",
        "group": str(settings["num_generations"]),
        "clip": f"{settings['clip_ratio_low']:g}",
        "kl": f"{read_choice('algorithm', 'grpo')['kl_coef']:g}",
        "lam": f"{read_choice('algorithm', 'ppo')['lam']:g}",
        "lam_low": f"{low_lambda:g}",
        "far": str(FAR),
        "left": numbers.percent(low_lambda**FAR),
        "seq_len": f"{seq_len:,}",
        "table": table(_rows([grpo, free, ppo, on_trunk], [*map(_gpus, steps), _gpus(steps[0])], words)),
        "saved": saved(ppo[TOGETHER]),
        "saved_together": saved(ppo[TOGETHER] + weights_bytes),
        "saved_free": saved(ppo[TOGETHER], free[TOGETHER]),
        "saved_small": saved(with_critic(own_bytes / SMALLER)[TOGETHER]),
        "smaller": str(SMALLER),
        "saved_shared": saved(on_trunk[TOGETHER]),
        "critic": f"{weights_bytes / ELEMENT_BYTES / 1e9:.3g}",
        "cache": numbers.bytes_iec(cache),
        "at_once": f"{int((grpo['gradients'] + grpo['logits'] + grpo[REST]) // cache):,}",
        "literature": literature,
    }


def _step(geometry: str, algorithm: str, settings: Mapping[str, Any]) -> StepSizes:
    """A step of an algorithm with workload=rl_memory's own settings, on one device."""
    holds = algorithm_named(algorithm)
    return StepSizes(
        model=model_sizes(read_choice("geometry", geometry)),
        has_critic=holds.has_critic,
        has_reference=holds.has_reference,
        kl_in_loss=holds.kl_in_loss,
        precision=BF16,
        lora_rank=None,
        seq_len=settings["seq_len"],
        prompt_len=settings["prompt_len"],
        completions=settings["prompts_per_step"] * settings["num_generations"],
        micro_batch=settings["micro_batch"],
    )


def _parts(step: StepSizes) -> dict[str, float]:
    """The bytes of an update by the table's rows."""
    held = Counter(held_in(UPDATE, step))
    parts = {row: float(sum(held[label] for label in labels)) for row, labels in PARTS.items()}
    whole = float(sum(held.values()))
    return {**parts, REST: whole - sum(parts.values()), TOGETHER: whole}


def _rows(arms: Sequence[Mapping[str, float]], gpus: Sequence[str], words: Mapping[str, Any]) -> list[list[str]]:
    """A line for each part of an update, the last their sum, and the GPUs that share a step."""
    sizes = " / ".join(map(str, GPU_GIGABYTES))
    rows = [[words["parts"][row], *(_gigabytes(parts[row]) for parts in arms)] for row in arms[0]]
    return [["", *words["arms"]], *rows, [words["gpus"].format(sizes=sizes), *gpus]]


def _gigabytes(value: float) -> str:
    return f"{value / 1e9:.1f}" if value >= 5e7 else "–"


def _gpus(step: StepSizes) -> str:
    """Write the fewest GPUs of each size that hold a step."""
    peaks = {shards: sum(step_peak(replace(step, shards=shards))[1].values()) for shards in SHARDS}
    rooms = [gigabytes * 1e9 - reserve_bytes() for gigabytes in GPU_GIGABYTES]
    fewest = (next((str(shards) for shards, peak in peaks.items() if peak <= room), "–") for room in rooms)
    return " / ".join(fewest)
