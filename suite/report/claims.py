"""Claims beside what the records say of them: an id and its literature in conf/claims.yaml, and a function each."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.configuration import locate, read_yaml
from suite.records import numbers
from suite.report.blocks import Column, Kind, Table, Text, joined, say
from suite.report.quality_rulings import Evidence, Ruling

FOR, OTHERS = "for", ("against", "qualifies")


def claims_table(evidence: Mapping[str, Evidence]) -> Table:
    """`evidence`: by label. A claim has a row for each label that says something of it, or one row where none does."""
    several = len(evidence) > 1
    return Table(
        title=say("claim.table"),
        columns=[
            Column(title=say("claim.claim"), kind=Kind.LONG),
            *([Column(title=say("column.label"), facet="label")] if several else []),
            Column(title=say("claim.verdict")),
            Column(title=say("claim.here"), kind=Kind.LONG),
            Column(title=say("claim.for"), kind=Kind.LONG),
            Column(title=say("claim.against"), kind=Kind.LONG),
        ],
        rows=[row for claim in read_yaml("claims.yaml")["claims"] for row in _rows(claim, evidence, several)],
        note=say("claim.note"),
    )


def _rows(claim: Mapping[str, Any], evidence: Mapping[str, Evidence], several: bool) -> list[list[str]]:
    decide = locate(claim["decided_by"])
    rulings: list[tuple[str, Ruling | None]] = [(label, decide(of)) for label, of in evidence.items()]
    decided = [pair for pair in rulings if pair[1] is not None]
    literature = claim.get("literature", ())
    return [
        [
            say(f"claim.{claim['id']}"),
            *([label] if several else []),
            say("claim.undecided") if ruling is None else say(f"claim.outcome.{ruling.outcome}"),
            say(f"claim.needs.{claim['id']}") if ruling is None else ruling.said,
            _told(literature, (FOR,)),
            _told(literature, OTHERS),
        ]
        for label, ruling in decided or [(numbers.NOTHING, None)]
    ]


def _told(literature: Sequence[Mapping[str, str]], kinds: Sequence[str]) -> Text:
    told = [say("claim.source", what=one["what"], source=one["source"]) for one in literature if one["says"] in kinds]
    return joined("notes", told) or numbers.NOTHING
