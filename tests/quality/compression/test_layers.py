"""Compressed layers in a decoder: full rank changes nothing, and a token that is decoded has what a window has."""

import pytest
import torch

from suite.attention.rotary import rotate_halves
from suite.quality.compression.distill import distil, divergence
from suite.quality.compression.layers import (
    LowRankAttention,
    PartialRopeAttention,
    latent_rows,
)
from suite.quality.compression.low_rank import low_rank_factors
from suite.quality.compression.plan import absorbed_form
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


PAIRS_Gp = torch.tensor([[1, 2, 6], [0, 1, 7]])
"""Rotary pairs of the two key-value heads, which differ."""


def partial(model, pairs_Gp, rank=FULL_RANK):
    """The model with these pairs beside a latent that keeps all else, up to this rank."""
    for number in range(model.shape.num_layers):
        own = model.attention_layer(number)
        weight_ED = latent_rows(own, pairs_Gp).detach()
        one_DD = torch.eye(weight_ED.shape[1], dtype=torch.float64)
        keys, rank = len(weight_ED) - len(own.w_v), min(rank, len(weight_ED))
        cut = {"fitted_to_DD": None, "balances": True, "moments_DD": one_DD, "keys": keys}
        factors = low_rank_factors(weight_ED, rank=rank, **cut)
        model.replace_attention(number, PartialRopeAttention(own, pairs_Gp, factors))
    return model.requires_grad_(False)


def unturned(model, pairs_Gp):
    """The grouped model itself, whose other pairs are not rotated: every angle but theirs is 0."""
    for number in range(model.shape.num_layers):
        layer = model.attention_layer(number)
        kept_Gr = torch.zeros(len(pairs_Gp), layer.shape.head_dim // 2).scatter_(1, pairs_Gp, 1.0)

        def apply_rope(x_BHSd, angles, kept_Gr=kept_Gr):
            cos_Sr, sin_Sr = angles
            heads = kept_Gr.to(x_BHSd.dtype).repeat_interleave(x_BHSd.shape[1] // len(kept_Gr), dim=0)
            turned = [
                rotate_halves(x_BHSd[:, head], cos_Sr * kept_r + (1 - kept_r), sin_Sr * kept_r)
                for head, kept_r in enumerate(heads)
            ]
            return torch.stack(turned, dim=1)

        layer.apply_rope = apply_rope
    return model


def in_eight_bits(model):
    """Rows of the cache are rounded as they are written; what is read at once has no cache."""
    model.cache_rounding = torch.int8
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
        if model.cache_rounding is None:
            return model.logits(model(tokens_BS))
        return model.logits(model.decode(tokens_BS, model.new_caches(*tokens_BS.shape), 0, None))


def change(model, other, tokens_BS=None):
    tokens_BS = tokens(2, 20) if tokens_BS is None else tokens_BS
    wanted = logits(other, tokens_BS)
    return float((logits(model, tokens_BS) - wanted).norm() / wanted.norm())


def test_full_rank_changes_nothing_but_rounding():
    assert change(low_rank(decoder("gqa"), FULL_RANK), decoder("gqa")) < 1e-5
    assert change(low_rank(biased(), FULL_RANK), biased()) < 1e-12


def exact():
    return decoder("gqa", dtype=torch.float64)


def test_a_rotary_part_as_wide_as_the_head_changes_nothing():
    every_Gp = torch.arange(8).expand(2, -1)
    assert change(partial(exact(), every_Gp), exact()) < 1e-12


@pytest.mark.parametrize("pairs_Gp", [PAIRS_Gp, PAIRS_Gp[:, :0]], ids=["three pairs", "none"])
def test_full_rank_is_the_model_whose_other_pairs_stand_still(pairs_Gp):
    model = partial(exact(), pairs_Gp)
    assert change(model, unturned(exact(), pairs_Gp)) < 1e-12
    assert change(model, exact()) > 1e-3


def test_partial_rope_caches_the_bytes_of_absorbed_mla():
    model = partial(decoder("gqa"), PAIRS_Gp, rank=24)
    shape = absorbed_form(model.shape.layer, rank=24, rope_width=6)
    assert shape.latent_elements == 24 + 2 * 6
    forward = Pass(batch=1, query_len=1, seq_len=1, element_bytes=4)
    for cache in model.new_caches(3, 7):
        assert cache.counted_bytes() == 3 * 7 * shape.cache_bytes_per_token(forward)


KINDS = {
    "nothing": lambda model, rank: model,
    "low rank": low_rank,
    "partial rope": lambda model, rank: partial(model, PAIRS_Gp, rank),
}


@pytest.mark.parametrize("compressed", KINDS.values(), ids=KINDS)
def test_eight_bits_change_little_of_whatever_is_cached(compressed):
    latents = compressed(exact(), 24)
    assert 1e-4 < change(in_eight_bits(compressed(exact(), 24)), latents) < 0.05


@pytest.mark.parametrize("compressed", list(KINDS.values())[1:], ids=list(KINDS)[1:])
def test_distillation_moves_the_compressed_projections_alone(compressed):
    teacher, student = exact(), compressed(exact(), 24)
    teacher.requires_grad_(False)
    for number in range(student.shape.num_layers):
        layer = student.attention_layer(number)
        for name in layer.compressed:
            getattr(layer, name).requires_grad_(True)
    before = {name: weight.clone() for name, weight in student.named_parameters()}
    trained = {name for name, weight in student.named_parameters() if weight.requires_grad}
    texts = tokens(2, 10).tolist()
    first = divergence(student, teacher, texts[0]).detach()
    distil(student, teacher, texts * 4, learning_rate=3e-3)
    assert divergence(student, teacher, texts[0]).detach() < 0.8 * first
    moved = {name for name, weight in student.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == trained


DECODED = {
    "low rank": lambda model: low_rank(model, 24),
    "int8": in_eight_bits,
    "int8 latent": lambda model: in_eight_bits(low_rank(model, 24)),
}


@pytest.mark.parametrize("compressed", DECODED.values(), ids=DECODED)
@pytest.mark.parametrize("made", [exact, biased], ids=["plain", "biased"])
def test_decoding_token_by_token_says_what_reading_at_once_says(made, compressed):
    decode_and_compare(compressed(made()))


@pytest.mark.parametrize("rounding", [lambda model: model, in_eight_bits], ids=["plain", "int8"])
def test_absorbed_decoding_says_what_reading_at_once_says(rounding):
    decode_and_compare(rounding(partial(exact(), PAIRS_Gp, rank=24)))


def decode_and_compare(model):
    tokens_BS = tokens(2, 12)
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


def test_parameters_are_those_that_are_left():
    model, whole = low_rank(decoder("gqa"), 24), decoder("gqa")
    per_layer = 24 * (64 + 64) - 64 * 64
    assert model.parameter_count() - whole.parameter_count() == whole.shape.num_layers * per_layer
