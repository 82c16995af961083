"""TRL's own GRPOTrainer, set to do what a plan of ours does: the same weights, items, scorer and settings.

`settings_of` holds all that decides what is learnt, so that whoever reads it sees where TRL's defaults differ from a
plan of ours. Three things are no settings of TRL: its first update of a warm-up has a rate of 0, which TheirTrainer
sets right; it adds 1e-4 to a group's standard deviation, where suite/rl/advantages.py adds 1e-6; and its minibatches
have an order of its own.
"""

import itertools
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from suite.configuration.files import read_choice
from suite.lm.decoder import Decoder
from suite.lm.sampling import Samples
from suite.lm.tokenizer import END, PAD
from suite.lm.training import BETAS, WEIGHT_DECAY, Limits
from suite.measure.rng import python_rng, torch_rng
from suite.rl.plan import RlPlan
from suite.rl.rollout import reward_parts, score_samples
from suite.rl.tasks.task import CHARACTERS, TAGS, Item, draw
from tests.parity.their_decoder import llama_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar
    from trl import GRPOConfig, GRPOTrainer
    from trl.trainer import grpo_trainer

disable_progress_bar()

LOSS_TYPES = {"seq-mean-token-mean": "grpo", "token-mean": "bnpo", "seq-mean-token-sum-norm": "dr_grpo"}
"""TRL's dapo divides by the tokens of a whole rollout, bnpo by those of a minibatch, as token-mean here."""
ON_THIS_MACHINE = {
    "bf16": False,
    "gradient_checkpointing": False,
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "logging_strategy": "no",
}
"""Settings that change no result: precision as ours has it, and no logs."""


class TheirTrainer(GRPOTrainer):
    """TRL's trainer with our warm-up, whose first update has a rate."""

    def create_scheduler(self, num_training_steps, optimizer=None):
        limits = Limits(warmup_updates=int(self.args.warmup_steps), max_grad_norm=self.args.max_grad_norm)
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, limits.rate)
        return self.lr_scheduler


def settings_of(plan: RlPlan) -> dict[str, Any]:
    """Return a plan's settings under TRL's names."""
    objective, minibatches = plan.objective, plan.completions // plan.minibatch
    assert plan.inner_epochs == 1, "TRL repeats an epoch's minibatches as they were"
    assert objective.adv_estimator == "grpo"
    return {
        "num_generations": plan.num_generations,
        "per_device_train_batch_size": plan.minibatch,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": minibatches,
        "num_iterations": 1,
        "max_steps": plan.steps * minibatches,
        "shuffle_dataset": False,
        "max_completion_length": plan.longest_completion,
        "temperature": plan.temperature,
        "scale_rewards": objective.scale_rewards,
        "loss_type": LOSS_TYPES[objective.loss_agg_mode],
        "epsilon": objective.clip_ratio_low,
        "epsilon_high": objective.clip_ratio_high,
        "beta": objective.kl_coef,
        "use_bias_correction_kl": objective.kl_type == "k3_unbiased",
        "learning_rate": plan.lr,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": plan.warmup_updates,
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        "weight_decay": WEIGHT_DECAY,
        "max_grad_norm": plan.max_grad_norm,
    }


def sweep_arguments(plan: RlPlan, folder: Path, **changes: object) -> GRPOConfig:
    """`changes` win over the plan's."""
    return GRPOConfig(
        output_dir=str(folder / "out"),
        model_init_kwargs={"dtype": plan.dtype},
        seed=plan.seed,
        **{**ON_THIS_MACHINE, **settings_of(plan), **changes},
    )


def trainer_of(
    plan: RlPlan,
    base: Decoder,
    folder: Path,
    *,
    rollout: Callable[[list[str], GRPOTrainer], Mapping[str, list[Any]]] | None = None,
    **changes: object,
) -> TheirTrainer:
    """Return a trainer of a copy of the base model, over the items that our rollouts of this plan draw.

    With a beta it reads its reference from the folder too. `rollout` takes the place of transformers' generate, and
    `changes` win over the plan's settings.
    """
    llama_of(base, rope_theta=read_choice("policy", "small")["rope_theta"]).save_pretrained(folder / "model")
    items = [item for step in range(plan.steps) for item in items_of(plan, step)]
    rows = {"prompt": [item.prompt for item in items], "number": list(range(len(items)))}
    return TheirTrainer(
        model=str(folder / "model"),
        reward_funcs=reward_of(plan, items),
        args=sweep_arguments(plan, folder, **changes),
        train_dataset=Dataset.from_dict(rows),
        processing_class=tokenizer(),
        rollout_func=rollout,
    )


@contextmanager
def our_order(plan: RlPlan) -> Iterator[None]:
    """Let TRL shuffle the minibatches of one rollout after the other as ours are."""
    shuffle, steps = grpo_trainer.shuffle_sequence_dict, itertools.count()

    def in_our_order(batch: dict[str, Any]) -> dict[str, Any]:
        order = torch_rng(torch.device("cpu"), plan.seed, next(steps), 0, "order")
        torch.random.set_rng_state(order.get_state())
        return shuffle(batch)

    with patch.object(grpo_trainer, "shuffle_sequence_dict", in_our_order):
        yield


def completion_ids(tokens_NT: Tensor, mask_NT: Tensor) -> list[list[int]]:
    """Return our completions in TRL's form: as many ids as each has."""
    lengths = mask_NT.sum(dim=1).int().tolist()
    return [row[:length] for row, length in zip(tokens_NT.tolist(), lengths, strict=True)]


def items_of(plan: RlPlan, step: int) -> list[Item]:
    """Draw the items of a step, as suite.rl.rollout draws them."""
    chance: random.Random = python_rng(plan.seed, step, 0, "prompts")
    return [draw(plan.task, chance, held_out=False) for _ in range(plan.prompts_per_step)]


def reward_of(plan: RlPlan, items: Sequence[Item]) -> Callable[..., list[float]]:
    """Return a reward function of TRL that asks our scorer, by ids: no text is decoded on the way."""

    def reward(completion_ids: list[list[int]], number: list[int], **_: object) -> list[float]:
        samples = samples_of(completion_ids)
        scores = score_samples(plan, [items[index] for index in number], samples)
        return [plan.reward.total(parts) for parts in reward_parts(plan, scores, samples)]

    return reward


def samples_of(completion_ids: Sequence[Sequence[int]]) -> Samples:
    """Return TRL's completions in our form, without probabilities."""
    longest = max(map(len, completion_ids))
    tokens_NT = torch.tensor([[*ids, *[PAD] * (longest - len(ids))] for ids in completion_ids])
    lengths_N1 = torch.tensor([[len(ids)] for ids in completion_ids])
    mask_NT = (torch.arange(longest) < lengths_N1).float()
    return Samples(
        tokens_NT=tokens_NT,
        mask_NT=mask_NT,
        log_probs_NT=torch.zeros_like(mask_NT),
        entropy_NT=None,
        is_truncated_N=torch.tensor([ids[-1] != END for ids in completion_ids]),
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """Return the vocabulary of all tasks as a tokenizer of transformers, with the same ids."""
    texts = ("<pad>", "<end>", *TAGS, *CHARACTERS)
    words = Tokenizer(WordLevel({text: number for number, text in enumerate(texts)}, unk_token="<pad>"))
    words.pre_tokenizer = Split(Regex("|".join((*TAGS, "."))), behavior="isolated")
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
