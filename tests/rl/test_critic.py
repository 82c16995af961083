import pytest
import torch

from suite.rl.critic import explained_variance, value_loss
from tests.rl.examples import mask_of, tensor

VALUES, OLD = tensor([1.0, 0.1, 5.0], [2.0, 9.0, 9.0]), tensor([0.0, 0.0, 0.0], [2.0, 9.0, 9.0])
RETURNS, MASK = tensor([2.0, 1.0, 5.5], [1.0, -9.0, torch.nan]), mask_of([3, 1], 3)


def test_the_worse_of_value_and_clipped_value_counts():
    # Clipped values .5, .1, .5, 2: squares 2.25, .81, 25, 1, each at least the unclipped 1, .81, .25, 1.
    clipped = value_loss(VALUES, OLD, RETURNS, MASK, 0.5, tokens=8)
    assert clipped.item() == pytest.approx((2.25 + 0.81 + 25 + 1) / 16, abs=1e-14)


def test_without_a_clip_it_is_half_the_mean_square():
    plain = value_loss(VALUES, OLD, RETURNS, MASK, None, tokens=8)
    assert plain.item() == pytest.approx((1 + 0.81 + 0.25 + 1) / 16, abs=1e-14)


def test_a_perfect_critic_explains_all_a_constant_none():
    assert explained_variance(RETURNS, RETURNS, MASK) == 1
    assert explained_variance(torch.zeros_like(RETURNS), RETURNS, MASK) == pytest.approx(0, abs=1e-15)


def test_returns_that_do_not_vary_leave_nothing_to_explain():
    assert explained_variance(VALUES, torch.ones_like(VALUES), MASK) is None
    assert explained_variance(VALUES, 1 + 1e-7 * RETURNS, MASK) is None
    assert explained_variance(VALUES, RETURNS, mask_of([1, 0], 3)) is None
