"""The verdict on a claim by the first of its questions that records bear on, and the sentences that say why.

Other questions, `beside` it, are told next to the estimate and decide nothing, unless they limit a supported claim.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from suite.report.answers.claims import Claim, ClaimVerdict, Standing, setting_name
from suite.report.answers.estimates import DIGITS, Check, PooledTrials, pooled_trials
from suite.report.answers.trials import Question, Trial, machine_label
from suite.report.blocks import Lead, Text, joined, say, say_or
from suite.report.model.experiment import grouped
from suite.statistics.paired import ArmOutcome
from suite.statistics.pooled import FEWEST_DRAWS, Conclusion

FEWEST_SPREAD = 3  # families from which on an interval tells something if they are taken as draws
MOST_CHANGES = 2  # settings that the line on when an answer changes names
# The standing of a claim that the first arm is higher, and of one that it is lower: contradicted only by a clear
# difference the other way.
STANDINGS = {
    Conclusion.HIGHER: (Standing.SUPPORTED, Standing.CONTRADICTED),
    Conclusion.LOWER: (Standing.CONTRADICTED, Standing.SUPPORTED),
    Conclusion.EQUAL: (Standing.EQUAL, Standing.EQUAL),
    Conclusion.NOT_HIGHER: (Standing.BOUNDED, Standing.OPEN),
    Conclusion.NOT_LOWER: (Standing.OPEN, Standing.BOUNDED),
    Conclusion.OPEN: (Standing.OPEN, Standing.OPEN),
    Conclusion.UNITS_DIFFER: (Standing.DEPENDS, Standing.DEPENDS),
    Conclusion.DEPENDS: (Standing.DEPENDS, Standing.DEPENDS),
    Conclusion.FEW: (Standing.UNTESTED, Standing.UNTESTED),
}
Answered = tuple[Question, PooledTrials]


def answer_question(
    design: Question, question: Question, trials: Callable[[Question], Sequence[Trial]]
) -> PooledTrials | None:
    """The estimate that answers a question, with the measures under its `also` as other scales; None without trials."""
    scales = [trials({**question, "measure": measure}) for measure in question.get("also", ())]
    return pooled_trials(design, trials(question), scales)


def decide_by_trials(claim: Claim, trials: Callable[[Question], Sequence[Trial]]) -> ClaimVerdict | None:
    """The verdict by the first question under `decides` on which there are trials; None where there are none. The other
    questions are told and decide nothing, except as `outcome_within` says."""
    design = claim["trial"]

    def answered(questions: Sequence[Question]) -> list[Answered]:
        answers = ((question, answer_question(design, question, trials)) for question in questions)
        return [(question, answer) for question, answer in answers if answer is not None]

    deciding = answered(design["decides"])
    if not deciding:
        return None
    (question, answer), *stand_ins = deciding
    limits = [*stand_ins, *answered(design.get("beside", ()))]
    conclusion = answer.conclusion
    alone = STANDINGS[conclusion][question.get("supports") == "lower"]
    condition = design.get("depends_on") if alone == Standing.SUPPORTED else None
    outcome, limited_by = outcome_within(alone, [] if condition else limits)
    lead_question, lead_answer = question, answer
    turned = [_beside("claim.unless", *limit) for limit in limited_by]
    if limited_by and outcome in (Standing.EQUAL, Standing.CONTRADICTED):
        # The words of these are for what the limiting question came to.
        lead_question, lead_answer = limited_by[0]
        turned = [_beside("claim.beside", question, answer)]
    # None of the settings in which two units differ that contradict each other can be ruled out.
    differing = [name for name in answer.over if len({trial.value(name) for trial in answer.contrary}) > 1]
    differing += [check.on for check in answer.undone_by]
    dividing, flips = ["task" if name == DIGITS else name for name in differing], _when_it_changes(answer)
    if condition:
        outcome, dividing, flips = Standing.DEPENDS, [condition], say(f"answer.flips.{condition}")
    # The lead links to the task that differs most, on which its section opens; the section on tiers has no other.
    furthest = max(lead_answer.tested or lead_answer.trials, key=lambda trial: abs(trial.comparison.mean))
    task = furthest.arms[0].value("task")
    measure = _about(lead_question)
    card_lead: Lead | None = None
    card_answer: Text = ""
    figures = [lead_answer.forest(measure)]
    for limit, limiting in limits:
        if "leads_card" in limit and limiting.tested:
            card_lead = limiting.lead(_about(limit))
            versus = say_or(f"answer.versus.{outcome}", say(f"claim.outcome.{outcome}"))
            card_answer = joined("notes", [say(f"answer.{limit['says']}.{limiting.conclusion}"), versus])
            figures.append(limiting.forest(_about(limit)))
    on_card = (_beside("claim.beside", *limit) for limit in limits if limit[0].get("on_card"))
    return ClaimVerdict(
        outcome=outcome,
        answer=card_answer,
        card_lead=card_lead,
        evidence=[*_evidence(answer, _about(question)), *(_beside("claim.beside", *limit) for limit in limits)],
        depends_on=joined("and", map(setting_name, dict.fromkeys(dividing))),
        lead=replace(
            lead_answer.lead(measure, names_arms=lead_answer is answer),
            link={"task": task} if task not in ("", "tiers") and claim["section"] != "quality_tiers" else {},
        ),
        flips=joined("sentence", turned or [*on_card, flips]),
        limit=joined("sentence", turned),
        machine=machine_label(lead_answer.first.arms[0].first),
        suffices=conclusion is not Conclusion.FEW,
        pairs=lead_answer.pairs,
        forests=[figure for figure in figures if figure],
    )


def outcome_within(alone: Standing, limits: Sequence[Answered]) -> tuple[Standing, Sequence[Answered]]:
    """The standing of a claim that its deciding question gives `alone`, and the other questions that limit it.

    Only a supported claim is limited: it gets the standing that the first such question names under `unless` for its
    own conclusion, or under `else` there for any other.
    """
    outcome, limited_by = alone, list[Answered]()
    for question, answer in limits if alone == Standing.SUPPORTED else ():
        standings = question.get("unless", {})
        standing = Standing(standings.get(answer.conclusion, standings.get("else", Standing.SUPPORTED)))
        if standing != Standing.SUPPORTED:
            outcome = outcome if limited_by else standing
            limited_by.append((question, answer))
    return outcome, limited_by


def _about(question: Question) -> Text:
    return say(f"claim.about.{question.get('says', question['measure'])}")


def _evidence(answer: PooledTrials, measure: Text) -> list[Text]:
    """Sentences: on the mean over several units, on each unit, and on the settings that clearly move the estimate."""
    sentences = list[Text]()
    if len(answer.tested) > 1:
        verdict = say(f"claim.said.{answer.conclusion}")
        mean = say("claim.mean", about=measure, units=answer.counted, value=answer.value, said=verdict)
        sentences.append(joined("sentence", [mean, answer.scope]))
    sentences += [_check_text(check, answer) for check in answer.undone_by]
    if len(answer.tested) >= FEWEST_SPREAD and not answer.pooled.is_about_others:
        as_draws = replace(answer.pooled, are_draws=True)
        sentences.append(
            say("claim.as_draws", value=answer.value_of(as_draws), said=say(f"claim.said.{as_draws.conclusion}"))
        )
    for trial in answer.judged:
        fields = {"unit": answer.unit_name(trial), "name": trial.name, "count": trial.comparison.pairs}
        verdict = say(f"claim.said.{trial.comparison.outcome}")
        sentences.append(say("claim.unit", value=trial.estimate, said=verdict, **fields))
    if answer.effects:
        counts = {"clear": len(answer.clear_effects), "total": len(answer.effects)}
        sentences += [say("claim.changes", **counts), *answer.clear_effects]
    return sentences


def _beside(key: str, question: Question, answer: PooledTrials) -> Text:
    fields = {"about": _about(question), "said": say(f"claim.said.{answer.conclusion}")}
    return say(key, value=answer.value, **fields) if answer.tested else say("claim.beside.few", **fields)


def _check_text(check: Check, answer: PooledTrials) -> Text:
    said = say(f"claim.said.{check.pooled.conclusion}")
    return say("claim.check", change=check.change, value=answer.value_of(check.pooled), said=said)


def _when_it_changes(answer: PooledTrials) -> Text:
    """Say how each family came out where they are few, what undoes the estimate, which families contradict each other,
    which learnt nothing, and which settings move the estimate most."""
    sentences = list[Text]()
    if 1 < len(answer.tested) < FEWEST_DRAWS:
        by_outcome = grouped(answer.tested, lambda trial: trial.comparison.outcome)
        for outcome, families in by_outcome.items():
            names = joined("and", map(answer.unit_name, families))
            sentences.append(say("claim.by_family", units=names, said=say(f"claim.said.{outcome}")))
    by_setting = {check.on: check for check in reversed(answer.undone_by)}
    sentences += [_check_text(check, answer) for check in reversed(by_setting.values())]
    if answer.contrary:
        first, second = (say("claim.side", unit=answer.unit_name(t), value=t.estimate) for t in answer.contrary)
        sentences.append(say("claim.sides", first=first, second=second))
    unlearnt = [trial for trial in answer.trials if trial.comparison.outcome is ArmOutcome.FLOOR]
    if unlearnt and answer.tested:
        sentences.append(say("claim.floored", units=joined("list", map(answer.unit_name, unlearnt))))
    if answer.clear_effects:
        sentences.append(say("claim.moves", told=joined("sentence", answer.clear_effects[:MOST_CHANGES])))
    elif answer.effects:
        sentences.append(say("claim.moves.none", total=len(answer.effects)))
    elif not sentences:
        sentences.append(say("claim.moves.untried"))
    return joined("sentence", sentences)
