"""Rollouts: prompts, what the policy made of them, what the task says of that, and what a step of them cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts, Samples, prompts_from, sample
from suite.lm.tokenizer import PAD
from suite.measure.memory_tracker import attribute_to
from suite.measure.meter import Meter
from suite.measure.rng import python_rng, torch_rng
from suite.records.holdings import ACTIVATIONS, EXPERIENCE, NOBODY, POLICY
from suite.rl.plan import RlPlan
from suite.rl.tasks.task import CORRECTION, Item, Score, draw, parse
from suite.statistics.pass_at_k import pass_at_k

NOTHING_SAMPLED = {"completions": 0.0, "sampled_tokens": 0.0}
ROWS_AT_ONCE = 1024  # for pass@k: 46 MiB for the small policy; 256 take a quarter more time, 16,384 hold 579 MiB


@dataclass(frozen=True, kw_only=True)
class Experience:
    """Completions of one step, with everything that the update needs of them. N of T tokens, as in advantages.py."""

    prompts: Prompts  # the prompt of each completion, so N of them
    tokens_NT: Tensor
    mask_NT: Tensor
    log_probs_NT: Tensor  # log-probabilities by the policy that sampled, at the sampling temperature
    entropy_NT: Tensor
    is_truncated_N: Tensor
    groups_N: Tensor
    rewards_N: Tensor
    scores: Sequence[Score]
    parts_NK: Tensor | None = None
    """The parts of the rewards, before they are weighed; None for an estimator that does not look at them."""

    @property
    def compared(self) -> Tensor:
        """What an estimator compares within a group: each part of the reward, [N, K], or all of it, [N, 1]."""
        return self.rewards_N[:, None] if self.parts_NK is None else self.parts_NK

    def rows(self, rows_K: Tensor) -> "Experience":
        """The completions of these rows, in the order given."""
        tensors = {name: value[rows_K] for name, value in vars(self).items() if isinstance(value, Tensor)}
        scores = [self.scores[row] for row in rows_K.tolist()]
        return replace(self, prompts=self.prompts.rows(rows_K), scores=scores, **tensors)


@dataclass(frozen=True, kw_only=True)
class RolloutBatch:
    trainable: Experience | None  # the completions that are learnt from; None where every group was dropped
    sampled: Sequence[Experience]  # the experience of every round, before any group was dropped: what was paid for


@attribute_to(NOBODY, EXPERIENCE)
def collect_rollouts(plan: RlPlan, policy: Decoder, meter: Meter) -> RolloutBatch:
    """Sample one step's experience. With filter_groups groups without signal are dropped and other prompts drawn
    instead, as DAPO does, in at most `filter_groups_max_rounds` rounds."""
    if not plan.filter_groups:
        experience = rollout(plan, policy, meter, 0, copies=plan.num_generations)
        return RolloutBatch(trainable=experience, sampled=[experience])
    sampled: list[Experience] = []
    with_signal: list[Experience] = []
    wanted = plan.prompts_per_step
    while wanted and len(sampled) < plan.filter_rounds:
        experience = rollout(plan, policy, meter, len(sampled), copies=plan.num_generations)
        sampled.append(experience)
        groups = groups_with_signal(_task_rewards(plan, experience), experience.groups_N)[:wanted]
        wanted -= len(groups)
        with_signal.append(experience.rows(torch.isin(experience.groups_N, groups).nonzero()[:, 0]))
    has_rows = any(len(experience.scores) for experience in with_signal)
    return RolloutBatch(trainable=joined(with_signal) if has_rows else None, sampled=sampled)


def _task_rewards(plan: RlPlan, experience: Experience) -> Tensor:
    """What is compared within a group to tell whether it is kept: `compared` without the penalty on length. DAPO keeps
    a group by its right answers (arXiv 2503.14476 eq. 11); where there is none, lengths alone would teach to be short.
    """
    rows = reward_parts(plan, experience.scores, experience)
    if plan.reward.overlong_buffer > 0:
        rows = [row[:-1] for row in rows]
    if not plan.objective.normalises_parts:
        rows = [[plan.reward.total(row)] for row in rows]
    return experience.rewards_N.new_tensor(rows)


def groups_with_signal(rewards_NK: Tensor, groups_N: Tensor) -> Tensor:
    """Numbers of the groups that can teach something: in some column of `rewards_NK` their rewards differ."""
    numbers, index_N = groups_N.unique(return_inverse=True)
    index_NK = index_N[:, None].expand_as(rewards_NK)
    highest, lowest = (
        rewards_NK.new_zeros(len(numbers), rewards_NK.shape[1]).scatter_reduce(
            0, index_NK, rewards_NK, reduce, include_self=False
        )
        for reduce in ("amax", "amin")
    )
    with_signal: Tensor = numbers[(highest > lowest).any(dim=1)]
    return with_signal


def rollout(plan: RlPlan, policy: Decoder, meter: Meter, round_: int, *, copies: int) -> Experience:
    """Sample `copies` completions for each newly drawn prompt and reward them, within the spans `rollout` and `score`.
    `round_` makes the streams of several rollouts of one step differ."""
    names, device, count = (plan.seed, meter.step, round_), policy.factory.device, plan.completions // copies
    with meter.span("rollout"):
        generator = python_rng(*names, "prompts")
        items = [draw(plan.task, generator, held_out=False) for _ in range(count)]
        prompts = prompts_from([plan.vocabulary.prompt(plan.task, item) for item in items], device)
        with attribute_to(POLICY, ACTIVATIONS):
            samples = sample(
                policy,
                prompts,
                copies=copies,
                longest=plan.longest_completion,
                end=plan.vocabulary.end,
                temperature=plan.temperature,
                generator=torch_rng(device, *names, "noise"),
                with_entropy=True,
            )
    with meter.span("score"):
        scores = score_samples(plan, [item for item in items for _ in range(copies)], samples)
        parts = reward_parts(plan, scores, samples)
        kind: dict[str, Any] = {"dtype": samples.mask_NT.dtype, "device": device}
        rewards_N = torch.tensor([plan.reward.total(row) for row in parts], **kind)
        parts_NK = torch.tensor(parts, **kind) if plan.objective.normalises_parts else None
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
        parts_NK=parts_NK,
        scores=scores,
    )


def pass_at_k_shares(
    plan: RlPlan, policy: Decoder, items: Sequence[Item], prompts: Prompts, *, rows: int = ROWS_AT_ONCE
) -> Mapping[int, float]:
    """The mean over the prompts of pass@k, by k = 1, 2, 4 up to the plan's number of samples.

    Each round samples every prompt once, with noise of its own stream, so `rows`, the completions in memory, change no
    sample. Streams follow from the seed alone: the policy meets the same noise before and after training.
    """
    samples, right = plan.pass_at_k or 0, Counter[int]()
    rounds = max(1, rows // len(items))
    for start in range(0, samples, rounds):
        streams = range(start, min(start + rounds, samples))
        completions = sample(
            policy,
            prompts,
            copies=len(streams),
            longest=plan.longest_completion,
            end=plan.vocabulary.end,
            temperature=plan.temperature,
            generator=[torch_rng(policy.factory.device, plan.seed, "pass at k", stream) for stream in streams],
        )
        scores = score_samples(plan, [item for item in items for _ in streams], completions)
        right.update(row // len(streams) for row, score in enumerate(scores) if score.accuracy == 1.0)
    counts = [right[prompt] for prompt in range(len(items))]
    ks = [1 << exponent for exponent in range(samples.bit_length())]
    return {k: float(pass_at_k(counts, samples, k).mean()) for k in ks}


def score_samples(plan: RlPlan, items: Sequence[Item], samples: Samples) -> list[Score]:
    """Score each completion, without its end token, by the task; a repeated completion of one group is scored once."""
    cached: dict[tuple[int, tuple[str, ...]], Score] = {}
    scores = []
    for item, completion in zip(items, decode_completions(plan, samples), strict=True):
        key = id(item), tuple(completion)
        if key not in cached:
            cached[key] = plan.task.score(item, completion)
        scores.append(cached[key])
    return scores


def decode_completions(plan: RlPlan, sampled: "Samples | Experience") -> list[Sequence[str]]:
    """The completions as the task's tokens, without the end token."""
    lengths = (sampled.mask_NT.sum(dim=1).long() - (~sampled.is_truncated_N).long()).tolist()
    rows = sampled.tokens_NT.tolist()
    return [plan.vocabulary.decode(row[:length]) for row, length in zip(rows, lengths, strict=True)]


def reward_parts(plan: RlPlan, scores: Sequence[Score], samples: "Samples | Experience") -> list[list[float]]:
    """The parts of each completion's reward; with reward_source=majority a vote of the group is its accuracy."""
    accuracies = [score.accuracy for score in scores]
    if plan.reward_source == "majority":
        answers = [parsed_answer(completion) for completion in decode_completions(plan, samples)]
        accuracies = majority_vote(answers, plan.num_generations)
    lengths = samples.mask_NT.sum(dim=1).long().tolist()
    return [
        plan.reward.parts(accuracy=accuracy, form=score.format, length=length)
        for accuracy, score, length in zip(accuracies, scores, lengths, strict=True)
    ]


def parsed_answer(completion: Sequence[str]) -> str:
    """Text of the completion's answer; empty where it has no answer, or several."""
    place = parse(completion).answer
    return "" if place is None else "".join(completion[place])


def majority_vote(answers: Sequence[str], size: int) -> list[float]:
    """1 for each answer that is the commonest of its group, else 0 (TTRL, arXiv 2504.16084). A group is `size` answers
    in a row. Of equally common answers the first wins; an empty one has no vote. Answers are compared as texts."""
    votes: list[float] = []
    for start in range(0, len(answers), size):
        group = answers[start : start + size]
        commonest = Counter(filter(None, group)).most_common(1)
        votes += [float(bool(commonest) and answer == commonest[0][0]) for answer in group]
    return votes


def step_rewards(experience: Experience, *, outcome_as_step: bool) -> tuple[Tensor, Tensor]:
    """Rewards of the checked steps at their last tokens, and 1 at these tokens, both [N, T]. `outcome_as_step`: the
    outcome's reward counts as that of one more step, which ends with the completion."""
    rewards_NT, ends_NT = (torch.zeros_like(experience.mask_NT) for _ in range(2))
    for row, score in enumerate(experience.scores):
        for step in score.steps:
            rewards_NT[row, step.end], ends_NT[row, step.end] = step.reward, 1.0
    if outcome_as_step:
        last_N1 = experience.mask_NT.sum(dim=1, keepdim=True).long() - 1
        rewards_NT.scatter_add_(1, last_N1, experience.rewards_N[:, None])
        ends_NT.scatter_(1, last_N1, 1.0)
    return rewards_NT, ends_NT


def rollout_readings(plan: RlPlan, sampled: Sequence[Experience]) -> dict[str, float]:
    """Means over all completions of a step, dropped groups included: rewards, accuracy, lengths and more."""
    scores = [score for experience in sampled for score in experience.scores]
    steps = [step.reward for score in scores for step in score.steps]
    tokens = sum(float(experience.mask_NT.sum()) for experience in sampled)
    silent = [
        1 - len(groups_with_signal(experience.compared, experience.groups_N)) / len(experience.groups_N.unique())
        for experience in sampled
    ]
    return {
        "completions": float(len(scores)),
        "sampled_tokens": tokens,
        "reward": sum(float(experience.rewards_N.sum()) for experience in sampled) / len(scores),
        "accuracy": mean([score.accuracy for score in scores]),
        "format": mean([score.format for score in scores]),
        **({"step_reward": mean(steps)} if steps else {}),
        **{part: mean([score.parts[part] for score in scores]) for part in scores[0].parts},
        **trace_readings([text for experience in sampled for text in decode_completions(plan, experience)]),
        "entropy": sum(float(experience.entropy_NT.sum()) for experience in sampled) / tokens,
        "groups_without_signal": mean(silent),
        "completion_length": tokens / len(scores),
        "truncated": sum(float(experience.is_truncated_N.sum()) for experience in sampled) / len(scores),
    }


def trace_readings(completions: Sequence[Sequence[str]], prefix: str = "") -> dict[str, float]:
    """Mean length of the thoughts, and the share of completions whose thought corrects itself; names begin with
    `prefix`. A thought corrects itself if it has the marker that corpora write between two attempts, whatever the
    second is worth."""
    places = [parse(completion).thought for completion in completions]
    traces = [text[place] for text, place in zip(completions, places, strict=True) if place is not None]
    lengths = {f"{prefix}thought_length": mean([len(trace) for trace in traces])} if traces else {}
    return {**lengths, f"{prefix}corrections": sum(CORRECTION in trace for trace in traces) / len(completions)}


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def joined(parts: Sequence[Experience]) -> Experience:
    """Join several rounds into one; completions are padded on the right, prompts on the left, to the longest."""
    longest = max(part.tokens_NT.shape[1] for part in parts)

    def concatenated(name: str) -> Tensor:
        """The rounds' tensors of this name, one behind the other; those of tokens are padded on the right first."""
        tensors = [getattr(part, name) for part in parts]
        if not name.endswith("_NT"):
            return torch.cat(tensors)
        padding = PAD if name == "tokens_NT" else 0
        return torch.cat([F.pad(x_NT, (0, longest - x_NT.shape[1]), value=padding) for x_NT in tensors])

    return Experience(
        prompts=_joined_prompts([part.prompts for part in parts]),
        scores=[score for part in parts for score in part.scores],
        **{name: concatenated(name) for name, value in vars(parts[0]).items() if isinstance(value, Tensor)},
    )


def _joined_prompts(parts: Sequence[Prompts]) -> Prompts:
    """Join prompts, padded on the left to the longest of them."""
    longest = max(part.tokens_PS.shape[1] for part in parts)
    tokens, valid = [], []
    for part in parts:
        room = longest - part.tokens_PS.shape[1], 0
        valid_PS = torch.ones_like(part.tokens_PS, dtype=torch.bool) if part.valid_PS is None else part.valid_PS
        tokens.append(F.pad(part.tokens_PS, room, value=PAD))
        valid.append(F.pad(valid_PS, room, value=False))
    is_padded = any(part.valid_PS is not None or part.tokens_PS.shape[1] < longest for part in parts)
    return Prompts(tokens_PS=torch.cat(tokens), valid_PS=torch.cat(valid) if is_padded else None)
