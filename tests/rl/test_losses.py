import pytest
import torch

from suite.rl.losses import Divisors, aggregate, kl_estimates
from suite.rl.objective import AGGREGATIONS
from tests.rl.examples import mask_of, padded, tensor

LOSS, MASK = tensor([1, 2, 3, 4], [5, 7, 99, 99], [99, 99, 99, 99]), mask_of([4, 2, 0], 4)
every_mode = pytest.mark.parametrize("mode", AGGREGATIONS)


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


def test_an_unknown_estimate_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="kl_type must be one of k1, k2, k3, k3_unbiased; got 'k4'"):
        kl_estimates(LOSS, LOSS, "k4")
