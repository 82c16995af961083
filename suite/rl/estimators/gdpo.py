"""GDPO (arXiv 2601.05242): each part of the reward normalised in its group by itself, then summed with its weight, then
whitened over all tokens of the batch, as verl does it (TRL whitens over completions).

GRPO normalises the sum: two completions whose parts differ and whose sums do not are one to it. Normalised apart, a
part that differs in few completions weighs as much as one that differs in many, whatever its scale was: only its weight
says what it counts for. With one part alone this is GRPO's advantage, whitened.
"""

import torch

from suite.rl.advantages import DEVIATION_EPSILON, Estimated, Scored, centred, deviations, whiten
from suite.rl.objective import Objective


def advantages(scored: Scored, objective: Objective) -> Estimated:
    """Reward parts, each normalised in its group, summed by weight and whitened over the batch; 0 on padding."""
    assert scored.parts_NK is not None
    total_N = torch.zeros_like(scored.rewards_N)
    for weight, part_N in zip(objective.reward_weights, scored.parts_NK.unbind(dim=1), strict=True):
        centred_N = centred(part_N, scored.groups_N)
        total_N = total_N + weight * centred_N / (deviations(centred_N, scored.groups_N) + DEVIATION_EPSILON)
    return Estimated(advantages_NT=whiten(total_N[:, None].expand_as(scored.mask_NT), scored.mask_NT))
