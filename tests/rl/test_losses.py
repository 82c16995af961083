import math

import pytest
import torch

from suite.rl.losses import Divisors, aggregate, kl_estimates
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
def test_each_mode_has_its_divisor(mode):
    divisors = Divisors.from_mask(MASK, longest=8)
    assert (divisors.tokens, divisors.sequences, divisors.longest) == (6, 3, 8)
    assert aggregate(LOSS, MASK, mode, divisors).item() == pytest.approx(BY_HAND[mode], abs=1e-14)


@every_mode
def test_micro_batches_add_up_to_their_minibatch(mode):
    loss = LOSS.clone().requires_grad_()
    divisors = Divisors.from_mask(MASK, longest=8)
    whole = aggregate(loss, MASK, mode, divisors)
    parts = sum(aggregate(loss[rows], MASK[rows], mode, divisors) for rows in ([0], [2, 1]))
    assert parts.item() == pytest.approx(whole.item(), abs=1e-12)
    gradients = [torch.autograd.grad(total, loss)[0] for total in (whole, parts)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-15)


@every_mode
@pytest.mark.parametrize("garbage", [1e30, torch.inf, torch.nan])
def test_neither_amount_nor_content_of_padding_matters(mode, garbage):
    divisors = Divisors.from_mask(MASK, longest=8)
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
    assert aggregate(LOSS, nothing, mode, Divisors.from_mask(nothing, longest=8)).item() == 0


def test_an_unknown_mode_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"loss_agg_mode must be one of token-mean, .*; got 'sum'"):
        aggregate(LOSS, MASK, "sum", Divisors(tokens=1, sequences=1, longest=1))


LOG_P, LOG_REFERENCE = tensor([math.log(0.5)]), tensor([math.log(0.2)])


@pytest.mark.parametrize(
    ("kl_type", "wanted"),
    [("k1", math.log(2.5)), ("k2", math.log(2.5) ** 2 / 2), ("k3", 0.4 - 1 + math.log(2.5))],
)
def test_each_estimate_has_its_formula(kl_type, wanted):
    assert kl_estimates(LOG_P, LOG_REFERENCE, kl_type).item() == pytest.approx(wanted, abs=1e-15)


def test_the_unbiased_k3_is_weighed_by_the_ratio():
    k3 = kl_estimates(LOG_P, LOG_REFERENCE, "k3")
    sampled = tensor([math.log(0.4)])
    weighed = kl_estimates(LOG_P, LOG_REFERENCE, "k3_unbiased", sampled)
    torch.testing.assert_close(weighed, k3 * 1.25, rtol=1e-15, atol=0)


def test_on_policy_unbiased_k3_is_k3_with_another_gradient():
    gradients = {}
    for kl_type in ("k3", "k3_unbiased"):
        log_p = LOG_P.clone().requires_grad_()
        estimate = kl_estimates(log_p, LOG_REFERENCE, kl_type)
        assert estimate.item() == kl_estimates(LOG_P, LOG_REFERENCE, "k3").item()
        (gradients[kl_type],) = torch.autograd.grad(estimate.sum(), log_p)
    k3 = kl_estimates(LOG_P, LOG_REFERENCE, "k3")
    torch.testing.assert_close(gradients["k3_unbiased"], gradients["k3"] + k3, rtol=1e-15, atol=0)


def test_every_estimate_of_equal_policies_is_zero():
    for kl_type in ("k1", "k2", "k3", "k3_unbiased"):
        assert kl_estimates(LOG_P, LOG_P, kl_type, LOG_REFERENCE).abs().item() == 0


def test_an_unknown_estimate_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="kl_type must be one of k1, k2, k3, k3_unbiased; got 'k4'"):
        kl_estimates(LOG_P, LOG_REFERENCE, "k4")
