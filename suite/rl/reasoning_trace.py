"""The reasoning trace and the answer of a completion, as they stand there, and a group's majority vote. No torch."""

from collections import Counter
from collections.abc import Sequence

from suite.rl.tasks.task import CORRECTION, parse


def reasoning_traces(completions: Sequence[Sequence[str]]) -> list[Sequence[str] | None]:
    """Return each completion's trace; None where there is none, or several."""
    places = [parse(completion).thought for completion in completions]
    return [None if place is None else text[place] for text, place in zip(completions, places, strict=True)]


def corrects_itself(trace: Sequence[str]) -> bool:
    """True if it writes the marker that corpora have between two attempts; the worth of the second is not asked."""
    return CORRECTION in trace


def parsed_answers(completions: Sequence[Sequence[str]]) -> list[str]:
    """Return each completion's answer; empty where there is none, or several."""
    places = [parse(completion).answer for completion in completions]
    return ["" if place is None else "".join(text[place]) for text, place in zip(completions, places, strict=True)]


def majority_vote(answers: Sequence[str], size: int) -> list[float]:
    """Return 1 where an answer is the commonest of its group of `size` that lie next to each other, else 0 (TTRL, arXiv
    2504.16084). Of several as common the first wins; what is no answer has no vote. Answers are told apart by their
    text."""
    votes: list[float] = []
    for start in range(0, len(answers), size):
        group = answers[start : start + size]
        commonest = Counter(filter(None, group)).most_common(1)
        votes += [float(bool(commonest) and answer == commonest[0][0]) for answer in group]
    return votes
