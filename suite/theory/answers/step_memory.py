"""The memory of a step of RL in closed form: what `workload=rl_memory` finds by running a step with empty tensors.

A step's peak lies in an update. Beside all weights and moments are then gradients, the blocks' inputs, and the most of
three things. Over the logits stand three tensors of all tokens and the vocabulary. Where their product with the states
goes back, the head's gradient is made, and with tied weights the embeddings' joins it at the end. And a block that
computes its activations again makes the gradients of its MLP. Which is the most depends on the sizes, so all are added
up and the largest counts, beside the critic's own update, a reference's score and the rollout of one completion.

Counted are the largest terms. Left out are single numbers of a token and an adapter's low-rank activations.
Its test holds it within MOST_APART of every projection that is recorded in its reach: blocks are
checkpointed, the optimiser's step is fused, the policy samples, its critic has its sizes and is updated after it.
Of 320 further ones, of two to five layers each, one was 1.1% above and the others nearer; the median was 0.003%.
The projection needs torch and some 20 s of a CPU for an algorithm, and is of more settings than these, so both stay.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from suite.configuration.files import in_phase, read_choice
from suite.theory.layers.decoder_shape import DecoderShape, decoder_shape
from suite.theory.layers.latent_shapes import LatentShape
from suite.theory.layers.layer_plan import plan_from

MOST_APART = 0.01
"""The largest share by which it misses a projection's peak."""
BF16, MIXED, FLOAT32 = PRECISIONS = "bf16", "mixed", "float32"
COMPUTED_BYTES = {BF16: 2, MIXED: 2, FLOAT32: 4}
"""Bytes of an element that is computed with; a mixed recipe trains in float32 beside it."""
TRAINED_BYTES = {BF16: 2, MIXED: 4, FLOAT32: 4}
"""Bytes of an element of trained weights, their gradients and moments."""
MOMENTS = 2
POLICY, CRITIC, REFERENCE = OWNERS = "policy", "critic", "reference"
NOBODY, OTHER = "shared", "other"
"""An owner and a kind for what nothing says."""
PARAMETERS, GRADIENTS, OPTIMISER = DIVIDED = "parameters", "gradients", "optimiser"
"""Kinds that devices divide among them."""
ACTIVATIONS, LOGITS, KV_CACHE, EXPERIENCE, GATHERED = UNDIVIDED = (
    *("activations", "logits", "kv_cache", "experience", "gathered"),
)
"""LOGITS are all tensors over the vocabulary, their log-probabilities and gradients included. EXPERIENCE is what a step
is learnt from: tokens, masks, advantages. GATHERED is the unit that a shard gathers whole from the others."""
ROLLOUT, SCORE, UPDATE = PHASES = "rollout", "score", "update"
Held = dict[tuple[str, str], float]
"""Bytes by owner and kind."""


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """The sizes of a dense decoder that its memory follows from, in elements."""

    hidden: int
    layers: int
    inner: int
    """Width of the MLP."""
    vocabulary: int
    tied: int
    """1 where the head is the embeddings."""
    block: int
    """Parameters of a block."""
    queries: int
    """Width of all queries of a token in training."""
    keys: int
    """Width of its keys, and of its values where those are as wide."""
    outputs: int
    """Width of the attention's output, before its projection."""
    angles: int
    """Width of the tables of angles, cosine and sine together."""
    cached: int
    """Elements that a token leaves in the cache of a layer."""
    adapted: int
    """Widths into and out of every linear map of a block, added up: a rank times it is an adapter's parameters."""

    @property
    def table(self) -> int:
        """Parameters of the embeddings."""
        return self.vocabulary * self.hidden

    @property
    def trunk(self) -> int:
        """Parameters of embeddings, blocks and the last norm: all but the head."""
        return self.table + self.layers * self.block + self.hidden

    @property
    def parameters(self) -> int:
        """Parameters of the whole model; a tied head counts once, as the embeddings."""
        return self.trunk + (1 - self.tied) * self.table

    @property
    def is_deep(self) -> int:
        """1 where another block stands below the last one."""
        return int(self.layers > 1)


def model_sizes(settings: Mapping[str, Any]) -> ModelSizes:
    """The sizes of a geometry with its own attention.

    Raises ValueError for one with experts or uneven layers.
    """
    if "moe" in settings or ("layers" in settings and not plan_from(settings).is_uniform):
        raise ValueError(
            f"model must be dense, with equal layers of plain attention, where RL's memory is asked; got "
            f"{settings['name']!r}"
        )
    variant = settings["attention"] if settings["attention"] in ("mha", "mla") else "gqa"
    attention = in_phase(read_choice("attention", variant), "train")
    return sizes_of(decoder_shape(settings, attention, vocab_size=settings["vocab_size"], where="geometry."))


def sizes_of(shape: DecoderShape) -> ModelSizes:
    """The sizes of a decoder that its memory follows from."""
    layer, hidden, inner = shape.layer, shape.hidden_size, shape.intermediate_size
    maps = (hidden + 2 * inner) + (inner + hidden)
    if isinstance(layer, LatentShape):
        wide, heads = layer.num_heads * layer.qk_head_dim, layer.num_heads * layer.v_head_dim
        rank = layer.q_lora_rank
        maps += (hidden + wide) if rank is None else (hidden + rank) + (rank + wide)
        maps += (hidden + layer.kv_lora_rank + layer.qk_rope_head_dim) + (heads + hidden)
        queries = keys = outputs = wide
        angles = layer.qk_rope_head_dim
    else:
        queries, keys = layer.num_heads * layer.qk_dim, layer.cache_elements_per_token // 2
        outputs, angles = queries, layer.qk_dim
        maps += 2 * (hidden + queries) + 2 * (hidden + keys)
    return ModelSizes(
        hidden=hidden,
        layers=shape.num_layers,
        inner=inner,
        vocabulary=shape.vocab_size,
        tied=int(shape.ties_embeddings),
        block=shape.block_parameter_count,
        queries=queries,
        keys=keys,
        outputs=outputs,
        angles=angles,
        cached=layer.cache_elements_per_token,
        adapted=maps,
    )


@dataclass(frozen=True, kw_only=True)
class StepSizes:
    """A step on one of several devices."""

    model: ModelSizes
    has_critic: bool
    has_reference: bool
    kl_in_loss: bool
    precision: str
    lora_rank: int | None
    seq_len: int
    prompt_len: int
    completions: int
    micro_batch: int = 1
    shards: int = 1

    @property
    def completion_len(self) -> int:
        return self.seq_len - self.prompt_len

    @property
    def read_len(self) -> int:
        """Tokens that an update reads: all but the last, which is only predicted."""
        return self.seq_len - 1

    @property
    def adds_up(self) -> int:
        """1 if a step has several micro-batches, whose gradients are added up; 0 if it has one."""
        return int(math.ceil(self.completions / self.shards / self.micro_batch) > 1)


def step_peak(sizes: StepSizes, phases: Collection[str] = PHASES) -> tuple[str, Held]:
    """The phase, of `phases`, in which one device holds most, and its bytes there by owner and kind."""
    static = static_parts(sizes)
    held_bytes = [
        (moment.phase, _on_one_device(sizes, static | moment.held))
        for moment in moments(sizes)
        if moment.exists and moment.phase in phases
    ]
    return max(held_bytes, key=lambda phase_bytes: sum(phase_bytes[1].values()))


def held_in(phase: str, sizes: StepSizes) -> Held:
    """Bytes of each device at the peak of one phase, by owner and kind."""
    return step_peak(sizes, (phase,))[1]


def _on_one_device(sizes: StepSizes, parts: Held) -> Held:
    """Bytes on each device of what a single one would hold, with the largest unit gathered; no empty parts."""
    if sizes.shards == 1:
        return {label: size for label, size in parts.items() if size}
    share = {EXPERIENCE: math.ceil(sizes.completions / sizes.shards) / sizes.completions, GATHERED: 0.0}
    share |= dict.fromkeys(DIVIDED, 1 / sizes.shards)
    divided = {label: size * share.get(label[1], 1.0) for label, size in parts.items()}
    divided[NOBODY, GATHERED] = COMPUTED_BYTES[sizes.precision] * max(sizes.model.block, sizes.model.table)
    return {label: size for label, size in divided.items() if size}


class Moment(NamedTuple):
    """A moment of a step that may be its peak, on one device."""

    phase: str
    owner: str
    held: Held
    """Beside `static_parts`."""
    exists: int = 1
    """0 where the sizes leave it out."""


def moments(sizes: StepSizes) -> list[Moment]:
    """The moments that may be the peak.

    These and `static_parts` are sums of products, so that the page takes them as coefficients: what depends on the
    sizes alone is a factor of 0 or 1 (`tied`, `adds_up`, `is_deep`), and branches are by what is trained and how.
    """
    model, computed, rows = sizes.model, COMPUTED_BYTES[sizes.precision], sizes.micro_batch * sizes.completion_len
    candidates = _update_moments(sizes, POLICY)
    if sizes.has_critic:
        candidates += _update_moments(sizes, CRITIC)
    if sizes.has_reference:
        candidates.append(Moment(SCORE, REFERENCE, {(REFERENCE, LOGITS): 2 * rows * model.vocabulary * computed}))
    prompt = sizes.prompt_len * computed * (4 * model.inner + 4 * model.hidden)
    cache = model.layers * model.cached * (sizes.seq_len + sizes.prompt_len) * computed
    candidates.append(Moment(ROLLOUT, POLICY, {(POLICY, KV_CACHE): cache, (POLICY, ACTIVATIONS): prompt}))
    return candidates


def static_parts(sizes: StepSizes) -> Held:
    """Bytes that are held through the whole step, by owner and kind: weights, moments, tables of angles, experience."""
    model, computed, trained = sizes.model, COMPUTED_BYTES[sizes.precision], TRAINED_BYTES[sizes.precision]
    parts: Held = {}
    for owner, count in _trained_counts(sizes).items():
        frozen = 0 if sizes.lora_rank is None else _parameters_without_adapters(sizes, owner)
        parts[owner, PARAMETERS] = trained * count + computed * frozen
        parts[owner, OPTIMISER] = MOMENTS * trained * count
        parts[owner, OTHER] = sizes.seq_len * model.angles * (computed if sizes.lora_rank else trained)
    if sizes.has_reference:
        parts[REFERENCE, PARAMETERS] = 0 if sizes.lora_rank else computed * model.parameters
        parts[REFERENCE, OTHER] = sizes.seq_len * model.angles * computed
    numbers = 4 + sizes.kl_in_loss + 2 * sizes.has_critic + 1
    """Words of four bytes of a token: its id, mask and log-probability, its advantage, and what the algorithm adds."""
    parts[NOBODY, EXPERIENCE] = sizes.completions * (4 * numbers * sizes.completion_len + 8 * sizes.prompt_len)
    return parts


def _parameters_without_adapters(sizes: StepSizes, owner: str) -> int:
    return sizes.model.parameters if owner == POLICY else sizes.model.trunk + sizes.model.hidden


def _trained_counts(sizes: StepSizes) -> dict[str, int]:
    """The parameters that are trained, by owner."""
    owners = (POLICY, CRITIC) if sizes.has_critic else (POLICY,)
    if sizes.lora_rank is None:
        return {owner: _parameters_without_adapters(sizes, owner) for owner in owners}
    adapters = sizes.lora_rank * sizes.model.layers * sizes.model.adapted
    return dict.fromkeys(owners, adapters)


def _update_moments(sizes: StepSizes, owner: str) -> list[Moment]:
    """The moments of one model's update that may be the peak, beside `static_parts`."""
    model, precision, trains_all = sizes.model, sizes.precision, sizes.lora_rank is None
    trained, computed = TRAINED_BYTES[precision], COMPUTED_BYTES[precision]
    gradients, adds_up = trained * _trained_counts(sizes)[owner], sizes.adds_up
    casts = precision == MIXED and trains_all
    stream = trained if trains_all else computed
    """Bytes of an element of the residual stream."""
    seen, scored = (sizes.micro_batch * tokens for tokens in (sizes.read_len, sizes.completion_len))
    states = scored * model.hidden
    inputs = model.layers * seen * model.hidden * stream
    tail = states * ((10 if trains_all else 6) if stream == 2 else 8)
    is_policy, table = int(owner == POLICY), trained * model.table
    candidates: list[Moment] = []

    def moment(
        of_gradients: float, activations: float, logits: float = 0, gathered: float = 0, exists: int = 1
    ) -> None:
        labels = {GRADIENTS: of_gradients, ACTIVATIONS: activations, LOGITS: logits, GATHERED: gathered}
        candidates.append(Moment(UPDATE, owner, {(owner, kind): size for kind, size in labels.items()}, exists))

    before = gradients * adds_up
    if is_policy:
        logits = scored * model.vocabulary * (2 if precision == BF16 else 4)
        narrowed, head = (2 * states, 2 * model.table) if casts else (0, 0)
        moment(before, inputs + tail, logits=3 * logits + narrowed, gathered=head)
        if trains_all:
            becomes = table * (1 - adds_up) * (1 - model.tied)
            of_head = table - becomes + head + states * (stream if casts else computed)
            moment(before + becomes, inputs + tail + of_head, logits=0 if casts else logits)
    waits = table * model.tied * (is_policy and trains_all)
    """The head's gradient, until the embeddings' joins it."""
    if trains_all:
        moment(gradients, 2 * waits + table * adds_up + states * computed)
    matrix = trained * model.inner * model.hidden
    for layer, is_last in ((model.layers - 1, True), (model.layers - 2, False), (0, False)):
        exists, rows = (1, scored) if is_last else (model.is_deep, seen)
        of_block = waits + _block_bytes(sizes, seen, rows) + (layer + 1) * seen * model.hidden * stream
        if is_last and sizes.micro_batch > 1:
            of_block += scored * model.outputs * computed
        above = trained * (model.layers - 1 - layer) * model.block + is_policy * table * (1 - model.tied)
        of_gradients = before + (1 - adds_up) * trains_all * above
        inner = rows * model.inner * computed * (4 if casts else 6)
        moment(of_gradients, of_block + inner, gathered=2 * model.block if casts else 0, exists=exists)
        if trains_all:
            moment(of_gradients, of_block + 4 * matrix, exists=exists * adds_up)
            casting = 2 * model.inner * model.hidden if casts else 0
            moment(of_gradients + matrix, of_block + 2 * matrix + casting, exists=exists * (1 - adds_up))
            moment(of_gradients + 3 * matrix, of_block + 2 * matrix, exists=exists * (1 - adds_up))
    return candidates


def _block_bytes(sizes: StepSizes, seen: int, rows: int) -> float:
    """Bytes that a block computes again and keeps for its backward pass, without its MLP's inner activations."""
    model, trains_all = sizes.model, sizes.lora_rank is None
    attended = model.queries + model.outputs + 2 * model.keys
    angles = 4 * model.angles * sizes.seq_len
    if sizes.precision == FLOAT32:
        return 4 * (seen * (model.hidden + attended) + angles + rows * 4 * model.hidden)
    if sizes.precision == MIXED and trains_all:
        each = 6 * model.hidden + 6 * model.queries + 2 * model.outputs + 10 * model.keys
        return seen * each + 4 * angles + rows * 22 * model.hidden
    norm, second = (10, 14) if trains_all else (6, 10)
    return seen * (norm * model.hidden + 2 * attended) + 2 * angles + rows * second * model.hidden
