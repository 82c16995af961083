"""Masks, tensors and made-up rollouts, in float64."""

import torch

from suite.lm.sampling import Prompts
from suite.rl.rollout import Experience


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def mask_of(lengths, width):
    return (torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]).double()


def experience(mask_NT, scores, **changes):
    """Completions of nothing, each of a group of its own, but for what is given."""
    zeros_NT, rows = torch.zeros_like(mask_NT), len(mask_NT)
    parts = {
        "prompts": Prompts(tokens_PS=torch.zeros(rows, 2, dtype=torch.long)),
        "tokens_NT": zeros_NT.long(),
        "log_probs_NT": zeros_NT,
        "entropy_NT": zeros_NT,
        "is_truncated_N": torch.zeros(rows, dtype=torch.bool),
        "groups_N": torch.arange(rows),
        "rewards_N": zeros_NT[:, 0],
    }
    return Experience(mask_NT=mask_NT, scores=scores, **parts | changes)
