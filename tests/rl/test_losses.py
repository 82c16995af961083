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


def test_an_unknown_mode_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"loss_agg_mode must be one of token-mean, .*; got 'sum'"):
        aggregate(LOSS, MASK, "sum", Divisors(tokens=1, sequences=1, longest=1))


LOG_P, LOG_REFERENCE = tensor([math.log(0.5)]), tensor([math.log(0.2)])


@pytest.mark.parametrize(
    ("kl_type", "wanted"),
    [
        ("k1", math.log(2.5)),
        ("k2", math.log(2.5) ** 2 / 2),
        ("k3", 0.4 - 1 + math.log(2.5)),
        ("k3_unbiased", 1.25 * (0.4 - 1 + math.log(2.5))),
    ],
)
def test_each_estimate_has_its_formula(kl_type, wanted):
    sampled = tensor([math.log(0.4)])
    assert kl_estimates(LOG_P, LOG_REFERENCE, kl_type, sampled).item() == pytest.approx(wanted, abs=1e-15)


def test_an_unknown_estimate_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="kl_type must be one of k1, k2, k3, k3_unbiased; got 'k4'"):
        kl_estimates(LOG_P, LOG_REFERENCE, "k4")
