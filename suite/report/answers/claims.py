"""Claims of the article beside what the records say of them: an entry of conf/claims.yaml and the rule it names.

The verdict comes from records by that rule; the literature stands beside it and never decides. "Contradicted" needs a
clear difference the other way: that records show nothing for a claim, or rule out a large effect, is none.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from suite.configuration.files import locate, read_yaml
from suite.records.derived import possible_time, started_at
from suite.report.blocks import Figure, Lead, Text, joined, say, say_or
from suite.report.model.results import Results
from suite.statistics.pooled import ALPHA_BY_LOOKS

Claim = Mapping[str, Any]
"""An entry of conf/claims.yaml."""


class Standing(StrEnum):
    """How a claim stands by the records."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    MIXED = "mixed"
    """Supported in part."""
    DEPENDS = "depends"
    """Clearly one way at some settings, and not at others."""
    DEFINED = "defined"
    """Contradicted by the definition."""
    EQUAL = "equal"
    """No difference that matters."""
    BOUNDED = "bounded"
    """No difference of that size in the claim's direction."""
    OPEN = "open"
    """Neither shown nor ruled out."""
    UNDECIDED = "undecided"
    """The number that decides is clear, but another one keeps the claim from being ruled on."""
    UNTESTED = "untested"
    """Too few runs to say anything."""
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    """The verdict of records on a claim: an outcome by rule, the estimate that it rests on, and all other numbers."""

    outcome: Standing
    evidence: Sequence[Text]  # all numbers, a sentence each
    answer: Text = ""
    """The verdict as an answer to the claim's question, where the word for the outcome is none."""
    depends_on: Text = ""  # the settings that turn the outcome round, of DEPENDS
    card_lead: Lead | None = None  # leads the card in place of `lead`
    lead: Lead | None = None  # the estimate that the outcome follows from
    flips: Text = ""  # the conditions under which the outcome is another, in a line
    peer: Text = ""  # the lead's case as it is computed for a machine that nobody here measured
    limit: Text = ""  # the comparison that turned a supported claim, which `flips` says too
    machine: Text = ""
    """The machines whose measurements decided it; empty where closed forms or projections did."""
    is_projected: bool = False  # the lead's number was computed, not measured
    suffices: bool = True
    """False where the records are too few to rule, so that those of another machine come first."""
    parts: Mapping[str, Standing] = field(default_factory=dict)
    """The outcomes of its parts, where several make it, by name: of each rival, or of lines and spread."""
    pairs: int = 0
    """Pairs of runs that the estimate counts; 0 where no pairs decide."""
    forests: Sequence[Figure] = ()
    """Of the lead, then of the card's lead: each estimate with its units, if they are several."""

    @property
    def word(self) -> Text:
        """The outcome in a word or two, with the settings that it depends on."""
        return say(f"claim.outcome.{self.outcome}", on=self.depends_on)


Verdicts = Mapping[str, ClaimVerdict]
"""Verdicts by the id of their claim."""


def claims() -> list[Claim]:
    """The entries of conf/claims.yaml, in the article's order."""
    return list(_claims_file()["claims"])


def sweeps_again() -> list[Mapping[str, Any]]:
    """The sweeps of conf/reproduce.yaml, which decide claims, in their order."""
    return list(read_yaml("reproduce.yaml")["sweeps"])


def sensitivity() -> list[tuple[str, ...]]:
    """Settings whose other values are compared with the usual ones beside every mean; a tuple's change together."""
    return [tuple(names) for names in _claims_file()["sensitivity"]]


@functools.cache
def _claims_file() -> Mapping[str, Any]:
    return read_yaml("claims.yaml")


def rule_fixed_at(claim: Claim) -> str:
    """When a claim's rule was last changed, in code or in conf/claims.yaml, in UTC; empty where chance has no part in
    it: sizes, closed forms, definitions."""
    fixed_in_code = _claims_file()["fixed"].get(claim["evidence"], "")
    return max(possible_time(fixed_in_code), possible_time(claim.get("fixed")))


def _ruled(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict of records on a claim, which says so where its rule is younger than any of them.

    Runs that began after the rule was fixed decide alone, if the claim has a sweep of such runs, `confirmed_by`, and
    they are enough. They were looked at once, however often (`looks`) earlier ones were.
    """
    rule: Callable[[Results, Claim], ClaimVerdict | None] = locate(claim["decided_by"])
    fixed_at = rule_fixed_at(claim)
    newer = results.narrowed(lambda _, record: started_at(record) >= fixed_at)
    seen_once = {**claim, "trial": {**claim.get("trial", {}), "looks": 1}}
    if newer is results:
        return rule(results, seen_once)
    fresh = rule(newer, seen_once) if newer.records and "confirmed_by" in claim else None
    if fresh is not None and fresh.suffices:
        older = rule(results.narrowed(lambda _, record: started_at(record) < fixed_at), claim)
        before = [say("claim.before", word=older.word), _looks(claim)] if older and older.suffices else []
        return replace(fresh, flips=joined("sentence", [fresh.flips, say("claim.fresh", count=fresh.pairs), *before]))
    verdict = rule(results, claim)
    if verdict is None or verdict.is_projected or not verdict.machine:
        return verdict
    return replace(verdict, flips=joined("sentence", [verdict.flips, say("claim.rule_younger"), _looks(claim)]))


def _looks(claim: Claim) -> Text:
    count = claim.get("trial", {}).get("looks", 1)
    return say("claim.looks", limit=f"{ALPHA_BY_LOOKS[count]:g}") if count > 1 else ""


def verdicts_on(results: Results, *claim_ids: str) -> dict[str, ClaimVerdict]:
    """The verdict of these records on each claim that they bear on, by its id; on all claims where none is named."""
    wanted = [claim for claim in claims() if not claim_ids or claim["id"] in claim_ids]
    verdicts = {claim["id"]: _ruled(results, claim) for claim in wanted}
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


def by_definition(_: Results, claim: Claim) -> ClaimVerdict:
    """The verdict DEFINED, on a claim that its definition contradicts, whatever the records say."""
    return ClaimVerdict(outcome=Standing.DEFINED, evidence=[say(f"claim.defined.{claim['id']}")])


def size_standing(ratios: Iterable[float]) -> Standing:
    """The standing of a claim that a size is smaller, by its ratio to another in each case.

    All below 1 support it, all above contradict it, else it depends: sizes have no noise.
    """
    ratios = list(ratios)
    if all(ratio < 1 for ratio in ratios):
        return Standing.SUPPORTED
    return Standing.CONTRADICTED if all(ratio > 1 for ratio in ratios) else Standing.DEPENDS


def literature(claim: Claim, *kinds: str) -> list[Text]:
    """What others published of a claim, of these kinds (`for`, `against`, `qualifies`), each with its source."""
    works = [work for work in claim.get("literature", ()) if work["says"] in kinds]
    return [say("claim.source", what=work["what"], source=work["source"]) for work in works]


def commands(claim: Claim) -> list[str]:
    """The `suite run -m` commands that measure a claim again: its sweeps, then its overrides."""
    sweeps = [f"sweep={name}" for name in claim.get("sweeps", ())]
    return [f"suite run -m {run}" for run in (*sweeps, *claim.get("overrides", ()))]


def setting_name(name: str) -> Text:
    """What a verdict calls a setting; the setting itself where the texts have no name for it."""
    return say_or(f"claim.on.{name}", name)
