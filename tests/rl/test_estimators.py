"""Steps that say nothing. tests/rl/conformance holds advantages to plain Python."""

import pytest
import torch

from suite.rl.registry import ESTIMATORS
from tests.rl.examples import objective, scored, tensor


@pytest.mark.parametrize("ends", [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_one_step_and_no_step_give_exactly_zero(ends, scale):
    steps = torch.full((2, 2), 0.1, dtype=torch.float64)
    rollout = scored([1.0, 2.0], [0, 0], [2, 2], step_rewards_NT=steps, step_ends_NT=tensor(*ends))
    kind = objective(supervision="process", scale_rewards=scale)
    assert bool((ESTIMATORS.load("grpo")(rollout, kind).advantages_NT == 0).all())
