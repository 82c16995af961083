"""`suite compare --fail-on`: whether any case is clearly slower, or has clearly learnt worse.

Each row of the table may be wrong in 5 of 100. Here Holm's correction runs over all of them, so that two folders
between which nothing differs fail in at most 5 of 100 comparisons. Like the table, it asks for no minimum change.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from suite.console.compare import ONE_LAUNCH, SLOWER, UNCHECKED, ArmComparison, arm_groups, folder_groups, furthest
from suite.console.summary import SummaryEntry
from suite.statistics import paired
from suite.statistics.intervals import median_ratios

UNDECIDED: Mapping[str, str] = {
    ONE_LAUNCH: "with one launch",
    UNCHECKED: "not checked",
    paired.ArmOutcome.FEW: f"with fewer than {paired.FEWEST_PAIRS} pairs",
    paired.ArmOutcome.FLOOR: "no better than guessing on both sides",
}
"""Outcomes that say nothing, in words that follow a number of cases."""


def judge(
    folders: Sequence[Sequence[SummaryEntry]], by: str | None, against: str | None, fail_on: str, damaged: int
) -> tuple[bool, str]:
    """Whether any case of two folders, or by a setting of one, is clearly `fail_on` (slower or worse), and a sentence
    that says how many are, and of how many nothing can be said. Raises ValueError where none could be compared."""
    groups = folder_groups(*folders) if by is None else arm_groups([*chain(*folders)], by, against)
    comparisons = [comparison for group in groups for comparison in group.comparisons()]
    expected = sum(max(1, len(group.experiment.arms) - 1) for group in groups)
    counts = Counter({"damaged": damaged, "without a counterpart": expected - len(comparisons)})
    counts.update(_why_undecided(comparison, fail_on) for comparison in comparisons)
    decided = [comparison for comparison in comparisons if not _why_undecided(comparison, fail_on)]
    not_compared = ", ".join(f"{count} {reason}" for reason, count in counts.items() if reason and count)
    if not decided:
        raise ValueError(f"--fail-on {fail_on} needs a case that can be compared; got {not_compared}")
    # Projected times are exact; all others are corrected by Holm's method, over all times or over all scores.
    exact = [case for case in decided if not case.intervals and not case.scores]
    tested = [case for case in decided if case.intervals or case.scores]
    ratios = median_ratios([case.intervals for case in tested if case.intervals])
    scores = paired.judge_together([case.scores for case in tested if case.scores])
    is_clear = [ratio.is_clear for ratio in ratios] or [score.outcome in paired.TOLD_APART for score in scores]
    clear = [case for case, is_case_clear in zip(tested, is_clear, strict=True) if is_case_clear]
    failing = [case for case in (*exact, *clear) if case.outcome == case.worse]
    count = f"{len(failing) or 'none'} of {len(decided)} compared cases {'are' if len(failing) > 1 else 'is'}"
    sentence = f"{count} clearly {fail_on} after Holm's correction over all of them"
    sentence += f"; not compared: {not_compared}" if not_compared else ""
    largest = furthest(failing)
    return bool(failing), f"{sentence}; the largest difference: {largest.sentence}" if largest else sentence


def _why_undecided(comparison: ArmComparison, fail_on: str) -> str:
    if not comparison.worse or (comparison.worse == SLOWER) != (fail_on == SLOWER):
        return "without a time" if fail_on == SLOWER else "without a score"
    return UNDECIDED.get(comparison.outcome, "") if comparison.are_machines_equal else "timed on two machines"
