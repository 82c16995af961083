"""Claims beside what the records say of them: an id and its literature in conf/claims.yaml, and a function each."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.configuration import locate, read_yaml
from suite.records import numbers
from suite.report.quality_rulings import Evidence, Ruling
from suite.report.section import Column, Kind, Table
from suite.report.words import Words

FOR, OTHERS = "for", ("against", "qualifies")


def claims_table(evidence: Mapping[str, Evidence], words: Words) -> Table:
    """`evidence`: by label. A claim has a row for each label that says something of it, or one row where none does."""
    several = len(evidence) > 1
    return Table(
        title=words("claim.table"),
        columns=[
            Column(title=words("claim.claim"), kind=Kind.LONG),
            *([Column(title=words("column.label"), facet="label")] if several else []),
            Column(title=words("claim.verdict")),
            Column(title=words("claim.here"), kind=Kind.LONG),
            Column(title=words("claim.for"), kind=Kind.LONG),
            Column(title=words("claim.against"), kind=Kind.LONG),
        ],
        rows=[row for claim in read_yaml("claims.yaml")["claims"] for row in _rows(claim, evidence, words, several)],
        note=words("claim.note"),
    )


def _rows(claim: Mapping[str, Any], evidence: Mapping[str, Evidence], words: Words, several: bool) -> list[list[str]]:
    decide = locate(claim["decided_by"])
    rulings: list[tuple[str, Ruling | None]] = [(label, decide(of, words)) for label, of in evidence.items()]
    decided = [pair for pair in rulings if pair[1] is not None]
    literature = claim.get("literature", ())
    return [
        [
            words(f"claim.{claim['id']}"),
            *([label] if several else []),
            words("claim.undecided") if ruling is None else words(f"claim.outcome.{ruling.outcome}"),
            words(f"claim.needs.{claim['id']}") if ruling is None else ruling.said,
            _told(literature, (FOR,), words),
            _told(literature, OTHERS, words),
        ]
        for label, ruling in decided or [(numbers.NOTHING, None)]
    ]


def _told(literature: Sequence[Mapping[str, str]], kinds: Sequence[str], words: Words) -> str:
    told = [words("claim.source", what=one["what"], source=one["source"]) for one in literature if one["says"] in kinds]
    return words("punctuation.notes").join(told) or numbers.NOTHING
