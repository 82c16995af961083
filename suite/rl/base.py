"""Decoders that one case trains and leaves beside the runs for the others: base models, and teachers of recipes.

A base model has read the task's corpus and not learnt the task. Each seed trains its own, since base models differ as
much as algorithms do; the arms that are compared share it. A teacher is a stronger decoder, trained by a recipe of its
own with the learner's seed, task and algorithm; its cost is in the record of each case that learns from it.
"""

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite.lm.checkpoint.load import fill
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.decoder import AutocastDecoder, Decoder, FactoryKwargs
from suite.lm.lora import adapt
from suite.lm.training import Example, Limits, NotFiniteError, pad_examples, train_on
from suite.machine.code import code_digest, code_named_in
from suite.measure.meter import Meter
from suite.measure.rng import python_rng, torch_rng
from suite.measure.sealed import cached_artifact
from suite.measure.stateful import WorkloadFailedError
from suite.records.case import comparable
from suite.records.metrics import EVALUATE
from suite.rl.plan import RlPlan
from suite.rl.recipe import teacher_settings
from suite.rl.tasks.task import draw

BASES, TEACHERS = "bases", "teachers"
BASE_SETTINGS = ("attention", "policy", "task", "base", "warmup_updates", "max_grad_norm", "dtype", "device", "threads")
"""Settings that a base model depends on, beside the seed, the code and torch."""
NOT_LEARNT_FROM = ("checkpoint_seconds", "trial", "rank")  # settings of a run that its policy does not depend on


@dataclass(frozen=True, kw_only=True)
class Base:
    weights: Mapping[str, Tensor]
    losses: list[float]  # nats a token, for each update; empty for a checkpoint
    process_cpu_s: float  # processor time of its training, wherever that was done
    key: str


def new_decoder(
    plan: RlPlan, attention: Mapping[str, Any], *, frozen: bool = False, dtype: str | None = None
) -> Decoder:
    """A decoder with fresh weights in the plan's precision, or in `dtype`, with adapters under LoRA. With autocast a
    trained one keeps float32 weights and computes in bfloat16, and a frozen one is in bfloat16 throughout."""
    if dtype is None and plan.autocasts and not frozen:
        decoder = _decoder(plan, attention, plan.dtype, AutocastDecoder)
    else:
        decoder = _decoder(plan, attention, dtype or ("bfloat16" if plan.autocasts else plan.dtype))
    if plan.lora_rank is not None:
        adapt(decoder, plan.lora_rank)
    return decoder


def decoder_with_weights(
    plan: RlPlan, attention: Mapping[str, Any], weights: Mapping[str, Tensor], **precision: Any
) -> Decoder:
    """A `new_decoder` with these weights. Adapters that they lack stay new, which change nothing."""
    decoder = new_decoder(plan, attention, **precision)
    new_adapters = {name: weight for name, weight in decoder.state_dict().items() if name.startswith("adapters.")}
    decoder.load_state_dict({**new_adapters, **weights})
    return decoder


def _decoder(plan: RlPlan, attention: Mapping[str, Any], dtype: str, kind: type[Decoder] = Decoder) -> Decoder:
    """A decoder of the plan's shape and this kind, with fresh weights from the plan's seed."""
    device = torch.device(plan.device)
    generator = torch_rng(device, plan.seed, "weights")
    factory = FactoryKwargs(dtype=getattr(torch, dtype), device=device, generator=generator)
    decoder = kind(plan.shape, attention, positions=plan.policy.positions(plan.longest_completion), factory=factory)
    decoder.checkpointing = plan.checkpointing
    return decoder


def base_model(plan: RlPlan, settings: Mapping[str, Any], shared: Path) -> Base:
    """The base model that the policy begins as: trained here, or read from the shared folder if another case left it
    there. A checkpoint is read where it lies. Raises UnsupportedError where its weights are not as its sizes say."""
    attention = settings["attention"]
    if plan.policy.checkpoint is not None:
        begun_s, location = time.process_time(), locate_checkpoint(plan.policy.checkpoint)
        model = _decoder(plan, attention, plan.dtype)
        fill(model, location)
        took_s = time.process_time() - begun_s
        return Base(weights=model.state_dict(), losses=[], process_cpu_s=took_s, key=location.digest())
    # Never trained in bfloat16: all precisions begin as one model, as they do as one checkpoint.
    dtype = "float32" if plan.dtype == "bfloat16" else plan.dtype
    named = {name: settings[name] for name in BASE_SETTINGS} | {"dtype": dtype}
    key = artifact_key({"seed": settings["seed"], **named}, {"base": f"{__name__}.base_model", **named})
    base = cached_artifact(shared / BASES, key, device=plan.device, make=lambda: _train_base(plan, attention, dtype))
    return Base(**base, key=key)


def _train_base(plan: RlPlan, attention: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Train a fresh decoder on the task's corpus; its weights, each update's loss in nats a token, and processor
    seconds. Raises WorkloadFailedError where a loss is not finite."""
    model = _decoder(plan, attention, dtype)
    begun_s, generator = time.process_time(), python_rng(plan.seed, "corpus")
    batches = (
        pad_examples(documents(plan, generator, plan.base_batch), model.factory.device, end=plan.vocabulary.end)
        for _ in range(plan.base_updates)
    )
    limits = Limits(warmup_updates=plan.warmup_updates, max_grad_norm=plan.max_grad_norm)
    try:
        losses = train_on(model, batches, lr=plan.base_lr, limits=limits)
    except NotFiniteError as error:
        raise WorkloadFailedError(f"base: {error}") from error
    return {"weights": model.state_dict(), "losses": losses, "process_cpu_s": time.process_time() - begun_s}


def documents(plan: RlPlan, generator: random.Random, count: int) -> list[Example]:
    """Draw training prompts, each followed by a completion from the task's corpus; both are learnt."""
    items = [draw(plan.task, generator, held_out=False) for _ in range(count)]
    texts = [item.prompt + plan.task.document(item, generator) for item in items]
    return [Example(ids=plan.vocabulary.encode(text)) for text in texts]


def artifact_key(settings: Mapping[str, Any], code: Mapping[str, Any]) -> str:
    """Hash of the settings, of the code that `code` names, and of torch's version: the key of a trained decoder."""
    parts = [json.dumps(settings, sort_keys=True), code_digest(code), torch.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def load_teacher(
    settings: Mapping[str, Any], shared: Path, course: Callable[[Mapping[str, Any]], Any]
) -> tuple[Decoder, dict[str, Any]]:
    """Train the recipe's teacher, or read it from the shared folder if another case left it there: (the frozen decoder;
    its key, its accuracy on the held-out prompts and what its training took, its base model's aside). `course`:
    suite.rl.workload.RlWorkload, which imports this module."""
    settings = teacher_settings(settings)
    key_settings = {name: value for name, value in comparable(settings).items() if name not in NOT_LEARNT_FROM}
    key_settings["code"] = sorted(code_named_in(settings))
    plan, key = RlPlan(settings), artifact_key(key_settings, settings)
    teacher = cached_artifact(
        shared / TEACHERS, key, device=plan.device, make=lambda: _train_teacher(course(settings), shared)
    )
    decoder = decoder_with_weights(plan, settings["attention"], teacher.pop("weights"))
    return decoder.requires_grad_(False), {"key": key[:16], **teacher}


def _train_teacher(course: Any, shared: Path) -> dict[str, Any]:
    """Run all steps of the teacher's course; its weights, last held-out accuracy and processor seconds."""
    meter = Meter()
    try:
        course.prepare(shared)
        begun_s = time.process_time()
        for meter.step in range(course.steps):
            course.step(meter)
    except WorkloadFailedError as error:
        raise WorkloadFailedError(f"teacher: {error}") from error
    took_s = time.process_time() - begun_s
    accuracies = [r.value for r in meter.readings if (r.span, r.metric) == (EVALUATE, "heldout_accuracy")]
    return {"weights": course.policy.state_dict(), "heldout_accuracy": accuracies[-1], "process_cpu_s": took_s}
