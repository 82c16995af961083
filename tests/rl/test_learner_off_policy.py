"""The Learner's own gradient, off policy, against the slopes of the oracle's formulas by each token's log π.

Nothing of the suite but its decoders is called for what is expected, so that no fault of the wiring is on both sides:
a sign, two arguments exchanged, a term left out.
"""

from dataclasses import replace

import pytest
import torch

from suite.configuration.files import choices
from suite.lm.sampling import Prompts
from suite.rl.critic import Critic
from suite.rl.tasks.task import Score, StepReward
from tests.rl.conformance import oracle
from tests.rl.conformance.oracle import Completion
from tests.rl.examples import experience, mask_of
from tests.rl.test_learner import learner

LENGTHS = [11, 3, 2, 7, 1, 11, 5, 2, 9, 4, 6, 11, 8, 10, 3, 7]
SETTINGS = [
    *(({"algorithm": name}) for name in choices("algorithm")),
    {"algorithm": "grpo", "entropy_coef": 0.3, "scale_rewards": "batch"},
    {"algorithm": "grpo", "logits_chunk": 2, "temperature": 0.7, "loss_agg_mode": "seq-mean-token-sum"},
    {"algorithm": "grpo", "policy_loss": "cispo", "kl_type": "k1"},
    {"algorithm": "grpo", "clip_ratio_c": 1.1, "kl_type": "k3_unbiased"},
    {"algorithm": "grpo", "kl_type": "k2", "use_kl_in_reward": True},
    {"algorithm": "grpo", "supervision": "process"},
    {"algorithm": "grpo", "supervision": "process", "outcome_as_step": True, "scale_rewards": "none"},
    {"algorithm": "ppo_lam95", "gamma": 0.9, "cliprange_value": 0.01, "update_order": "together"},
    {"algorithm": "vapo", "lam_alpha": 0.2},
    {"algorithm": "ppo", "critic": "shared_trunk", "entropy_coef": 0.3, "cliprange_value": None},
]


@pytest.mark.parametrize("changes", SETTINGS, ids=lambda changes: " ".join(map(str, changes.values())))
def test_the_gradient_off_policy_is_that_of_the_written_loss(changes):
    plan, trained = learner(**changes, minibatch=16, micro_batch=5)
    if changes.get("critic") == "shared_trunk":
        critic = Critic(trained.policy, shares_trunk=True)
        trained = type(trained)(plan, trained.policy, trained.reference, critic)
    rollout, objective = made_up(), plan.objective
    with torch.no_grad():
        before = read(plan, trained, rollout)
        log_probs_NT = torch.nn.utils.rnn.pad_sequence(before["log_p"], batch_first=True)
        batch, _ = trained.compute_advantages(replace(rollout, log_probs_NT=log_probs_NT))
        for seed, model in enumerate([trained.policy, *([trained.critic] if trained.critic else [])]):
            noise = torch.Generator().manual_seed(seed)
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype)
    now = read(plan, trained, rollout)
    loss, surrogate, value_surrogate = written_losses(objective, rollout, before, now)
    if plan.shares_trunk:
        expected = [(trained.critic, surrogate + plan.value_coef * value_surrogate)]
    else:
        expected = [(trained.policy, surrogate), *([(trained.critic, value_surrogate)] if trained.critic else [])]
    gradients = [flat(torch.autograd.grad(of, list(model.parameters()))) for model, of in expected]

    reached = {}
    for model, _ in expected:
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(
                lambda parameter: reached.update({parameter: parameter.grad.clone()})
            )
    readings = trained.update(batch, "test")
    for (model, _), gradient in zip(expected, gradients, strict=True):
        error = flat(reached[parameter] for parameter in model.parameters()) - gradient
        assert error.norm() < 1e-11 * gradient.norm()
    assert readings["policy_loss"] == pytest.approx(loss, rel=1e-10)
    for end, has_bound in {"clip_fraction_low": objective.clip_ratio_low < 1, "clip_fraction_high": True}.items():
        assert (readings[end] > 0) == (has_bound and objective.policy_loss != "sapo")


def written_losses(objective, rollout, before, now):
    """The policy's loss, and what has the gradients of the policy's and of the critic's: each slope times what it is
    the slope by."""
    completions = [
        Completion(
            reward=float(rollout.rewards_N[row]),
            group=row // 4,
            log_p=now["log_p"][row].tolist(),
            log_old=old,
            log_reference=reference,
            values=before["values"][row].tolist() if before["values"] else [],
            price=[
                objective.kl_coef * oracle.kl_estimate(objective.kl_type, log_p, log_reference, log_p)
                if objective.use_kl_in_reward
                else 0.0
                for log_p, log_reference in zip(old, reference, strict=True)
            ],
            parts=rollout.parts_NK[row].tolist(),
            steps=steps_of(objective, rollout, row),
        )
        for row, (old, reference) in enumerate(
            zip([x.tolist() for x in before["log_p"]], [x.tolist() for x in before["log_reference"]], strict=True)
        )
    ]
    loss, slopes = oracle.loss_and_slopes(completions, objective, oracle.advantages(completions, objective))
    surrogate = times(slopes, now["log_p"])
    entropy = times(oracle.token_weights(completions, objective), now["entropy"])
    loss, surrogate = (
        loss - objective.entropy_coef * float(entropy.detach()),
        surrogate - objective.entropy_coef * entropy,
    )
    if not objective.has_critic:
        return loss, surrogate, None
    returns, values = oracle.gae_returns(completions, objective), [row.tolist() for row in now["values"]]
    _, slopes = oracle.value_loss_and_slopes(completions, returns, values, objective.cliprange_value)
    return loss, surrogate, times(slopes, now["values"])


def times(slopes, rows):
    return sum((row.new_tensor(slope) * row).sum() for slope, row in zip(slopes, rows, strict=True))


def steps_of(objective, rollout, row):
    """With `outcome_as_step` the outcome is one more step, which ends with the completion."""
    steps = [(step.end, step.reward) for step in rollout.scores[row].steps]
    return [*steps, (LENGTHS[row] - 1, float(rollout.rewards_N[row]))] if objective.outcome_as_step else steps


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def made_up():
    """An untrained policy ends nowhere and earns nothing, so that lengths, rewards and steps are drawn here."""
    chance = torch.Generator().manual_seed(1)
    prompts, tokens = (torch.randint(1, 20, (16, length), generator=chance) for length in (4, 11))
    ends = [range(1, length - 1, 2) for length in LENGTHS]
    steps = [[StepReward(end=end, reward=float(end * row % 3)) for end in ends[row]] for row in range(16)]
    return experience(
        mask_of(LENGTHS, 11),
        [Score(accuracy=0.0, format=0.0, steps=of_row) for of_row in steps],
        prompts=Prompts(tokens_PS=prompts),
        tokens_NT=tokens,
        groups_N=torch.arange(16) // 4,
        rewards_N=torch.randn(16, generator=chance, dtype=torch.float64),
        parts_NK=torch.randn(16, 2, generator=chance, dtype=torch.float64),
    )


def read(plan, trained, rollout):
    """What policy, reference and critic say of each completion's tokens."""
    prompts, tokens = rollout.prompts.tokens_PS, rollout.tokens_NT
    whole, first = torch.cat((prompts, tokens), dim=1)[:, :-1], prompts.shape[1] - 1

    def log_p(model):
        return (model.logits(model(whole)[:, first:]) / plan.temperature).log_softmax(dim=-1)

    def cut(x_NT):
        return [row[:length] for row, length in zip(x_NT, LENGTHS, strict=True)]

    policy, reference = log_p(trained.policy), log_p(trained.reference)
    critic = trained.critic
    return {
        "log_p": cut(policy.gather(2, tokens[..., None])[..., 0]),
        "log_reference": cut(reference.gather(2, tokens[..., None])[..., 0]),
        "entropy": cut(-(policy.exp() * policy).sum(dim=-1)),
        "values": cut(critic.decoder(whole)[:, first:] @ critic.value_D) if critic else None,
    }


def test_tokens_of_another_policy_count_by_their_weights():
    """Rows that the learning policy writes twice as often count twice; those of ten times as often are left out."""
    _, trained = learner(algorithm="grpo", rollout_correction="token_mis", minibatch=16)
    rollout = made_up()
    start_NT = trained.policy_log_probs(rollout)
    ratios_N1 = torch.tensor([2.0, 10.0] * 8, dtype=start_NT.dtype)[:, None]
    batch, readings = trained.compute_advantages(replace(rollout, log_probs_NT=start_NT - ratios_N1.log()))
    assert torch.equal(batch.log_probs_NT, start_NT)
    tokens = sum(LENGTHS)
    assert readings["rollout_masked"] == pytest.approx(sum(LENGTHS[1::2]) / tokens)

    _, plain = learner(algorithm="grpo", minibatch=16)
    same, readings = plain.compute_advantages(replace(rollout, log_probs_NT=start_NT))
    assert same.weights_NT is None
    assert "rollout_masked" not in readings
    weighed = replace(same, advantages_NT=same.advantages_NT * torch.tensor([2.0, 0.0] * 8)[:, None])
    trained.update(batch, "test")
    plain.update(weighed, "test")
    for ours, expected in zip(trained.policy.parameters(), plain.policy.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)
