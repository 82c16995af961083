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


def test_the_critic_may_have_a_lambda_of_its_own():
    rollout = scored([1.0, 3.0], [0, 1], [3, 1], values_NT=VALUES, kl_NT=KL)
    both = advantages(rollout, objective(adv_estimator="gae", lam=0.5, critic_lam=1.0))
    policys, critics = (advantages(rollout, objective(adv_estimator="gae", lam=lam)) for lam in (0.5, 1.0))
    assert torch.equal(both.advantages_NT, policys.advantages_NT)
    assert torch.equal(both.returns_NT, critics.returns_NT)
    assert not torch.equal(both.returns_NT, policys.returns_NT)


@pytest.mark.parametrize(("alpha", "lam"), [(0.5, 1 - 1 / 1.5), (1e9, 1.0), (0.1, 0.0)])
def test_lambda_by_length_is_one_less_a_share_and_never_below_0(alpha, lam):
    rollout = scored([1.0, 3.0], [0, 1], [3, 1], values_NT=VALUES, kl_NT=KL)
    got = advantages(rollout, objective(adv_estimator="gae", lam=None, lam_alpha=alpha))
    wanted = advantages(rollout, objective(adv_estimator="gae", lam=lam))
    torch.testing.assert_close(got.advantages_NT, wanted.advantages_NT, rtol=0, atol=1e-8)
    torch.testing.assert_close(got.returns_NT, wanted.returns_NT, rtol=0, atol=1e-8)
