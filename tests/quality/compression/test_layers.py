"""Compressed layers in a decoder: full rank changes nothing, and a token that is decoded has what a window has."""

import pytest
import torch

from suite.quality.compression.low_rank import low_rank_factors
from suite.quality.compression.workload import Int8Attention, LowRankAttention, restored, rounded
from suite.theory.layers.algebra import Pass
from tests.lm.decoders import decoder, tokens

FULL_RANK = 64
"""2 key-value heads of 16, keys and values, of a hidden width of 64."""


def low_rank(model, rank):
    for layer in range(model.shape.num_layers):
        own = model.attention_layer(layer)
        weight_ED = torch.cat((own.w_k, own.w_v)).detach()
        one_DD = torch.eye(weight_ED.shape[1], dtype=torch.float64)
        factors = low_rank_factors(weight_ED, rank=rank, fitted_to_DD=None, balances=False, moments_DD=one_DD)
        model.replace_attention(layer, LowRankAttention(own, factors))
    return model.requires_grad_(False)


def int8(model):
    for layer in range(model.shape.num_layers):
        model.replace_attention(layer, Int8Attention(model.attention_layer(layer)))
    return model.requires_grad_(False)


def biased(**sizes):
    """A layer like Qwen2's: keys and values have a bias, which no latent keeps."""
    model = decoder("gqa", qkv_bias=True, dtype=torch.float64, **sizes)
    for layer in range(model.shape.num_layers):
        for bias in (
            model.attention_layer(layer).b_q,
            model.attention_layer(layer).b_k,
            model.attention_layer(layer).b_v,
        ):
            with torch.no_grad():
                bias.normal_(generator=torch.Generator().manual_seed(layer))
    return model


def logits(model, tokens_BS):
    with torch.no_grad():
        return model.logits(model(tokens_BS))


def change(model, other, tokens_BS=None):
    tokens_BS = tokens(2, 20) if tokens_BS is None else tokens_BS
    wanted = logits(other, tokens_BS)
    return float((logits(model, tokens_BS) - wanted).norm() / wanted.norm())


def test_full_rank_changes_nothing_but_rounding():
    assert change(low_rank(decoder("gqa"), FULL_RANK), decoder("gqa")) < 1e-5
    assert change(low_rank(biased(), FULL_RANK), biased()) < 1e-12


def test_less_than_full_rank_changes_more_the_less_it_is():
    changes = [change(low_rank(decoder("gqa"), rank), decoder("gqa")) for rank in (48, 24, 8)]
    assert 1e-3 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("compressed", [lambda model: low_rank(model, 24), int8], ids=["low rank", "int8"])
@pytest.mark.parametrize("made", [lambda: decoder("gqa", dtype=torch.float64), biased], ids=["plain", "biased"])
def test_decoding_token_by_token_says_what_reading_at_once_says(made, compressed):
    model, tokens_BS = compressed(made()), tokens(2, 12)
    caches, rows = model.new_caches(2, 12), []
    with torch.no_grad():
        for start, stop in ((0, 5), *((place, place + 1) for place in range(5, 12))):
            rows.append(model.logits(model.decode(tokens_BS[:, start:stop], caches, start, None)))
    torch.testing.assert_close(torch.cat(rows, dim=1), logits(model, tokens_BS))


def test_a_cache_holds_the_latent_and_nothing_else():
    model = low_rank(decoder("gqa"), 24)
    for cache in model.new_caches(3, 7):
        assert [tensor.shape[1] for tensor in cache.views()] == [1]
        assert cache.counted_bytes() == 3 * 7 * 24 * 4


def test_eight_bits_take_the_bytes_of_the_closed_form():
    model = int8(decoder("gqa"))
    forward = Pass(batch=1, query_len=1, seq_len=1, element_bytes=4, cache_dtype="int8")
    for cache in model.new_caches(3, 7):
        assert cache.counted_bytes() == 3 * 7 * model.shape.layer.cache_bytes_per_token(forward)
        assert {tensor.dtype for tensor in cache.tensors} == {torch.int8}


@pytest.mark.parametrize("width", [16, 64, 128, 132, 192, 256, 300])
def test_a_rounded_element_is_off_by_half_a_step_at_most(width):
    rows = torch.randn(2, 3, 5, width, generator=torch.Generator().manual_seed(1))
    rows[0, 0, 0] = 0
    kept = restored(rounded(rows), torch.float32)
    for part, whole in zip(kept.split(128, dim=-1), rows.split(128, dim=-1), strict=True):
        step = whole.abs().amax(dim=-1, keepdim=True) / 127
        assert ((part - whole).abs() <= 0.501 * step).all()
    assert (kept - rows).abs().max() > 0
    assert not kept[0, 0, 0].any()


def test_eight_bits_change_little():
    assert 1e-4 < change(int8(decoder("gqa")), decoder("gqa")) < 0.05


def test_parameters_are_those_that_are_left():
    model, whole = low_rank(decoder("gqa"), 24), decoder("gqa")
    per_layer = 24 * (64 + 64) - 64 * 64
    assert model.parameter_count() - whole.parameter_count() == whole.shape.num_layers * per_layer
    assert int8(decoder("gqa")).parameter_count() == whole.parameter_count()
