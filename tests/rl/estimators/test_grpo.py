import pytest
import torch

from suite.configuration.files import read_settings
from suite.rl.estimators.grpo import advantages
from suite.rl.objective import objective_from
from tests.rl.examples import objective, scored, tensor


def close(got, wanted):
    torch.testing.assert_close(got, wanted, rtol=0, atol=3e-6)  # the 1e-6 that is added to a standard deviation


@pytest.mark.parametrize(
    ("scale", "divisors"),
    [("group", [2**0.5, 18**0.5]), ("batch", [12**0.5] * 2), ("none", [1, 1])],
)
def test_an_outcome_is_compared_with_its_group(scale, divisors):
    rollout = scored([1.0, 3.0, 9.0, 3.0], [1, 1, 0, 0], [2, 1, 0, 2])
    got = advantages(rollout, objective(scale_rewards=scale)).advantages_NT
    first, second = 1 / divisors[0], 3 / divisors[1]
    close(got, tensor([-first, -first], [first, 0], [0, 0], [-second, -second]))


def test_the_kls_price_is_summed_over_own_tokens():
    kl = tensor([0.5, 0.5, 7.0], [0.25, 7.0, 7.0])
    rollout = scored([3.0, 1.25], [0, 0], [2, 1], width=3, kl_NT=kl)
    close(advantages(rollout, objective(scale_rewards="none")).advantages_NT, tensor([0.5, 0.5, 0], [-0.5, 0, 0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("groups", [[0, 0, 0], [0, 1, 2]])
def test_equal_rewards_and_groups_of_one_give_exactly_zero(dtype, scale, groups):
    rollout = scored([0.0, 0.0, 0.0], groups, [1, 2, 2], rewards_N=torch.full((3,), 0.1, dtype=dtype))
    assert bool((advantages(rollout, objective(scale_rewards=scale)).advantages_NT == 0).all())


def process(**changes):
    """Two groups. The first has four steps, 1, 3 | 5 and 7 (mean 4, deviation √(20/3)); the second has none."""
    steps = tensor([1.0, 88, 3.0, 99], [5.0, 7.0, 99, 99], [88.0, 88, 99, 99])
    ends = tensor([1.0, 0, 1, 1], [1.0, 1, 1, 1], [0.0, 0, 1, 1])
    rollout = scored([50.0, 60.0, 70.0], [0, 0, 1], [3, 2, 2], width=4, step_rewards_NT=steps, step_ends_NT=ends)
    return advantages(rollout, objective(supervision="process", **changes)).advantages_NT


def test_a_token_is_credited_with_steps_that_end_later():
    got, deviation = process(), (20 / 3) ** 0.5
    close(got * deviation, tensor([-4.0, -1, -1, 0], [4.0, 3, 0, 0], [0.0, 0, 0, 0]))
    close(process(scale_rewards="none"), tensor([-4.0, -1, -1, 0], [4.0, 3, 0, 0], [0.0, 0, 0, 0]))
    close(process(scale_rewards="batch"), got)  # all steps lie in one group


@pytest.mark.parametrize("ends", [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_equal_steps_one_step_and_no_step_give_exactly_zero(ends, scale):
    steps = torch.full((2, 2), 0.1, dtype=torch.float64)
    rollout = scored([1.0, 2.0], [0, 0], [2, 2], step_rewards_NT=steps, step_ends_NT=tensor(*ends))
    got = advantages(rollout, objective(supervision="process", scale_rewards=scale)).advantages_NT
    assert bool((got == 0).all())


def test_a_standard_deviation_is_the_unbiased_one():
    got = advantages(scored([1.0, 2.0, 6.0], [0, 0, 0], [1, 1, 1]), objective()).advantages_NT
    close(got[:, 0] * 7**0.5, tensor(-2, -1, 3))


def test_rewards_of_steps_have_no_place_for_the_price_of_kl():
    settings = read_settings("rl") | {"supervision": "process", "kl_coef": 0.1, "use_kl_in_reward": True}
    with pytest.raises(ValueError, match="supervision=process rewards steps only and needs use_kl_in_reward=false"):
        objective_from(settings, longest_completion=5)
