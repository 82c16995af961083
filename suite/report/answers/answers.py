"""The answers of a page: a card for each question that people come with, and a ruling on each claim of the article.

Claims are ruled on the records of this machine where these suffice, else on those of others, which stand beside them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from suite.configuration.files import locate
from suite.records.record import Evidence, Record
from suite.report.answers.claims import (
    DEFINED,
    UNMEASURED,
    Claim,
    Verdict,
    claims,
    commands,
    literature,
    verdict_word,
)
from suite.report.answers.own_runs import rank_own_runs
from suite.report.blocks import Answers, Badge, Card, Ruling, Text, joined, say, say_or
from suite.report.model.results import Results

QUESTIONS = (
    "mla-faster-inference",
    "mla-less-kv-memory",
    "mla-lower-ceiling",
    "grpo-sample-efficient",
    "grpo-cheaper",
    "stages-add",
)
"""Claims that answer the questions of the cards, in their order."""

Verdicts = Mapping[str, Verdict]


@lru_cache(maxsize=1)
def build_answers(results: Results, here: str) -> Answers:
    """Rule on every claim and rank the person's own runs.

    `here`: the `machine_id` of this machine, whose records come first. Reference records are never this machine's,
    even where it took them.
    """

    def is_from_here(label: str, record: Record) -> bool:
        return label not in results.references and record.environment.get("machine_id") == here

    def is_projected(record: Record) -> bool:
        return record.evidence is Evidence.PROJECTED  # what is computed holds on every machine

    own = results.narrowed(lambda label, record: is_projected(record) or is_from_here(label, record))
    others = results.narrowed(lambda label, record: is_projected(record) or not is_from_here(label, record))
    # One after the other: sections cache what they read of the last results alone. Closed forms need no records.
    ours = verdicts_on(own) if own.records else {}
    theirs = verdicts_on(others) if others.records or not own.records else {}
    rulings = {claim["id"]: _ruling(claim, ours, theirs) for claim in claims()}
    cards = [_card(rulings[name]) for name in QUESTIONS]
    return Answers(
        own=rank_own_runs(results.own),
        cards=[card for card in cards if card.ruling.outcome != UNMEASURED],
        rulings=list(rulings.values()),
        reproduced=_reproduced(ours, theirs),
    )


def _card(ruling: Ruling) -> Card:
    answer = ruling.answer or say_or(f"answer.card.{ruling.id}.{ruling.outcome}", ruling.word)
    return Card(question=say(f"answer.question.{ruling.id}"), answer=answer, ruling=ruling)


def verdicts_on(results: Results) -> dict[str, Verdict]:
    """Return the verdict of these records on each claim that they bear on, by its id."""
    found = {}
    for claim in claims():
        decide: Callable[[Results], Verdict | None] = locate(claim["decided_by"])
        if (verdict := decide(results)) is not None:
            found[claim["id"]] = verdict
    return found


def _ruling(claim: Claim, ours: Verdicts, theirs: Verdicts) -> Ruling:
    """The verdict of this machine where it suffices, with that of the others; else that of the others."""
    here, there = ours.get(claim["id"]), theirs.get(claim["id"])
    in_order = [(verdict, badge) for verdict, badge in ((here, Badge.HERE), (there, Badge.ELSEWHERE)) if verdict]
    enough = [pair for pair in in_order if pair[0].suffices]
    measured = [pair for pair in enough if pair[0].machine]
    if not in_order:
        return _laid_out(claim, Verdict(outcome=UNMEASURED, evidence=[say(f"claim.needs.{claim['id']}")]), None)
    verdict, badge = (measured or enough or in_order)[0]
    ruling = _laid_out(claim, verdict, badge)
    is_beside = verdict is here and bool(verdict.machine) and there is not None and bool(there.machine)
    return replace(ruling, elsewhere=_laid_out(claim, there, Badge.ELSEWHERE)) if is_beside and there else ruling


def _laid_out(claim: Claim, verdict: Verdict, badge: Badge | None) -> Ruling:
    name = claim["id"]
    if verdict.outcome == DEFINED:
        badge = None
    elif badge is not None and (verdict.is_projected or not verdict.machine):
        badge = Badge.PROJECTED
    return Ruling(
        id=name,
        claim=say(f"claim.{name}"),
        outcome=verdict.outcome,
        word=verdict_word(verdict),
        badge=badge,
        machine="" if badge is Badge.PROJECTED else verdict.machine,
        lead=verdict.lead,
        flips=verdict.flips,
        evidence=verdict.evidence,
        answer=verdict.answer,
        rule=joined("sentence", [say(f"claim.compares.{name}"), say(f"claim.evidence.{claim['evidence']}")]),
        supporting=literature(claim, ("for",)),
        opposing=literature(claim, ("against", "qualifies")),
        commands=commands(claim),
        section=claim["section"],
    )


def _reproduced(ours: Verdicts, theirs: Verdicts) -> list[Text]:
    """Count the claims that both sides ruled on by measurements and agree on, and say how they differ on each other."""

    def is_ruled(verdict: Verdict | None) -> bool:
        return verdict is not None and bool(verdict.machine) and verdict.suffices

    both = [name for name in ours if is_ruled(ours[name]) and is_ruled(theirs.get(name))]
    differing = [
        say("own.not_reproduced", claim=say(f"claim.{name}"), here=_number(ours[name]), there=_number(theirs[name]))
        for name in both
        if ours[name].outcome != theirs[name].outcome
    ]
    return [say("answer.reproduced", same=len(both) - len(differing), total=len(both)), *differing] if both else []


def _number(verdict: Verdict) -> Text:
    """A verdict's word, with the number that leads it and its case."""
    word, lead = verdict_word(verdict), verdict.lead
    if lead is None:
        return word
    number = say("own.number", written=lead.written, interval=lead.interval) if lead.interval else lead.written
    return say("own.verdict", word=word, number=number, about=lead.about)
