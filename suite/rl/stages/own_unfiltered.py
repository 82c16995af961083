"""Rejection sampling without the rejection: fine-tuning on all that `kind: own` samples, so that the two differ by the
filter alone.

A kind and no option of `own`: options stand beside the stages and hold for all of them, and records and the page tell
stages apart by their kinds.
"""

from suite.rl.sft_data import Sampled
from suite.rl.stage import StageBegin
from suite.rl.stages.sft import SftStage


def begin(at: StageBegin) -> SftStage:
    """A stage that fine-tunes on all of the policy's own completions, sampled as the stage begins."""
    return SftStage(at, Sampled(at.plan, at.policy, first=at.planned.first, filtered=False))
