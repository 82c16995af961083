"""A rollout engine's packed copy says what the decoder says."""

import pytest
import torch

from suite.lm import packed, sampling
from suite.lm.lora import adapt
from suite.lm.packed import PackedDecoder, rollout_engine
from suite.lm.sampling import prompts_from, sample
from tests.lm.decoders import VOCABULARY, decoder, generator, tokens

CPU = torch.device("cpu")
EQUAL, RAGGED = [[5, 6, 7], [9, 9, 9]], [[5, 6, 7, 8], [9]]
SHAPES = {
    "mha": {},
    "gqa": {},
    "biased": {"qkv_bias": True},
    "untied": {"tie_embeddings": False, "norm_eps": 1e-3},
    "adapted": {},
}


def model_of(name):
    model = decoder("gqa" if name != "mha" else name, **SHAPES[name])
    with torch.no_grad():  # gains of one and biases of zero would hide where they belong
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5, generator=generator(1))
        if name == "adapted":
            adapt(model, 2)
            for adapter in model.adapters:
                adapter.up_OR.normal_(std=0.1, generator=generator(2))
    return model


@pytest.fixture
def every_size_packs(monkeypatch):
    monkeypatch.setattr(packed, "PACKED_FROM_BYTES", 0)


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_a_packed_copy_decodes_as_the_decoder_does(name):
    model = model_of(name)
    tokens_BS, said = tokens(3, 9), []
    for engine in (model, PackedDecoder(model)):
        caches = engine.new_caches(3, 9)
        parts = [engine.decode(tokens_BS[:, :6], caches, 0, None)]
        parts += [engine.decode(tokens_BS[:, at : at + 1], caches, at, None) for at in range(6, 9)]
        said.append(engine.logits(torch.cat(parts, dim=1)))
    torch.testing.assert_close(said[0], said[1], rtol=0, atol=2e-5)
    torch.testing.assert_close(said[0], model.logits(model(tokens_BS)), rtol=0, atol=2e-5)


@pytest.mark.parametrize("prompts", [EQUAL, RAGGED], ids=["equal", "ragged"])
def test_a_rollout_by_a_packed_copy_is_the_decoders_own(prompts, monkeypatch):
    model, given = model_of("gqa"), prompts_from(prompts, CPU)
    asked = {"copies": 4, "longest": 40, "with_entropy": True}
    own = sample(model, given, **asked, generator=generator())
    monkeypatch.setattr(packed, "PACKED_FROM_BYTES", 0)
    made = sample(model, given, **asked, generator=generator())
    assert isinstance(rollout_engine(model), PackedDecoder)
    assert torch.equal(own.tokens_NT, made.tokens_NT)
    torch.testing.assert_close(own.log_probs_NT, made.log_probs_NT, rtol=0, atol=2e-5)
    torch.testing.assert_close(own.entropy_NT, made.entropy_NT, rtol=0, atol=2e-5)


def test_a_copy_is_of_the_weights_as_they_are_at_the_rollout(every_size_packs):
    model, given = model_of("gqa"), prompts_from(EQUAL, CPU)
    before = sample(model, given, longest=1, generator=None).log_probs_NT
    with torch.no_grad():
        model.blocks[0].w_down.neg_()
    assert not torch.equal(before, sample(model, given, longest=1, generator=None).log_probs_NT)


def test_small_and_unmeasured_decoders_sample_by_themselves(monkeypatch):
    small = decoder("gqa")
    assert rollout_engine(small) is small
    monkeypatch.setattr(packed, "PACKED_FROM_BYTES", 0)
    for model in (decoder("mla"), decoder("gqa", dtype=torch.float64)):
        assert rollout_engine(model) is model


def test_noise_that_is_cut_is_as_good_and_one_seed_says_it_again(monkeypatch):
    model, given = decoder(), prompts_from([[5, 6, 7]], CPU)
    asked = {"copies": 500, "longest": 4, "end": VOCABULARY}
    whole = sample(model, given, **asked, generator=generator())
    monkeypatch.setattr(sampling, "NOISE_ELEMENTS", 2 * 500 * VOCABULARY)
    cut, again = (sample(model, given, **asked, generator=generator()) for _ in range(2))
    assert torch.equal(cut.tokens_NT, again.tokens_NT)
    # Noise that came twice would make a row's token that of two steps before, far more often than chance.
    assert (cut.tokens_NT[:, 0] == cut.tokens_NT[:, 2]).float().mean() < 0.2
    # Mean log-probability of what is sampled: less the negative entropy, whatever the cut.
    assert abs(float(cut.log_probs_NT.mean() - whole.log_probs_NT.mean())) < 0.1
