import pytest
import torch

from suite.rl.advantages import whiten
from suite.rl.estimators.gae import advantages
from tests.rl.examples import mask_of, objective, scored, tensor

VALUES = tensor([0.5, 0.25, 1.0], [2.0, 8.0, 8.0])
KL = tensor([0.1, 0.2, 0.3], [0.4, 9.0, 9.0])


def by_hand(gamma, lam):
    """The two rows of VALUES and KL with outcomes 1 and 3: advantages before whitening."""
    rewards, values = [-0.1, -0.2, 0.7], [0.5, 0.25, 1.0]
    deltas = [rewards[0] + gamma * values[1] - 0.5, rewards[1] + gamma * values[2] - 0.25, rewards[2] - 1.0]
    last = deltas[2]
    middle = deltas[1] + gamma * lam * last
    return tensor([deltas[0] + gamma * lam * middle, middle, last], [2.6 - 2.0, 0, 0])


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (1.0, 0.95), (0.9, 0.5), (0.9, 0.0)])
def test_advantages_are_the_critics_discounted_errors(gamma, lam):
    rollout = scored([1.0, 3.0], [0, 1], [3, 1], values_NT=VALUES, kl_NT=KL)
    estimated = advantages(rollout, objective(adv_estimator="gae", gamma=gamma, lam=lam))
    raw, mask = by_hand(gamma, lam), mask_of([3, 1], 3)
    torch.testing.assert_close(estimated.advantages_NT, whiten(raw, mask), rtol=0, atol=1e-14)
    torch.testing.assert_close(estimated.returns_NT, raw + VALUES * mask, rtol=0, atol=1e-14)


def test_with_lambda_one_the_return_is_outcome_less_later_kl():
    rollout = scored([1.0, 3.0], [0, 1], [3, 1], values_NT=VALUES, kl_NT=KL)
    returns = advantages(rollout, objective(adv_estimator="gae")).returns_NT
    torch.testing.assert_close(returns, tensor([0.4, 0.5, 0.7], [2.6, 0, 0]), rtol=0, atol=1e-14)
