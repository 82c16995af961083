"""The update of policy and critic from a step's experience: the same code for every algorithm.

An algorithm is an estimator of advantages, a policy loss and a way to aggregate it, by name; everything else is here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts, minus_entropy
from suite.lm.scoring import hidden_states, log_probs, token_log_probs
from suite.lm.training import Limits, Optimiser
from suite.measure.memory_tracker import OwnedTensors, attribute_to
from suite.measure.rng import torch_rng
from suite.records.holdings import (
    ACTIVATIONS,
    CRITIC,
    EXPERIENCE,
    NOBODY,
    OPTIMISER,
    OTHER,
    PARAMETERS,
    POLICY,
    REFERENCE,
)
from suite.rl.advantages import Estimator, Scored
from suite.rl.critic import Critic, explained_variance, value_loss
from suite.rl.losses import Divisors, PolicyLoss, aggregate, kl_estimates
from suite.rl.objective import ONE_AFTER_OTHER, TOGETHER, LearningPlan
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES
from suite.rl.rollout import Experience, step_rewards
from suite.rl.rollout_correction import mismatch_readings, token_weights


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """What an update reads, row by row; made without gradients."""

    prompts: Prompts
    tokens_NT: Tensor
    mask_NT: Tensor
    log_probs_NT: Tensor  # of the policy that the loss's ratio is to
    advantages_NT: Tensor
    reference_NT: Tensor | None  # log-probabilities by the base model
    values_NT: Tensor | None
    returns_NT: Tensor | None
    weights_NT: Tensor | None = None  # of tokens that another policy sampled; None: all weigh the same

    @attribute_to(NOBODY, EXPERIENCE)
    def rows(self, chosen_M: Tensor) -> "TrainingBatch":
        """The chosen completions, in the order given."""
        tensors = {name: value[chosen_M] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, prompts=self.prompts.rows(chosen_M), **tensors)

    def parts(self, size: int) -> Iterator["TrainingBatch"]:
        """Yield the completions in their order, `size` at a time."""
        for rows in torch.arange(len(self.tokens_NT), device=self.tokens_NT.device).split(size):
            yield self.rows(rows)


class Learner:
    """The policy, its reference and its critic, with the optimisers that train them."""

    def __init__(self, plan: LearningPlan, policy: Decoder, reference: Decoder, critic: Critic | None) -> None:
        self._plan, self._objective = plan, plan.objective
        self.policy, self.reference, self.critic = policy, reference, critic
        self._trained: torch.nn.Module = critic if critic and critic.shares_trunk else policy
        """The model that the policy's optimiser moves."""
        self._optimiser = self._new_optimiser(self._trained, plan.lr)
        self._critic_optimiser: Optimiser | None = None
        if critic is not None and not critic.shares_trunk:
            assert plan.critic_lr is not None
            self._critic_optimiser = self._new_optimiser(critic, plan.critic_lr)
        self._estimator: Estimator = ESTIMATORS.load(plan.objective.adv_estimator)
        self._policy_loss: PolicyLoss = POLICY_LOSSES.load(plan.objective.policy_loss)

    @torch.no_grad()
    @attribute_to(NOBODY, EXPERIENCE)
    def compute_advantages(self, experience: Experience) -> tuple[TrainingBatch, dict[str, float]]:
        """Estimate advantages, with reference and critic where needed; the batch to train on, and readings."""
        objective = self._objective
        readings: dict[str, float] = {}
        reference_NT = self.reference_log_probs(experience) if objective.has_reference else None
        values_NT = None if self.critic is None else self.values(self.critic, experience)
        kl_NT = rewards_NT = ends_NT = None
        if reference_NT is not None and objective.use_kl_in_reward:
            kl_NT = objective.kl_coef * kl_estimates(experience.log_probs_NT, reference_NT, objective.kl_type)
        if objective.supervision == "process":
            rewards_NT, ends_NT = step_rewards(experience, outcome_as_step=objective.outcome_as_step)
        scored = Scored(
            mask_NT=experience.mask_NT,
            rewards_N=experience.rewards_N,
            parts_NK=experience.parts_NK,
            groups_N=experience.groups_N,
            kl_NT=kl_NT,
            values_NT=values_NT,
            step_rewards_NT=rewards_NT,
            step_ends_NT=ends_NT,
        )
        estimated = self._estimator(scored, objective)
        if values_NT is not None and estimated.returns_NT is not None:
            explained = explained_variance(values_NT, estimated.returns_NT, experience.mask_NT)
            readings |= {} if explained is None else {"explained_variance": explained}
        if reference_NT is not None:
            readings["kl_reference"] = mean_kl(experience, reference_NT)
        old_NT, weights_NT = experience.log_probs_NT, None
        if (correction := self._plan.correction) is not None:
            old_NT = self.policy_log_probs(experience)
            log_w_NT = old_NT - experience.log_probs_NT
            weights_NT = token_weights(log_w_NT, experience.mask_NT, correction)
            readings |= mismatch_readings(log_w_NT, experience.mask_NT, correction, weights_NT)
        batch = TrainingBatch(
            prompts=experience.prompts,
            tokens_NT=experience.tokens_NT,
            mask_NT=experience.mask_NT,
            log_probs_NT=old_NT,
            advantages_NT=estimated.advantages_NT,
            reference_NT=reference_NT if objective.kl_in_loss else None,
            values_NT=values_NT,
            returns_NT=estimated.returns_NT,
            weights_NT=weights_NT,
        )
        return batch, readings

    def reference_log_probs(self, experience: Experience) -> Tensor:
        """Log-probability of each sampled token by the reference, [N, T], without gradients."""
        return self._log_probs(self.reference, REFERENCE, experience)

    @torch.no_grad()
    def values(self, critic: Critic, experience: Experience) -> Tensor:
        """The critic's value before each sampled token, [N, T], without gradients."""
        with attribute_to(CRITIC, ACTIVATIONS):
            return _concatenated([critic(prompts, tokens_MT) for prompts, tokens_MT in self._micro_batches(experience)])

    def policy_log_probs(self, experience: Experience, by: Decoder | None = None) -> Tensor:
        """Log-probability of each sampled token, [N, T], without gradients, by the policy as it is now or as `by` was
        copied from it."""
        return self._log_probs(by or self.policy, POLICY, experience)

    def update(self, batch: TrainingBatch, *names: object, critic_alone: bool = False) -> dict[str, float]:
        """Train on every minibatch of every epoch; mean readings over the updates, and how many updates the policy
        took.

        `names` name the random stream of the minibatches' order. `critic_alone`: the policy stays as it is, and has no
        readings. Raises NotFiniteError.
        """
        readings: defaultdict[str, list[float]] = defaultdict(list)
        rows, device = len(batch.tokens_NT), batch.tokens_NT.device
        for epoch in range(self._plan.inner_epochs):
            with attribute_to(NOBODY, EXPERIENCE):
                order = torch.randperm(rows, generator=torch_rng(device, *names, epoch, "order"), device=device)
            for chosen in order.split(self._plan.minibatch):
                for name, value in self._update(batch.rows(chosen), critic_alone).items():
                    readings[name].append(value)
        updates = float(len(readings.get("policy_loss", ())))
        return {name: sum(values) / len(values) for name, values in readings.items()} | {"updates": updates}

    def _update(self, minibatch: TrainingBatch, critic_alone: bool) -> dict[str, float]:
        """Take one optimiser step of each model. The critic's loss does not look at the policy, so that their order
        changes memory only: together, both have their gradients at once."""
        order = None if critic_alone else self._plan.update_order
        readings: dict[str, float] = {}
        if not critic_alone:
            with attribute_to(POLICY, ACTIVATIONS):
                readings |= self._policy_gradients(minibatch)
                if order == ONE_AFTER_OTHER:
                    readings |= self._step_policy()
        with attribute_to(CRITIC, ACTIVATIONS):
            readings |= self._critic_gradients(minibatch)
        if order == TOGETHER:
            with attribute_to(POLICY):
                readings |= self._step_policy()
        if self._critic_optimiser is not None:
            with attribute_to(CRITIC):
                readings["critic_gradient_norm"] = self._critic_optimiser.update("the critic")
        return readings

    def _policy_gradients(self, minibatch: TrainingBatch) -> dict[str, float]:
        """Add up the gradients of a minibatch's policy loss, a micro-batch at a time; the minibatch's readings."""
        divisors = Divisors.from_mask(minibatch.mask_NT, longest=self._objective.longest_completion)
        sums: defaultdict[str, Tensor | float] = defaultdict(float)
        for part in minibatch.parts(self._plan.micro_batch):
            # A function of its own: nothing of one micro-batch is held while the next is computed.
            for name, value in self._micro_batch_gradients(part, divisors).items():
                sums[name] += value
        return {name: float(value) for name, value in sums.items()}

    def _micro_batch_gradients(self, part: TrainingBatch, divisors: Divisors) -> dict[str, Tensor]:
        """Add a micro-batch's share of the minibatch's gradient to the parameters; its readings."""
        objective, plan = self._objective, self._plan
        h_MTD = hidden_states(self.policy, part.prompts, part.tokens_NT)
        if objective.entropy_coef > 0:
            log_p_MT, log_p_MTV = log_probs(self.policy, h_MTD, part.tokens_NT, plan.temperature)
            minus_entropy_MT = minus_entropy(log_p_MTV)
        else:
            log_p_MT = token_log_probs(self.policy, h_MTD, part.tokens_NT, plan.temperature, chunk=plan.logits_chunk)
        term = self._policy_loss(log_p_MT, part.log_probs_NT, part.advantages_NT, part.mask_NT, objective)
        losses_MT = term.loss_NT if part.weights_NT is None else term.loss_NT * part.weights_NT
        if part.reference_NT is not None:
            kl_MT = kl_estimates(log_p_MT, part.reference_NT, objective.kl_type, part.log_probs_NT)
            losses_MT = losses_MT + objective.kl_coef * kl_MT
        if objective.entropy_coef > 0:
            losses_MT = losses_MT + objective.entropy_coef * minus_entropy_MT
        loss = aggregate(losses_MT, part.mask_NT, objective.loss_agg_mode, divisors)
        readings = {"policy_loss": loss.detach()}
        if self.critic is not None and self.critic.shares_trunk:
            critic_loss = self._value_loss(self.critic.values(h_MTD), part, divisors.tokens)
            loss = loss + plan.value_coef * critic_loss
            readings["value_loss"] = critic_loss.detach()
        loss.backward()
        with torch.no_grad():
            means_MT = {
                "clip_fraction_low": term.clipped_low_NT,
                "clip_fraction_high": term.clipped_high_NT,
                "kl_behaviour": kl_estimates(part.log_probs_NT, log_p_MT, "k3"),
            }
            for name, value_MT in means_MT.items():
                readings[name] = aggregate(value_MT, part.mask_NT, "token-mean", divisors)
        return readings

    def _step_policy(self) -> dict[str, float]:
        norm = self._optimiser.update("the policy")
        return {"gradient_norm": norm, "gradient_clipped": float(norm > self._plan.max_grad_norm)}

    def _critic_gradients(self, minibatch: TrainingBatch) -> dict[str, float]:
        """Add up the gradients of a minibatch's value loss; nothing for a shared trunk or no critic."""
        if self.critic is None or self.critic.shares_trunk:
            return {}
        tokens = Divisors.from_mask(minibatch.mask_NT, longest=self._objective.longest_completion).tokens
        total: Tensor | float = 0.0
        for part in minibatch.parts(self._plan.micro_batch):
            loss = self._value_loss(self.critic(part.prompts, part.tokens_NT), part, tokens)
            loss.backward()
            total += loss.detach()
        return {"value_loss": float(total)}

    def _value_loss(self, values_MT: Tensor, part: TrainingBatch, tokens: int) -> Tensor:
        """Loss of these values against the micro-batch's old values and returns, over `tokens` tokens."""
        assert part.values_NT is not None
        assert part.returns_NT is not None
        clip = self._objective.cliprange_value
        return value_loss(values_MT, part.values_NT, part.returns_NT, part.mask_NT, clip, tokens=tokens)

    def owned_tensors(self) -> Iterator[OwnedTensors]:
        """Yield the tensors that the learner keeps from step to step, with owner and kind; AdamW's moments from the
        first update on.

        Where the KL has no price the reference is left out: only evaluations use it, and they are no part of an
        algorithm's memory.
        """
        models: list[tuple[str, Decoder | Critic]] = [(POLICY, self.policy)]
        if self._objective.has_reference:
            models.append((REFERENCE, self.reference))
        if self.critic is not None and self.critic.shares_trunk:
            yield [self.critic.value_D], CRITIC, PARAMETERS
        elif self.critic is not None:
            models.append((CRITIC, self.critic))
        for owner, model in models:
            yield list(model.parameters()), owner, PARAMETERS
            yield model.rotary_tables(), owner, OTHER
        for owner, (_, optimiser) in self.optimisers().items():
            yield optimiser.state_tensors(), owner, OPTIMISER

    def state(self) -> dict[str, Any]:
        state = {"policy": self._trained.state_dict(), "optimiser": self._optimiser.state()}
        if self.critic is not None and self._critic_optimiser is not None:
            state |= {"critic": self.critic.state_dict(), "critic_optimiser": self._critic_optimiser.state()}
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        self._trained.load_state_dict(state["policy"])
        self._optimiser.restore(state["optimiser"])
        if self.critic is not None and self._critic_optimiser is not None:
            self.critic.load_state_dict(state["critic"])
            self._critic_optimiser.restore(state["critic_optimiser"])

    @torch.no_grad()
    def _log_probs(self, model: Decoder, owner: str, experience: Experience) -> Tensor:
        """Log-probability of each sampled token by `model`, [N, T], whose activations count as the owner's."""
        score = partial(token_log_probs, model, temperature=self._plan.temperature, chunk=self._plan.logits_chunk)
        with attribute_to(owner, ACTIVATIONS):
            # The hidden states have no name, which would keep them while the next part's are computed.
            parts = self._micro_batches(experience)
            return _concatenated([score(hidden_states(model, *part), part[1]) for part in parts])

    def _new_optimiser(self, model: torch.nn.Module, lr: float) -> Optimiser:
        plan = self._plan
        limits = Limits(warmup_updates=plan.warmup_updates, max_grad_norm=plan.max_grad_norm)
        return Optimiser(model, lr=lr, limits=limits, form=plan.optimiser)

    def optimisers(self) -> dict[str, tuple[torch.nn.Module, Optimiser]]:
        """The model that each optimiser trains, and the optimiser, by the owner of its state."""
        optimisers: dict[str, tuple[torch.nn.Module, Optimiser]] = {POLICY: (self._trained, self._optimiser)}
        if self.critic is not None and self._critic_optimiser is not None:
            optimisers[CRITIC] = self.critic, self._critic_optimiser
        return optimisers

    def _micro_batches(self, experience: Experience) -> Iterator[tuple[Prompts, Tensor]]:
        """Yield prompts and tokens a micro-batch at a time, so that their activations fit where the update's do."""
        tokens_NT = experience.tokens_NT
        for rows in torch.arange(len(tokens_NT), device=tokens_NT.device).split(self._plan.micro_batch):
            with attribute_to(NOBODY, EXPERIENCE):
                part = experience.prompts.rows(rows), tokens_NT[rows]
            yield part


def mean_kl(experience: Experience, reference_NT: Tensor) -> float:
    """Mean over all sampled tokens of k3, in nats: the KL of the sampling policy from the reference."""
    kl_NT = kl_estimates(experience.log_probs_NT, reference_NT, "k3")
    return float((kl_NT * experience.mask_NT).sum() / experience.mask_NT.sum())


@attribute_to(NOBODY, EXPERIENCE)
def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(tuple(parts))
