"""Fine-tuning on a stronger decoder's verified completions, and no RL: how DeepSeek-R1's small models were made."""

from suite.rl.sft_data import Sampled
from suite.rl.stage import StageBegin
from suite.rl.stages.sft import SftStage


def begin(at: StageBegin) -> SftStage:
    """A stage that fine-tunes the policy on right completions of the recipe's teacher."""
    assert at.teacher is not None, "the plan asks for one"
    return SftStage(at, Sampled(at.plan, at.teacher, first=at.planned.first))
