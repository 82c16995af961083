import pytest
import torch

from suite.lm.decoder import Decoder
from suite.lm.lora import adapt, unadapted
from suite.lm.training import Limits, Optimiser
from tests.lm.decoders import decoder, tokens


def logits(model):
    return model.logits(model(tokens(2, 6)))


def trained(model):
    optimiser = Optimiser(model, lr=1e-1, limits=Limits(warmup_updates=1, max_grad_norm=1.0))
    for _ in range(2):  # in the first the inner matrix has no gradient, since the outer one is 0
        logits(model)[..., 3].sum().backward()
        optimiser.update("it")
    return model


@pytest.mark.parametrize("variant", ["gqa", "mla", "mla_latent"])
def test_a_new_adapter_changes_no_logit_and_alone_is_trained(variant):
    model, plain = decoder(variant), decoder(variant)
    adapt(model, 2)
    assert torch.equal(logits(model), logits(plain))
    trained(model)
    assert not torch.allclose(logits(model), logits(plain))
    weights = dict(model.named_parameters())
    assert all(torch.equal(weights[name], one) for name, one in plain.named_parameters())
    moved = [name for name, one in weights.items() if one.requires_grad]
    assert moved == [name for name in weights if name.startswith("adapters.")]
    assert all(not torch.equal(weights[name], one) for name, one in adapters(variant))


def adapters(variant):
    fresh = decoder(variant)
    adapt(fresh, 2)
    return [(name, one) for name, one in fresh.named_parameters() if one.requires_grad]


def test_an_adapter_lies_on_every_linear_map_of_the_blocks():
    model = decoder("gqa")
    adapt(model, 2)
    maps = [one for block in model.blocks for one in block.parameters() if one.dim() == 2]
    assert len(model.adapters) == len(maps) == 2 * 6
    assert [one.up_OR.shape[0] for one in model.adapters] == [len(one) for one in maps]


def test_an_adapters_first_matrix_keeps_the_size_of_its_input():
    model = decoder("gqa")
    adapt(model, 400)
    for one in model.adapters:
        assert float(one.down_RI.detach().std()) == pytest.approx(one.down_RI.shape[1] ** -0.5, rel=0.05)


def test_decoding_with_a_cache_is_adapted_too():
    model = decoder("gqa")
    adapt(model, 2)
    trained(model)
    with torch.no_grad():
        whole = model(tokens(2, 6))
        decoded = model.decode(tokens(2, 6), model.new_caches(2, 6), 0, None)
    torch.testing.assert_close(decoded, whole)


@pytest.mark.parametrize("latent", ["trained", "frozen"])
def test_the_base_shares_weights_and_has_no_adapters(latent):
    model, plain, other = (decoder("mla", seed=seed, of_attention={"latent": latent}) for seed in (0, 0, 9))
    adapt(model, 2)
    base = unadapted(model, other)
    trained(model)
    assert isinstance(base, Decoder)
    assert torch.equal(logits(base), logits(plain))
    assert base.embedding.data_ptr() == model.embedding.data_ptr()
    assert not any(one.requires_grad for one in base.parameters())
