import torch

from suite.rl.advantages import whiten
from suite.rl.estimators import gdpo, grpo
from tests.rl.examples import mask_of, objective, scored, tensor

GROUPS, LENGTHS = [0, 0, 0, 1, 1, 1], [1, 2, 2, 2, 1, 0]
RIGHT, FORMED = [1.0, 0, 0, 1, 1, 0], [0.0, 1, 1, 1, 1, 1]


def advantages(*parts, weights, **changes):
    rewards = [sum(w * p for w, p in zip(weights, row, strict=True)) for row in zip(*parts, strict=True)]
    rollout = scored(rewards, GROUPS, LENGTHS, parts_NK=tensor(*parts).T, **changes)
    return gdpo.advantages(rollout, objective(adv_estimator="gdpo", reward_weights=weights)).advantages_NT


def test_each_part_is_divided_by_its_own_deviation():
    high, low = 2 / 3**0.5, -1 / 3**0.5  # of one in three
    summed = tensor([high - 0.5 * high, low - 0.5 * low, low - 0.5 * low, -low, -low, -high]).T
    wanted = whiten(summed.expand(6, 2), mask_of(LENGTHS, 2))
    torch.testing.assert_close(advantages(RIGHT, FORMED, weights=(1.0, 0.5)), wanted, rtol=0, atol=1e-5)


def test_parts_whose_sums_are_equal_still_tell_apart():
    opposite = [1 - value for value in RIGHT]
    thrice = [3 * value for value in opposite]
    rollout = scored([3.0] * 6, GROUPS, LENGTHS)
    assert bool((grpo.advantages(rollout, objective()).advantages_NT == 0).all())
    assert bool((advantages(RIGHT, thrice, weights=(3.0, 1.0)) != 0).any())


def test_the_scale_of_a_part_does_not_matter_and_its_weight_does():
    usual = advantages(RIGHT, FORMED, weights=(1.0, 0.5))
    rescaled = advantages(RIGHT, [100 * value for value in FORMED], weights=(1.0, 0.5))
    torch.testing.assert_close(rescaled, usual, rtol=0, atol=1e-5)
    assert not torch.allclose(advantages(RIGHT, FORMED, weights=(1.0, 1.5)), usual, atol=0.1)


def test_one_part_alone_is_grpos_advantage_whitened():
    rollout = scored(RIGHT, GROUPS, LENGTHS)
    wanted = whiten(grpo.advantages(rollout, objective()).advantages_NT, mask_of(LENGTHS, 2))
    torch.testing.assert_close(advantages(RIGHT, weights=(1.0,)), wanted, rtol=0, atol=1e-14)


def test_equal_parts_give_exactly_zero():
    assert bool((advantages([0.1] * 6, [0.7] * 6, weights=(1.0, 0.1)) == 0).all())
