import pytest
import torch

from suite.rl.losses import Divisors, aggregate
from suite.rl.objective import AGGREGATIONS
from tests.rl.examples import mask_of, padded, tensor

LOSS, MASK = tensor([1, 2, 3, 4], [5, 7, 99, 99], [99, 99, 99, 99]), mask_of([4, 2, 0], 4)
BY_HAND = {
    "token-mean": 22 / 6,
    "seq-mean-token-mean": (2.5 + 6) / 3,
    "seq-mean-token-sum": 22 / 3,
    "seq-mean-token-sum-norm": 22 / 3 / 8,
}
every_mode = pytest.mark.parametrize("mode", AGGREGATIONS)


@every_mode
def test_each_mode_has_its_divisor_and_an_empty_completion_counts_as_a_sequence(mode):
    divisors = Divisors.of(MASK, longest=8)
    assert (divisors.tokens, divisors.sequences, divisors.longest) == (6, 3, 8)
    assert aggregate(LOSS, MASK, mode, divisors).item() == pytest.approx(BY_HAND[mode], abs=1e-14)


@every_mode
def test_micro_batches_add_up_to_their_minibatch_in_loss_and_gradient(mode):
    loss = LOSS.clone().requires_grad_()
    divisors = Divisors.of(MASK, longest=8)
    whole = aggregate(loss, MASK, mode, divisors)
    parts = sum(aggregate(loss[rows], MASK[rows], mode, divisors) for rows in ([0], [2, 1]))
    assert parts.item() == pytest.approx(whole.item(), abs=1e-12)
    gradients = [torch.autograd.grad(total, loss)[0] for total in (whole, parts)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-15)


@every_mode
@pytest.mark.parametrize("garbage", [1e30, torch.inf, torch.nan])
def test_neither_the_amount_of_padding_nor_what_stands_in_it_matters(mode, garbage):
    divisors = Divisors.of(MASK, longest=8)
    loss, mask = (
        padded(torch.where(MASK > 0, LOSS, garbage), left=2, right=3, filled=garbage),
        padded(MASK, left=2, right=3),
    )
    loss = loss.requires_grad_()
    total = aggregate(loss, mask, mode, divisors)
    assert total.item() == aggregate(LOSS, MASK, mode, divisors).item()
    (gradient,) = torch.autograd.grad(total, loss)
    assert bool((gradient[mask == 0] == 0).all())


@every_mode
def test_a_minibatch_of_empty_completions_has_a_loss_of_zero(mode):
    nothing = torch.zeros_like(MASK)
    assert aggregate(LOSS, nothing, mode, Divisors.of(nothing, longest=8)).item() == 0


def test_an_unknown_mode_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"loss_agg_mode must be one of token-mean, .*; got 'sum'"):
        aggregate(LOSS, MASK, "sum", Divisors(tokens=1, sequences=1, longest=1))
