"""What records say of a claim: an outcome by rule, and the counts behind it in a sentence.

Contests of many arms on several tasks are counted, not pooled: that MLA is lower on one task and level on three is the
answer. Those that told nothing apart, since both answer all or neither learnt it, decide nothing and are counted too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.report.blocks import Text, joined, say
from suite.report.quality.compress_design import Study as CompressStudy
from suite.report.quality_contests import Contest, of_outcome
from suite.report.quality_names import listed, variant_name
from suite.report.quality_runs import Study
from suite.report.quality_tiers_family import Family
from suite.statistics.paired import JUDGED, TOLD_APART, Outcome

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
    """Rule on a claim that all of these are lower.

    It fails only on evidence of the contrary: where each that can tell rules out a loss as large as matters.
    """
    judged, lower = of_outcome(contests, *JUDGED), of_outcome(contests, Outcome.LOWER)
    if lower:
        return HOLDS if len(lower) == len(judged) else MIXED
    return FAILS if judged and all(one.found.rules_out_lower for one in judged) else LEFT_OPEN


def counted(titled: Sequence[Titled]) -> Text:
    """Count how many ended how, and name those that were lower or higher by most."""
    parts = []
    for outcome in Outcome:
        found = sorted((pair for pair in titled if pair[1].outcome is outcome), key=_largest_first)
        names = [joined("", [title, ": ", variant_name(one.arm), " ", _size_of(one)]) for title, one in found]
        if found:
            said = say(f"verdict.count.{outcome}", count=len(found))
            is_named = outcome in TOLD_APART
            parts.append(say("claim.named", said=said, names=listed(names)) if is_named else said)
    return say("claim.counted", total=len(titled), parts=joined("notes", parts))


def _largest_first(titled: Titled) -> tuple[bool, float]:
    """Points before nats, which do not compare."""
    return not titled[1].is_share, -abs(titled[1].mean)


def _size_of(one: Contest) -> Text:
    if one.is_share:
        return say("claim.points", points=f"{100 * one.mean:+.1f}")
    return say("claim.nats", nats=f"{-one.mean:+.3f}")
