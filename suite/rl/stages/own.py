"""Fine-tuning on the policy's own completions, filtered: DeepSeek-R1's rejection sampling between its two RL stages.

R1's filter also drops mixed languages and long paragraphs, and a model judges what no rule can. Here a completion is
kept if it is right by the key and in the asked form, each text once.
"""

from suite.rl.lessons import Sampled
from suite.rl.stage import StageBegin
from suite.rl.taught import Taught


def begin(at: StageBegin) -> Taught:
    plan, first = at.plan, at.planned.first
    # It samples before its first update: from the policy as the stage before left it.
    lessons = Sampled(plan, at.policy, rollouts=plan.recipe.options["rollouts"], first=first)
    return Taught(at, lessons, lr=plan.lr)
