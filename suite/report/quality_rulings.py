"""What records say of a claim: an outcome by rule, and the counts behind it in a sentence.

Contests of many arms on several tasks are counted, not pooled: that MLA is lower on one task and level on three is the
answer. Those that told nothing apart, since both answer all or neither learnt it, decide nothing and are counted too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.report.compress_runs import Study as CompressStudy
from suite.report.quality_contests import (
    CEILING,
    FLOOR,
    HIGHER,
    JUDGED,
    LOWER,
    OPEN,
    SINGLE,
    Contest,
    of_outcome,
)
from suite.report.quality_names import listed, variant_name
from suite.report.quality_runs import Study
from suite.report.quality_tiers_family import Family
from suite.report.words import Words

HOLDS, FAILS, MIXED, LEFT_OPEN = "holds", "fails", "mixed", "open"
RULINGS = (HOLDS, FAILS, MIXED, LEFT_OPEN)
Titled = tuple[str, Contest]
"""A study's title, and a contest of it."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    outcome: str
    """One of RULINGS."""
    said: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one label has."""

    families: Sequence[Family]
    tasks: Sequence[Study]
    compressed: Sequence[CompressStudy]
    """Real models whose cache was made smaller."""


def by_lower(contests: Sequence[Contest]) -> str:
    """Whether a claim that all of these are lower is borne out."""
    judged, lower = of_outcome(contests, *JUDGED), of_outcome(contests, LOWER)
    if not judged:
        return LEFT_OPEN
    if not lower:
        return FAILS
    return HOLDS if len(lower) == len(judged) else MIXED


def counted(titled: Sequence[Titled], words: Words) -> str:
    """How many ended how, and which were lower or higher by most."""
    parts = []
    for outcome in (LOWER, HIGHER):
        found = sorted((pair for pair in titled if pair[1].outcome == outcome), key=_largest_first)
        if found:
            names = [f"{title}: {variant_name(one.arm, words)} {_size_of(one, words)}" for title, one in found]
            parts.append(words(f"claim.count.{outcome}", count=len(found), names=listed(names, words)))
    contests = [one for _, one in titled]
    for outcome in (OPEN, CEILING, FLOOR, SINGLE):
        if found_so := of_outcome(contests, outcome):
            parts.append(words(f"claim.count.{outcome}", count=len(found_so)))
    return words("claim.counted", total=len(titled), parts=words("punctuation.notes").join(parts))


def _largest_first(titled: Titled) -> tuple[bool, float]:
    """Points before nats, which do not compare."""
    return not titled[1].is_share, -abs(titled[1].mean)


def _size_of(one: Contest, words: Words) -> str:
    if one.is_share:
        return words("claim.points", points=f"{100 * one.mean:+.1f}")
    return words("claim.nats", nats=f"{-one.mean:+.3f}")
