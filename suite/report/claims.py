"""Claims of the article beside what the records say of them: an entry of conf/claims.yaml and a function each.

A chapter's claims are one table, in the same form for every chapter. The verdict comes from records by a rule; the
literature stands beside it and never decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import read_yaml
from suite.report.blocks import Kind, Table, Text, joined, say
from suite.report.table import column, table

Claim = Mapping[str, Any]
"""One of conf/claims.yaml."""
SUPPORTED, CONTRADICTED, MIXED, DEPENDS, DEFINED = "supported", "contradicted", "mixed", "depends", "defined"
LEFT_OPEN, UNMEASURED = "open", "unmeasured"
VERDICTS = (SUPPORTED, CONTRADICTED, MIXED, DEPENDS, DEFINED, LEFT_OPEN, UNMEASURED)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict of records on a claim: an outcome by rule, and the numbers behind it in a sentence."""

    outcome: str
    """One of VERDICTS."""
    text: Text
    on: Text = ""
    """The settings that turn the outcome round, of DEPENDS."""


def claims_of(chapter: str) -> list[Claim]:
    """Return the claims that a chapter rules on, in their order."""
    return [claim for claim in read_yaml("claims.yaml")["claims"] if claim["chapter"] == chapter]


def claims_table(
    title: Text, claims: Iterable[tuple[Claim, Mapping[str, Verdict]]], *, note: Text, has_labels: bool
) -> Table:
    """Return a row for each claim and label that says something of it, or one row where none does."""
    rows = [
        (claim, label, verdict) for claim, found in claims for label, verdict in (found or _unmeasured(claim)).items()
    ]
    return table(
        title,
        rows,
        [
            column("claim.claim", lambda row: say(f"claim.{row[0]['id']}"), kind=Kind.LONG),
            *([column("column.label", lambda row: row[1], facet="label")] if has_labels else []),
            column("claim.verdict", lambda row: say(f"claim.outcome.{row[2].outcome}", on=row[2].on)),
            column("claim.here", lambda row: row[2].text, kind=Kind.LONG),
            column("claim.for", lambda row: _literature(row[0], ("for",)), kind=Kind.LONG),
            column("claim.against", lambda row: _literature(row[0], ("against", "qualifies")), kind=Kind.LONG),
            column("claim.command", lambda row: _commands(row[0]), kind=Kind.CODE),
        ],
        note=note,
    )


def _unmeasured(claim: Claim) -> dict[str, Verdict]:
    return {"": Verdict(outcome=UNMEASURED, text=say(f"claim.needs.{claim['id']}"))}


def _literature(claim: Claim, kinds: Sequence[str]) -> Text:
    works = [work for work in claim.get("literature", ()) if work["says"] in kinds]
    return joined("notes", [say("claim.source", what=work["what"], source=work["source"]) for work in works])


def _commands(claim: Claim) -> Text:
    return joined("; ", [f"suite run -m sweep={name}" for name in claim.get("sweeps", ())])
