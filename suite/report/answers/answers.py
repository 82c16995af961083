"""The answers of a page: a card for each question that people come with, and a ruling on each claim of the article.

Claims are ruled on the records of this machine or on those of others: whichever have more pairs of runs. The verdict of
the rest stands beside it.
Readers of Markdown and CSV get the rulings as a table.
"""

from collections.abc import Sequence
from dataclasses import replace

from suite.machine.environment import machine_id
from suite.records.record import Evidence, Record
from suite.report.answers.claims import (
    Claim,
    ClaimVerdict,
    Standing,
    Verdicts,
    claims,
    commands,
    literature,
    verdicts_on,
)
from suite.report.answers.own_runs import rank_own_runs
from suite.report.answers.reproduced import reproduced
from suite.report.blocks import (
    Answers,
    Badge,
    Card,
    Figure,
    Headline,
    Kind,
    Ruling,
    Section,
    Text,
    joined,
    say,
    say_or,
    section,
)
from suite.report.evidence import lead_text
from suite.report.model.results import Results, cached_by_results
from suite.report.table import column, table

QUESTIONS = (
    "mla-faster-inference",
    "mla-less-kv-memory",
    "mla-lower-ceiling",
    "grpo-sample-efficient",
    "grpo-cheaper",
    "stages-add",
)
"""Claims that answer the questions of the cards, in their order."""


def _machine_sides(results: Results, here: str, *, with_computed: bool) -> tuple[Results, Results]:
    """The records of this machine, then those of all others. `with_computed`: computed ones stand on both sides, since
    they hold on every machine."""

    def side(is_here: bool) -> Results:
        def belongs(label: str, record: Record) -> bool:
            is_from_here = label not in results.references and record.environment.get("machine_id") == here
            return is_from_here is is_here or (with_computed and record.evidence is Evidence.PROJECTED)

        return results.narrowed(belongs)

    return side(True), side(False)


@cached_by_results
def _verdicts(results: Results, here: str) -> tuple[Verdicts, Verdicts]:
    """The verdicts of this machine's records, then those of all others."""
    from_here, elsewhere = _machine_sides(results, here, with_computed=True)
    # Closed forms need no records.
    ours = verdicts_on(from_here) if from_here.records else {}
    return ours, verdicts_on(elsewhere) if elsewhere.records or not from_here.records else {}


# The first view and the table of claims ask for the answers of the same results.
@cached_by_results
def build_answers(results: Results, here: str) -> Answers:
    """Rule on every claim and rank the person's own runs.

    `here`: the `machine_id` of this machine. Reference records are never this machine's, even where it took them.
    """
    ours, theirs = _verdicts(results, here)
    in_sections = forests(results, here)
    rulings = {
        claim["id"]: _ruling(claim, _weighed(claim["id"], ours, theirs), in_sections[claim["section"]])
        for claim in claims()
    }
    return Answers(
        own=rank_own_runs(results.own),
        cards=[_card(rulings[name]) for name in QUESTIONS if rulings[name].outcome != Standing.UNMEASURED],
        rulings=list(rulings.values()),
        reproduced=[*reproduced(*_machine_sides(results, here, with_computed=False), ours, theirs)],
    )


def _card(ruling: Ruling) -> Card:
    """A question with its answer: the ruling's own, else the text for the claim's outcome, else the outcome's word."""
    answer = ruling.answer or say_or(f"answer.card.{ruling.id}.{ruling.outcome}", ruling.word)
    if (lead := ruling.lead) and ruling.card_lead:
        decides = say("answer.decides", about=lead.about, value=lead.written, interval=lead.interval)
        ruling = replace(
            ruling, lead=ruling.card_lead, card_lead=None, flips=joined("sentence", [decides, ruling.flips])
        )
    return Card(question=say(f"answer.question.{ruling.id}"), answer=answer, ruling=ruling)


def card_headlines(results: Results, here: str, claim_id: str) -> list[Headline]:
    """The question of a claim's card with its answer and the number behind it; empty where the claim has no card."""
    headlines = []
    for ruling in (card.ruling for card in build_answers(results, here).cards if card.ruling.id == claim_id):
        word = say("answer.headline.word", word=ruling.word)
        answer = ruling.answer or say_or(f"answer.card.{claim_id}.{ruling.outcome}", word)
        text = say("answer.headline", question=say(f"answer.question.{claim_id}"), answer=answer)
        if lead := ruling.lead:
            fields = {"about": lead.about, "value": lead.written, "interval": lead.interval, "count": lead.count}
            number = say(f"answer.headline.{'interval' if lead.interval else 'alone'}", **fields)
            headlines.append(Headline(text=text, detail=joined("sentence", [number, ruling.flips])))
    return headlines


def forests(results: Results, here: str) -> dict[str, list[Figure]]:
    """By a section's id, the figures of the estimates that decide its claims, as `build_answers` rules; each once."""
    sides, figures = _verdicts(results, here), dict[str, list[Figure]]()
    for claim in claims():
        in_section = figures.setdefault(claim["section"], [])
        for figure in next((verdict.forests for verdict, _ in _weighed(claim["id"], *sides)), []):
            if (figure.title, figure.facets) not in [(drawn.title, drawn.facets) for drawn in in_section]:
                in_section.append(figure)
    return figures


def _weighed(claim_id: str, ours: Verdicts, theirs: Verdicts) -> list[tuple[ClaimVerdict, Badge]]:
    """The verdicts of both sides on a claim, the deciding one first.

    One of enough records goes before others, then a measured one before closed forms, then that of more pairs, so that
    a few runs of one's own do not outweigh many; else this machine's.
    """
    sides = [(ours.get(claim_id), Badge.HERE), (theirs.get(claim_id), Badge.ELSEWHERE)]
    verdicts = [(verdict, badge) for verdict, badge in sides if verdict]
    # Sizes and timings count no pairs, and are compared with no number of them.
    are_pairs = all(verdict.pairs for verdict, _ in verdicts)

    def weight(side: tuple[ClaimVerdict, Badge]) -> tuple[bool, bool, int]:
        verdict = side[0]
        return verdict.suffices, verdict.suffices and bool(verdict.machine), verdict.pairs if are_pairs else 0

    return sorted(verdicts, key=weight, reverse=True)


def _ruling(claim: Claim, verdicts: Sequence[tuple[ClaimVerdict, Badge]], figures: Sequence[Figure]) -> Ruling:
    """A ruling by the first verdict, with the other beside it where both were measured; without one, the ruling says
    what the claim needs. `figures`: all estimates of the claim's section, between which a reader chooses."""
    if not verdicts:
        needs = say(f"claim.needs.{claim['id']}")
        return _ruling_by(claim, ClaimVerdict(outcome=Standing.UNMEASURED, evidence=[needs]), None)
    ruling, *others = [_ruling_by(claim, *side) for side in verdicts]
    if ruling.lead and (own := verdicts[0][0].forests):
        # A choice is offered where several estimates have one title.
        if [figure for figure in figures if figure.title == own[0].title][1:]:
            ruling = replace(ruling, lead=replace(ruling.lead, link={**ruling.lead.link, **own[0].facets}))
        if ruling.card_lead:
            ruling = replace(ruling, card_lead=replace(ruling.card_lead, link=own[-1].facets if own[1:] else {}))
    measured = [other for other in others if ruling.machine and other.machine and other.lead]
    return replace(ruling, beside=measured[0] if measured else None)


def _ruling_by(claim: Claim, verdict: ClaimVerdict, badge: Badge | None) -> Ruling:
    """Lay a verdict out with its claim's texts; computed ones get the badge PROJECTED, one by definition none."""
    claim_id = claim["id"]
    if verdict.outcome == Standing.DEFINED:
        badge = None
    elif badge is not None and (verdict.is_projected or not verdict.machine):
        badge = Badge.PROJECTED
    return Ruling(
        id=claim_id,
        claim=say(f"claim.{claim_id}"),
        outcome=verdict.outcome,
        word=verdict.word,
        badge=badge,
        machine="" if badge is Badge.PROJECTED else verdict.machine,
        lead=verdict.lead,
        card_lead=verdict.card_lead,
        flips=verdict.flips,
        peer=verdict.peer,
        evidence=verdict.evidence,
        answer=verdict.answer,
        rule=joined("sentence", [say(f"claim.compares.{claim_id}"), say(f"claim.evidence.{claim['evidence']}")]),
        supporting=literature(claim, "for"),
        opposing=literature(claim, "against", "qualifies"),
        commands=commands(claim),
        section=claim["section"],
    )


def build(results: Results) -> Section:
    """The table of claims: for each its verdict, its one number, when it changes, and the commands to measure it."""
    answers = build_answers(results, machine_id())

    def machine(ruling: Ruling) -> Text:
        return joined("list", [say(f"claim.badge.{ruling.badge}"), ruling.machine]) if ruling.badge else ""

    rulings = table(
        say("claims.table"),
        answers.rulings,
        [
            column("claim.claim", lambda ruling: ruling.claim, kind=Kind.LONG),
            column("claim.verdict", lambda ruling: ruling.word),
            column("claim.number", lambda ruling: lead_text(ruling.lead), kind=Kind.LONG),
            column("claim.flips", lambda ruling: ruling.flips, kind=Kind.LONG),
            column("claim.machine", machine),
            column("claim.command", lambda ruling: "; ".join(ruling.commands), kind=Kind.CODE),
        ],
        note=joined("sentence", [*answers.reproduced, say("claim.note")]),
    )
    return section("claims", tables=[rulings])
