"""The code under test, put together as an update does it: estimator, policy loss, divergence, aggregation, critic.

What stands in padding is no number that anyone would choose: a leak shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from suite.rl.advantages import Estimator, Scored
from suite.rl.losses import Divisors, PolicyLoss, aggregate, kl_estimates
from suite.rl.objective import Objective
from suite.rl.registry import POLICY_LOSSES

IN_PADDING = 77.0
LOG_IN_PADDING = {"policy": -3.0, "sampled": -9.0, "reference": -1.0}


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A completion as lists over its own tokens; there is no padding here."""

    reward: float
    group: int
    log_p: Sequence[float]
    log_old: Sequence[float]
    log_reference: Sequence[float]
    values: Sequence[float]
    steps: Sequence[tuple[int, float]] = ()
    """Token at which a step ends, and its reward."""
    parts: Sequence[float] = ()
    """The parts of the reward, before they are weighed, for the estimator that looks at them in its place."""

    @property
    def length(self) -> int:
        return len(self.log_p)


class Clipped(NamedTuple):
    """The share of clipped tokens of each minibatch, at either end."""

    low: list[float]
    high: list[float]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Completions as padded tensors, with the log-probabilities of three policies."""

    scored: Scored
    log_p_NT: Tensor
    log_old_NT: Tensor
    log_reference_NT: Tensor


def batch_of(
    completions: Sequence[Completion],
    objective: Objective,
    device: torch.device,
    *,
    left: int = 0,
    right: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Batch:
    """Pad completions to tensors; `left` and `right` are columns of padding beyond the longest one."""
    width = max(max(completion.length for completion in completions), 1)

    def rows(parts: Sequence[Sequence[float]], filled: float) -> Tensor:
        padded = [[filled] * left + list(part) + [filled] * (width - len(part) + right) for part in parts]
        return torch.tensor(padded, dtype=dtype, device=device)

    log_old_NT = rows([completion.log_old for completion in completions], LOG_IN_PADDING["sampled"])
    log_reference_NT = rows([completion.log_reference for completion in completions], LOG_IN_PADDING["reference"])
    price_NT = kl_estimates(log_old_NT, log_reference_NT, objective.kl_type) * objective.kl_coef
    has_steps = objective.supervision == "process"
    ends = [[float(t in dict(completion.steps)) for t in range(completion.length)] for completion in completions]
    steps = [
        [dict(completion.steps).get(t, IN_PADDING) for t in range(completion.length)] for completion in completions
    ]
    scored = Scored(
        mask_NT=rows([[1.0] * completion.length for completion in completions], 0.0),
        rewards_N=torch.tensor([completion.reward for completion in completions], dtype=dtype, device=device),
        parts_NK=torch.tensor([completion.parts for completion in completions], dtype=dtype, device=device)
        if objective.normalises_parts
        else None,
        groups_N=torch.tensor([completion.group for completion in completions], device=device),
        kl_NT=price_NT if objective.has_reference and objective.use_kl_in_reward else None,
        values_NT=rows([completion.values for completion in completions], IN_PADDING) if objective.has_critic else None,
        step_rewards_NT=rows(steps, IN_PADDING) if has_steps else None,
        step_ends_NT=rows(ends, 1.0) if has_steps else None,
    )
    return Batch(
        scored=scored,
        log_p_NT=rows([completion.log_p for completion in completions], LOG_IN_PADDING["policy"]),
        log_old_NT=log_old_NT,
        log_reference_NT=log_reference_NT,
    )


def part_of(scored: Scored, rows: slice) -> Scored:
    """Return some completions of a rollout, as a rollout."""
    parts = {name: getattr(scored, name) for name in scored.__dataclass_fields__}
    return replace(scored, **{name: part[rows] for name, part in parts.items() if part is not None})


def differentiate_draws(batch: Batch, objective: Objective, size: int, estimate: Estimator) -> tuple[Tensor, Clipped]:
    """Return slopes of many minibatches at once, each of `size` completions that follow one another, and each by itself
    in estimator and divisors; and each one's shares of clipped tokens. Without KL in the loss and without the
    critic's."""
    mask_NT = batch.scored.mask_NT
    draws = [slice(start, start + size) for start in range(0, len(mask_NT), size)]
    advantages_NT = torch.cat([estimate(part_of(batch.scored, rows), objective).advantages_NT for rows in draws])
    log_p_NT = batch.log_p_NT.clone().requires_grad_()
    losses: PolicyLoss = POLICY_LOSSES.load(objective.policy_loss)
    term = losses(log_p_NT, batch.log_old_NT, advantages_NT, mask_NT, objective)
    loss, clipped = mask_NT.new_zeros(()), Clipped([], [])
    for rows in draws:
        here = mask_NT[rows]
        divisors = Divisors.of(here, longest=objective.longest_completion)
        loss = loss + aggregate(term.loss_NT[rows], here, objective.loss_agg_mode, divisors)
        for shares, clipped_NT in zip(clipped, (term.clipped_low_NT, term.clipped_high_NT), strict=True):
            shares.append(float(aggregate(clipped_NT[rows], here, "token-mean", divisors)))
    (slopes_NT,) = torch.autograd.grad(loss, log_p_NT)
    return slopes_NT, clipped
