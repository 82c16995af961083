"""Fine-tuning on a stronger decoder's verified completions, and no RL: how DeepSeek-R1's small models were made."""

from suite.rl.lessons import Sampled
from suite.rl.stage import StageBegin
from suite.rl.taught import Taught


def begin(at: StageBegin) -> Taught:
    plan = at.plan
    assert at.teacher is not None, "the plan asks for one"
    lessons = Sampled(plan, at.teacher, rollouts=plan.recipe.options["rollouts"], first=at.planned.first)
    return Taught(at, lessons, lr=plan.lr)
