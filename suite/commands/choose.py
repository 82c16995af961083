"""`suite choose`: whether a model fits on so many devices, in which layout, and what another attention would change."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from math import expm1
from typing import Any

from suite.configuration.values import one_of
from suite.console.table import ConsoleColumn, number_column, say_folded, say_table
from suite.machine.plain_text import json_text, say
from suite.records import numbers
from suite.theory.answers.asked import seconds_from, sizes_from, tokens_from
from suite.theory.answers.choose import (
    BOUND,
    DEADLINES,
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
CLOCKS = {EXPECTED: "are based on expected times", BOUND: "are upper bounds from the roofline"}


def choose(options: Mapping[str, Any], *, sort: str, as_json: bool) -> int:
    """Print the answers to a question, whose tokens and sizes may be texts. Returns 3 where the model does not fit as
    it is.

    Raises ValueError, in one sentence, for a wrong question.
    """
    order: str = one_of({"sort": sort}, "sort", ORDERS)
    settings = parsed_options(options, TOKENS)
    for name in DEADLINES:
        settings[name] = None if options.get(name) is None else seconds_from(options[name], name)
    question = question_from(settings | {"sizes": sizes_from(options["sizes"]) if options.get("sizes") else None})
    result = answers_to(question, order)
    model = result.answers[0]
    if as_json:
        print(json_text({"question": settings, **asdict(result)}))
        return DONE if model.fits else DOES_NOT_FIT
    refusal = "cannot use this layout" if model.layout is None else _refusal(question, model)
    outcome = f"fits up to batch {model.largest_batch:,}" if model.fits else f"{refusal}: {model.why}"
    if model.fits and question.tpot_s is not None:
        outcome += f", and decodes a token in {numbers.seconds(question.tpot_s)} up to batch {model.batch:,}"
    sequences = f"with {question.context:,} tokens per sequence"
    say_folded(f"On {devices(question.gpus)}, {question.name} {sequences} {outcome}.")
    if any(answer.layout for answer in result.answers):
        layouts = [_layout_name(answer, question) for answer in result.answers]
        say("")
        say_table(
            [
                ConsoleColumn(title="attention", cells=list(map(_variant_name, result.answers)), is_name=True),
                ConsoleColumn(title="layout", cells=layouts),
                *_columns(question, result.answers),
            ]
        )
        if len(result.layouts) > 1:
            layouts = [_layout_name(answer, question) for answer in result.layouts]
            say("")
            say_table([ConsoleColumn(title="layout", cells=layouts, is_name=True), *_columns(question, result.layouts)])
        say("")
        say_folded(*_notes(question, result))
    return DONE if model.fits else DOES_NOT_FIT


def _refusal(question: ServingQuestion, answer: ServingAnswer) -> str:
    has_room = answer.largest_batch and (question.batch is None or question.batch <= answer.largest_batch)
    return "misses a deadline" if has_room else "does not fit"


def parsed_options(options: Mapping[str, Any], token_counts: Collection[str]) -> dict[str, Any]:
    """The options with the named token counts, such as `32k`, as numbers. Raises ValueError for a wrong count."""
    return {name: tokens_from(value, name) if name in token_counts else value for name, value in options.items()}


def devices(gpus: Gpus) -> str:
    """How GPUs are written: `4 x h100-sxm5-80gb`, or by their memory `4 x 80 GB`."""
    return f"{gpus.count} x {f'{gpus.memory_bytes / 1e9:g} GB' if gpus.device is None else gpus.device.name}"


def _variant_name(answer: ServingAnswer) -> str:
    """`as it is (GQA-8)`, `MLA` and the like."""
    variant = answer.like if answer.variant == OWN else answer.variant
    kind = f"GQA-{answer.kv_heads}" if variant == GQA else (variant or "").upper()
    return kind if answer.variant != OWN else f"as it is ({kind})" if kind else "as it is"


def _layout_name(answer: ServingAnswer, question: ServingQuestion) -> str:
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


def _columns(question: ServingQuestion, answers: Sequence[ServingAnswer]) -> list[ConsoleColumn]:
    """The columns of a table of answers, without those in which no answer has a value."""
    is_timed = question.tpot_s is not None

    def column(title: str, name: str, write: Any = numbers.count, rank: int = 0) -> ConsoleColumn:
        return number_column(title, [getattr(answer, name) for answer in answers], write, rank=rank)

    ranges = [
        None if low_s is None or high_s is None else numbers.seconds_range(low_s, high_s)
        for low_s, high_s in ((answer.expected_low_s, answer.expected_high_s) for answer in answers)
    ]
    table = [
        column("largest batch", "largest_batch"),
        column("cache per token", "token_bytes", numbers.bytes_iec, rank=3),
        column("sequence/device", "sequence_bytes", numbers.bytes_iec, rank=4),
        column("weights/device", "weight_bytes", numbers.bytes_iec, rank=5),
        column("batch", "batch", rank=0 if is_timed else 6),
        column("least time of a prompt", "prompt_s", numbers.seconds, rank=2),
        column("least step time", "bound_s", numbers.seconds, rank=2),
        column("expected time", "expected_s", numbers.seconds, rank=1),
        number_column("nine in ten within", ranges, rank=2, write=str),
        column("tokens/s", "tokens_per_s"),
        column("energy/M tokens", "joules_per_million", numbers.joules, rank=2),
        column("cost/M tokens", "cost_per_million", "{:,.2f}".format),
    ]
    return [column for column in table if any(cell != numbers.NOTHING for cell in column.cells)]


def _notes(question: ServingQuestion, result: ServingAnswers) -> list[str]:
    """Sentences below the tables: what rates and energy assume, the errors of expected times, and for each variant that
    does not fit or has no expected time the reason."""
    lines = list[str]()
    if result.by is not None:
        power = "" if result.watts is None else f" Energy assumes {result.watts:g} W per device."
        lines.append(f"Tokens per second {CLOCKS[result.by]}.{power}")
    calibration = load_calibration(question.gpus.device.name) if question.gpus.device else None
    if calibration is not None and (families := result.answers[0].expected_by):
        errors = "; ".join(
            f"{family}: {numbers.percent(expm1(fit.median_error))} and {numbers.percent(expm1(fit.p90_error))}"
            for family, fit in calibration.errors.items()
            if family in families.split("; ")
        )
        lines.append(
            "Expected times are those of single kernels that others measured, without traffic between devices. "
            f"Their median error, and the error that nine in ten stay below, for the model as it is: {errors}."
        )
    if question.tpot_s is not None:
        lines.append(
            "A batch is held to tpot by the expected time of its step, or by its bound where none is expected."
        )
    if question.ttft_s is not None:
        lines.append("A prompt’s time is the least that the roofline allows, for one prompt by itself.")
    reasons: dict[str, list[str]] = {}
    for answer in result.answers:
        if answer.why is not None and answer.variant != OWN:
            reasons.setdefault(f"{_refusal(question, answer)}: {answer.why}", []).append(_variant_name(answer))
        elif answer.expected_why is not None:
            reasons.setdefault(f"no expected time: {answer.expected_why}", []).append(_variant_name(answer))
    return lines + [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
