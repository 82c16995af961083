"""An update in float64, on a tiny policy: what must not matter to it. test_learner_off_policy.py has its gradient."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector

from suite.lm.sampling import Prompts
from suite.measure.meter import Meter
from suite.rl.base import new_decoder
from suite.rl.critic import Critic
from suite.rl.learner import Learner
from suite.rl.rollout import collect_rollouts
from tests.rl.cases import plan, settings


def learner(algorithm, **changes):
    wanted = plan(algorithm, dtype="float64", **{"critic_warmup_steps": 0, **changes})
    policy, reference, third = (new_decoder(wanted, settings()["attention"]) for _ in range(3))
    with torch.no_grad():  # so that the policy is no longer its base
        for parameter in policy.parameters():
            noise = torch.Generator().manual_seed(5)
            parameter += 0.02 * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype)
    critic = None
    if wanted.objective.has_critic:
        critic = Critic(third)
        with torch.no_grad():
            critic.value_D += 0.1
    return wanted, Learner(wanted, policy, reference, critic)


def sampled(wanted, policy):
    """Rewards are made up, since an untrained policy earns none."""
    rewards = torch.randn(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return replace(collect_rollouts(wanted, policy, Meter()).trainable, rewards_N=rewards)


def vectors(one):
    models = [one.policy, *([one.critic] if one.critic else [])]
    return [parameters_to_vector(model.parameters()).detach() for model in models]


def updated(algorithm, change=lambda experience: experience, **changes):
    """The weights and readings of an update whose minibatch is the whole batch, and the readings of its scores."""
    wanted, one = learner(algorithm, minibatch=16, **changes)
    batch, score_readings = one.compute_advantages(change(sampled(wanted, one.policy)))
    readings = one.update(batch, "test")
    return torch.cat(vectors(one)), readings, score_readings


@pytest.mark.parametrize("algorithm", ["grpo", "ppo", "gspo", "reinforce_plus_plus"])
@pytest.mark.parametrize("side", ["prompt", "completion"])
def test_padding_does_not_matter(algorithm, side):
    def padded(experience):
        if side == "prompt":
            tokens = F.pad(experience.prompts.tokens_PS, (3, 0), value=7)
            valid = F.pad(torch.ones_like(experience.prompts.tokens_PS, dtype=torch.bool), (3, 0), value=False)
            return replace(experience, prompts=Prompts(tokens_PS=tokens, valid_PS=valid))
        wide = {"mask_NT": 0.0, "log_probs_NT": 0.0, "entropy_NT": 0.0, "tokens_NT": 9}
        tensors = {name: F.pad(getattr(experience, name), (0, 4), value=value) for name, value in wide.items()}
        return replace(experience, **tensors)

    torch.testing.assert_close(updated(algorithm, padded)[0], updated(algorithm)[0], rtol=0, atol=1e-11)


def test_update_order_and_form_of_adamw_do_not_matter():
    before, after = updated("ppo", inner_epochs=2), updated("ppo", inner_epochs=2, update_order="together")
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    one_by_one = updated("ppo", inner_epochs=2, optimiser="for_loop")[0]
    torch.testing.assert_close(one_by_one, before[0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("order", ["one_after_other", "together"])
def test_a_critic_that_learns_alone_leaves_the_policy_as_is(order):
    wanted, one = learner("ppo", minibatch=16, update_order=order)
    batch, _ = one.compute_advantages(sampled(wanted, one.policy))
    before = vectors(one)
    readings = one.update(batch, "test", critic_alone=True)
    assert [torch.equal(new, old) for new, old in zip(vectors(one), before, strict=True)] == [True, False]
    assert readings.keys() == {"value_loss", "critic_gradient_norm", "updates"}
    assert readings["updates"] == 0
    assert all(parameter.grad is None for parameter in one.policy.parameters())


def test_a_critic_on_the_policys_trunk_moves_it():
    wanted = plan("ppo", dtype="float64", critic="shared_trunk", minibatch=16)
    policy = new_decoder(wanted, settings()["attention"])
    one = Learner(wanted, policy, policy, Critic(policy, shares_trunk=True))
    batch, _ = one.compute_advantages(sampled(wanted, policy))
    silent = replace(batch, advantages_NT=torch.zeros_like(batch.advantages_NT))
    before = policy.embedding.detach().clone()
    first, second = (one.update(silent, "test", n) for n in range(2))  # its row begins at 0, and pulls at nothing else
    assert second["value_loss"] < first["value_loss"]
    assert "critic_gradient_norm" not in first
    assert not torch.equal(policy.embedding, before)
    assert "critic_optimiser" not in one.state()


def test_policy_and_critic_each_move_at_their_own_rate():
    wanted, one = learner("ppo", minibatch=16, lr=1e-3, critic_lr=1e-2, warmup_updates=2)
    batch, _ = one.compute_advantages(sampled(wanted, one.policy))
    before = vectors(one)
    one.update(batch, "test")
    moved = [float((new - old).abs().max()) for new, old in zip(vectors(one), before, strict=True)]
    # AdamW's first step is the rate itself wherever there is a gradient; of two warm-up updates the first has half.
    assert moved == pytest.approx([0.5e-3, 0.5e-2], rel=1e-4)


def test_each_epoch_takes_every_completion_in_its_own_order():
    wanted, one = learner("grpo", minibatch=8, inner_epochs=2)
    batch, _ = one.compute_advantages(sampled(wanted, one.policy))
    taken = []

    def rows(chosen):
        taken.extend(chosen.tolist())
        return batch.rows(chosen[:1])  # the update itself says nothing here

    def orders(*names):
        taken.clear()
        assert one.update(SimpleNamespace(tokens_NT=batch.tokens_NT, rows=rows), *names)["updates"] == 4
        return taken[:16], taken[16:]

    first, second = orders("a step")
    assert sorted(first) == sorted(second) == list(range(16))
    assert len({tuple(order) for order in (first, second, range(16))}) == 3
    assert orders("a step") == (first, second)
    assert orders("another") != (first, second)


def test_the_first_update_is_on_policy_and_asks_its_reference():
    _, readings, score_readings = updated("grpo")
    assert readings["kl_behaviour"] == pytest.approx(0, abs=1e-12)
    assert readings["clip_fraction_low"] == readings["clip_fraction_high"] == 0
    assert "kl_reference" in score_readings
    assert "kl_reference" not in updated("dr_grpo")[2]
