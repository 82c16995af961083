"""Our MLA over chosen tokens against transformers' DeepSeek-V3.2 layer with the same weights.

Theirs masks a whole prompt, so each of its tokens is what decoding that token gives. Its indexer scores in float32
whatever the dtype: that island is lifted with the others.
"""

import pytest
import torch
from transformers import DeepseekV32Config, modeling_rope_utils
from transformers.models.deepseek_v32 import modeling_deepseek_v32 as v32

from suite.attention.backends.eager import Eager
from suite.attention.indexed import IndexedLatentAttention
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.indexed_shapes import indexed_shape
from tests.parity.test_transformers import BATCH, GAPPED, TOKENS, TorchInFloat64, a_pass, added_mask, built, geometry_of
from tests.parity.their_layers import TheirLayer, holding, latent_sizes, latent_weights

TOP_K = 5


def ours_of(geometry, dtype, rank=24):
    sizes = {"top_k": TOP_K, "index_heads": 8, "index_head_dim": 80}
    layer = built(IndexedLatentAttention, indexed_shape(geometry_from(geometry), q_lora_rank=rank, **sizes), dtype)
    for name, gain in layer.named_parameters():
        if "norm" in name:
            gain.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(8))
    return layer


def theirs_of(ours, geometry):
    shape = ours.shape
    sizes = {
        "index_topk": shape.indexer.top_k,
        "index_n_heads": shape.indexer.heads,
        "index_head_dim": shape.indexer.head_dim,
    }
    config = DeepseekV32Config(**latent_sizes(ours, geometry), **sizes, attn_implementation="eager")
    weights = {f"{name}.weight": weight for name, weight in latent_weights(ours).items()}
    weights |= {
        "indexer.wq_b.weight": ours.w_iq,
        "indexer.wk.weight": ours.w_ik,
        "indexer.weights_proj.weight": ours.w_iw,
        "indexer.k_norm.weight": ours.index_norm,
        "indexer.k_norm.bias": ours.index_norm_bias,
    }
    attention = holding(weights, v32.DeepseekV32Attention, config)
    return TheirLayer(attention=attention, rotary=v32.DeepseekV32RotaryEmbedding(config), config=config)


@pytest.fixture
def islands_lifted(monkeypatch):
    for module in (v32, modeling_rope_utils):
        monkeypatch.setattr(module, "torch", TorchInFloat64("torch"))
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize("rope", [None, "deepseek-v3"])
@pytest.mark.usefixtures("islands_lifted")
def test_decoding_each_token_equals_deepseek_v32s_prompt(rope):
    geometry = geometry_of(rope)
    ours = ours_of(geometry, torch.float64)
    x_BSD = torch.randn(BATCH, TOKENS, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = theirs_of(ours, geometry)(x_BSD, GAPPED, None, added_mask(TOKENS, TOKENS, torch.float64))
    cache, got = ours.new_cache(a_pass(TOKENS, TOKENS)), []
    for start in range(TOKENS):
        cache.length = start + 1
        q, k, _, *scored = ours.project(x_BSD[:, start : start + 1], cache, start, GAPPED[start : start + 1])
        backend = Eager(ours.problem(a_pass(1, start + 1)))
        got.append(ours.output(ours.unfold(backend(*ours.gather(q, k, ours.select(*scored))), 1)))
    assert float((torch.cat(got, dim=1) - wanted).norm() / wanted.norm()) < 1e-12
