import pytest
import torch

from suite.configuration import read_choice
from suite.theory.decoder_shape import decoder_shape
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
def test_decoding_token_by_token_gives_what_reading_all_at_once_gives(variant):
    model = decoder(variant, dtype=torch.float64)
    given = tokens(3, 9)
    caches = model.new_caches(3, 9)
    with torch.no_grad():
        at_once = model(given)
        first = model.decode(given[:, :4], caches, 0, None)
        rest = [model.decode(given[:, at : at + 1], caches, at, None) for at in range(4, 9)]
    torch.testing.assert_close(torch.cat([first, *rest], dim=1), at_once, rtol=0, atol=1e-12)


def test_absorbed_mla_trains_expanded_and_decodes_absorbed_with_the_same_weights():
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
