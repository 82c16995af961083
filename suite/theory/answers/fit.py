"""Which GPUs hold a step of RL: the peak of each device by owner, and the smallest set of GPUs that takes it.

The sizes are those of step_memory.py, the settings of a step workload=rl_memory's defaults; GPUs divide
weights, gradients and moments as FSDP and ZeRO-3 do. What a device's context and its allocator take off is kept free.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.configuration.files import choices, no_choice, read_choice, read_look, read_settings
from suite.configuration.values import one_of, optional_whole_number, whole_number
from suite.theory.answers.asked import asked_model, gpus_named
from suite.theory.answers.step_memory import PRECISIONS, ModelSizes, StepSizes, model_sizes, step_peak
from suite.theory.devices.gpus import GPU_GIGABYTES, SHARDS, Gpus

BESIDE = ("ppo", "vapo", "grpo", "dr_grpo")
"""Shown beside what is asked: with critic and reference, with either, and with neither."""
DEFAULTS = {"seq_len": 2048, "prompt_len": 256, "group": 8, "prompts": 16, "lora_rank": None, "precision": "bf16"}


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """An algorithm, with the models that it holds memory for."""

    name: str
    label: str
    has_critic: bool
    has_reference: bool
    kl_in_loss: bool


@dataclass(frozen=True, kw_only=True)
class FitQuestion:
    """A question about a step of RL, as `fit_question_from` checks it. `name`: the model's."""

    algorithm: str
    name: str
    model: ModelSizes
    gpus: Gpus
    seq_len: int
    prompt_len: int
    group: int
    prompts: int
    lora_rank: int | None
    precision: str


@dataclass(frozen=True, kw_only=True)
class StepFit:
    """The answer for one algorithm: if its step fits, and the sets that hold it."""

    algorithm: str
    label: str
    fits: bool
    peak_bytes: float
    """Bytes of each device."""
    spare_bytes: float
    """Below 0 where it does not fit."""
    phase: str
    parts: Mapping[str, float]
    """Bytes at the peak by owner and kind, as `policy/gradients`."""
    sets: Sequence[tuple[int, int]]
    """Sets of GPUs that hold it, as a count and the decimal GB of one: for each size the fewest, the least memory
    first."""


@functools.cache
def algorithm_named(name: str) -> Algorithm:
    """An algorithm by its name in conf/algorithm. Raises ValueError, which suggests near names."""
    if name not in choices("algorithm"):
        raise ValueError(no_choice("algorithm", name, choices("algorithm")))
    settings = {**read_settings("rl_memory"), **read_choice("algorithm", name)}
    look = read_look("algorithm", name) or {}
    has_reference = settings["kl_coef"] > 0
    return Algorithm(
        name=name,
        label=look.get("label", name),
        has_critic=settings["adv_estimator"] == "gae",
        has_reference=has_reference,
        kl_in_loss=has_reference and not settings["use_kl_in_reward"],
    )


def fit_question_from(given: Mapping[str, Any]) -> FitQuestion:
    """Check a question: `algorithm`, `model` or `sizes`, `gpus`, and what DEFAULTS names.

    Raises ValueError, in one sentence, for what is wrong in itself, naming near names.
    """
    question = {"model": None, "sizes": None, **DEFAULTS, **given}
    algorithm = algorithm_named(question["algorithm"]).name
    name, settings = asked_model(question)
    gpus = gpus_named(question["gpus"])
    if gpus.count not in SHARDS:
        raise ValueError(f"gpus must be {', '.join(map(str, SHARDS))} in number; got {gpus.count}")
    seq_len = whole_number(question, "seq_len", at_least=3)
    group, prompts = (whole_number(question, size, at_least=1) for size in ("group", "prompts"))
    if group * prompts < gpus.count:
        raise ValueError(f"group x prompts must be at least the GPUs; got {group} x {prompts} and {gpus.count}")
    return FitQuestion(
        algorithm=algorithm,
        name=name,
        gpus=gpus,
        seq_len=seq_len,
        prompt_len=whole_number(question, "prompt_len", at_least=1, at_most=seq_len - 2),
        group=group,
        prompts=prompts,
        lora_rank=optional_whole_number(question, "lora_rank"),
        model=model_sizes(settings),
        precision=one_of(question, "precision", PRECISIONS),
    )


@functools.cache
def reserve_bytes() -> int:
    """Bytes that a device's context and its allocator's rounding take off its memory."""
    return int(read_settings("rl_memory")["reserve_bytes_per_device"])


def fits_of(question: FitQuestion) -> list[StepFit]:
    """Answer for the algorithm of the question, then for those of BESIDE."""
    names = dict.fromkeys((question.algorithm, *BESIDE))
    return [_step_fit(question, algorithm_named(name)) for name in names]


def _step_fit(question: FitQuestion, algorithm: Algorithm) -> StepFit:
    """Whether the algorithm's step fits the question's GPUs, its peak there, and the smallest sets that hold it."""
    reserve, completions = reserve_bytes(), question.group * question.prompts
    step = StepSizes(
        model=question.model,
        has_critic=algorithm.has_critic,
        has_reference=algorithm.has_reference,
        kl_in_loss=algorithm.kl_in_loss,
        precision=question.precision,
        lora_rank=question.lora_rank,
        seq_len=question.seq_len,
        prompt_len=question.prompt_len,
        completions=completions,
    )
    by_shards = {shards: step_peak(replace(step, shards=shards)) for shards in SHARDS if shards <= completions}
    peaks = {shards: sum(parts.values()) for shards, (_, parts) in by_shards.items()}
    phase, parts = by_shards[question.gpus.count]
    spare = question.gpus.memory_bytes - reserve - peaks[question.gpus.count]
    sets = []
    for gigabytes in GPU_GIGABYTES:
        sets += [(shards, gigabytes) for shards, peak in peaks.items() if peak <= gigabytes * 1e9 - reserve][:1]
    return StepFit(
        algorithm=algorithm.name,
        label=algorithm.label,
        fits=spare >= 0,
        peak_bytes=peaks[question.gpus.count],
        spare_bytes=spare,
        phase=phase,
        parts={f"{owner}/{kind}": size for (owner, kind), size in parts.items()},
        sets=sorted(sets, key=lambda gpus: (gpus[0] * gpus[1], gpus[0])),
    )
