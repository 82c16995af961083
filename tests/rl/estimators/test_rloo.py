import pytest
import torch

from suite.rl.estimators.rloo import advantages
from tests.rl.examples import objective, scored, tensor


def test_a_reward_is_compared_with_the_mean_of_the_others():
    kl = tensor([0.5, 0.5], [1.0, 9.0], [0.0, 9.0], [0.0, 9.0])
    rollout = scored([2.0, 5.0, 7.0, 3.0], [3, 3, 3, 0], [2, 1, 1, 1], kl_NT=kl)
    wanted = tensor([1 - 5.5, 1 - 5.5], [4 - 4, 0], [7 - 2.5, 0], [0, 0])
    torch.testing.assert_close(advantages(rollout, objective()).advantages_NT, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rewards_give_exactly_zero(dtype):
    rollout = scored([0.0] * 3, [0, 0, 0], [1, 2, 2], rewards_N=torch.full((3,), 0.1, dtype=dtype))
    assert bool((advantages(rollout, objective()).advantages_NT == 0).all())
