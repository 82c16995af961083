"""A latent that is frozen or sliced, beside one that is trained: equal before the first update, unlike in gradients."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from suite.attention.backends.eager import Eager
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape, expanded_shape, reexpanded_shape
from suite.theory.layers.shapes import layer_work
from tests.attention.test_layers import CLASSES, hidden_states, made

TINY, RANK, TOKENS = load_geometry("tiny"), 12, 7
BUILDERS = [absorbed_shape, expanded_once_shape, expanded_shape, reexpanded_shape]
PASS = Pass(batch=2, query_len=TOKENS, seq_len=TOKENS, element_bytes=8, is_training=True)


def layers(build, latent, **sizes):
    """The layer with a latent that is trained, and with the other one; made from one seed."""
    shapes = [build(TINY, kv_lora_rank=RANK, latent=source, **sizes) for source in ("trained", latent)]
    trained, other = (made(CLASSES[type(shape)], shape).requires_grad_(True) for shape in shapes)
    if latent == "slice":  # what it takes of the hidden state, a projection takes with an identity
        trained.w_kva.data[:RANK] = torch.eye(RANK, TINY.hidden_size, dtype=torch.float64)
    return trained, other


def step(layer):
    """Output, and the gradient of the input, of one step without a cache."""
    x_BSD = hidden_states(TOKENS).requires_grad_()
    y_BSD = layer.output(Eager(layer.problem(PASS))(*layer.project(x_BSD, None, 0)))
    (y_BSD * hidden_states(2 * TOKENS)[:, TOKENS:]).sum().backward()
    return y_BSD.detach(), x_BSD.grad


@pytest.mark.parametrize("sizes", [{}, {"qk_rope_head_dim": 0, "latent_norm": False}], ids=["whole", "bare"])
@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("latent", ["frozen", "slice"])
def test_at_step_0_only_the_latents_own_gradient_differs(latent, build, sizes):
    trained, other = layers(build, latent, **sizes)
    for ours, theirs in zip(step(other), step(trained), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    wanted = {name: weight.grad for name, weight in trained.named_parameters()}
    assert wanted["w_kva"][:RANK].abs().min() > 0
    rotary = wanted.pop("w_kva")[RANK:]
    wanted |= {"w_kva": rotary} if len(rotary) else {}
    assert {name for name, _ in other.named_parameters()} == wanted.keys()
    for name, weight in other.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name], rtol=0, atol=1e-12)
    assert [name for name, _ in other.named_buffers()] == (["w_latent"] if latent == "frozen" else [])


@pytest.mark.parametrize("latent", ["trained", "frozen", "slice"])
@pytest.mark.parametrize("sizes", [{}, {"q_lora_rank": 24, "qk_rope_head_dim": 0}], ids=["whole", "no rotary"])
def test_a_training_steps_flops_are_as_many_as_torch_counts(latent, sizes):
    layer = layers(expanded_shape, latent, **sizes)[1]
    with FlopCounterMode(display=False) as counter:
        step(layer)
    # Eager multiplies every query with every key, and the closed form counts the pairs that are seen.
    hidden_pairs = PASS.batch * TOKENS * (TOKENS - 1) // 2 * TINY.num_heads * (layer.shape.qk_dim + layer.shape.v_dim)
    assert counter.get_total_flops() == layer_work(layer.shape, PASS).flops + 3 * 2 * hidden_pairs


def test_all_other_weights_are_drawn_as_with_a_trained_latent():
    trained, frozen = layers(absorbed_shape, "frozen", q_lora_rank=24)
    shared = {name: weight for name, weight in frozen.state_dict().items() if name not in ("w_kva", "w_latent")}
    assert all(torch.equal(weight, trained.state_dict()[name]) for name, weight in shared.items())
    assert torch.equal(torch.cat((frozen.w_latent, frozen.w_kva)), trained.w_kva)
    assert frozen.shape == replace(trained.shape, latent="frozen", rule=frozen.shape.rule)
