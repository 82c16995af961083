"""The reward of a completion: its parts, as the task's score and the length give them, and the weights of their sum.

The parts are kept apart since one estimator, GDPO, normalises each by itself. No torch here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import not_negative, one_of, whole_number

ADDED, GATE = FORMAT_REWARDS = "added", "gate"
"""Accuracy + format_weight * format (DeepSeek-R1), or accuracy * format (open-instruct PR 659, open-r1 255): a right
answer in the wrong form earns nothing then, and the form by itself neither."""


@dataclass(frozen=True, kw_only=True)
class Reward:
    """The settings of a reward; conf/settings/rl.yaml says what each is."""

    format_reward: str
    format_weight: float | None  # None where the format is a gate and has no weight
    overlong_buffer: int
    longest_completion: int

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each of `parts`, in the same order. A part without weight is left out."""
        task_weights = (1.0, self.format_weight) if self.format_weight else (1.0,)
        return task_weights if self.overlong_buffer == 0 else (*task_weights, 1.0)

    def parts(self, *, accuracy: float, form: float, length: int) -> list[float]:
        """Parts of a completion's reward: accuracy (gated by the form or not), then form and length penalty if in use.
        The penalty is DAPO's, from 0 down to −1 over the last `overlong_buffer` tokens (arXiv 2503.14476 eq. 13)."""
        parts = [accuracy * form if self.format_reward == GATE else accuracy]
        if self.format_weight:
            parts.append(form)
        if self.overlong_buffer > 0:
            free = self.longest_completion - self.overlong_buffer
            parts.append(min(0.0, (free - length) / self.overlong_buffer))
        return parts

    def total(self, parts: Sequence[float]) -> float:
        """Weighted sum of a completion's parts, with or without the penalty."""
        return sum(weight * part for weight, part in zip(self.weights, parts, strict=False))


def reward_from(settings: Mapping[str, Any], *, longest_completion: int) -> Reward:
    """Read the reward from settings. Raises ValueError."""
    format_reward = one_of(settings, "format_reward", FORMAT_REWARDS)
    return Reward(
        format_reward=format_reward,
        format_weight=None if format_reward == GATE else not_negative(settings, "format_weight"),
        overlong_buffer=whole_number(settings, "overlong_buffer", at_least=0),
        longest_completion=longest_completion,
    )
