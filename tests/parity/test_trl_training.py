"""Training by TRL's GRPOTrainer.train(), as a whole, against ours: from equal weights and equal completions the same
weights come.

Its `rollout_func` gives TRL what ours sampled in the same step, and its minibatches have our order. All else is TRL's:
the prompts' ids, the groups, the log-probabilities at sampling and by the reference, the loss, the clipping, the
optimiser. Ours has TRL's constant beside the group's deviation, 1e-4.

Weights are equal to float32's rounding, 6e-6 of how far they have moved at most. With our own constant theirs are 0.8%
apart from ours, and with TRL's own warm-up 36%.
"""

from dataclasses import dataclass

import pytest
import torch

from suite.measure.meter import Meter
from suite.rl.base import new_decoder
from suite.rl.estimators import grpo
from suite.rl.learner import Learner
from suite.rl.plan import RlPlan
from suite.rl.rollout import Experience, collect_rollouts
from suite.rl.tasks.sorting import Sorting
from suite.rl.tasks.task import CHARACTERS, TAGS, Score
from tests.parity.their_decoder import weights_of
from tests.parity.their_trainer import completion_ids, our_order, tokenizer, trainer_of
from tests.rl.cases import settings

CLOSE = 5e-5
"""Share of how far the weights have moved."""
THEIR_DEVIATION_EPSILON = 1e-4
pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's and transformers' own


class ManyLetters(Sorting):
    """A task that even an untrained policy gets unequal rewards in."""

    def score(self, item, completion):
        return Score(accuracy=sum(token.isalpha() for token in completion) / 10, format=float(len(completion) > 3))


@dataclass
class Ours:
    """Weights before and after our training, and the experience between."""

    plan: RlPlan
    begin: dict[str, torch.Tensor]
    end: dict[str, torch.Tensor]
    experience: list[Experience]


def trained(**changes):
    task = {"_target_": f"{__name__}.ManyLetters", "digits": 2, "corrections": 0.0}
    sizes = {"steps": 3, "prompts_per_step": 8, "num_generations": 4, "minibatch": 8, "warmup_updates": 4}
    made = settings("grpo", task=task, **{**sizes, "lr": 3e-3, **changes})
    plan = RlPlan(made)
    policy, reference = (new_decoder(plan, made["attention"]) for _ in range(2))
    learner = Learner(plan, policy, reference.requires_grad_(False), None)
    ours = Ours(plan, weights_of(policy), {}, [])
    meter = Meter()
    for meter.step in range(plan.steps):
        experience = collect_rollouts(plan, policy, meter).trainable
        learner.update(learner.compute_advantages(experience)[0], plan.seed, meter.step)
        ours.experience.append(experience)
    ours.end = weights_of(policy)
    return ours, reference


def replayed(ours, base, folder):
    """Train TRL's on the experience of ours."""

    def rollout(prompts, trainer):
        experience = ours.experience[trainer.state.global_step // trainer.args.steps_per_generation]
        prompt_ids = trainer.processing_class(text=prompts)["input_ids"]
        assert prompt_ids == experience.prompts.tokens_PS.tolist()
        completions = completion_ids(experience.tokens_NT, experience.mask_NT)
        return {"prompt_ids": prompt_ids, "completion_ids": completions, "logprobs": None}

    trainer = trainer_of(ours.plan, base, folder, rollout=rollout)
    with our_order(ours.plan):
        trainer.train()
    assert trainer.state.global_step == ours.plan.steps * ours.plan.completions // ours.plan.minibatch
    return trainer.model.state_dict()


def apart(ours, theirs):
    """The largest distance of a tensor of theirs from ours, as a share of how far ours moved."""
    moved = {name: ours.end[name] - weight for name, weight in ours.begin.items()}
    return max(float((theirs[name] - ours.end[name]).norm() / change.norm()) for name, change in moved.items())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kl_coef": 0.0},
        {"scale_rewards": "batch", "kl_type": "k3_unbiased"},
        {"loss_agg_mode": "token-mean", "clip_ratio_high": 0.28},
        {"loss_agg_mode": "seq-mean-token-sum-norm", "scale_rewards": "none"},
    ],
    ids=str,
)
def test_trls_trainer_comes_to_our_weights(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(grpo, "DEVIATION_EPSILON", THEIR_DEVIATION_EPSILON)
    ours, base = trained(**changes)
    assert apart(ours, replayed(ours, base, tmp_path)) < CLOSE


def test_the_tokenizer_has_our_ids():
    text = "".join((*TAGS, *CHARACTERS))
    plan = RlPlan(settings())
    assert tokenizer()(text)["input_ids"] == plan.vocabulary.encode(text)
