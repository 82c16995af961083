"""Whatever stands in padding, and steps that say nothing. tests/rl/conformance holds advantages to plain Python."""

import dataclasses

import pytest
import torch

from suite.configuration.files import read_settings
from suite.rl.advantages import Scored
from suite.rl.objective import objective_from
from suite.rl.registry import ESTIMATORS
from tests.rl.examples import objective, padded, random_rollout, scored, tensor


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
