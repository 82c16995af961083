"""More of the base model's corpus: what a recipe's other stages are held against at equal budgets."""

from suite.rl.lessons import Corpus
from suite.rl.stage import StageBegin
from suite.rl.taught import Taught


def begin(at: StageBegin) -> Taught:
    """At the rate of the base model, which goes on as it was made."""
    return Taught(at, Corpus(at.plan), lr=at.plan.base_lr)
