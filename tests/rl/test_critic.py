import pytest
import torch

from suite.rl.critic import explained_variance
from tests.rl.examples import mask_of, tensor

VALUES = tensor([1.0, 0.1, 5.0], [2.0, 9.0, 9.0])
RETURNS, MASK = tensor([2.0, 1.0, 5.5], [1.0, -9.0, torch.nan]), mask_of([3, 1], 3)


def test_a_perfect_critic_explains_all_a_constant_none():
    assert explained_variance(RETURNS, RETURNS, MASK) == 1
    assert explained_variance(torch.zeros_like(RETURNS), RETURNS, MASK) == pytest.approx(0, abs=1e-15)


def test_returns_that_do_not_vary_leave_nothing_to_explain():
    assert explained_variance(VALUES, torch.ones_like(VALUES), MASK) is None
    assert explained_variance(VALUES, 1 + 1e-7 * RETURNS, MASK) is None
    assert explained_variance(VALUES, RETURNS, mask_of([1, 0], 3)) is None
