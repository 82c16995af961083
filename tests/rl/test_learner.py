"""An update in float64, on a tiny policy: what must not matter to it, and what must."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector

from suite.configuration.files import choices
from suite.lm.sampling import Prompts
from suite.measure.meter import Meter
from suite.rl.base import new_decoder
from suite.rl.critic import Critic
from suite.rl.learner import Learner
from suite.rl.rollout import collect_rollouts
from suite.rl.tasks.task import Score, StepReward
from tests.rl.cases import plan, settings

ALTERNATIVES = {"grpo_token_mean", "ppo_lam95", "vapo", "vc_ppo"}
"""Whose code another one runs too, with another number."""
ALGORITHMS = sorted(set(choices("algorithm")) - ALTERNATIVES)
SMALL_CHANGE = {"rtol": 0, "atol": 1e-11}


def learner(algorithm, **changes):
    wanted = plan(algorithm, dtype="float64", **{"critic_warmup_steps": 0, **changes})
    attention = settings()["attention"]
    decoders = [new_decoder(wanted, attention) for _ in range(3)]
    with torch.no_grad():  # so that the policy is no longer its base
        for parameter in decoders[0].parameters():
            parameter += 0.02 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(5), dtype=parameter.dtype
            )
    critic = None
    if wanted.objective.has_critic:
        critic = Critic(decoders[2])
        with torch.no_grad():
            critic.value_D += 0.1
    return wanted, Learner(wanted, decoders[0], decoders[1], critic)


def gradients(algorithm, change=lambda experience: experience, **changes):
    """Return the gradients of the first minibatch, which is the whole batch; rewards are made up, since an untrained
    policy earns none."""
    wanted, one = learner(algorithm, minibatch=16, **changes)
    experience = collect_rollouts(replaced(wanted, filter_groups=False), one.policy, Meter()).kept
    rewards = torch.randn(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    experience = change(replace(experience, rewards_N=rewards))
    learnable, seen = one.compute_advantages(experience)
    models = [one.policy, *([one.critic] if one.critic else [])]
    norms = one.update(learnable, "test")
    return (
        torch.cat([parameter.detach().flatten() for model in models for parameter in model.parameters()]),
        norms,
        seen,
    )


def replaced(wanted, **changes):
    for name, value in changes.items():
        setattr(wanted, name, value)
    return wanted


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_micro_batches_do_not_matter(algorithm):
    whole, whole_seen, _ = gradients(algorithm)
    parts, parts_seen, _ = gradients(algorithm, micro_batch=3)
    torch.testing.assert_close(parts, whole, **SMALL_CHANGE)
    assert parts_seen == pytest.approx(whole_seen, abs=1e-9)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_order_of_completions_does_not_matter(algorithm):
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    shuffled, _, _ = gradients(algorithm, lambda experience: experience.rows(order))
    torch.testing.assert_close(shuffled, gradients(algorithm)[0], **SMALL_CHANGE)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("side", ["prompt", "completion"])
def test_padding_does_not_matter(algorithm, side):
    def padded(experience):
        if side == "prompt":
            tokens = F.pad(experience.prompts.tokens_PS, (3, 0), value=7)
            valid = F.pad(torch.ones_like(experience.prompts.tokens_PS, dtype=torch.bool), (3, 0), value=False)
            return replace(experience, prompts=Prompts(tokens_PS=tokens, valid_PS=valid))
        wide = {"mask_NT": 0.0, "log_probs_NT": 0.0, "entropy_NT": 0.0, "tokens_NT": 9}
        return replace(
            experience,
            **{name: F.pad(getattr(experience, name), (0, 4), value=value) for name, value in wide.items()},
        )

    torch.testing.assert_close(gradients(algorithm, padded)[0], gradients(algorithm)[0], **SMALL_CHANGE)


def test_update_order_and_form_of_adamw_do_not_matter():
    before, after = gradients("ppo", inner_epochs=2), gradients("ppo", inner_epochs=2, update_order="together")
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    torch.testing.assert_close(gradients("ppo", inner_epochs=2, optimiser="for_loop")[0], before[0], **SMALL_CHANGE)


@pytest.mark.parametrize("algorithm", ["ppo", "grpo"])
@pytest.mark.parametrize("chunk", [1, 3])
def test_log_probabilities_in_chunks_give_the_same_update(algorithm, chunk):
    whole, whole_seen, _ = gradients(algorithm)
    chunked, chunked_seen, _ = gradients(algorithm, logits_chunk=chunk)
    torch.testing.assert_close(chunked, whole, **SMALL_CHANGE)
    assert chunked_seen == pytest.approx(whole_seen, abs=1e-9)


@pytest.mark.parametrize("order", ["one_after_other", "together"])
def test_a_critic_that_learns_alone_leaves_the_policy_as_is(order):
    wanted, one = learner("ppo", minibatch=16, update_order=order)
    learnable, _ = one.compute_advantages(collect_rollouts(wanted, one.policy, Meter()).kept)
    models = [one.policy, one.critic]
    before = [parameters_to_vector(model.parameters()).detach() for model in models]
    seen = one.update(learnable, "test", critic_alone=True)
    after = [parameters_to_vector(model.parameters()).detach() for model in models]
    assert [torch.equal(new, old) for new, old in zip(after, before, strict=True)] == [True, False]
    assert seen.keys() == {"value_loss", "critic_gradient_norm", "updates"}
    assert seen["updates"] == 0
    assert all(parameter.grad is None for parameter in one.policy.parameters())


def test_a_critic_on_the_policys_trunk_moves_it():
    wanted = plan("ppo", dtype="float64", critic="shared_trunk", minibatch=16)
    policy = new_decoder(wanted, settings()["attention"])
    one = Learner(wanted, policy, policy, Critic(policy, shares_trunk=True))
    experience = collect_rollouts(wanted, policy, Meter()).kept
    rewards = torch.randn(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    learnable, _ = one.compute_advantages(replace(experience, rewards_N=rewards))
    silent = replace(learnable, advantages_NT=torch.zeros_like(learnable.advantages_NT))
    before = policy.embedding.detach().clone()
    seen = [one.update(silent, "test", n) for n in range(2)]  # in the first its row is 0, and pulls at nothing else
    assert seen[1]["value_loss"] < seen[0]["value_loss"]
    assert "critic_gradient_norm" not in seen[0]
    assert not torch.equal(policy.embedding, before)
    assert "critic_optimiser" not in one.state()


def test_policy_and_critic_each_move_at_their_own_rate():
    wanted, one = learner("ppo", minibatch=16, lr=1e-3, critic_lr=1e-2, warmup_updates=2)
    learnable, _ = one.compute_advantages(collect_rollouts(wanted, one.policy, Meter()).kept)
    models = [one.policy, one.critic]
    before = [parameters_to_vector(model.parameters()).detach() for model in models]
    one.update(learnable, "test")
    after = [parameters_to_vector(model.parameters()).detach() for model in models]
    moved = [float((new - old).abs().max()) for new, old in zip(after, before, strict=True)]
    # AdamW's first step is the rate itself wherever there is a gradient; of two warm-up updates the first has half.
    assert moved == pytest.approx([0.5e-3, 0.5e-2], rel=1e-4)


def test_each_epoch_takes_every_completion_in_its_own_order():
    wanted, one = learner("grpo", minibatch=8, inner_epochs=2)
    batch, _ = one.compute_advantages(collect_rollouts(wanted, one.policy, Meter()).kept)
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


def test_the_first_update_is_on_policy():
    _, seen, _ = gradients("grpo")
    assert seen["kl_behaviour"] == pytest.approx(0, abs=1e-12)
    assert seen["clip_fraction_low"] == seen["clip_fraction_high"] == 0


def test_equal_rewards_leave_a_group_relative_policy_as_is():
    def equal(experience):
        return replace(experience, rewards_N=experience.groups_N.double())

    moved, seen, _ = gradients("dr_grpo", equal)
    assert seen["gradient_norm"] == 0
    untouched = torch.cat([parameter.detach().flatten() for parameter in learner("dr_grpo")[1].policy.parameters()])
    assert torch.equal(moved, untouched)


def test_process_supervision_credits_steps_that_end_later():
    wanted, one = learner("grpo", minibatch=16, supervision="process", kl_coef=0.0)
    experience = collect_rollouts(wanted, one.policy, Meter()).kept
    nothing = Score(accuracy=0.0, format=0.0, steps=[StepReward(end=1, reward=0.0)])
    right = Score(accuracy=0.0, format=0.0, steps=[StepReward(end=1, reward=1.0)])
    learnable, _ = one.compute_advantages(replace(experience, scores=[right, *[nothing] * 15]))
    first = learnable.advantages_NT[0]
    assert (first[:2] > 1).all()
    assert (first[2:] == 0).all()
    assert (learnable.advantages_NT[1, :2] < 0).all()
    assert (learnable.advantages_NT[4:] == 0).all()


def test_the_reference_is_held_only_where_the_kl_counts():
    assert "kl_reference" in gradients("grpo")[2]
    assert "kl_reference" not in gradients("dr_grpo")[2]


def test_a_step_towards_a_rewarded_completion_makes_it_likelier():
    wanted, one = learner("dr_grpo", minibatch=16, lr=1e-2, warmup_updates=0)
    experience = collect_rollouts(wanted, one.policy, Meter()).kept
    rewards = torch.zeros(16, dtype=torch.float64)
    rewards[0] = 1.0
    experience = replace(experience, rewards_N=rewards)
    learnable, _ = one.compute_advantages(experience)
    one.update(learnable, "test")
    with torch.no_grad():
        log_p = one.policy_log_probs(experience)
    gained = ((log_p - experience.log_probs_NT) * experience.mask_NT).sum(dim=1)
    assert gained[0] > 0 > gained[1:4].mean()
