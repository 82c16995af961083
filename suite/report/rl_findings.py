"""What the seeds of a comparison say in a sentence for each budget, and which differences they leave open."""

from collections.abc import Sequence

from suite.report.results import Results
from suite.report.rl_contests import Contest, contests
from suite.report.rl_run import COMPLETIONS
from suite.report.rl_runs import Comparison, clock_of, comparisons
from suite.report.words import Words

MOST_HEADLINES = 2
OUTCOMES = ("higher", "lower", "open")


def rl_headlines(results: Results, words: Words) -> list[str]:
    """Of the comparisons with the most arms; none where no two arms stand side by side."""
    telling = [one for one in comparisons(results) if contests(one) and not one.is_picked]
    return [words("rl_efficiency.headline", title=one.title, said=said(one, words)) for one in telling[:MOST_HEADLINES]]


def said(one: Comparison, words: Words) -> str:
    """How many seeds there are, and the outcome at each budget that is held equal."""
    counts = sorted({len(arm.ended) for arm in one.chosen})
    seeds = words("rl.range", low=counts[0], high=counts[-1]) if len(counts) > 1 else str(counts[0])
    parts = [words("rl_efficiency.seeds", arms=len(one.chosen), seeds=seeds)]
    for budget in (COMPLETIONS, clock_of(one.drawn[0])):
        fought = [contest for contest in contests(one) if contest.budget == budget]
        # Arms that were picked by their scores cannot be judged by them.
        if fought and one.most_seeds > 1 and not one.is_picked:
            told = words("punctuation.notes").join(filter(None, (_told(fought, key, words) for key in OUTCOMES)))
            held, reference = words(f"rl_efficiency.at_equal.{budget}"), fought[0].reference.name
            parts.append(words("rl_efficiency.outcome", held=held, reference=reference, told=told))
    return words("punctuation.sentence").join(parts)


def _told(fought: Sequence[Contest], outcome: str, words: Words) -> str:
    names = [contest.arm.name for contest in fought if contest.outcome == outcome]
    return words(f"rl_efficiency.told.{outcome}", names=words("punctuation.list").join(names)) if names else ""
