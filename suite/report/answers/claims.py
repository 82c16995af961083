"""Claims of the article beside what the records say of them: an entry of conf/claims.yaml and a function each.

The verdict comes from records by a rule; the literature stands beside it and never decides. "Contradicted" needs a
clear difference the other way: that records show nothing for a claim, or rule out a large effect, is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import read_yaml
from suite.report.blocks import Lead, Text, say

Claim = Mapping[str, Any]
"""One of conf/claims.yaml."""
SUPPORTED, CONTRADICTED, MIXED, DEPENDS, DEFINED = "supported", "contradicted", "mixed", "depends", "defined"
EQUAL, BOUNDED, LEFT_OPEN = "equal", "bounded", "open"
"""No difference that matters; none of that size in the claim's direction; neither shown."""
UNTESTED, UNMEASURED = "untested", "unmeasured"
"""Too few runs to say anything, and none at all."""
VERDICTS = (SUPPORTED, CONTRADICTED, MIXED, DEPENDS, DEFINED, EQUAL, BOUNDED, LEFT_OPEN, UNTESTED, UNMEASURED)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict of records on a claim: an outcome by rule, the estimate that it rests on, and all other numbers."""

    outcome: str
    """One of VERDICTS."""
    evidence: Sequence[Text]
    """All numbers, a sentence each."""
    answer: Text = ""
    """The verdict as an answer to the claim's question, where the word for the outcome is none."""
    on: Text = ""
    """The settings that turn the outcome round, of DEPENDS."""
    lead: Lead | None = None
    """The estimate that the outcome follows from."""
    flips: Text = ""
    """The conditions under which the outcome is another, in a line."""
    machine: Text = ""
    """The machines whose measurements decided it; empty where closed forms or projections did."""
    is_projected: bool = False
    """The lead's number was computed, not measured."""
    suffices: bool = True
    """False where the records are too few to rule, so that those of another machine come first."""


def claims() -> list[Claim]:
    """Return all claims, in the article's order."""
    return list(read_yaml("claims.yaml")["claims"])


def trial_design(claim_id: str) -> Mapping[str, Any]:
    """What a claim compares, as conf/claims.yaml fixes it: `over` and `at`, as far as it says them."""
    design: Mapping[str, Any] = next(claim for claim in claims() if claim["id"] == claim_id).get("trial", {})
    return design


def literature(claim: Claim, kinds: Sequence[str]) -> list[Text]:
    """Return what others published of a claim, of these kinds, each with its source."""
    works = [work for work in claim.get("literature", ()) if work["says"] in kinds]
    return [say("claim.source", what=work["what"], source=work["source"]) for work in works]


def commands(claim: Claim) -> list[str]:
    """Return the commands that measure a claim again."""
    sweeps = [f"sweep={name}" for name in claim.get("sweeps", ())]
    return [f"suite run -m {run}" for run in (*sweeps, *claim.get("overrides", ()))]


def verdict_word(verdict: Verdict) -> Text:
    """Return a verdict as people say it."""
    return say(f"claim.outcome.{verdict.outcome}", on=verdict.on)
