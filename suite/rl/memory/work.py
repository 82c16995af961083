"""The least work of a step of RL on one of the devices that share it, from closed forms: FLOPs and bytes by phase.

A bound and no forecast: every completion is as long as it may be, nothing is communicated, nothing waits, all runs at
peak rates, and each pass takes the longer of its arithmetic and its traffic. Of traffic only weights, caches and
AdamW's states count, not activations; adapters' own work is left out. No torch.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from suite.records.holdings import CRITIC, POLICY
from suite.records.metrics import PHASES
from suite.rl.memory.plan import COPY, NONE, SHARED, RlMemoryPlan
from suite.theory.answers.step_memory import COMPUTED_BYTES, TRAINED_BYTES
from suite.theory.layers.algebra import Pass
from suite.theory.layers.decoder_shape import DecoderShape
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import kernel_work

ROLLOUT, SCORE, UPDATE = PHASES
ADAMW_ACCESSES = 7  # weight, gradient and two moments are read, and all but the gradient written


@dataclass(frozen=True, kw_only=True)
class Passes:
    """So many passes of equal work."""

    times: int
    flops: float
    traffic_bytes: float


def bound_s(sequence: Iterable[Passes], ceilings: Ceilings) -> float:
    """Least seconds of passes that follow one another."""
    return sum(p.times * ceilings.bound_s(flops=p.flops, traffic_bytes=p.traffic_bytes) for p in sequence)


def step_work(plan: RlMemoryPlan, batch: int) -> dict[str, Sequence[Passes]]:
    """Passes of one device in each phase that has any. `batch`: completions that it samples at once."""
    phases = {ROLLOUT: _rollout(plan, batch), SCORE: _scores(plan), UPDATE: _updates(plan)}
    return {phase: passes for phase, passes in phases.items() if passes}


def _rollout(plan: RlMemoryPlan, batch: int) -> list[Passes]:
    """Passes that read each prompt once, then decode: each step reads the weights and caches of mean length."""
    if plan.engine == NONE:
        return []
    rows = plan.rows(plan.shards)
    # An engine's copy is divided as tensor parallelism does: all devices decode all of their batches together.
    split = plan.shards if plan.engine == COPY else 1
    element_bytes = COMPUTED_BYTES[plan.precision]
    sizes = [batch] * (rows // batch) + ([rows % batch] if rows % batch else [])
    prompts = sum(math.ceil(size / plan.num_generations) for size in sizes)
    read = Pass(batch=prompts, query_len=plan.prompt_len, seq_len=plan.prompt_len, element_bytes=element_bytes)
    mean_len = plan.prompt_len + math.ceil(plan.completion_len / 2)
    passes = [_forward(plan.training_shape, read, heads=prompts)]
    for size in dict.fromkeys(sizes):
        token = Pass(batch=size, query_len=1, seq_len=mean_len, element_bytes=element_bytes)
        decode = _forward(plan.shape, token, heads=size)
        traffic = (
            decode.traffic_bytes / split + plan.shape.num_layers * kernel_work(plan.shape.layer, token).traffic_bytes
        )
        times = sizes.count(size) * plan.completion_len
        passes.append(Passes(times=times, flops=decode.flops, traffic_bytes=traffic))
    return passes


def _scores(plan: RlMemoryPlan) -> list[Passes]:
    """Passes that score all of a device's completions once with each model that scores."""
    forward, times, heads = _micro_batch(plan)
    models = [_forward(plan.training_shape, forward, heads=heads)]
    models *= (plan.engine != SHARED) + plan.objective.has_reference
    if plan.has_own_critic:
        models.append(_forward(plan.critic_training_shape, forward, heads=0))
    if plan.has_reward_model:
        models.append(_forward(plan.training_shape, forward, heads=0))
    return [replace(model, times=times) for model in models]


def _updates(plan: RlMemoryPlan) -> list[Passes]:
    """Passes forward and back of each trained model over all completions, and the writes of its weights once a
    minibatch.

    On the way back are two products for each one of the forward pass, of which frozen weights need one; recomputed
    blocks run forward once more.
    """
    forward, times, heads = _micro_batch(plan)
    counts = plan.parameter_counts()
    trained = {POLICY: (plan.training_shape, heads)}
    if plan.has_own_critic:
        trained[CRITIC] = plan.critic_training_shape, 0
    passes = []
    for owner, (shape, logits) in trained.items():
        whole, core = _forward(shape, forward, heads=logits), shape.num_layers * kernel_work(shape.layer, forward).flops
        products = 3 if plan.lora_rank is None else 2
        again = _forward(shape, forward, heads=0).flops if plan.checkpointing else 0
        flops = 3 * core + products * (whole.flops - core) + again
        traffic = (2 + plan.checkpointing) * whole.traffic_bytes
        passes.append(Passes(times=times, flops=flops, traffic_bytes=traffic))
        if plan.lora_rank is None:
            minibatches = math.ceil(plan.completions / plan.minibatch)
            states = ADAMW_ACCESSES * TRAINED_BYTES[plan.precision] * counts[owner] / plan.shards
            passes.append(Passes(times=minibatches, flops=0, traffic_bytes=states))
    return passes


def _micro_batch(plan: RlMemoryPlan) -> tuple[Pass, int, int]:
    """A pass over a micro-batch, how many micro-batches one device has, and tokens with logits in each."""
    all_rows = plan.rows(plan.shards)
    rows, element_bytes = min(plan.micro_batch, all_rows), COMPUTED_BYTES[plan.precision]
    whole = Pass(batch=rows, query_len=plan.seq_len, seq_len=plan.seq_len, element_bytes=element_bytes)
    return whole, math.ceil(all_rows / rows), rows * plan.completion_len


def _forward(shape: DecoderShape, forward: Pass, *, heads: int) -> Passes:
    """Work of a forward pass in which each weight is read once. `heads`: tokens whose logits are computed."""
    mlp = 6 * shape.hidden_size * shape.intermediate_size * forward.tokens
    layer = kernel_work(shape.layer, forward).flops + shape.layer.projection_flops(forward) + mlp
    logits = 2 * shape.vocab_size * shape.hidden_size * heads
    # A head that is the embeddings is read whole, embeddings alone a row a token.
    weights = shape.num_layers * shape.block_parameter_count + (shape.vocab_size * shape.hidden_size if heads else 0)
    return Passes(times=1, flops=shape.num_layers * layer + logits, traffic_bytes=weights * forward.element_bytes)
