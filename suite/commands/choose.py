"""`suite choose`: whether a model fits on so many devices, in which layout, and what another attention would change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import expm1
from typing import Any

from suite.configuration.values import one_of
from suite.console.table import ConsoleColumn, number_column, say_folded, say_table
from suite.records import numbers
from suite.records.plain_text import json_text, say
from suite.theory.answers.asked import sizes_from, tokens_from
from suite.theory.answers.choose import (
    BOUND,
    EXPECTED,
    GQA,
    ORDERS,
    OWN,
    ServingAnswer,
    ServingAnswers,
    ServingQuestion,
    answers_to,
    question_from,
)
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.gpus import Gpus

DONE, DOES_NOT_FIT = 0, 3
TOKENS = ("context", "new_tokens")
CLOCKS = {EXPECTED: "as expected of good kernels", BOUND: "at most, by the roofline bound"}


def choose(given: Mapping[str, Any], *, sort: str, as_json: bool) -> int:
    """Print the answers to a question, whose tokens and sizes may be texts. Returns 3 where the model does not fit as
    it is.

    Raises ValueError, in one sentence, for a wrong question.
    """
    order: str = one_of({"sort": sort}, "sort", ORDERS)
    read: dict[str, Any] = {
        name: tokens_from(value, name) if name in TOKENS else value for name, value in given.items()
    }
    question = question_from(read | {"sizes": sizes_from(read["sizes"]) if read.get("sizes") else None})
    chosen = answers_to(question, order)
    if as_json:
        print(json_text({"question": read, **asdict(chosen)}))
    else:
        _print(question, chosen)
    return DONE if chosen.answers[0].fits else DOES_NOT_FIT


def _print(question: ServingQuestion, chosen: ServingAnswers) -> None:
    own = chosen.answers[0]
    fits = "cannot be laid out so" if own.layout is None else "does not fit"
    outcome = f"fits up to batch {own.largest_batch:,}" if own.fits else f"{fits}: {own.why}"
    say_folded(f"{question.name}, {question.context:,} tokens a sequence, on {devices(question.gpus)}: {outcome}.")
    if not any(answer.layout for answer in chosen.answers):
        return
    for title, answers in (("attention", chosen.answers), ("layout", chosen.layouts)):
        if title == "attention" or len(answers) > 1:
            names = [
                variant_name(answer) if title == "attention" else layout_name(answer, question) for answer in answers
            ]
            say("")
            say_table([ConsoleColumn(title=title, cells=names, is_name=True), *columns(question, answers, title)])
    say("")
    say_folded(*notes(question, chosen))


def devices(gpus: Gpus) -> str:
    """`4 x h100-sxm5-80gb`, `4 x 80 GB`"""
    return f"{gpus.count} x {f'{gpus.memory_bytes / 1e9:g} GB' if gpus.device is None else gpus.device.name}"


def variant_name(answer: ServingAnswer) -> str:
    """`as it is (GQA-8)`, `MLA` and the like."""
    variant = answer.like if answer.variant == OWN else answer.variant
    kind = f"GQA-{answer.kv_heads}" if variant == GQA else (variant or "").upper()
    return kind if answer.variant != OWN else f"as it is ({kind})" if kind else "as it is"


def layout_name(answer: ServingAnswer, question: ServingQuestion) -> str:
    """`tp4`, `2 replicas of tp4`, `attention dp8` and the like."""
    if answer.layout is None or answer.groups is None:
        return numbers.NOTHING
    count = question.gpus.count
    if count == 1:
        return "one device"
    if answer.layout.startswith("dp"):
        tp = count // answer.groups
        return f"attention dp{answer.groups}" + (f" over tp{tp}" if tp > 1 else "")
    if answer.groups == 1:
        return answer.layout
    return f"{answer.groups} replicas" + ("" if answer.layout == "tp1" else f" of {answer.layout}")


def columns(question: ServingQuestion, answers: Sequence[ServingAnswer], title: str) -> list[ConsoleColumn]:
    """What is known of the answers, a row each."""
    layouts = [layout_name(answer, question) for answer in answers] if title == "attention" else []

    def column(title: str, name: str, write: Any = numbers.count, rank: int = 0) -> ConsoleColumn:
        return number_column(title, [getattr(answer, name) for answer in answers], write, rank=rank)

    table = [
        ConsoleColumn(title="layout", cells=layouts),
        column("largest batch", "largest_batch"),
        column("cache a token", "token_bytes", numbers.bytes_iec, rank=2),
        column("a sequence", "sequence_bytes", numbers.bytes_iec, rank=3),
        column("weights", "weight_bytes", numbers.bytes_iec, rank=4),
        column("batch", "batch", rank=5),
        column("step, bound", "bound_s", numbers.seconds, rank=1),
        column("expected", "expected_s", numbers.seconds),
        number_column("nine in ten within", answers, _ends, rank=1),
        column("tokens/s", "tokens_per_s"),
        column("J/M tokens", "joules_per_million", numbers.joules, rank=1),
        column("cost/M tokens", "cost_per_million", "{:,.2f}".format),
    ]
    return [column for column in table if any(cell != numbers.NOTHING for cell in column.cells)]


def _ends(answer: ServingAnswer) -> str:
    if answer.expected_low_s is None or answer.expected_high_s is None:
        return numbers.NOTHING
    return numbers.seconds_range(answer.expected_low_s, answer.expected_high_s)


def notes(question: ServingQuestion, chosen: ServingAnswers) -> list[str]:
    """The clock of rates, how energy is counted, how far expected times may be off, and why something does not fit or
    has no expected time."""
    own, lines = chosen.answers[0], list[str]()
    if chosen.by is not None:
        power = "" if chosen.watts is None else f"; at {chosen.watts:g} W a device"
        lines.append(f"tokens/s {CLOCKS[chosen.by]}{power}")
    calibration = load_calibration(question.gpus.device.name) if question.gpus.device else None
    if calibration is not None and own.expected_by:
        errors = "; ".join(
            f"{family} {numbers.percent(expm1(fit.median_error))}, {numbers.percent(expm1(fit.p90_error))}"
            for family, fit in calibration.errors.items()
            if family in own.expected_by.split("; ")
        )
        lines.append(
            "Expected times are those of single kernels that others measured; traffic between devices is not counted. "
            f"How far half of them are off at most, and nine in ten, for the model as it is: {errors}."
        )
    reasons: dict[str, list[str]] = {}
    for answer in chosen.answers:
        if answer.why is not None and answer.variant != OWN:
            reasons.setdefault(f"does not fit: {answer.why}", []).append(variant_name(answer))
        elif answer.expected_why is not None:
            reasons.setdefault(f"no time is expected: {answer.expected_why}", []).append(variant_name(answer))
    return lines + [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
