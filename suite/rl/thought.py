"""What a completion thinks and what it answers, as they stand there, and what the most of a group answer. No torch."""

from collections import Counter
from collections.abc import Sequence

from suite.rl.tasks.task import CORRECTION, parse


def thoughts_of(completions: Sequence[Sequence[str]]) -> list[Sequence[str] | None]:
    """None where there is no thought, or several."""
    places = [parse(completion).thought for completion in completions]
    return [place if place is None else one[place] for one, place in zip(completions, places, strict=True)]


def corrects_itself(thought: Sequence[str]) -> bool:
    """Whether it writes the marker that corpora have between two attempts; what the second is worth is not asked."""
    return CORRECTION in thought


def answers_of(completions: Sequence[Sequence[str]]) -> list[str]:
    """Empty where there is no answer, or several."""
    places = [parse(completion).answer for completion in completions]
    return ["" if place is None else "".join(one[place]) for one, place in zip(completions, places, strict=True)]


def agreed(answers: Sequence[str], size: int) -> list[float]:
    """1 where an answer is the commonest of its group of `size` that lie next to each other, else 0 (TTRL, arXiv
    2504.16084). Of several as common the first; what is no answer has no vote. Answers are told apart by their text."""
    votes: list[float] = []
    for start in range(0, len(answers), size):
        group = answers[start : start + size]
        commonest = Counter(filter(None, group)).most_common(1)
        votes += [float(bool(commonest) and answer == commonest[0][0]) for answer in group]
    return votes
