"""Published geometries against transformers' own models, built on the meta device: parameters, and what a cache holds.

Their configuration has our sizes, or the defaults of its class where those are our source. Towers for images and sound
are left out. Biases by which routers choose are buffers there, and counted, since checkpoints hold them.
"""

import re

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, DynamicCache

from suite.configuration.files import read_choice
from suite.theory.layers.algebra import SERVED_BYTES
from suite.theory.layers.geometry import geometry_names
from suite.theory.layers.layer_plan import load_plan, parameters_from
from tests.parity.their_geometries import their_config

WITHOUT_CLASS = {"kimi-k3"}
"""Their sizes are compared with published ones, in tests/theory/layers/test_parameters.py."""
PUBLISHED = [
    name
    for name in geometry_names()
    if read_choice("geometry", name)["family"] != "synthetic" and name not in WITHOUT_CLASS
]
TOWERS = re.compile("visi|visual|audio|multi_modal")
ROUTER_BIAS = "e_score_correction_bias"


def their_model(config):
    transformers.logging.set_verbosity_error()
    with torch.device("meta"):
        for part in (config, getattr(config, "text_config", config)):
            try:
                return AutoModelForCausalLM.from_config(part)
            except ValueError:
                continue
        return AutoModelForImageTextToText.from_config(config)


def counted(model):
    biases = [(name, tensor) for name, tensor in model.named_buffers() if name.endswith(ROUTER_BIAS)]
    return sum(tensor.numel() for name, tensor in [*model.named_parameters(), *biases] if not TOWERS.search(name))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_transformers_own_model(name):
    settings = read_choice("geometry", name)
    theirs = counted(their_model(their_config(settings)))
    ours = parameters_from(settings).total
    # Until transformers 5.24 its class gives weights to choices that are no experts.
    surplus = {0, 28 * 256 * 2 * 2048 * 6144} if name == "longcat-flash" else {0}
    assert theirs - ours in surplus


TOKENS = 127
"""Fewer than every window has, and one less than DeepSeek-V4 makes a row of: everything that waits is there."""
CACHES = (
    "a.x-k2", "deepseek-v3.2", "deepseek-v4-pro", "dots3-note", "gemma-4-31b", "glm-5.2", "gpt-oss-20b",
    "hy4-preview", "kimi-linear-48b", "ling-3.0-flash", "llama-4-scout", "longcat-flash", "mimo-v2-flash", "minimax-m3",
    "mistral-small-4", "muse-glimmer-30b", "nemotron-3-nano", "qwen3.5-27b", "step-3.7-flash", "youtu-2b",
)  # fmt: skip


def without_experts(model):
    """MLPs that pass on what they get: routing looks at values, which meta tensors do not have."""
    for module in model.modules():
        if hasattr(module, "experts"):
            returns_scores = type(module).__name__ in ("GptOssMLP", "Llama4TextMoe")
            module.forward = lambda states, *_, pair=returns_scores, **__: (states, None) if pair else states


def kept_by_theirs(name, tokens):
    """Elements in the cache and in its states after a pass over so many tokens, and its windows."""
    config = their_config(read_choice("geometry", name))
    model = their_model(config)
    text = getattr(model.model, "language_model", model.model)
    without_experts(text)
    cache = DynamicCache(config=text.config)
    with torch.no_grad():
        text(input_ids=torch.zeros(1, tokens, dtype=torch.long, device="meta"), cache=cache, use_cache=True)
    rows, states = 0, 0
    for layer in cache.layers:
        held = {id(tensor): (slot, tensor) for slot, tensor in tensors_of(vars(layer)) if tensor.is_floating_point()}
        for slot, tensor in held.values():
            # A convolution over 4 tokens needs 3 beside the new one; theirs keeps 4.
            count = tensor.numel() * 3 // 4 if slot == "conv_states" else tensor.numel()
            states += count if slot == "recurrent_states" else 0
            rows += 0 if slot == "recurrent_states" else count
    return rows, states, {layer.sliding_window for layer in cache.layers if getattr(layer, "is_sliding", False)}


def tensors_of(slots):
    for slot, content in slots.items():
        for tensor in content.values() if isinstance(content, dict) else [content]:
            if isinstance(tensor, torch.Tensor):
                yield slot, tensor


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_holds_what_transformers_cache_holds(name):
    plan = load_plan(name)
    rows, states, windows = kept_by_theirs(name, TOKENS)
    ours = (plan.cache_bytes(TOKENS) - plan.state_bytes) // SERVED_BYTES
    if name.startswith("gemma-4"):  # K = V, which theirs keeps twice since it norms and rotates the keys alone
        ours += sum(
            layer.count * layer.kv_heads * layer.head_dim * TOKENS for layer in plan.layers if layer.keys_are_values
        )
    assert (rows, 4 * states) == (ours, plan.state_bytes)
    bounded = {layer.window for layer in plan.layers if getattr(layer, "window", None)}
    assert windows == bounded
