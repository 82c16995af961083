import torch

from suite.rl.advantages import whiten
from suite.rl.estimators import reinforce_plus_plus, reinforce_plus_plus_baseline
from tests.rl.examples import mask_of, objective, scored, tensor


def test_returns_are_discounted_and_whitened_over_tokens():
    kl = tensor([0.1, 0.2, 0.3], [0.5, 9.0, 9.0])
    rollout = scored([1.0, 2.0], [0, 1], [3, 1], kl_NT=kl)
    got = reinforce_plus_plus.advantages(rollout, objective(gamma=0.5))
    last = 1 - 0.3
    middle = -0.2 + 0.5 * last
    returns = tensor([-0.1 + 0.5 * middle, middle, last], [1.5, 0, 0])
    torch.testing.assert_close(got.advantages_NT, whiten(returns, mask_of([3, 1], 3)), rtol=0, atol=1e-14)
    assert got.returns_NT is None


def test_the_baseline_takes_the_groups_mean_off_first():
    rollout = scored([1.0, 3.0, 10.0, 14.0], [0, 0, 1, 1], [1, 2, 1, 0])
    got = reinforce_plus_plus_baseline.advantages(rollout, objective()).advantages_NT
    centred = tensor([-1, 0], [1, 1], [-2, 0], [0, 0])
    torch.testing.assert_close(got, whiten(centred, mask_of([1, 2, 1, 0], 2)), rtol=0, atol=1e-14)


def test_groups_of_equal_rewards_give_exactly_zero():
    rollout = scored([0.1, 0.1, 0.1, 0.7, 0.7, 0.7], [0, 0, 0, 1, 1, 1], [1, 2, 1, 2, 2, 1])
    got = reinforce_plus_plus_baseline.advantages(rollout, objective()).advantages_NT
    assert bool((got == 0).all())
