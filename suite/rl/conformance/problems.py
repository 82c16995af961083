"""Problems so small that every outcome can be enumerated.

A policy is a table of logits: S states, K choices in each. A path is one completion, the states it passes and what it
chooses there. Paths are all that can happen, so their probabilities add up to 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

Table = NDArray[np.float64]
Path = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    policy_SK: Table
    """Log-probabilities, as all three are."""
    sampled_SK: Table
    """Of the policy that sampled: the same where it is not said to be another."""
    reference_SK: Table
    paths: Sequence[Path]
    rewards: Sequence[float]
    """Of each path."""
    values_S: Sequence[float]
    """What a critic says in each state."""

    @property
    def longest(self) -> int:
        return max(map(len, self.paths))

    def off_policy(self, other_SK: Table) -> "Problem":
        """The same, sampled by another policy."""
        return replace(self, sampled_SK=other_SK)


def one_choice(seed: int) -> Problem:
    """One token out of seven. The policies of seed 0 have a divergence of 0.329885 nats."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference, rewards = (_drawn(generator, 1, 7) for _ in range(3))
    return Problem(
        policy_SK=log_softmax(policy),
        sampled_SK=log_softmax(policy),
        reference_SK=log_softmax(reference),
        paths=tuple(((0, choice),) for choice in range(7)),
        rewards=rewards[0].tolist(),
        values_S=[0.25],
    )


def short_sequences(seed: int) -> Problem:
    """At most three tokens, and before each the choice between going on and ending: four completions of one, two, three
    and three tokens, the last of them cut at the limit."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference = (_drawn(generator, 3, 2) for _ in range(2))
    go_on, end = range(2)
    paths: list[Path] = [(*((state, go_on) for state in range(ends)), (ends, end)) for ends in range(3)]
    paths.append(tuple((state, go_on) for state in range(3)))
    return Problem(
        policy_SK=log_softmax(policy),
        sampled_SK=log_softmax(policy),
        reference_SK=log_softmax(reference),
        paths=paths,
        rewards=_drawn(generator, 1, 4)[0].tolist(),
        values_S=_drawn(generator, 1, 3)[0].tolist(),
    )


def another_policy(problem: Problem, seed: int) -> Table:
    """A policy near the problem's, as the one that sampled is after many updates: a few ratios lie below a half or
    above two."""
    generator = torch.Generator().manual_seed(seed + 1)
    return log_softmax(problem.policy_SK + 0.8 * _drawn(generator, *problem.policy_SK.shape))


def log_softmax(logits_SK: Table) -> Table:
    return np.array([[logit - math.log(sum(math.exp(other) for other in row)) for logit in row] for row in logits_SK])


def _drawn(generator: torch.Generator, rows: int, columns: int) -> Table:
    drawn: Table = torch.randn(rows, columns, generator=generator, dtype=torch.float64).numpy()
    return drawn
