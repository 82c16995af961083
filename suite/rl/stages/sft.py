"""Fine-tuning on a limited pool of right solutions: a cold start, which is dear since people write it."""

from suite.rl.lessons import Pool, solutions
from suite.rl.stage import StageBegin
from suite.rl.taught import Taught


def begin(at: StageBegin) -> Taught:
    plan = at.plan
    pool = Pool(plan, solutions(plan, plan.recipe.options["examples"]), first=at.planned.first)
    return Taught(at, pool, lr=plan.lr)
