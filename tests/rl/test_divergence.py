import math

import pytest
import torch

from suite.rl.losses import kl_estimates
from tests.rl.examples import tensor

LOG_P, LOG_REFERENCE = tensor([math.log(0.5)]), tensor([math.log(0.2)])


@pytest.mark.parametrize(
    ("kl_type", "wanted"),
    [("k1", math.log(2.5)), ("k2", math.log(2.5) ** 2 / 2), ("k3", 0.4 - 1 + math.log(2.5))],
)
def test_each_estimate_has_its_formula(kl_type, wanted):
    assert kl_estimates(LOG_P, LOG_REFERENCE, kl_type).item() == pytest.approx(wanted, abs=1e-15)


def test_the_unbiased_k3_is_weighed_by_the_ratio_to_the_policy_that_sampled():
    k3 = kl_estimates(LOG_P, LOG_REFERENCE, "k3")
    sampled = tensor([math.log(0.4)])
    weighed = kl_estimates(LOG_P, LOG_REFERENCE, "k3_unbiased", sampled)
    torch.testing.assert_close(weighed, k3 * 1.25, rtol=1e-15, atol=0)


def test_the_unbiased_k3_of_the_policy_that_sampled_is_k3_with_another_gradient():
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
