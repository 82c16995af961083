"""Objectives and scored rollouts to try estimators and losses on, in float64."""

import torch

from suite.lm.sampling import Prompts
from suite.rl.advantages import Scored
from suite.rl.objective import Objective
from suite.rl.rollout import Experience

PLAIN = {
    "adv_estimator": "grpo",
    "supervision": "outcome",
    "scale_rewards": "group",
    "gamma": 1.0,
    "lam": 1.0,
    "policy_loss": "vanilla",
    "loss_agg_mode": "token-mean",
    "clip_ratio_low": 0.2,
    "clip_ratio_high": 0.3,
    "clip_ratio_c": None,
    "entropy_coef": 0.0,
    "kl_type": "k3",
    "kl_coef": 0.0,
    "use_kl_in_reward": False,
    "cliprange_value": None,
    "longest_completion": 5,
    "sapo_tau_pos": 1.0,
    "sapo_tau_neg": 1.05,
    "reward_weights": (1.0, 0.5),
}


def objective(**changes):
    return Objective(**{**PLAIN, **changes})


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


def random_rollout(seed=0):
    """Three groups, lengths 0 to 5, steps, a critic and a price of KL: whatever an estimator may look at."""
    generator = torch.Generator().manual_seed(seed)
    lengths, groups = [5, 2, 0, 3, 1, 4, 5, 3, 2], [0, 1, 2, 0, 1, 2, 0, 1, 2]

    def normal():
        return torch.randn(9, 5, generator=generator, dtype=torch.float64)

    mask_NT = mask_of(lengths, 5)
    return Scored(
        mask_NT=mask_NT,
        rewards_N=normal()[:, 0].abs(),  # as MaxRL needs them
        groups_N=torch.tensor(groups),
        kl_NT=normal() * 0.1 * mask_NT,
        values_NT=normal() * mask_NT,
        step_rewards_NT=normal() * mask_NT,
        step_ends_NT=(normal() > 0).double() * mask_NT,
        parts_NK=normal()[:, :2],
    )
