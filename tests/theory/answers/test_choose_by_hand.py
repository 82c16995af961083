"""Questions about serving and about RL, each counted here from a published configuration.

Nothing of suite.theory takes part in the counting. All sizes are of the models' own configuration files.
"""

import math
from dataclasses import dataclass

import pytest

from suite.theory.answers.choose import answers_to, question_from
from suite.theory.answers.fit import fit_question_from, fits_of

MEMORY = {"h100": 80e9, "h200": 141e9, "a100": 80e9, "80": 80e9}
PEAK = {"h100": (989.4e12, 3.35e12), "h200": (989e12, 4.8e12), "a100": (312e12, 2.039e12)}
"""FLOP/s in bfloat16 without sparsity, and bytes a second, of the specification."""
BYTES = {"bfloat16": 2, "fp8": 1, "int4": 0.5}


@dataclass(frozen=True)
class Dense:
    """hidden_size, num_hidden_layers, heads, key-value heads, intermediate_size, vocab_size; heads are 128 wide."""

    hidden: int
    layers: int
    heads: int
    groups: int
    inner: int
    words: int
    has_bias: bool = False


MODELS = {
    "llama-2-7b": Dense(4096, 32, 32, 32, 11_008, 32_000),
    "llama-3.1-8b": Dense(4096, 32, 32, 8, 14_336, 128_256),
    "llama-3.1-70b": Dense(8192, 80, 64, 8, 28_672, 128_256),
    "llama-3.1-405b": Dense(16_384, 126, 128, 8, 53_248, 128_256),
    "mistral-7b-v0.3": Dense(4096, 32, 32, 8, 14_336, 32_768),
    "qwen2.5-7b": Dense(3584, 28, 28, 4, 18_944, 152_064, has_bias=True),
    "qwen2.5-32b": Dense(5120, 64, 40, 8, 27_648, 152_064, has_bias=True),
    "qwen2.5-72b": Dense(8192, 80, 64, 8, 29_568, 152_064, has_bias=True),
}


def held(model, tp, weights):
    """One device's bytes of all weights, of those that a step reads, and of a token in the cache; the parameters that a
    token is multiplied by, and the query heads."""
    heads, groups = model.heads // tp, max(1, model.groups // tp)
    matrices = model.layers * (2 * model.hidden * (heads + groups) * 128 + 3 * model.hidden * model.inner // tp)
    biases = model.layers * (heads + 2 * groups) * 128 if model.has_bias else 0
    table, norms = model.hidden * model.words / tp, (2 * model.layers + 1) * model.hidden
    whole = matrices + biases + norms + 2 * table
    read, token = matrices + biases + table, model.layers * 2 * groups * 128 * 2
    return BYTES[weights] * whole, BYTES[weights] * read, token, matrices + table, heads


def served(model, device, count, tp, context, weights):
    """The largest batch of replicas of tp, and the least time of its step."""
    whole, read, token, multiplied, heads = held(model, tp, weights)
    on_one = max(0, math.floor((0.9 * MEMORY[device] - whole) / (token * context)))
    flops, bandwidth = PEAK[device]
    moved = on_one * (token * context + model.layers * 2 * heads * 128 * 2) + read
    computed = on_one * (2 * multiplied + model.layers * 4 * heads * 128 * context)
    return on_one * count // tp, max(moved / bandwidth, computed / flops)


SERVING = [
    # model, device, how many, devices of a replica, tokens of a sequence, weights, the largest batch
    ("llama-3.1-8b", "h100", 4, 1, 32_768, "bfloat16", 52),
    ("llama-3.1-8b", "h100", 4, 4, 32_768, "bfloat16", 63),
    ("llama-3.1-8b", "h100", 8, 8, 8192, "fp8", 528),
    ("llama-3.1-8b", "a100", 2, 2, 131_072, "bfloat16", 7),
    ("llama-3.1-8b", "h200", 8, 1, 4096, "int4", 1824),
    ("llama-3.1-70b", "h100", 4, 1, 32_768, "bfloat16", 0),
    ("llama-3.1-70b", "h100", 4, 4, 32_768, "bfloat16", 13),
    ("llama-3.1-70b", "h100", 8, 2, 32_768, "fp8", 24),
    ("llama-3.1-70b", "h200", 2, 2, 8192, "fp8", 68),
    ("llama-3.1-70b", "a100", 16, 8, 32_768, "bfloat16", 80),
    ("llama-3.1-405b", "h200", 8, 8, 32_768, "bfloat16", 12),
    ("llama-3.1-405b", "h100", 16, 16, 32_768, "fp8", 21),
    ("llama-2-7b", "a100", 4, 2, 4096, "bfloat16", 120),
    ("mistral-7b-v0.3", "h200", 2, 1, 32_768, "fp8", 54),
    ("qwen2.5-7b", "h100", 8, 4, 32_768, "bfloat16", 290),
    ("qwen2.5-32b", "h200", 8, 2, 16_384, "bfloat16", 172),
]


def answer(model, device, count, parallel, context, weights):
    asked = {"model": model, "gpus": f"{count}x{device}", "context": context, "weights": weights, "parallel": parallel}
    found = answers_to(question_from(asked))
    assert found.answers[0].variant == "own"
    return found.answers[0]


@pytest.mark.parametrize(("name", "device", "count", "tp", "context", "weights", "largest"), SERVING)
def test_a_dense_model_is_counted_by_hand(name, device, count, tp, context, weights, largest):
    batch, bound_s = served(MODELS[name], device, count, tp, context, weights)
    own = answer(name, device, count, f"tp{tp}", context, weights)
    assert own.largest_batch == batch == largest
    assert own.weight_bytes == pytest.approx(held(MODELS[name], tp, weights)[0], rel=1e-12)
    assert own.bound_s == (pytest.approx(bound_s, rel=1e-6) if batch else None)


def test_the_best_layout_is_the_best_of_all():
    for name, count in (("llama-3.1-8b", 8), ("qwen2.5-7b", 8), ("llama-3.1-70b", 4)):
        sizes = [tp for tp in (8, 4, 2, 1) if count % tp == 0 and MODELS[name].heads % tp == 0]
        batches = {f"tp{tp}": served(MODELS[name], "h100", count, tp, 32_768, "bfloat16")[0] for tp in sizes}
        own = answer(name, "h100", count, None, 32_768, "bfloat16")
        assert (own.layout, own.largest_batch) == max(batches.items(), key=lambda layout: layout[1])


HIDDEN, HEADS, LATENT, ROPE, LAYERS = 7168, 128, 512, 64, 61
ROUTED, PICKED, OF_EXPERT, SPARSE = 256, 8, 3 * 7168 * 2048, 58


FITTED = {
    "tp8": [(0.91, 0.91, 16e-6), (0.76, 4.2e-6), (0.76, 4.2e-6), (0.79, 30.7e-6)],
    "dp8": [(0.91, 0.67, 22e-6), (0.78, 4.2e-6), (0.63, 4.3e-6), (0.83, 37.9e-6)],
}
"""Shares of the bound and floors on an H200, by the heads of a kernel and the rows of products: conf/calibration. Of
kernels first the share of the bandwidth, then that of the peak; then matrices around them, MLPs, and experts."""


@pytest.mark.parametrize(
    ("parallel", "tp", "groups", "largest"), [("tp8", 8, 1, 18), ("dp8", 1, 8, 104)], ids=["tp", "attention dp"]
)
def test_deepseek_v3_is_counted_by_hand(parallel, tp, groups, largest):
    """671 billion parameters in eight bits on eight H200. Attention dp repeats attention and embeddings alone."""
    queries = HIDDEN * 1536 + 1536 + 1536 * HEADS // tp * (128 + ROPE)
    latent = HIDDEN * (LATENT + ROPE) + LATENT + LATENT * HEADS // tp * (128 + 128)
    attention = LAYERS * (queries + latent + HEADS // tp * 128 * HIDDEN)
    table, norms = 129_280 * HIDDEN, (2 * LAYERS + 1) * HIDDEN
    experts = SPARSE * ROUTED * OF_EXPERT
    dense = 3 * 3 * HIDDEN * 18_432 + SPARSE * (OF_EXPERT + ROUTED * HIDDEN + ROUTED)
    weights = attention + norms + table / tp + (table + dense + experts) / 8
    sequence = 32_768 * LAYERS * (LATENT + ROPE) * 2
    on_one = math.floor((0.9 * 141e9 - weights) / sequence)
    batch = on_one * groups

    touched = experts * (1 - (1 - PICKED / ROUTED) ** batch)
    around = on_one * LAYERS * HEADS // tp * (2 * LATENT + ROPE) * 2
    norms_of_ranks = LAYERS * (1536 + LATENT)
    moved = on_one * sequence + around + attention + (dense + table + touched) / 8
    met = dense + table + experts * PICKED / ROUTED
    kernels = LAYERS * HEADS // tp * 2 * (2 * LATENT + ROPE) * 32_768
    computed = on_one * (kernels + 2 * (attention - norms_of_ranks)) + 2 * batch * met / 8
    own = answer("deepseek-v3", "h200", 8, parallel, 32_768, "fp8")
    assert own.largest_batch == batch == largest
    assert own.weight_bytes == pytest.approx(weights, rel=1e-9)
    assert own.bound_s == pytest.approx(max(moved / 4.8e12, computed / 989e12), rel=1e-6)

    (memory, peak, floor_s), (around, first_s), (mlps, second_s), (grouped, third_s) = FITTED[parallel]
    kernels_s = LAYERS * floor_s + max(on_one * sequence / 4.8e12 / memory, on_one * kernels / 989e12 / peak)
    around_s = LAYERS * 5 * first_s + attention / 4.8e12 / around
    # Of 104 rows arithmetic takes a little longer than memory.
    mlps_s = (LAYERS * 2 + 1) * second_s + (dense + table) / 8 * max(1 / 4.8e12, 2 * batch / 989e12) / mlps
    experts_s = SPARSE * third_s + touched / 8 / 4.8e12 / grouped
    assert own.expected_s == pytest.approx(kernels_s + around_s + mlps_s + experts_s, rel=1e-6)


TRAINING = [
    # algorithm, model, devices, precision, tokens of prompt and completion
    ("ppo", "llama-3.1-8b", 1, "bf16", 4096),
    ("ppo", "llama-3.1-8b", 4, "bf16", 4096),
    ("ppo", "llama-3.1-8b", 4, "float32", 4096),
    ("ppo", "llama-3.1-8b", 8, "mixed", 4096),
    ("grpo", "llama-3.1-8b", 4, "bf16", 4096),
    ("grpo", "llama-3.1-8b", 8, "float32", 4096),
    ("dr_grpo", "llama-3.1-8b", 1, "bf16", 4096),
    ("vapo", "llama-3.1-8b", 4, "bf16", 4096),
    ("grpo", "qwen2.5-7b", 8, "mixed", 4096),
    ("grpo", "llama-3.1-70b", 8, "bf16", 8192),
    ("grpo", "qwen2.5-32b", 8, "bf16", 4096),
    ("dr_grpo", "qwen2.5-32b", 8, "mixed", 4096),
]
CRITIC, REFERENCE, IN_LOSS = {"ppo", "vapo"}, {"ppo", "grpo"}, {"grpo"}
COMPLETIONS, PROMPT = 8 * 16, 256


def trained(algorithm, model, devices, precision, tokens):
    """The peak of a device, where the policy's logits stand: three tensors of all words, beside every block's input."""
    kept = 2 if precision == "bf16" else 4
    computed = 4 if precision == "float32" else 2
    table, scored = model.hidden * model.words, tokens - PROMPT
    biases = (model.heads + 2 * model.groups) * 128 if model.has_bias else 0
    attention = 2 * model.hidden * (model.heads + model.groups) * 128 + biases
    block = attention + 3 * model.hidden * model.inner + 2 * model.hidden
    policy = model.layers * block + model.hidden + 2 * table
    critic = policy - table + model.hidden if algorithm in CRITIC else 0
    # Weights and AdamW's two moments of both, the policy's gradients, and the reference's weights are divided.
    divided = kept * (3 * (policy + critic) + policy) + (computed * policy if algorithm in REFERENCE else 0)
    angles = tokens * 128 * (kept * (1 + (algorithm in CRITIC)) + computed * (algorithm in REFERENCE))
    words = 5 + (algorithm in IN_LOSS) + 2 * (algorithm in CRITIC)
    experience = COMPLETIONS / devices * (4 * words * scored + 8 * PROMPT)
    inputs = model.layers * (tokens - 1) * model.hidden * kept
    last = scored * model.hidden * (10 if precision == "bf16" else 8)
    logits = 3 * scored * model.words * (2 if precision == "bf16" else 4)
    narrow = 2 * scored * model.hidden if precision == "mixed" else 0
    gathered = computed * max(block, table) if devices > 1 else 0
    return divided / devices + angles + experience + inputs + last + logits + narrow + gathered


@pytest.mark.parametrize(("algorithm", "name", "devices", "precision", "tokens"), TRAINING)
def test_a_step_of_rl_is_counted_by_hand(algorithm, name, devices, precision, tokens):
    asked = {"algorithm": algorithm, "model": name, "gpus": f"{devices}x80", "precision": precision, "seq_len": tokens}
    fit, peak = fits_of(fit_question_from(asked))[0], trained(algorithm, MODELS[name], devices, precision, tokens)
    assert (fit.phase, fit.peak_bytes) == ("update", pytest.approx(peak, rel=1e-9))
    assert fit.fits == (peak <= 80e9 - 1.5 * 2**30)
