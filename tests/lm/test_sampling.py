import pytest
import torch

from suite.lm import sampling
from suite.lm.sampling import prompts_from, sample
from suite.lm.scoring import hidden_states, log_probs
from suite.lm.tokenizer import END, PAD
from tests.lm.decoders import VARIANTS, VOCABULARY, decoder, generator

CPU = torch.device("cpu")
EQUAL_PROMPTS = [[5, 6, 7], [9, 9, 9], [30, 31, 32], [8, 7, 6]]
RAGGED_PROMPTS = [[5, 6, 7], [9], [30, 31, 32, 33, 34], [8, 7]]


def eager_to_end(model):
    """A model that ends now and then: an untrained one rarely does."""
    with torch.no_grad():
        model.embedding[END] += 0.6 * model.embedding[5]
        model.embedding *= 2
    return model


def scored(model, prompts, copies, samples, temperature):
    with torch.no_grad():
        h = hidden_states(model, prompts.repeated(copies), samples.tokens_NT)
        return log_probs(model, h, samples.tokens_NT, temperature)[0] * samples.mask_NT


@pytest.mark.parametrize("prompts", [EQUAL_PROMPTS, RAGGED_PROMPTS], ids=["equal", "ragged"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_log_probabilities_at_sampling_and_at_scoring_are_equal(variant, prompts):
    model, given = eager_to_end(decoder(variant)), prompts_from(prompts, CPU)
    samples = sample(model, given, copies=6, longest=12, temperature=0.7, generator=generator())
    assert (scored(model, given, 6, samples, 0.7) - samples.log_probs_NT).abs().max() < 1e-5


def test_the_temperature_is_that_of_the_log_probabilities():
    model, given = decoder(), prompts_from(EQUAL_PROMPTS, CPU)
    samples = sample(model, given, longest=8, temperature=0.5, generator=generator())
    assert (scored(model, given, 1, samples, 1.0) - samples.log_probs_NT).abs().max() > 0.1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_the_tempered_softmax_says(temperature):
    model, given = decoder(), prompts_from([[5, 6, 7]], CPU)
    copies = 20_000
    samples = sample(model, given, copies=copies, longest=1, temperature=temperature, generator=generator(3))
    with torch.no_grad():
        h = hidden_states(model, given, torch.zeros(1, 1, dtype=torch.long))
        expected = copies * torch.softmax(model.logits(h)[0, 0] / temperature, dim=-1)
    found = torch.bincount(samples.tokens_NT[:, 0], minlength=len(expected)).double()
    common = expected > 5
    chi_square = ((found - expected)[common] ** 2 / expected[common]).sum()
    freedom = int(common.sum()) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_the_entropy_is_that_of_the_sampled_distributions():
    model, given = decoder(dtype=torch.float64), prompts_from([[5, 6, 7]], CPU)
    samples = sample(model, given, longest=5, temperature=0.8, generator=generator(), with_entropy=True)
    with torch.no_grad():
        log_p = log_probs(model, hidden_states(model, given, samples.tokens_NT), samples.tokens_NT, 0.8)[1]
    expected = -(log_p.exp() * log_p).sum(dim=-1) * samples.mask_NT
    torch.testing.assert_close(samples.entropy_NT, expected, rtol=0, atol=1e-12)


def test_reading_a_groups_prompt_once_changes_nothing():
    model = decoder(dtype=torch.float64)
    shared = sample(model, prompts_from(EQUAL_PROMPTS, CPU), copies=3, longest=10, generator=generator())
    each = [prompt for prompt in EQUAL_PROMPTS for _ in range(3)]
    apart = sample(model, prompts_from(each, CPU), copies=1, longest=10, generator=generator())
    assert torch.equal(shared.tokens_NT, apart.tokens_NT)
    torch.testing.assert_close(shared.log_probs_NT, apart.log_probs_NT, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prompts", [EQUAL_PROMPTS, RAGGED_PROMPTS], ids=["equal", "ragged"])
def test_taking_ended_rows_out_of_the_batch_changes_nothing(prompts, monkeypatch):
    model, given = eager_to_end(decoder(dtype=torch.float64)), prompts_from(prompts, CPU)
    asked = {"copies": 8, "longest": 20}
    monkeypatch.setattr(sampling, "COMPACTED_BELOW", 1.0)
    compacted = sample(model, given, **asked, generator=generator())
    monkeypatch.setattr(sampling, "COMPACTED_BELOW", 0.0)
    kept = sample(model, given, **asked, generator=generator())
    assert 0 < compacted.is_truncated_N.sum() < 32
    assert torch.equal(compacted.tokens_NT, kept.tokens_NT)
    assert torch.equal(compacted.mask_NT, kept.mask_NT)
    torch.testing.assert_close(compacted.log_probs_NT, kept.log_probs_NT, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prompts", [EQUAL_PROMPTS, RAGGED_PROMPTS], ids=["equal", "ragged"])
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("variant", ["mha", "mla"])
def test_how_often_the_caches_grow_changes_nothing(variant, copies, prompts, monkeypatch):
    model, given = decoder(variant, dtype=torch.float64), prompts_from(prompts, CPU)
    monkeypatch.setattr(sampling, "ROOM", 100)
    # An end that is no token: no completion ends before its limit.
    once = sample(model, given, copies=copies, longest=20, end=VOCABULARY, generator=generator())
    monkeypatch.setattr(sampling, "ROOM", 1)
    grown = sample(model, given, copies=copies, longest=20, end=VOCABULARY, generator=generator())
    assert torch.equal(grown.tokens_NT, once.tokens_NT)
    torch.testing.assert_close(grown.log_probs_NT, once.log_probs_NT, rtol=0, atol=1e-12)
    assert (scored(model, given, copies, grown, 1.0) - grown.log_probs_NT).abs().max() < 1e-9


def test_a_padded_prompt_is_answered_as_it_is_alone():
    model = decoder(dtype=torch.float64)
    together = sample(model, prompts_from(RAGGED_PROMPTS, CPU), longest=9, generator=None)
    for row, prompt in enumerate(RAGGED_PROMPTS):
        alone = sample(model, prompts_from([prompt], CPU), longest=9, generator=None)
        length = alone.tokens_NT.shape[1]
        assert torch.equal(alone.tokens_NT[0], together.tokens_NT[row, :length])
        torch.testing.assert_close(alone.log_probs_NT[0], together.log_probs_NT[row, :length], rtol=0, atol=1e-12)


def test_a_completion_has_one_end_then_padding_or_is_truncated():
    model, given = eager_to_end(decoder()), prompts_from(EQUAL_PROMPTS, CPU)
    samples = sample(model, given, copies=16, longest=20, generator=generator())
    assert 0 < samples.is_truncated_N.sum() < 64
    for row in range(64):
        length = int(samples.lengths[row])
        own, rest = samples.tokens_NT[row, :length], samples.tokens_NT[row, length:]
        assert (own == END).sum() == (0 if samples.is_truncated_N[row] else 1)
        assert samples.is_truncated_N[row] or own[-1] == END
        assert (rest == PAD).all()
        assert (samples.log_probs_NT[row, length:] == 0).all()
