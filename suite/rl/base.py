"""The base model: a decoder that has read the task's corpus and not learnt the task.

Each seed trains its own, since base models differ as much as algorithms do; the arms that are compared share it. The
first case that needs it trains it and leaves it beside the runs for the others.
"""

import hashlib
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite.lm.autocast import AutocastDecoder
from suite.lm.checkpoint.load import fill
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.decoder import Decoder, FactoryKwargs
from suite.lm.training import Example, Limits, NotFiniteError, pad_examples, train_on
from suite.measure.artifact_cache import cached_artifact
from suite.measure.rng import python_rng, torch_rng
from suite.measure.stateful import WorkloadFailedError
from suite.records.machine.code import code_digest
from suite.rl.plan import RlPlan
from suite.rl.tasks.task import draw

FOLDER = "bases"
DEPENDS_ON = ("attention", "policy", "task", "base", "warmup_updates", "max_grad_norm", "dtype", "device", "threads")
"""Settings that a base model depends on, beside the seed, the code and torch."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base model's weights, and what their training was."""

    weights: Mapping[str, Tensor]
    losses: list[float]
    """Nats a token, for each update; empty for a checkpoint."""
    process_cpu_s: float
    """Processor time of its training, wherever that was done."""
    key: str


def new_decoder(plan: RlPlan, attention: Mapping[str, Any], *, frozen: bool = False) -> Decoder:
    """Make a decoder in the plan's precision: one that is trained, or a frozen one, as a mixed recipe keeps it in what
    is computed with."""
    dtype = "bfloat16" if plan.autocasts and frozen else plan.dtype
    return _decoder(plan, attention, dtype, AutocastDecoder if plan.autocasts and not frozen else Decoder)


def _decoder(plan: RlPlan, attention: Mapping[str, Any], dtype: str, kind: type[Decoder] = Decoder) -> Decoder:
    device = torch.device(plan.device)
    generator = torch_rng(device, plan.seed, "weights")
    factory = FactoryKwargs(dtype=getattr(torch, dtype), device=device, generator=generator)
    return kind(plan.shape, attention, positions=plan.policy.positions(plan.longest_completion), made=factory)


def base_model(plan: RlPlan, settings: Mapping[str, Any], shared: Path) -> Base:
    """Train it here, or read it from the shared folder where another case of the same base left it; a checkpoint is
    read from where it lies. Raise UnsupportedError for one that is not as its sizes say."""
    if plan.policy.checkpoint is not None:
        return _read(plan, plan.policy.checkpoint, settings["attention"])
    named = {name: settings[name] for name in DEPENDS_ON} | {"dtype": _trained_in(plan)}
    key = artifact_key({"seed": settings["seed"], **named}, {"base": f"{__name__}.base_model", **named})
    base = cached_artifact(shared / FOLDER, key, device=plan.device, make=lambda: _trained(plan, settings["attention"]))
    return Base(**base, key=key)


def _read(plan: RlPlan, checkpoint: str, attention: Mapping[str, Any]) -> Base:
    begun_s, place, model = time.process_time(), locate_checkpoint(checkpoint), new_decoder(plan, attention)
    fill(model, place)
    return Base(weights=model.state_dict(), losses=[], process_cpu_s=time.process_time() - begun_s, key=place.digest())


def _trained_in(plan: RlPlan) -> str:
    """The dtype of the base model's training: never bfloat16, so that all precisions begin as one model, as
    they do as one checkpoint."""
    return "float32" if plan.dtype == "bfloat16" else plan.dtype


def _trained(plan: RlPlan, attention: Mapping[str, Any]) -> dict[str, Any]:
    model = _decoder(plan, attention, _trained_in(plan))
    begun_s, generator = time.process_time(), python_rng(plan.seed, "corpus")
    batches = (
        pad_examples(documents(plan, generator, plan.base_batch), model.made.device, end=plan.vocabulary.end)
        for _ in range(plan.base_updates)
    )
    limits = Limits(warmup_updates=plan.warmup_updates, max_grad_norm=plan.max_grad_norm)
    try:
        losses = train_on(model, batches, lr=plan.base_lr, limits=limits)
    except NotFiniteError as error:
        raise WorkloadFailedError(f"base: {error}") from error
    return {"weights": model.state_dict(), "losses": losses, "process_cpu_s": time.process_time() - begun_s}


def documents(plan: RlPlan, generator: random.Random, count: int) -> list[Example]:
    """Return prompts to train on, each with what the corpus has behind it; both are learnt."""
    items = [draw(plan.task, generator, held_out=False) for _ in range(count)]
    texts = [item.prompt + plan.task.document(item, generator) for item in items]
    return [Example(ids=plan.vocabulary.encode(text)) for text in texts]


def artifact_key(settings: Mapping[str, Any], code: Mapping[str, Any]) -> str:
    """Return the key of a trained decoder: of its settings, the code that `code` names, and torch."""
    parts = [json.dumps(settings, sort_keys=True), code_digest(code), torch.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
