"""Rejection sampling, as `kind: own`: fine-tuning on the policy's own completions, filtered, as DeepSeek-R1 does
between its two RL stages.

R1's filter also drops mixed languages and long paragraphs, and a model judges what no rule can. Here a completion is
kept if it is right by the key and in the asked form, each text once.
"""

from suite.rl.sft_data import Sampled
from suite.rl.stage import StageBegin
from suite.rl.stages.sft import SftStage


def begin(at: StageBegin) -> SftStage:
    """A stage that fine-tunes on the policy's own right completions, sampled as the stage begins."""
    # It samples before its first update: from the policy as the stage before left it.
    return SftStage(at, Sampled(at.plan, at.policy, first=at.planned.first))
