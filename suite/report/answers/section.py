"""The claims as a table, for readers of Markdown and CSV: the page shows them as its answers."""

from suite.records import numbers
from suite.records.machine.environment import machine_id
from suite.report.answers.answers import build_answers
from suite.report.blocks import Kind, Ruling, Section, Text, joined, say, section
from suite.report.model.results import Results
from suite.report.table import column, table


def build(results: Results) -> Section:
    """Lay out a row for each claim: the verdict, its one number, where it flips, and what measures it again."""
    answers = build_answers(results, machine_id())
    rulings = table(
        say("claims.table"),
        answers.rulings,
        [
            column("claim.claim", lambda ruling: ruling.claim, kind=Kind.LONG),
            column("claim.verdict", lambda ruling: ruling.word),
            column("claim.number", _number, kind=Kind.LONG),
            column("claim.flips", lambda ruling: ruling.flips, kind=Kind.LONG),
            column("claim.machine", _machine),
            column("claim.command", lambda ruling: "; ".join(ruling.commands), kind=Kind.CODE),
        ],
        note=joined("sentence", [*answers.reproduced, say("claim.note")]),
    )
    return section("claims", tables=[rulings])


def _number(ruling: Ruling) -> Text:
    lead = ruling.lead
    if lead is None:
        return numbers.NOTHING
    inside = joined("; ", [lead.interval, lead.count])
    written = say("claim.number.with", written=lead.written, inside=inside) if inside else lead.written
    return say("claim.number.about", about=lead.about, written=written)


def _machine(ruling: Ruling) -> Text:
    if ruling.badge is None:
        return numbers.NOTHING
    return joined("list", [say(f"claim.badge.{ruling.badge}"), ruling.machine])
