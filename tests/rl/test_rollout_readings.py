"""What is said of a step's rollouts, of two rounds that are made up."""

from types import SimpleNamespace

import pytest
import torch

from suite.lm.sampling import Prompts
from suite.rl.rollout import Experience, rollout_readings
from suite.rl.tasks.task import Score, StepReward
from tests.rl.examples import mask_of, tensor

PLAN = SimpleNamespace(vocabulary=SimpleNamespace(decode=lambda ids: ["<think>", "1", "!", "</think>"][: len(ids)]))
HALF_RIGHT = [StepReward(end=0, reward=1.0), StepReward(end=1, reward=0.0)]


def rollout(lengths, rewards, groups, truncated, scores):
    mask = mask_of(lengths, 4)
    return Experience(
        prompts=Prompts(tokens_PS=torch.zeros(len(lengths), 2, dtype=torch.long)),
        tokens_NT=torch.zeros_like(mask).long(),
        mask_NT=mask,
        log_probs_NT=torch.zeros_like(mask),
        entropy_NT=0.5 * mask,
        is_truncated_N=torch.tensor(truncated),
        groups_N=torch.tensor(groups),
        rewards_N=tensor(*rewards),
        scores=scores,
    )


def test_every_reading_is_a_mean_over_all_rounds_of_what_it_names():
    right, wrong = Score(accuracy=1.0, format=1.0, steps=HALF_RIGHT), Score(accuracy=0.0, format=1.0)
    one = rollout([4, 3, 2, 1], [1, 0, 1, 1], [0, 0, 1, 1], [True, False, False, False], [right, wrong, right, right])
    two = rollout([4, 4], [0, 0], [2, 2], [True, True], [wrong, Score(accuracy=0.0, format=0.0)])
    assert rollout_readings(PLAN, [one, two]) == {
        "completions": 6,
        "sampled_tokens": 18,
        "reward": 0.5,
        "accuracy": 0.5,
        "format": pytest.approx(5 / 6),
        "step_reward": 0.5,
        "thought_length": 2,
        "corrections": 0.5,
        "entropy": 0.5,
        "groups_without_signal": pytest.approx(0.75),
        "completion_length": 3,
        "truncated": 0.5,
    }
