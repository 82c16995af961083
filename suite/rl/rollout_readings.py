"""What a step's rollouts cost and were worth, those that taught nothing included."""

from collections.abc import Sequence

from torch import Tensor

from suite.rl.experience import Experience, completions_of, groups_with_signal
from suite.rl.plan import RlPlan
from suite.rl.thought import corrects_itself, thoughts_of

NOTHING_SAMPLED = {"completions": 0.0, "sampled_tokens": 0.0}


def of_rollouts(plan: RlPlan, sampled: Sequence[Experience]) -> dict[str, float]:
    scores = [score for one in sampled for score in one.scores]
    steps = [step.reward for score in scores for step in score.steps]
    tokens = sum(float(one.mask_NT.sum()) for one in sampled)
    silent = [1 - len(groups_with_signal(one.rewards_N, one.groups_N)) / len(one.groups_N.unique()) for one in sampled]
    return {
        "completions": float(len(scores)),
        "sampled_tokens": tokens,
        "reward": _over(sampled, [one.rewards_N for one in sampled]),
        "accuracy": mean([score.accuracy for score in scores]),
        "format": mean([score.format for score in scores]),
        **({"step_reward": mean(steps)} if steps else {}),
        **{part: mean([score.parts[part] for score in scores]) for part in scores[0].parts},
        **of_thoughts([text for one in sampled for text in completions_of(plan, one)]),
        "entropy": sum(float(one.entropy_NT.sum()) for one in sampled) / tokens,
        "groups_without_signal": mean(silent),
        "completion_length": tokens / len(scores),
        "truncated": _over(sampled, [one.is_truncated_N for one in sampled]),
    }


def of_thoughts(completions: Sequence[Sequence[str]], prefix: str = "") -> dict[str, float]:
    """How long the thoughts are that there are, and how many completions correct themselves in theirs."""
    thoughts = thoughts_of(completions)
    found = [len(thought) for thought in thoughts if thought is not None]
    corrected = [float(thought is not None and corrects_itself(thought)) for thought in thoughts]
    lengths = {f"{prefix}thought_length": mean(found)} if found else {}
    return {**lengths, f"{prefix}corrections": mean(corrected)}


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _over(sampled: Sequence[Experience], values: Sequence[Tensor]) -> float:
    """Mean over all completions of all rounds."""
    return sum(float(one.sum()) for one in values) / sum(len(one.scores) for one in sampled)
