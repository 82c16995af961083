"""Every estimator alike: layout does not matter, and nothing is NaN."""

import dataclasses

import pytest
import torch

from suite.rl.advantages import Scored
from suite.rl.registry import ESTIMATORS
from tests.rl.examples import objective, padded, random_rollout, scored, tensor

CASES = [(name, {"adv_estimator": name, "lam": 0.9, "gamma": 0.95}) for name in ESTIMATORS.names]
CASES += [("gae", {"lam": None, "lam_alpha": 0.4, "gamma": 0.95, "critic_lam": 1.0})]
CASES += [("grpo", {"scale_rewards": scale}) for scale in ("batch", "none")]
CASES += [("grpo", {"supervision": "process", "scale_rewards": scale}) for scale in ("group", "batch", "none")]
every_estimator = pytest.mark.parametrize(("name", "changes"), CASES)


def changed(rollout, change):
    """A rollout with a change of layout made to everything that it has token by token or completion by completion."""
    parts = {field.name: getattr(rollout, field.name) for field in dataclasses.fields(Scored)}
    return Scored(**{name: change(part) for name, part in parts.items()})


def assert_same(got, wanted, change):
    torch.testing.assert_close(got.advantages_NT, change(wanted.advantages_NT), rtol=0, atol=1e-12)
    if wanted.returns_NT is not None:
        torch.testing.assert_close(got.returns_NT, change(wanted.returns_NT), rtol=0, atol=1e-12)


@every_estimator
def test_the_order_of_completions_does_not_matter(name, changes):
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    rollout, compute = random_rollout(), ESTIMATORS.load(name)
    wanted = compute(rollout, objective(**changes))
    assert_same(compute(changed(rollout, lambda part: part[order]), objective(**changes)), wanted, lambda x: x[order])


@every_estimator
@pytest.mark.parametrize("garbage", [1e30, torch.nan])
@pytest.mark.parametrize("side", ["left", "right"])
def test_neither_side_nor_amount_nor_content_of_padding_matters(name, changes, side, garbage):
    rollout, compute = random_rollout(), ESTIMATORS.load(name)
    mask_NT = padded(rollout.mask_NT, **{side: 3})

    def pad(part):
        if part.shape != rollout.mask_NT.shape:
            return part
        return torch.where(mask_NT > 0, padded(part, **{side: 3}), garbage)

    wanted = compute(rollout, objective(**changes))
    moved = dataclasses.replace(changed(rollout, pad), mask_NT=mask_NT)
    assert_same(compute(moved, objective(**changes)), wanted, lambda part: padded(part, **{side: 3}))


@every_estimator
def test_advantages_are_finite_not_all_zero_and_zero_on_padding(name, changes):
    rollout = random_rollout()
    got = ESTIMATORS.load(name)(rollout, objective(**changes)).advantages_NT
    assert bool(got.isfinite().all())
    assert bool((got != 0).any())
    assert bool((got[rollout.mask_NT == 0] == 0).all())


@every_estimator
@pytest.mark.parametrize("lengths", [[1], [0], [3]])
def test_a_lone_completion_gets_finite_advantages(name, changes, lengths):
    nothing = torch.zeros(1, 3, dtype=torch.float64)
    steps = {"step_rewards_NT": nothing, "step_ends_NT": nothing + 1}
    rollout = scored([2.0], [0], lengths, width=3, values_NT=nothing, parts_NK=tensor([1.0, 2.0]), **steps)
    got = ESTIMATORS.load(name)(rollout, objective(**changes)).advantages_NT
    assert bool(got.isfinite().all())
