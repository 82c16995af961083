"""Our advantages and returns against torchrl's generalised advantage estimation, in float64: the same bits.

torchrl makes its discount of a Python number and a tensor of integers, so it has torch's default dtype, float32, which
costs it 1e-8 whatever the values are. The default is float64 here.
"""

import pytest
import torch
from torchrl.objectives.value.functional import generalized_advantage_estimate

from suite.rl.advantages import token_rewards, whiten
from suite.rl.estimators.gae import advantages
from tests.rl.conformance.checks import LONGEST, batch_of, objective, random_completions


@pytest.fixture(autouse=True)
def float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def theirs(rollout, gamma, lam):
    """Advantages before whitening and returns, completion by completion: torchrl knows no padding."""
    raw_NT, returns_NT = torch.zeros_like(rollout.mask_NT), torch.zeros_like(rollout.mask_NT)
    rewards_NT = token_rewards(rollout)
    for row, length in enumerate(rollout.mask_NT.sum(dim=1).int().tolist()):
        if length:
            values, rewards = (part[row, :length, None] for part in (rollout.values_NT, rewards_NT))
            after = torch.cat([values[1:], torch.zeros(1, 1)])
            done = torch.arange(length)[:, None] == length - 1
            found = generalized_advantage_estimate(gamma, lam, values, after, rewards, done)
            raw_NT[row, :length], returns_NT[row, :length] = (part[:, 0] for part in found)
    return raw_NT, returns_NT


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (1.0, 0.95), (0.99, 0.9), (0.9, 0.0)])
def test_returns_and_whitened_advantages_equal_torchrls_bits(gamma, lam, seed):
    price = {"kl_coef": 0.1, "kl_type": "k1", "use_kl_in_reward": True}
    wanted = objective(LONGEST, adv_estimator="gae", gamma=gamma, lam=lam, **price)
    rollout = batch_of(random_completions(seed, wanted), wanted).scored
    ours = advantages(rollout, wanted)
    raw_NT, returns_NT = theirs(rollout, gamma, lam)
    assert float((ours.returns_NT - returns_NT).abs().max()) == 0.0
    assert float((ours.advantages_NT - whiten(raw_NT, rollout.mask_NT)).abs().max()) == 0.0
