"""Tiny problems whose every outcome can be enumerated: probabilities, gradients and divergences, exact and literal.

A policy is a table of logits: S states, K choices in each. Paths are all that can happen, so their probabilities add up
to 1. A policy's gradient is over its logits, a table S by K as the policy itself: d log π(k | s) is
one-hot(k) − π(· | s) in row s and 0 elsewhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Table = NDArray[np.float64]
Path = tuple[tuple[int, int], ...]  # a completion: the states it passes and what it chooses there


@dataclass(frozen=True, kw_only=True)
class EnumeratedProblem:
    """A policy, a reference policy, and all paths that can happen with their rewards."""

    policy_SK: Table  # log-probabilities, as in all three tables
    sampled_SK: Table  # the policy that sampled: the same where it is not said to be another
    reference_SK: Table
    paths: Sequence[Path]
    rewards: Sequence[float]  # the reward of each path
    values_S: Sequence[float]  # a critic's value in each state
    parts: Sequence[Sequence[float]] = ()  # the parts of each path's reward, before they are weighed

    @property
    def longest(self) -> int:
        return max(map(len, self.paths))


def one_choice(seed: int) -> EnumeratedProblem:
    """Draw a problem whose completions are one token, of seven, sampled from the policy itself. The divergence of the
    policy from the reference is 0.329885 nats for seed 0."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference, rewards = (_random(generator, 1, 7) for _ in range(3))
    return EnumeratedProblem(
        policy_SK=log_softmax(policy),
        sampled_SK=log_softmax(policy),
        reference_SK=log_softmax(reference),
        paths=tuple(((0, choice),) for choice in range(7)),
        rewards=rewards[0].tolist(),
        values_S=[0.25],
    )


def short_sequences(seed: int) -> EnumeratedProblem:
    """Draw a problem of at most three tokens, and before each the choice between going on and ending: four completions
    of one, two, three and three tokens, the last of them cut at the limit."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference = (_random(generator, 3, 2) for _ in range(2))
    go_on, end = range(2)
    paths: list[Path] = [(*((state, go_on) for state in range(ends)), (ends, end)) for ends in range(3)]
    paths.append(tuple((state, go_on) for state in range(3)))
    return EnumeratedProblem(
        policy_SK=log_softmax(policy),
        sampled_SK=log_softmax(policy),
        reference_SK=log_softmax(reference),
        paths=paths,
        rewards=_random(generator, 1, 4)[0].tolist(),
        values_S=_random(generator, 1, 3)[0].tolist(),
        parts=_random(generator, 4, 2).tolist(),
    )


def another_policy(problem: EnumeratedProblem, seed: int) -> Table:
    """Draw a policy near the problem's, as one that sampled many updates ago: a few ratios are below ½ or above 2."""
    generator = torch.Generator().manual_seed(seed + 1)
    return log_softmax(problem.policy_SK + 0.8 * _random(generator, *problem.policy_SK.shape))


def log_softmax(logits_SK: Table) -> Table:
    """Log-probabilities of each row of logits."""
    return np.array([[logit - math.log(sum(math.exp(entry) for entry in row)) for logit in row] for row in logits_SK])


def _random(generator: torch.Generator, rows: int, columns: int) -> Table:
    """Table of standard-normal numbers."""
    normal_RC: Table = torch.randn(rows, columns, generator=generator, dtype=torch.float64).numpy()
    return normal_RC


def probability(path: Path, policy_SK: Table) -> float:
    """Probability of a whole path under the policy."""
    return math.exp(sum(policy_SK[state][choice] for state, choice in path))


def score(state: int, choice: int, policy_SK: Table) -> Table:
    """Gradient of log π(choice | state) over the policy's logits, [S, K]."""
    gradient = np.zeros_like(policy_SK)
    gradient[state] = -np.exp(policy_SK[state])
    gradient[state][choice] += 1
    return gradient


def reward_gradient(problem: EnumeratedProblem, kl_coef: float = 0.0) -> Table:
    """Exact gradient of E[reward] − kl_coef · KL(π ‖ π_ref) over the logits, [S, K], expectations being over
    completions.

    KL's own is E[log(π/π_ref) d log π]: the other term of the product rule, E[d log π], is 0.
    """
    total = np.zeros_like(problem.policy_SK)
    for path, reward in zip(problem.paths, problem.rewards, strict=True):
        gain = reward - kl_coef * sum(problem.policy_SK[s][k] - problem.reference_SK[s][k] for s, k in path)
        direction = sum(score(s, k, problem.policy_SK) for s, k in path)
        total += probability(path, problem.policy_SK) * gain * direction
    return total


def exact_values(problem: EnumeratedProblem, kl_coef: float) -> list[float]:
    """Expected reward from each state on, the KL's price taken off: the values of a perfect critic."""
    values = []
    for state in range(len(problem.policy_SK)):
        total = weight = 0.0
        for path, reward in zip(problem.paths, problem.rewards, strict=True):
            if state in (states := [s for s, _ in path]):
                chance = probability(path, problem.policy_SK)
                later = path[states.index(state) :]
                price = sum(problem.policy_SK[s][k] - problem.reference_SK[s][k] for s, k in later)
                total, weight = total + chance * (reward - kl_coef * price), weight + chance
        values.append(total / weight)
    return values


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """KL(p ‖ q) of two rows of log-probabilities."""
    return sum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True))


def divergence_gradient(p: Sequence[float], q: Sequence[float]) -> list[float]:
    """Gradient of KL(p ‖ q) over p's logits: p_k (log p_k/q_k − KL)."""
    whole = divergence(p, q)
    return [math.exp(a) * (a - b - whole) for a, b in zip(p, q, strict=True)]


def reverse_divergence_gradient(p: Sequence[float], q: Sequence[float]) -> list[float]:
    """Gradient of KL(q ‖ p) over p's logits: p_k − q_k."""
    return [math.exp(a) - math.exp(b) for a, b in zip(p, q, strict=True)]
