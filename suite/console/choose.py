"""The chooser's answers, in the words that a terminal shows."""

from collections.abc import Callable, Sequence
from math import expm1

from suite.console.table import Column
from suite.records import numbers
from suite.theory.answers.choose import BOUND, EXPECTED, GQA, OWN, ServingAnswer, ServingAnswers, ServingQuestion
from suite.theory.devices.calibration_file import load_calibration

CLOCKS = {EXPECTED: "as expected of good kernels", BOUND: "at most, by the roofline bound"}


def variant_name(answer: ServingAnswer) -> str:
    """Return `as it is (GQA-8)`, `MLA` and the like."""
    if answer.variant == OWN:
        return "as it is" if answer.like is None else f"as it is ({_kind(answer.like, answer.kv_heads)})"
    return _kind(answer.variant, answer.kv_heads)


def layout_name(answer: ServingAnswer, question: ServingQuestion) -> str:
    """Return `tp4`, `2 replicas of tp4`, `attention dp8` and the like."""
    count = question.gpus.count
    if answer.layout is None or answer.groups is None:
        return numbers.NOTHING
    if count == 1:
        return "one device"
    if answer.layout.startswith("dp"):
        tp = count // answer.groups
        return f"attention dp{answer.groups}" + (f" over tp{tp}" if tp > 1 else "")
    if answer.groups == 1:
        return answer.layout
    return f"{answer.groups} replicas" + ("" if answer.layout == "tp1" else f" of {answer.layout}")


def sentence(question: ServingQuestion, found: ServingAnswers) -> str:
    """Say whether the model fits as it is, in which layout, and what another attention would change."""
    own, *variants = found.answers
    name = f"On {devices(question)}, {question.name} with {question.context:,} tokens a sequence"
    if own.fits:
        name += f" fits {variant_name(own)} up to batch {own.largest_batch:,}. Layout: {layout_name(own, question)}."
    elif own.layout is None:
        name = f"{question.name} cannot be laid out so: {own.why}."
    else:
        name += f" does not fit: {own.why}."
    fitting = [f"{variant_name(answer)} up to {answer.largest_batch:,}" for answer in variants if answer.fits]
    refused = [variant_name(answer) for answer in variants if answer.layout and not answer.fits]
    others = f" If it had been trained with another attention: {', '.join(fitting)}." if fitting else ""
    return name + others + (f" Would not fit: {', '.join(refused)}." if refused else "")


def devices(question: ServingQuestion) -> str:
    """Return `4 x h100-sxm5-80gb`."""
    gpus = question.gpus
    return f"{gpus.count} x " + (f"{gpus.memory_bytes / 1e9:g} GB" if gpus.device is None else gpus.device.name)


def columns(question: ServingQuestion, answers: Sequence[ServingAnswer], *, by_layout: bool = False) -> list[Column]:
    """Return a table: a row a variant, or a row a layout."""
    layouts = [layout_name(answer, question) for answer in answers]
    names = Column(title="attention", cells=[variant_name(answer) for answer in answers], is_name=True)
    table = [
        Column(title="layout", cells=layouts, is_name=True) if by_layout else names,
        Column(title="layout", cells=layouts if not by_layout else [], rank=0),
        _numbers("largest batch", answers, lambda answer: _written(answer.largest_batch, numbers.count)),
        _numbers("cache a token", answers, lambda answer: _written(answer.token_bytes, numbers.bytes_iec), rank=2),
        _numbers("a sequence", answers, lambda answer: _written(answer.sequence_bytes, numbers.bytes_iec), rank=3),
        _numbers("weights", answers, lambda answer: _written(answer.weight_bytes, numbers.bytes_iec), rank=4),
        _numbers("batch", answers, lambda answer: _written(answer.batch, numbers.count), rank=5),
        _numbers("step, bound", answers, lambda answer: _written(answer.bound_s, numbers.seconds), rank=1),
        _numbers("expected", answers, _expected),
        _numbers("tokens/s", answers, lambda answer: _written(answer.tokens_per_s, numbers.count)),
        _numbers("J/M tokens", answers, lambda answer: _written(answer.joules_per_million, numbers.joules), rank=1),
        _numbers("cost/M tokens", answers, lambda answer: _written(answer.cost_per_million, "{:,.2f}".format)),
    ]
    return [column for column in table if any(cell != numbers.NOTHING for cell in column.cells)]


def notes(question: ServingQuestion, found: ServingAnswers) -> list[str]:
    """Say by which clock rates are, how energy is counted, how far expected times may be off, and why something does
    not fit or has no expected time."""
    lines = []
    if found.by is not None:
        lines.append(
            f"tokens/s {CLOCKS[found.by]}" + ("" if found.watts is None else f"; at {found.watts:g} W a device")
        )
    families = (found.answers[0].expected_by or "").split("; ")
    calibration = load_calibration(question.gpus.device.name) if question.gpus.device else None
    if calibration is not None and found.answers[0].expected_by:
        errors = "; ".join(
            f"{family} {numbers.percent(expm1(fit.median_error))}, {numbers.percent(expm1(fit.p90_error))}"
            for family, fit in calibration.errors.items()
            if family in families
        )
        lines.append(
            "Expected times are those of single kernels that others measured; traffic between devices is not counted. "
            f"How far half of them are off at most, and nine in ten, for the model as it is: {errors}."
        )
    reasons: dict[str, list[str]] = {}
    for answer in found.answers:
        if answer.why is not None and answer.variant != OWN:
            reasons.setdefault(f"does not fit: {answer.why}", []).append(variant_name(answer))
        elif answer.expected_why is not None:
            reasons.setdefault(f"no time is expected: {answer.expected_why}", []).append(variant_name(answer))
    return lines + [f"{', '.join(names)}: {why}" for why, names in reasons.items()]


def _expected(answer: ServingAnswer) -> str:
    """`24.9 (21.6 to 30.0) ms`."""
    times = (answer.expected_s, answer.expected_low_s, answer.expected_high_s)
    if None in times:
        return _written(answer.expected_s, numbers.seconds)
    (middle, unit), *ends = [numbers.seconds(time).rsplit(" ", 1) for time in times if time is not None]
    low, high = (number if of_end == unit else f"{number} {of_end}" for number, of_end in ends)
    return f"{middle} ({low} to {high}) {unit}"


def _kind(variant: str, groups: int | None) -> str:
    return f"GQA-{groups}" if variant == GQA else variant.upper()


def _numbers(
    title: str, answers: Sequence[ServingAnswer], write: Callable[[ServingAnswer], str], rank: int = 0
) -> Column:
    return Column(title=title, cells=[write(answer) for answer in answers], rank=rank, is_number=True)


def _written(value: float | None, write: Callable[[float], str]) -> str:
    return numbers.NOTHING if value is None else write(value)
