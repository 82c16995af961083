"""One update of policy and critic from one step's experience: the same code for every algorithm.

An algorithm is an estimator of advantages, a policy loss and a way to aggregate it, by name; everything else is here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts
from suite.lm.scoring import hidden_states, log_probs
from suite.lm.training import Limits, Optimiser
from suite.measure.holdings import held_as
from suite.records.holdings import ACTIVATIONS, CRITIC, POLICY, REFERENCE
from suite.rl.aggregation import aggregate, divisors_of
from suite.rl.critic import Critic
from suite.rl.divergence import kl_estimates
from suite.rl.experience import Experience, step_rewards
from suite.rl.named import estimator, policy_loss
from suite.rl.plan import RlPlan
from suite.rl.rollout import Scored
from suite.rl.streams import torch_stream
from suite.rl.value_loss import explained_variance, value_loss


@dataclass(frozen=True, kw_only=True)
class Learnable:
    """What an update reads, row by row; made without gradients."""

    prompts: Prompts
    tokens_NT: Tensor
    mask_NT: Tensor
    log_probs_NT: Tensor
    advantages_NT: Tensor
    reference_NT: Tensor | None
    """Log-probabilities of the base model."""
    values_NT: Tensor | None
    returns_NT: Tensor | None

    def rows(self, chosen_M: Tensor) -> "Learnable":
        return Learnable(
            prompts=self.prompts.rows(chosen_M),
            tokens_NT=self.tokens_NT[chosen_M],
            mask_NT=self.mask_NT[chosen_M],
            log_probs_NT=self.log_probs_NT[chosen_M],
            advantages_NT=self.advantages_NT[chosen_M],
            reference_NT=_chosen(self.reference_NT, chosen_M),
            values_NT=_chosen(self.values_NT, chosen_M),
            returns_NT=_chosen(self.returns_NT, chosen_M),
        )

    def parts(self, size: int) -> Iterator["Learnable"]:
        """In the order of the rows."""
        for rows in torch.arange(len(self.tokens_NT), device=self.tokens_NT.device).split(size):
            yield self.rows(rows)


class Learner:
    def __init__(self, plan: RlPlan, policy: Decoder, reference: Decoder, critic: Critic | None) -> None:
        self._plan, self._objective = plan, plan.objective
        self.policy, self.reference, self.critic = policy, reference, critic
        limits = Limits(warmup_updates=plan.warmup_updates, max_grad_norm=plan.max_grad_norm)
        self._optimiser = Optimiser(policy, lr=plan.lr, limits=limits)
        self._critic_optimiser = (
            Optimiser(critic, lr=plan.critic_lr, limits=limits) if critic and plan.critic_lr else None
        )
        self._estimator = estimator(plan.objective.adv_estimator)
        self._policy_loss = policy_loss(plan.objective.policy_loss)

    @torch.no_grad()
    def scored(self, experience: Experience) -> tuple[Learnable, dict[str, float]]:
        """Advantages, with whatever reference and critic they need, and what is to be noted of them."""
        objective = self._objective
        seen: dict[str, float] = {}
        reference_NT = self.reference_log_probs(experience) if objective.has_reference else None
        values_NT = kl_NT = None
        if self.critic is not None:
            with held_as(CRITIC, ACTIVATIONS):
                values_NT = torch.cat([self.critic(part, tokens) for part, tokens in self._parts_of(experience)])
        if reference_NT is not None and objective.use_kl_in_reward:
            kl_NT = objective.kl_coef * kl_estimates(experience.log_probs_NT, reference_NT, objective.kl_type)
        rewards_NT = ends_NT = None
        if objective.supervision == "process":
            rewards_NT, ends_NT = step_rewards(experience, outcome_as_step=self._plan.outcome_as_step)
        scored = Scored(
            mask_NT=experience.mask_NT,
            rewards_N=experience.rewards_N,
            groups_N=experience.groups_N,
            kl_NT=kl_NT,
            values_NT=values_NT,
            step_rewards_NT=rewards_NT,
            step_ends_NT=ends_NT,
        )
        estimated = self._estimator(scored, objective)
        if values_NT is not None and estimated.returns_NT is not None:
            explained = explained_variance(values_NT, estimated.returns_NT, experience.mask_NT)
            seen |= {} if explained is None else {"explained_variance": explained}
        if reference_NT is not None:
            seen["kl_reference"] = mean_kl(experience, reference_NT)
        learnable = Learnable(
            prompts=experience.prompts,
            tokens_NT=experience.tokens_NT,
            mask_NT=experience.mask_NT,
            log_probs_NT=experience.log_probs_NT,
            advantages_NT=estimated.advantages_NT,
            reference_NT=reference_NT if objective.kl_in_loss else None,
            values_NT=values_NT,
            returns_NT=estimated.returns_NT,
        )
        return learnable, seen

    def reference_log_probs(self, experience: Experience) -> Tensor:
        """Of each sampled token, by the base model."""
        with held_as(REFERENCE, ACTIVATIONS):
            return self._log_probs(self.reference, experience)

    def policy_log_probs(self, experience: Experience) -> Tensor:
        """Of each sampled token, by the policy as it is now."""
        with held_as(POLICY, ACTIVATIONS):
            return self._log_probs(self.policy, experience)

    def update(self, learnable: Learnable, *names: object) -> dict[str, float]:
        """Every minibatch of every epoch; `names` name the stream of their order. What is to be noted is the mean over
        the updates. Raises NotFiniteError."""
        seen: defaultdict[str, list[float]] = defaultdict(list)
        rows, device = len(learnable.tokens_NT), learnable.tokens_NT.device
        for epoch in range(self._plan.inner_epochs):
            order = torch.randperm(rows, generator=torch_stream(device, *names, epoch, "order"), device=device)
            for chosen in order.split(self._plan.minibatch):
                minibatch = learnable.rows(chosen)
                with held_as(POLICY, ACTIVATIONS):
                    of_policy = self._update_policy(minibatch)
                with held_as(CRITIC, ACTIVATIONS):
                    of_critic = self._update_critic(minibatch)
                for name, value in {**of_policy, **of_critic}.items():
                    seen[name].append(value)
        return {name: sum(values) / len(values) for name, values in seen.items()} | {
            "updates": float(len(seen["policy_loss"]))
        }

    def _update_policy(self, minibatch: Learnable) -> dict[str, float]:
        objective = self._objective
        divisors = divisors_of(minibatch.mask_NT, longest=objective.longest_completion)
        sums: defaultdict[str, Tensor | float] = defaultdict(float)
        for part in minibatch.parts(self._plan.micro_batch):
            h_MTD = hidden_states(self.policy, part.prompts, part.tokens_NT)
            log_p_MT, log_p_MTV = log_probs(self.policy, h_MTD, part.tokens_NT, self._plan.temperature)
            term = self._policy_loss(log_p_MT, part.log_probs_NT, part.advantages_NT, part.mask_NT, objective)
            losses_MT = term.loss_NT
            if part.reference_NT is not None:
                kl_MT = kl_estimates(log_p_MT, part.reference_NT, objective.kl_type, part.log_probs_NT)
                losses_MT = losses_MT + objective.kl_coef * kl_MT
            if objective.entropy_coef > 0:
                losses_MT = losses_MT + objective.entropy_coef * (log_p_MTV.exp() * log_p_MTV).sum(dim=-1)
            loss = aggregate(losses_MT, part.mask_NT, objective.loss_agg_mode, **divisors.named())
            loss.backward()
            with torch.no_grad():
                behaviour_MT = kl_estimates(part.log_probs_NT, log_p_MT, "k3")
                sums["policy_loss"] += loss.detach()
                noted_MT = {"clip_fraction_low": term.clipped_low_NT, "clip_fraction_high": term.clipped_high_NT}
                for name, value_MT in {**noted_MT, "kl_behaviour": behaviour_MT}.items():
                    sums[name] += aggregate(value_MT, part.mask_NT, "token-mean", **divisors.named())
        norm = self._optimiser.update("the policy")
        return {**{name: float(value) for name, value in sums.items()}, "gradient_norm": norm}

    def _update_critic(self, minibatch: Learnable) -> dict[str, float]:
        if self.critic is None or self._critic_optimiser is None:
            return {}
        tokens = divisors_of(minibatch.mask_NT, longest=self._objective.longest_completion).tokens
        total: Tensor | float = 0.0
        for part in minibatch.parts(self._plan.micro_batch):
            assert part.values_NT is not None
            assert part.returns_NT is not None
            values_MT = self.critic(part.prompts, part.tokens_NT)
            clip = self._objective.cliprange_value
            loss = value_loss(values_MT, part.values_NT, part.returns_NT, part.mask_NT, clip, tokens=tokens)
            loss.backward()
            total += loss.detach()
        norm = self._critic_optimiser.update("the critic")
        return {"value_loss": float(total), "critic_gradient_norm": norm}

    def state(self) -> dict[str, Any]:
        state = {"policy": self.policy.state_dict(), "optimiser": self._optimiser.state()}
        if self.critic is not None and self._critic_optimiser is not None:
            state |= {"critic": self.critic.state_dict(), "critic_optimiser": self._critic_optimiser.state()}
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self._optimiser.restore(state["optimiser"])
        if self.critic is not None and self._critic_optimiser is not None:
            self.critic.load_state_dict(state["critic"])
            self._critic_optimiser.restore(state["critic_optimiser"])

    @torch.no_grad()
    def _log_probs(self, model: Decoder, experience: Experience) -> Tensor:
        parts = []
        for prompts, tokens_MT in self._parts_of(experience):
            h_MTD = hidden_states(model, prompts, tokens_MT)
            parts.append(log_probs(model, h_MTD, tokens_MT, self._plan.temperature)[0])
        return torch.cat(parts)

    def _parts_of(self, experience: Experience) -> Iterator[tuple[Prompts, Tensor]]:
        """Prompts and tokens in pieces of a micro-batch, whose activations fit where the update's do."""
        tokens_NT = experience.tokens_NT
        for rows in torch.arange(len(tokens_NT), device=tokens_NT.device).split(self._plan.micro_batch):
            yield experience.prompts.rows(rows), tokens_NT[rows]


def mean_kl(experience: Experience, reference_NT: Tensor) -> float:
    """k3 of the policy that sampled against the base model, mean over the tokens."""
    kl_NT = kl_estimates(experience.log_probs_NT, reference_NT, "k3")
    return float((kl_NT * experience.mask_NT).sum() / experience.mask_NT.sum())


def _chosen(x_NT: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if x_NT is None else x_NT[rows]
