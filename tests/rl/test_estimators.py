"""Advantages counted by hand. tests/rl/conformance holds them to plain Python, in any layout and at every edge."""

import dataclasses

import pytest
import torch

from suite.configuration.files import read_settings
from suite.rl.advantages import Scored, whiten
from suite.rl.objective import objective_from
from suite.rl.registry import ESTIMATORS
from tests.rl.examples import mask_of, objective, padded, random_rollout, scored, tensor

FOUR = {"rewards": [1.0, 3.0, 9.0, 3.0], "groups": [1, 1, 0, 0], "lengths": [2, 1, 0, 2]}
PRICED = {"rewards": [3.0, 1.25], "groups": [0, 0], "lengths": [2, 1], "width": 3}
PRICED |= {"kl_NT": tensor([0.5, 0.5, 7.0], [0.25, 7.0, 7.0])}
# Two groups. The first has four steps, 1, 3 | 5 and 7 (mean 4, deviation √(20/3)); the second has none.
STEPS = {"rewards": [50.0, 60.0, 70.0], "groups": [0, 0, 1], "lengths": [3, 2, 2], "width": 4}
STEPS |= {"step_rewards_NT": tensor([1.0, 88, 3.0, 99], [5.0, 7.0, 99, 99], [88.0, 88, 99, 99])}
STEPS |= {"step_ends_NT": tensor([1.0, 0, 1, 1], [1.0, 1, 1, 1], [0.0, 0, 1, 1])}
CREDITS = tensor([-4.0, -1, -1, 0], [4.0, 3, 0, 0], [0.0, 0, 0, 0])
TWO = {"rewards": [1.0, 3.0], "groups": [0, 1], "lengths": [3, 1]}
TWO |= {"kl_NT": tensor([0.1, 0.2, 0.3], [0.4, 9.0, 9.0]), "values_NT": tensor([0.5, 0.25, 1.0], [2.0, 8.0, 8.0])}
HIGH, LOW = 2 / 3**0.5, -1 / 3**0.5  # normalised: the one that is right of three, and the two others
RIGHT, FORMED = [1.0, 0, 0, 1, 1, 0], [0.0, 1, 1, 1, 1, 1]
PARTS = {"rewards": [0.0] * 6, "groups": [0, 0, 0, 1, 1, 1], "lengths": [1, 2, 2, 2, 1, 0]}


def whitened_errors(gamma, lam):
    return whiten(errors_by_hand(gamma, lam), mask_of([3, 1], 3))


def errors_by_hand(gamma, lam):
    """The critic's discounted errors in TWO: deltas from rewards -0.1, -0.2 and 0.7, and 2.6 - 2.0."""
    last = 0.7 - 1.0
    middle = -0.2 + gamma * 1.0 - 0.25 + gamma * lam * last
    return tensor([-0.1 + gamma * 0.25 - 0.5 + gamma * lam * middle, middle, last], [2.6 - 2.0, 0, 0])


@pytest.mark.parametrize(
    ("settings", "rollout", "expected"),
    [
        ({}, FOUR, tensor([-1, -1], [1, 0], [0, 0], [-3, -3]) / tensor([2.0, 2, 18, 18]).T.sqrt()),
        ({"scale_rewards": "batch"}, FOUR, tensor([-1, -1], [1, 0], [0, 0], [-3, -3]) / 12**0.5),
        ({"scale_rewards": "none"}, FOUR, tensor([-1.0, -1], [1, 0], [0, 0], [-3, -3])),
        ({"scale_rewards": "none"}, PRICED, tensor([0.5, 0.5, 0], [-0.5, 0, 0])),
        ({"supervision": "process"}, STEPS, CREDITS / (20 / 3) ** 0.5),
        ({"supervision": "process", "scale_rewards": "batch"}, STEPS, CREDITS / (20 / 3) ** 0.5),
        ({"supervision": "process", "scale_rewards": "none"}, STEPS, CREDITS),
        (
            {"adv_estimator": "maxrl"},
            {"rewards": [1.0, 0, 0, 0, 1, 1], "groups": [0] * 4 + [1] * 2, "lengths": [1, 2, 2, 1, 1, 0]},
            tensor([3.0, 0], [-1, -1], [-1, -1], [-1, 0], [0, 0], [0, 0]),
        ),
        (
            {"adv_estimator": "rloo"},
            {"rewards": [1.0, 4.0, 7.0, 3.0], "groups": [3, 3, 3, 0], "lengths": [2, 1, 1, 1]},
            tensor([1 - 5.5, 1 - 5.5], [4 - 4, 0], [7 - 2.5, 0], [0, 0]),
        ),
        (
            {"adv_estimator": "reinforce_plus_plus", "gamma": 0.5},
            TWO,
            whiten(tensor([-0.1 + 0.5 * (-0.2 + 0.35), -0.2 + 0.35, 0.7], [2.6, 0, 0]), mask_of([3, 1], 3)),
        ),
        (
            {"adv_estimator": "reinforce_plus_plus_baseline"},
            FOUR,
            whiten(tensor([-1, -1], [1, 0], [0, 0], [-3, -3]), mask_of([2, 1, 0, 2], 2)),
        ),
        (
            {"adv_estimator": "gdpo"},
            PARTS | {"parts_NK": tensor(RIGHT, FORMED).T},
            whiten(
                tensor([0.5 * HIGH, 0.5 * LOW, 0.5 * LOW, -LOW, -LOW, -HIGH]).T.expand(6, 2),
                mask_of(PARTS["lengths"], 2),
            ),
        ),
        ({"adv_estimator": "gae", "gamma": 1.0, "lam": 0.95}, TWO, whitened_errors(1.0, 0.95)),
        ({"adv_estimator": "gae", "gamma": 0.9, "lam": 0.0}, TWO, whitened_errors(0.9, 0.0)),
        ({"adv_estimator": "gae", "lam": None, "lam_alpha": 0.5}, TWO, whitened_errors(1.0, 1 / 3)),
        ({"adv_estimator": "gae", "lam": None, "lam_alpha": 0.1}, TWO, whitened_errors(1.0, 0.0)),
    ],
)
def test_advantages_are_those_counted_by_hand(settings, rollout, expected):
    wanted = objective(**settings)
    got = ESTIMATORS.load(wanted.adv_estimator)(scored(**rollout), wanted).advantages_NT
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)  # 1e-6 is added to a standard deviation


@pytest.mark.parametrize(
    ("lam", "critic_lam", "returns"),
    [
        (1.0, None, tensor([0.4, 0.5, 0.7], [2.6, 0, 0])),  # the outcome less the later KL
        (0.5, 1.0, tensor([0.4, 0.5, 0.7], [2.6, 0, 0])),
        (0.5, None, errors_by_hand(1.0, 0.5) + tensor([0.5, 0.25, 1.0], [2.0, 0, 0])),
    ],
)
def test_returns_are_by_the_critics_lambda(lam, critic_lam, returns):
    kind = objective(adv_estimator="gae", lam=lam, critic_lam=critic_lam)
    estimated = ESTIMATORS.load("gae")(scored(**TWO), kind)
    torch.testing.assert_close(estimated.returns_NT, returns, rtol=0, atol=1e-14)


def gdpo(*parts, weights=(1.0, 0.5)):
    kind = objective(adv_estimator="gdpo", reward_weights=weights)
    return ESTIMATORS.load("gdpo")(scored(**PARTS, parts_NK=tensor(*parts).T), kind).advantages_NT


def test_gdpo_compares_parts_whose_sums_are_equal():
    assert bool((gdpo(RIGHT, [3 - 3 * value for value in RIGHT], weights=(3.0, 1.0)) != 0).any())
    torch.testing.assert_close(gdpo(RIGHT, [100 * value for value in FORMED]), gdpo(RIGHT, FORMED), rtol=0, atol=1e-5)
    assert not torch.allclose(gdpo(RIGHT, FORMED, weights=(1.0, 1.5)), gdpo(RIGHT, FORMED), atol=0.1)
    alone = ESTIMATORS.load("grpo")(scored(**PARTS | {"rewards": RIGHT}), objective()).advantages_NT
    expected = whiten(alone, mask_of(PARTS["lengths"], 2))
    torch.testing.assert_close(gdpo(RIGHT, weights=(1.0,)), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("ends", [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_one_step_and_no_step_give_exactly_zero(ends, scale):
    steps = torch.full((2, 2), 0.1, dtype=torch.float64)
    rollout = scored([1.0, 2.0], [0, 0], [2, 2], step_rewards_NT=steps, step_ends_NT=tensor(*ends))
    kind = objective(supervision="process", scale_rewards=scale)
    assert bool((ESTIMATORS.load("grpo")(rollout, kind).advantages_NT == 0).all())


def test_rewards_of_steps_have_no_place_for_the_price_of_kl():
    settings = read_settings("rl") | {"supervision": "process", "kl_coef": 0.1, "use_kl_in_reward": True}
    with pytest.raises(ValueError, match="supervision=process rewards steps only and needs use_kl_in_reward=false"):
        objective_from(settings, longest_completion=5)


def test_whitened_values_have_mean_zero_and_variance_one():
    values, mask = tensor([4.0, 1.0, 7.0], [2.0, 9.0, 9.0]), mask_of([3, 1], 3)
    white = whiten(values, mask)
    assert white[mask > 0].mean().item() == pytest.approx(0, abs=1e-15)
    assert white[mask > 0].var().item() == pytest.approx(1, abs=1e-8)
    assert white[0, 0].item() == pytest.approx(0.5 / 7**0.5, abs=1e-8)  # mean 3.5, variance (0.25+6.25+12.25+2.25)/3


CASES = [(name, {"adv_estimator": name, "lam": 0.9, "gamma": 0.95}) for name in ESTIMATORS.names]
CASES += [("gae", {"lam": None, "lam_alpha": 0.4, "critic_lam": 1.0})]
CASES += [("grpo", {"supervision": "process", "scale_rewards": scale}) for scale in ("group", "batch")]


@pytest.mark.parametrize(("name", "changes"), CASES)
@pytest.mark.parametrize("garbage", [1e30, torch.nan])
@pytest.mark.parametrize("side", ["left", "right"])
def test_no_content_of_padding_matters(name, changes, side, garbage):
    rollout, estimate = random_rollout(), ESTIMATORS.load(name)
    mask_NT = padded(rollout.mask_NT, **{side: 3})

    def pad(part):
        if part.shape != rollout.mask_NT.shape:
            return part
        return torch.where(mask_NT > 0, padded(part, **{side: 3}), garbage)

    parts = {field.name: pad(getattr(rollout, field.name)) for field in dataclasses.fields(Scored)}
    wanted = estimate(rollout, objective(**changes))
    got = estimate(Scored(**parts | {"mask_NT": mask_NT}), objective(**changes))
    for ours, theirs in ((got.advantages_NT, wanted.advantages_NT), (got.returns_NT, wanted.returns_NT)):
        if theirs is not None:
            torch.testing.assert_close(ours, padded(theirs, **{side: 3}), rtol=0, atol=1e-12)
