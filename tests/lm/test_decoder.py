import pytest
import torch

from suite.configuration.files import read_choice
from suite.theory.layers.attention_plan import UnmatchedError
from suite.theory.layers.decoder_shape import decoder_shape
from tests.lm.decoders import VARIANTS, VOCABULARY, decoder, tokens

every_variant = pytest.mark.parametrize("variant", VARIANTS)


@every_variant
def test_its_parameters_are_as_many_as_the_closed_form_says(variant):
    model = decoder(variant)
    assert model.parameter_count() == model.shape.parameter_count


@pytest.mark.parametrize(("policy", "count"), [("small", 98_624), ("medium", 787_584)])
def test_the_named_policies_have_the_sizes_that_their_files_say(policy, count):
    shape = decoder_shape(
        read_choice("policy", policy), read_choice("attention", "mha"), vocab_size=VOCABULARY, where="policy."
    )
    assert shape.parameter_count == count


@every_variant
def test_decoding_token_by_token_equals_reading_all_at_once(variant):
    model = decoder(variant, dtype=torch.float64)
    given = tokens(3, 9)
    caches = model.new_caches(3, 9)
    with torch.no_grad():
        at_once = model(given)
        first = model.decode(given[:, :4], caches, 0, None)
        rest = [model.decode(given[:, at : at + 1], caches, at, None) for at in range(4, 9)]
    torch.testing.assert_close(torch.cat([first, *rest], dim=1), at_once, rtol=0, atol=1e-12)


BARE = {"qk_rope_head_dim": 0, "latent_norm": False}


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        *((variant, BARE) for variant in ("mla", "mla_latent", "mla_expanded")),
        *(("mla", {**sizes, "latent": latent}) for latent in ("frozen", "slice") for sizes in ({}, BARE)),
    ],
)
def test_every_form_of_mla_trains_as_it_decodes(variant, changes):
    model = decoder(variant, dtype=torch.float64, of_attention=changes)
    assert model.parameter_count() == model.shape.parameter_count
    given, caches = tokens(2, 6), model.new_caches(2, 6)
    with torch.no_grad():
        decoded = [model.decode(given[:, at : at + 1], caches, at, None) for at in range(6)]
    at_once = model(given)
    torch.testing.assert_close(torch.cat(decoded, dim=1), at_once, rtol=0, atol=1e-12)
    at_once.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_a_decoders_layers_are_matched_as_a_layer_alone_is():
    sizes, moved = read_choice("policy", "small"), {}
    for match in ("heads", "params", "cache"):
        attention = read_choice("attention", "mla" if match == "cache" else "mqa")
        shape = decoder_shape(sizes, attention, vocab_size=VOCABULARY, where="policy.", match=match)
        moved[match] = shape.layer, shape.match_residual, shape.match_described
    mha = decoder_shape(sizes, read_choice("attention", "mha"), vocab_size=VOCABULARY, where="policy.").layer
    layer, residual, described = moved["params"]
    assert layer.num_heads > mha.num_heads
    assert residual == layer.parameter_count / mha.parameter_count - 1
    assert "of MHA's parameters" in described
    layer, residual, described = moved["cache"]
    assert (layer.cache_elements_per_token, residual) == (mha.cache_elements_per_token, 0)
    assert "kv_lora_rank set to" in described
    assert (moved["heads"][0].num_heads, *moved["heads"][1:]) == (mha.num_heads, None, None)
    with pytest.raises(UnmatchedError, match="has none"):
        decoder_shape(sizes, read_choice("attention", "mqa"), vocab_size=VOCABULARY, where="policy.", match="cache")


def test_a_decoder_that_is_absorbed_in_every_phase_is_refused():
    sizes, absorbed = read_choice("policy", "small"), read_choice("attention", "mla_absorbed")
    with pytest.raises(
        ValueError, match=r"language model trains MLA expanded .* attention=mla; got attention=mla_absorbed"
    ):
        decoder_shape(sizes, absorbed, vocab_size=VOCABULARY, where="policy.")


def test_a_decoder_of_a_window_is_refused():
    sizes, window = read_choice("policy", "small"), read_choice("attention", "window")
    with pytest.raises(
        ValueError, match=r"attention must be a variant that sees whole contexts .* got attention=window"
    ):
        decoder_shape(sizes, window, vocab_size=VOCABULARY, where="policy.")


def test_mla_trains_expanded_and_decodes_absorbed():
    model = decoder("mla", dtype=torch.float64)
    assert model.modes() == {"trained": "ExpandedLatentAttention", "decoded": "AbsorbedLatentAttention"}
    given, caches = tokens(2, 5), model.new_caches(2, 5)
    before = model(given)
    before.square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-3 * parameter.grad
        decoded, trained = model.decode(given, caches, 0, None), model(given)
    torch.testing.assert_close(decoded, trained, rtol=0, atol=1e-12)
    assert not torch.allclose(trained, before, atol=1e-6)


@every_variant
def test_every_parameter_gets_a_gradient(variant):
    model = decoder(variant)
    model.logits(model(tokens(2, 6))).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_no_token_sees_a_later_one():
    model, given = decoder(), tokens(1, 8)
    changed = given.clone()
    changed[0, 5] = 3 if given[0, 5] != 3 else 4
    with torch.no_grad():
        before, after = model(given), model(changed)
    assert torch.equal(before[0, :5], after[0, :5])
    assert not torch.equal(before[0, 5:], after[0, 5:])
