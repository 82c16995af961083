"""Continued pretraining, as `kind: corpus`: more of the base model's corpus, with which a recipe's other stages are
compared at equal budgets."""

from suite.rl.sft_data import Corpus
from suite.rl.stage import StageBegin
from suite.rl.stages.sft import SftStage


def begin(at: StageBegin) -> SftStage:
    """A stage that goes on training on the base model's corpus, at the learning rate of the base model."""
    return SftStage(at, Corpus(at.plan), lr=at.plan.base_lr)
