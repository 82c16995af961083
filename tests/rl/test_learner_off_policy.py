"""The Learner's own gradient, off policy, against autograd of a loss that is written here from the papers' formulas.

Nothing of the suite but its decoders is called for what is expected, so that no fault of the wiring is on both sides:
a sign, two arguments exchanged, a term left out.
"""

from dataclasses import replace

import pytest
import torch

from suite.configuration.files import choices
from suite.lm.sampling import Prompts
from suite.rl.critic import Critic
from suite.rl.rollout import Experience
from suite.rl.tasks.task import Score, StepReward
from tests.rl.test_learner import learner

LENGTHS = [11, 3, 2, 7, 1, 11, 5, 2, 9, 4, 6, 11, 8, 10, 3, 7]
GROUPS = torch.arange(16).view(4, 4).tolist()
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
    wanted, one = learner(**changes, minibatch=16, micro_batch=5)
    if changes.get("critic") == "shared_trunk":
        one = type(one)(wanted, one.policy, one.reference, Critic(one.policy, shares_trunk=True))
    experience = made_up()
    with torch.no_grad():
        before = read(wanted, one, experience)
        sampled_with = torch.nn.utils.rnn.pad_sequence(before["log_p"], batch_first=True)
        learnable, _ = one.compute_advantages(replace(experience, log_probs_NT=sampled_with))
        for seed, model in enumerate([one.policy, *([one.critic] if one.critic else [])]):
            noise = torch.Generator().manual_seed(seed)
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype)
    objective = wanted.objective
    loss, loss_of_values = losses(objective, before, read(wanted, one, experience), experience)
    if wanted.shares_trunk:
        expected = [(one.critic, loss + wanted.value_coef * loss_of_values)]
    else:
        expected = [(one.policy, loss), *([(one.critic, loss_of_values)] if one.critic else [])]
    gradients = [flat(torch.autograd.grad(of, list(model.parameters()))) for model, of in expected]

    reached = {}
    for model, _ in expected:
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(
                lambda parameter: reached.update({parameter: parameter.grad.clone()})
            )
    seen = one.update(learnable, "test")
    for (model, _), gradient in zip(expected, gradients, strict=True):
        error = flat(reached[parameter] for parameter in model.parameters()) - gradient
        assert error.norm() < 1e-12 * gradient.norm()
    assert seen["policy_loss"] == pytest.approx(float(loss.detach()), rel=1e-11)
    has_bounds = {"clip_fraction_low": objective.clip_ratio_low < 1, "clip_fraction_high": True}
    for end, has_bound in has_bounds.items():
        assert (seen[end] > 0) == (has_bound and objective.policy_loss != "sapo")


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def made_up():
    """An untrained policy ends nowhere and earns nothing, so that lengths, rewards and steps are drawn here."""
    chance = torch.Generator().manual_seed(1)
    prompts, tokens = (torch.randint(1, 20, (16, length), generator=chance) for length in (4, 11))
    ends = [range(1, length - 1, 2) for length in LENGTHS]
    steps = [[StepReward(end=end, reward=float(end * row % 3)) for end in ends[row]] for row in range(16)]
    nothing = torch.zeros(16, 11, dtype=torch.float64)
    return Experience(
        prompts=Prompts(tokens_PS=prompts),
        tokens_NT=tokens,
        mask_NT=(torch.arange(11) < torch.tensor(LENGTHS)[:, None]).double(),
        log_probs_NT=nothing,
        entropy_NT=nothing,
        is_truncated_N=torch.zeros(16, dtype=torch.bool),
        groups_N=torch.arange(16) // 4,
        rewards_N=torch.randn(16, generator=chance, dtype=torch.float64),
        parts_NK=torch.randn(16, 2, generator=chance, dtype=torch.float64),
        scores=[Score(accuracy=0.0, format=0.0, steps=of_row) for of_row in steps],
    )


def read(wanted, one, experience):
    """Return what policy, reference and critic say of each completion's tokens."""
    prompts, tokens = experience.prompts.tokens_PS, experience.tokens_NT
    whole, first = torch.cat((prompts, tokens), dim=1)[:, :-1], prompts.shape[1] - 1

    def log_p(model):
        return (model.logits(model(whole)[:, first:]) / wanted.temperature).log_softmax(dim=-1)

    def cut(x_NT):
        return [row[:length] for row, length in zip(x_NT, LENGTHS, strict=True)]

    of_policy, of_reference = log_p(one.policy), log_p(one.reference)
    return {
        "log_p": cut(of_policy.gather(2, tokens[..., None])[..., 0]),
        "log_reference": cut(of_reference.gather(2, tokens[..., None])[..., 0]),
        "entropy": cut(-(of_policy.exp() * of_policy).sum(dim=-1)),
        "values": cut(one.critic.decoder(whole)[:, first:] @ one.critic.value_D) if one.critic else None,
    }


def losses(objective, before, now, experience):
    """The policy's loss and the critic's, which is None where there is none."""
    price = [
        objective.kl_coef * divergence(objective.kl_type, p, ref)
        for p, ref in zip(before["log_p"], before["log_reference"], strict=True)
    ]
    if not objective.use_kl_in_reward:
        price = [torch.zeros_like(of_row) for of_row in price]
    advantages, returns = estimated(objective, experience, price, before["values"])
    of_rows = [
        token_losses(objective, now["log_p"][row], before["log_p"][row], now["log_reference"][row], advantages[row])
        - objective.entropy_coef * now["entropy"][row]
        for row in range(16)
    ]
    loss_of_values = None
    if returns is not None:
        new, old, goal = torch.cat(now["values"]), torch.cat(before["values"]), torch.cat(returns)
        near, clip = new, objective.cliprange_value
        if clip is not None:
            near = old + (new - old).clamp(-clip, clip)
        loss_of_values = 0.5 * torch.maximum((new - goal) ** 2, (near - goal) ** 2).mean()
    return aggregated(objective, of_rows), loss_of_values


def token_losses(objective, log_p, log_old, log_reference, advantage):
    ratio = (log_p - log_old).exp()
    if objective.policy_loss == "gspo":
        ratio = (log_p - log_old).mean().exp()
    near = ratio.clamp(1 - objective.clip_ratio_low, 1 + objective.clip_ratio_high)
    loss = -torch.minimum(ratio * advantage, near * advantage)
    if objective.policy_loss == "cispo":
        loss = -near.detach() * advantage * log_p
    if objective.policy_loss == "sapo":
        tau = objective.sapo_tau_pos if advantage[0] > 0 else objective.sapo_tau_neg
        loss = -advantage * 4 / tau / (1 + (tau * (1 - ratio)).exp())
    if objective.clip_ratio_c is not None:
        loss = torch.where(advantage < 0, torch.minimum(loss, -objective.clip_ratio_c * advantage), loss)
    if objective.use_kl_in_reward:
        return loss
    weight = ratio if objective.kl_type == "k3_unbiased" else 1
    return loss + objective.kl_coef * weight * divergence(objective.kl_type, log_p, log_reference)


def divergence(kl_type, log_p, log_reference):
    """Estimate the divergence of the policy from the reference at a token that the policy sampled."""
    if kl_type == "k1":
        return log_p - log_reference
    if kl_type == "k2":
        return (log_p - log_reference) ** 2 / 2
    return log_reference.exp() / log_p.exp() - 1 - (log_reference - log_p)


def aggregated(objective, of_rows):
    sums = torch.stack([of_row.sum() for of_row in of_rows])
    lengths = torch.tensor(LENGTHS)
    return {
        "token-mean": sums.sum() / lengths.sum(),
        "seq-mean-token-mean": (sums / lengths).mean(),
        "seq-mean-token-sum": sums.mean(),
        "seq-mean-token-sum-norm": sums.mean() / objective.longest_completion,
    }[objective.loss_agg_mode]


def estimated(objective, experience, price, values):
    """Advantages of each completion's tokens, and the critic's returns, or None."""
    outcomes = experience.rewards_N
    if objective.supervision == "process":
        return by_steps(objective, experience), None
    if objective.adv_estimator in ("gae", "reinforce_plus_plus"):
        is_gae = objective.adv_estimator == "gae"
        values = values or [torch.zeros_like(of_row) for of_row in price]
        policys, critics = [1.0] * 16, [objective.critic_lam] * 16
        if is_gae:
            policys = [lam_of(objective, length) for length in LENGTHS]
        summed = [by_lam(objective.gamma, lam, values, price, outcomes) for lam in (policys, critics)]
        of_critic = summed[0] if objective.critic_lam is None else summed[1]
        returns = [a + v for a, v in zip(of_critic, values, strict=True)] if is_gae else None
        return whitened(summed[0]), returns
    outcomes = torch.stack([outcome - of_row.sum() for outcome, of_row in zip(outcomes, price, strict=True)])
    advantages = torch.empty_like(outcomes)
    for group in GROUPS:
        centred = outcomes[group] - outcomes[group].mean()
        if objective.adv_estimator == "rloo":
            centred = torch.stack([outcomes[n] - outcomes[[m for m in group if m != n]].mean() for n in group])
        elif objective.adv_estimator == "maxrl":
            centred = outcomes[group] / outcomes[group].mean() - 1 if outcomes[group].mean() > 0 else 0 * centred
        elif objective.adv_estimator == "gdpo":
            parts = experience.parts_NK[group]
            centred = ((parts - parts.mean(dim=0)) / (parts.std(dim=0) + 1e-6)) @ parts.new_tensor([1.0, 0.1])
        elif objective.adv_estimator == "grpo" and objective.scale_rewards != "none":
            centred = centred / ((outcomes[group] if objective.scale_rewards == "group" else outcomes).std() + 1e-6)
        advantages[group] = centred
    rows = [advantage.expand(length) for advantage, length in zip(advantages, LENGTHS, strict=True)]
    is_whitened = objective.adv_estimator in ("reinforce_plus_plus_baseline", "gdpo")
    return whitened(rows) if is_whitened else rows, None


def lam_of(objective, length):
    if objective.lam_alpha is None:
        return objective.lam
    return max(0.0, 1 - 1 / (objective.lam_alpha * length))


def by_lam(gamma, lams, values, price, outcomes):
    """Sum the critic's errors from each token on, by the lambda of its completion."""
    advantages = []
    for row, (length, lam) in enumerate(zip(LENGTHS, lams, strict=True)):
        rewards, advantage = -price[row], torch.zeros(length + 1, dtype=torch.float64)
        value = torch.cat((values[row], torch.zeros(1, dtype=torch.float64)))
        rewards[length - 1 : length] += outcomes[row]
        for t in reversed(range(length)):
            delta = rewards[t] + gamma * value[t + 1] - value[t]
            advantage[t] = delta + gamma * (lam or 0.0) * advantage[t + 1]
        advantages.append(advantage[:length])
    return advantages


def whitened(rows):
    whole = torch.cat(rows)
    return [(of_row - whole.mean()) / (whole.var() + 1e-8).sqrt() for of_row in rows]


def by_steps(objective, experience):
    """DeepSeekMath 4.1.3; with `outcome_as_step` the outcome is one more step, which ends with the completion."""
    ended = [[(step.end, step.reward) for step in score.steps] for score in experience.scores]
    if objective.outcome_as_step:
        for row, steps in enumerate(ended):
            steps.append((LENGTHS[row] - 1, float(experience.rewards_N[row])))
    rows = []
    for group in GROUPS:
        rewards = torch.tensor([reward for row in group for _, reward in ended[row]], dtype=torch.float64)
        scale = rewards.std() + 1e-6 if objective.scale_rewards == "group" else 1.0
        for row in group:
            of_row = torch.zeros(LENGTHS[row], dtype=torch.float64)
            for end, reward in ended[row]:
                of_row[: end + 1] += (reward - rewards.mean()) / scale
            rows.append(of_row)
    return rows
