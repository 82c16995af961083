import pytest
import torch

from suite.rl.estimators.maxrl import advantages
from tests.rl.examples import objective, scored, tensor


def test_a_prompt_weighs_more_the_more_rarely_it_is_solved():
    rollout = scored([1.0, 0, 0, 0, 1, 1, 1, 0], [0] * 4 + [1] * 4, [1, 2, 2, 1, 1, 1, 2, 0])
    got = advantages(rollout, objective(adv_estimator="maxrl")).advantages_NT
    often = 1 / 3
    wanted = tensor([3.0, 0], [-1, -1], [-1, -1], [-1, 0], [often, 0], [often, 0], [often, often], [0, 0])
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reward", [0.0, 0.1, 1.0])
def test_a_group_of_equal_rewards_gets_exactly_zero(dtype, reward):
    rollout = scored([0.0] * 3, [0, 0, 0], [1, 2, 2], rewards_N=torch.full((3,), reward, dtype=dtype))
    assert bool((advantages(rollout, objective(adv_estimator="maxrl")).advantages_NT == 0).all())
