"""Continued pretraining, as `kind: corpus`: more of the base model's corpus, with which a recipe's other stages are
compared at equal budgets."""

from suite.rl.sft_data import Corpus
from suite.rl.stage import StageBegin
from suite.rl.stages.sft import SftStage


def begin(at: StageBegin) -> SftStage:
    """Go on at the rate of the base model, as it was made."""
    return SftStage(at, Corpus(at.plan), lr=at.plan.base_lr)
