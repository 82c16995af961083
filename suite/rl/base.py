"""The base model: a decoder that has read the task's corpus and not learnt the task.

Each seed trains its own, since base models differ as much as algorithms do; the arms that are compared share it. The
first case that needs it trains it and leaves it beside the runs for the others.
"""

import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite.lm.checkpoint.load import fill
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.decoder import Decoder, FactoryKwargs
from suite.lm.training import Example, Limits, NotFiniteError, batch_of, train_on
from suite.measure.artifact_cache import cached_artifact
from suite.measure.rng import python_rng, torch_rng
from suite.measure.stateful import WorkloadFailedError
from suite.records.code import code_digest
from suite.rl.plan import RlPlan
from suite.rl.tasks.task import draw

FOLDER = "bases"
DEPENDS_ON = ("attention", "policy", "task", "base", "warmup_updates", "max_grad_norm", "dtype", "device", "threads")
"""Settings; the seed, the code and torch beside them."""


@dataclass(frozen=True, kw_only=True)
class Base:
    weights: Mapping[str, Tensor]
    losses: list[float]
    """Of each update, in nats a token; none of a checkpoint."""
    process_cpu_s: float
    """What training it took, wherever that was done."""
    key: str


def made(plan: RlPlan) -> FactoryKwargs:
    device = torch.device(plan.device)
    generator = torch_rng(device, plan.seed, "weights")
    return FactoryKwargs(dtype=getattr(torch, plan.dtype), device=device, generator=generator)


def new_decoder(plan: RlPlan, attention: Mapping[str, Any]) -> Decoder:
    return Decoder(plan.shape, attention, positions=plan.policy.positions(plan.longest_completion), made=made(plan))


def base_model(plan: RlPlan, settings: Mapping[str, Any], shared: Path) -> Base:
    """Trained here, or read from the shared folder where another case of the same base left it; a checkpoint is read
    from where it lies. Raises UnsupportedError for one that is not as its sizes say."""
    if plan.policy.checkpoint is not None:
        return _read(plan, plan.policy.checkpoint, settings["attention"])
    key = _key(settings)
    found = cached_artifact(
        shared / FOLDER, key, device=plan.device, make=lambda: _trained(plan, settings["attention"])
    )
    return Base(**found, key=key)


def _read(plan: RlPlan, checkpoint: str, attention: Mapping[str, Any]) -> Base:
    begun_s, place, model = time.process_time(), locate_checkpoint(checkpoint), new_decoder(plan, attention)
    fill(model, place)
    return Base(weights=model.state_dict(), losses=[], process_cpu_s=time.process_time() - begun_s, key=place.digest())


def _trained(plan: RlPlan, attention: Mapping[str, Any]) -> dict[str, Any]:
    model = new_decoder(plan, attention)
    begun_s = time.process_time()
    limits = Limits(warmup_updates=plan.warmup_updates, max_grad_norm=plan.max_grad_norm)
    try:
        losses = train_on(model, _corpus(plan, model.made.device), lr=plan.base_lr, limits=limits)
    except NotFiniteError as error:
        raise WorkloadFailedError(f"base: {error}") from error
    return {"weights": model.state_dict(), "losses": losses, "process_cpu_s": time.process_time() - begun_s}


def _corpus(plan: RlPlan, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    generator = python_rng(plan.seed, "corpus")
    for _ in range(plan.base_updates):
        yield batch_of(documents(plan, generator, plan.base_batch), device, end=plan.vocabulary.end)


def documents(plan: RlPlan, generator: random.Random, count: int) -> list[Example]:
    """Prompts to train on, each with what the corpus has behind it; both are learnt."""
    items = [draw(plan.task, generator, held_out=False) for _ in range(count)]
    texts = [item.prompt + plan.task.document(item, generator) for item in items]
    return [Example(ids=plan.vocabulary.encode(text)) for text in texts]


def _key(settings: Mapping[str, Any]) -> str:
    named = {name: settings[name] for name in DEPENDS_ON}
    code = code_digest({"base": f"{__name__}.base_model", **named})
    parts = [json.dumps({"seed": settings["seed"], **named}, sort_keys=True), code, torch.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
