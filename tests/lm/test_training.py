import math

import pytest
import torch

from suite.lm.training import (
    FORMS,
    LAST_RATE,
    Example,
    Limits,
    NotFiniteError,
    Optimiser,
    pad_examples,
    token_loss,
)
from tests.lm.decoders import decoder, tokens

CPU = torch.device("cpu")
LIMITS = Limits(warmup_updates=2, max_grad_norm=1.0)


def test_given_tokens_and_padding_are_not_learnt():
    tokens_BS, learnt_BS = pad_examples([Example(ids=[5, 6, 7, 8], given=2), Example(ids=[9])], CPU)
    assert tokens_BS.tolist() == [[5, 6, 7, 8, 1], [9, 1, 0, 0, 0]]
    assert learnt_BS.tolist() == [[0, 0, 1, 1, 1], [1, 1, 0, 0, 0]]


def test_the_loss_is_the_mean_over_learnt_tokens():
    model = decoder(dtype=torch.float64)
    short = pad_examples([Example(ids=[5, 6, 7])], CPU)
    padded = pad_examples([Example(ids=[5, 6, 7]), Example(ids=[8] * 9, given=10)], CPU)
    torch.testing.assert_close(token_loss(model, *short), token_loss(model, *padded), rtol=0, atol=1e-12)


def test_the_rate_grows_then_stays_or_falls_along_a_cosine():
    stays = Limits(warmup_updates=2, max_grad_norm=1.0)
    falls = Limits(warmup_updates=2, max_grad_norm=1.0, decay_updates=8)
    assert [stays.rate(done) for done in (0, 1, 2, 1000)] == [0.5, 1.0, 1.0, 1.0]
    rates = [falls.rate(done) for done in range(12)]
    assert rates[0] == 0.5
    assert rates[4] == pytest.approx((1 + LAST_RATE) / 2)
    assert rates[2] == pytest.approx(LAST_RATE + (1 - LAST_RATE) * (1 + math.sqrt(0.5)) / 2)
    assert rates[1:8] == sorted(rates[1:8], reverse=True)
    assert rates[8:] == pytest.approx([LAST_RATE] * 4)


def test_a_gradient_that_is_no_number_is_refused_with_its_model():
    model = decoder()
    optimiser = Optimiser(model, lr=1e-3, limits=LIMITS)
    model.embedding.grad = torch.full_like(model.embedding, float("nan"))
    with pytest.raises(NotFiniteError, match="the gradient of the policy is nan at its update 1"):
        optimiser.update("the policy")


def test_an_optimiser_goes_on_from_its_state():
    def trained(model, optimiser, batches):
        for batch in batches:
            token_loss(model, batch, torch.ones_like(batch)).backward()
            optimiser.update("the model")

    batches = [tokens(4, 6, seed) for seed in range(6)]
    unbroken, broken = decoder(), decoder()
    trained(unbroken, Optimiser(unbroken, lr=1e-2, limits=LIMITS), batches)
    first = Optimiser(broken, lr=1e-2, limits=LIMITS)
    trained(broken, first, batches[:3])
    second = Optimiser(broken, lr=1e-2, limits=LIMITS)
    second.restore(first.state())
    trained(broken, second, batches[3:])
    assert all(torch.equal(*pair) for pair in zip(unbroken.parameters(), broken.parameters(), strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_updates_are_those_of_adamw_from_clipped_gradients(form):
    weight = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    torch.nn.init.ones_(weight.weight)  # a number near 0 would make a small difference a large share of it
    value = weight.weight.detach().clone()
    optimiser = Optimiser(weight, lr=0.1, limits=Limits(warmup_updates=2, max_grad_norm=1.0), form=form)
    first, second = torch.zeros(2, 1, 2, dtype=torch.float64)
    for count, (rate, gradient) in enumerate([(0.05, [3.0, 4.0]), (0.1, [0.1, -0.2]), (0.1, [0.0, 0.5])], start=1):
        weight.weight.grad = torch.tensor([gradient], dtype=torch.float64)
        norm = optimiser.update("it")
        assert norm == pytest.approx(math.hypot(*gradient))
        clipped = torch.tensor([gradient], dtype=torch.float64) / max(1.0, norm)
        first, second = 0.9 * first + 0.1 * clipped, 0.95 * second + 0.05 * clipped**2
        value -= rate * (first / (1 - 0.9**count)) / ((second / (1 - 0.95**count)).sqrt() + 1e-8)
        torch.testing.assert_close(weight.weight.detach(), value, rtol=1e-6, atol=0)  # torch adds 1e-6 to the norm
