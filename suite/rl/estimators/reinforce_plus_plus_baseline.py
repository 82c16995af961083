"""REINFORCE++-baseline (arXiv 2501.03262): the reward less its group's mean, the same for every token, whitened over
all tokens of the batch (as verl does it: a long completion counts more in mean and deviation)."""

from suite.rl.advantages import Estimated, Scored, centred, sequence_rewards, whiten
from suite.rl.objective import Objective


def advantages(scored: Scored, objective: Objective) -> Estimated:
    """Reward minus its group's mean, the same for all tokens of a completion, whitened over the batch; 0 on padding."""
    rewards_N = sequence_rewards(scored)
    centred_N = centred(rewards_N, scored.groups_N)
    return Estimated(advantages_NT=whiten(centred_N[:, None].expand_as(scored.mask_NT), scored.mask_NT))
