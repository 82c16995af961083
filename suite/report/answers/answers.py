"""The answers of a page: a card for each question that people come with, and a ruling on each claim of the article.

Claims are ruled on the records of this machine where these suffice, else on those of others, which stand beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial

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
    """Rule on every claim. `here`: the `machine_id` of this machine, whose records come first."""
    own, others = results.narrowed(partial(_is_of, here)), results.narrowed(partial(_is_of_another, here))
    # One after the other: sections cache what they read of the last results alone. Closed forms need no records.
    ours = verdicts_on(own) if own.records else {}
    theirs = verdicts_on(others) if others.records or not own.records else {}
    rulings = {claim["id"]: _ruling(claim, ours, theirs) for claim in claims()}
    cards = [_card(rulings[name]) for name in QUESTIONS]
    return Answers(cards=cards, rulings=list(rulings.values()), reproduced=_reproduced(ours, theirs))


def _card(ruling: Ruling) -> Card:
    """Return the question that a claim answers, with the verdict as its answer."""
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


def _is_of(machine: str, record: Record) -> bool:
    """Return whether a record is a machine's: what is projected is every machine's."""
    return record.evidence is Evidence.PROJECTED or str(record.environment.get("machine_id") or "") == machine


def _is_of_another(machine: str, record: Record) -> bool:
    return record.evidence is Evidence.PROJECTED or not _is_of(machine, record)


def _ruling(claim: Claim, ours: Verdicts, theirs: Verdicts) -> Ruling:
    """Return the verdict of this machine where it suffices, with that of the others; else that of the others."""
    here, there = ours.get(claim["id"]), theirs.get(claim["id"])
    in_order = [(verdict, badge) for verdict, badge in ((here, Badge.HERE), (there, Badge.ELSEWHERE)) if verdict]
    enough = [found for found in in_order if found[0].suffices]
    measured = [found for found in enough if found[0].machine]
    if not in_order:
        return _laid_out(claim, Verdict(outcome=UNMEASURED, evidence=[say(f"claim.needs.{claim['id']}")]), None)
    verdict, badge = (measured or enough or in_order)[0]
    ruling = _laid_out(claim, verdict, badge)
    is_beside = verdict is here and bool(verdict.machine) and there is not None and bool(there.machine)
    return replace(ruling, elsewhere=_laid_out(claim, there, Badge.ELSEWHERE)) if is_beside and there else ruling


def _laid_out(claim: Claim, verdict: Verdict, badge: Badge | None) -> Ruling:
    """Return a verdict with all that stands beside it."""
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


def _reproduced(ours: Verdicts, theirs: Verdicts) -> Text:
    """Count the claims that both sides ruled on by measurements, and those on which they agree."""

    def is_ruled(verdict: Verdict | None) -> bool:
        return verdict is not None and bool(verdict.machine) and verdict.suffices

    both: Sequence[str] = [name for name in ours if is_ruled(ours[name]) and is_ruled(theirs.get(name))]
    same = sum(ours[name].outcome == theirs[name].outcome for name in both)
    return say("answer.reproduced", same=same, total=len(both)) if both else ""
