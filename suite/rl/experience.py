"""Rollouts: prompts, what the policy made of them, and what the task says of that."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts, Samples, prompts_from, sample
from suite.lm.tokenizer import PAD
from suite.measure.holdings import held_as
from suite.measure.meter import Meter
from suite.measure.streams import python_stream, torch_stream
from suite.records.holdings import ACTIVATIONS, EXPERIENCE, NOBODY, POLICY
from suite.rl.plan import RlPlan
from suite.rl.tasks.task import Item, Score, draw
from suite.rl.thought import agreed, answers_of


@dataclass(frozen=True, kw_only=True)
class Experience:
    """Completions of one step, with everything that the update needs of them. N of T tokens, as in rollout.py."""

    prompts: Prompts
    """Of each completion, so N of them."""
    tokens_NT: Tensor
    mask_NT: Tensor
    log_probs_NT: Tensor
    """Of the policy that sampled, at the sampling temperature."""
    entropy_NT: Tensor
    is_truncated_N: Tensor
    groups_N: Tensor
    rewards_N: Tensor
    scores: Sequence[Score]

    def rows(self, kept_K: Tensor) -> "Experience":
        return Experience(
            prompts=self.prompts.rows(kept_K),
            tokens_NT=self.tokens_NT[kept_K],
            mask_NT=self.mask_NT[kept_K],
            log_probs_NT=self.log_probs_NT[kept_K],
            entropy_NT=self.entropy_NT[kept_K],
            is_truncated_N=self.is_truncated_N[kept_K],
            groups_N=self.groups_N[kept_K],
            rewards_N=self.rewards_N[kept_K],
            scores=[self.scores[index] for index in kept_K.tolist()],
        )


@dataclass(frozen=True, kw_only=True)
class Gathered:
    kept: Experience | None
    """What is learnt from; None where every group was dropped."""
    sampled: Sequence[Experience]
    """All rounds, before any group was dropped: what was paid for."""


@held_as(NOBODY, EXPERIENCE)
def gather(plan: RlPlan, policy: Decoder, meter: Meter) -> Gathered:
    """One step's experience. With filter_groups groups of equal rewards are dropped and other prompts drawn instead,
    as DAPO does, in at most `filter_groups_max_rounds` rounds."""
    sampled: list[Experience] = []
    kept: list[Experience] = []
    wanted = plan.prompts_per_step
    for round_ in range(plan.filter_rounds if plan.filter_groups else 1):
        one = rollout(plan, policy, meter, round_, copies=plan.num_generations)
        sampled.append(one)
        if not plan.filter_groups:
            return Gathered(kept=one, sampled=sampled)
        groups = groups_with_signal(one.rewards_N, one.groups_N)[:wanted]
        wanted -= len(groups)
        kept.append(one.rows(torch.isin(one.groups_N, groups).nonzero()[:, 0]))
        if wanted == 0:
            break
    rows = sum(len(one.scores) for one in kept)
    return Gathered(kept=_joined(kept) if rows else None, sampled=sampled)


def groups_with_signal(rewards_N: Tensor, groups_N: Tensor) -> Tensor:
    """Numbers of the groups in which rewards differ."""
    numbers, index_N = groups_N.unique(return_inverse=True)
    highest, lowest = (
        torch.zeros(len(numbers), dtype=rewards_N.dtype, device=rewards_N.device).scatter_reduce(
            0, index_N, rewards_N, reduce, include_self=False
        )
        for reduce in ("amax", "amin")
    )
    differ: Tensor = numbers[highest > lowest]
    return differ


def rollout(plan: RlPlan, policy: Decoder, meter: Meter, round_: int, *, copies: int) -> Experience:
    """One rollout of `copies` completions of each prompt and their rewards, in their timed spans. `round_` tells those
    of one step apart."""
    names = (plan.seed, meter.step, round_)
    device, count = policy.made.device, plan.completions // copies
    with meter.span("rollout"):
        chance = python_stream(*names, "prompts")
        items = [draw(plan.task, chance, held_out=False) for _ in range(count)]
        prompts = prompts_from([plan.vocabulary.prompt(plan.task, item) for item in items], device)
        with held_as(POLICY, ACTIVATIONS):
            samples = sample(
                policy,
                prompts,
                copies=copies,
                longest=plan.longest_completion,
                end=plan.vocabulary.end,
                temperature=plan.temperature,
                generator=torch_stream(device, *names, "noise"),
                with_entropy=True,
            )
    with meter.span("score"):
        scores = scores_of(plan, [item for item in items for _ in range(copies)], samples)
        rewards_N = rewards_of(plan, scores, samples)
    assert samples.entropy_NT is not None
    groups_N = torch.arange(len(items), device=device).repeat_interleave(copies)
    return Experience(
        prompts=prompts.repeated(copies),
        tokens_NT=samples.tokens_NT,
        mask_NT=samples.mask_NT,
        log_probs_NT=samples.log_probs_NT,
        entropy_NT=samples.entropy_NT,
        is_truncated_N=samples.is_truncated_N,
        groups_N=groups_N + round_ * count,
        rewards_N=rewards_N,
        scores=scores,
    )


def scores_of(plan: RlPlan, items: Sequence[Item], samples: Samples) -> list[Score]:
    """What the task says of each completion, its end token aside."""
    completions = completions_of(plan, samples)
    return [plan.task.score(item, completion) for item, completion in zip(items, completions, strict=True)]


def completions_of(plan: RlPlan, sampled: "Samples | Experience") -> list[Sequence[str]]:
    """What was written, as the task's tokens, without the end token."""
    lengths = (sampled.mask_NT.sum(dim=1).long() - (~sampled.is_truncated_N).long()).tolist()
    rows = sampled.tokens_NT.tolist()
    return [plan.vocabulary.decode(row[:length]) for row, length in zip(rows, lengths, strict=True)]


def rewards_of(plan: RlPlan, scores: Sequence[Score], samples: Samples) -> Tensor:
    """accuracy + format_weight * format, less DAPO's soft penalty for length (arXiv 2503.14476 eq. 13).

    With reward_source=majority it is not the key that says what is accurate, but the most of a group.
    """
    right = [score.accuracy for score in scores]
    if plan.reward_source == "majority":
        right = agreed(answers_of(completions_of(plan, samples)), plan.num_generations)
    given = [one + plan.format_weight * score.format for one, score in zip(right, scores, strict=True)]
    rewards_N = torch.tensor(given, dtype=samples.mask_NT.dtype, device=samples.mask_NT.device)
    if plan.overlong_buffer == 0:
        return rewards_N
    free = plan.longest_completion - plan.overlong_buffer
    return rewards_N - ((samples.lengths - free) / plan.overlong_buffer).clamp(min=0)


def step_rewards(experience: Experience, *, outcome_as_step: bool) -> tuple[Tensor, Tensor]:
    """The checked steps' rewards and their ends, both [N, T]. `outcome_as_step`: the outcome's reward is that of one
    more step, which ends where the completion does."""
    rewards_NT, ends_NT = (torch.zeros_like(experience.mask_NT) for _ in range(2))
    for row, score in enumerate(experience.scores):
        for step in score.steps:
            rewards_NT[row, step.end], ends_NT[row, step.end] = step.reward, 1.0
    if outcome_as_step:
        last_N1 = experience.mask_NT.sum(dim=1, keepdim=True).long() - 1
        rewards_NT.scatter_add_(1, last_N1, experience.rewards_N[:, None])
        ends_NT.scatter_(1, last_N1, 1.0)
    return rewards_NT, ends_NT


def _joined(parts: Sequence[Experience]) -> Experience:
    """Several rounds as one, each padded to the longest completion and the longest prompt."""
    longest = max(part.tokens_NT.shape[1] for part in parts)
    prompt = max(part.prompts.tokens_PS.shape[1] for part in parts)

    def wide(x_NT: Tensor, value: float = 0) -> Tensor:
        return F.pad(x_NT, (0, longest - x_NT.shape[1]), value=value)

    is_padded = any(part.prompts.valid_PS is not None or part.prompts.tokens_PS.shape[1] < prompt for part in parts)
    valid = [_valid(part.prompts, prompt) for part in parts] if is_padded else []
    return Experience(
        prompts=Prompts(
            tokens_PS=torch.cat([_left_padded(part.prompts.tokens_PS, prompt) for part in parts]),
            valid_PS=torch.cat(valid) if valid else None,
        ),
        tokens_NT=torch.cat([wide(part.tokens_NT, PAD) for part in parts]),
        mask_NT=torch.cat([wide(part.mask_NT) for part in parts]),
        log_probs_NT=torch.cat([wide(part.log_probs_NT) for part in parts]),
        entropy_NT=torch.cat([wide(part.entropy_NT) for part in parts]),
        is_truncated_N=torch.cat([part.is_truncated_N for part in parts]),
        groups_N=torch.cat([part.groups_N for part in parts]),
        rewards_N=torch.cat([part.rewards_N for part in parts]),
        scores=[score for part in parts for score in part.scores],
    )


def _left_padded(tokens_PS: Tensor, length: int) -> Tensor:
    return F.pad(tokens_PS, (length - tokens_PS.shape[1], 0), value=PAD)


def _valid(prompts: Prompts, length: int) -> Tensor:
    valid_PS = prompts.valid_PS
    own_PS = torch.ones_like(prompts.tokens_PS, dtype=torch.bool) if valid_PS is None else valid_PS
    return F.pad(own_PS, (length - own_PS.shape[1], 0), value=False)
