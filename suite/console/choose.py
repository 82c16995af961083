"""The chooser's answers, in the words that a terminal shows."""

from collections.abc import Callable, Sequence

from suite.console.table import Column
from suite.records import numbers
from suite.theory.choose import BOUND, EXPECTED, GQA, OWN, Answer, Answers, Question

CLOCKS = {EXPECTED: "as expected of good kernels", BOUND: "at most, by the roofline bound"}


def variant_name(answer: Answer) -> str:
    """Return `as it is (GQA-8)`, `MLA` and the like."""
    if answer.variant == OWN:
        return "as it is" if answer.like is None else f"as it is ({_kind(answer.like, answer.kv_heads)})"
    return _kind(answer.variant, answer.kv_heads)


def sentence(question: Question, found: Answers) -> str:
    """Say what fits on the devices, the best first, and what does not."""
    fitting = [answer for answer in found.answers if answer.fits]
    others = [variant_name(answer) for answer in found.answers if not answer.fits]
    where = f"On {devices(question)}, {question.name} with {question.context:,} tokens a sequence"
    if not fitting:
        return f"{where} does not fit" + (f" at batch {question.batch:,}" if question.batch else "") + "."
    best, *rest = [f"{variant_name(answer)} up to batch {answer.largest_batch:,}" for answer in fitting]
    also = f"; {', '.join(rest)}" if rest else ""
    return f"{where} fits with {best}{also}" + (f"; not with {', '.join(others)}" if others else "") + "."


def devices(question: Question) -> str:
    """Return `4 x h100-sxm5-80gb (tp)`."""
    gpus = question.gpus
    name = f"{gpus.memory_bytes / 1e9:g} GB" if gpus.device is None else gpus.device.name
    return f"{gpus.count} x {name} ({question.way})" if gpus.count > 1 else f"1 x {name}"


def columns(found: Answers) -> list[Column]:
    """Return the table: a row a variant."""
    answers = found.answers
    kept = [
        Column(title="attention", cells=[variant_name(answer) for answer in answers], is_name=True),
        _numbers("largest batch", answers, lambda answer: _written(answer.largest_batch, numbers.count)),
        _numbers("cache a token", answers, lambda answer: _written(answer.token_bytes, numbers.bytes_iec), rank=2),
        _numbers("a sequence", answers, lambda answer: _written(answer.sequence_bytes, numbers.bytes_iec), rank=3),
        _numbers("weights", answers, lambda answer: _written(answer.weight_bytes, numbers.bytes_iec), rank=4),
        _numbers("batch", answers, lambda answer: _written(answer.batch, numbers.count), rank=5),
        _numbers("step, bound", answers, lambda answer: _written(answer.bound_s, numbers.seconds), rank=1),
        _numbers("expected", answers, lambda answer: _written(answer.expected_s, numbers.seconds), rank=1),
        _numbers("tokens/s", answers, lambda answer: _written(answer.tokens_per_s, numbers.count)),
        _numbers("J/M tokens", answers, lambda answer: _written(answer.joules_per_million, numbers.joules), rank=1),
        _numbers("cost/M tokens", answers, lambda answer: _written(answer.cost_per_million, _money)),
    ]
    return [column for column in kept if any(cell != numbers.NOTHING for cell in column.cells)]


def notes(found: Answers) -> list[str]:
    """Say by which clock rates are, how energy is counted, and why something does not fit or has no expected time."""
    lines = []
    if found.by is not None:
        lines.append(
            f"tokens/s {CLOCKS[found.by]}" + ("" if found.watts is None else f"; at {found.watts:g} W a device")
        )
    reasons: dict[str, list[str]] = {}
    for answer in found.answers:
        if answer.why is not None:
            reasons.setdefault(f"does not fit: {answer.why}", []).append(variant_name(answer))
        elif answer.expected_why is not None:
            reasons.setdefault(f"no time is expected: {answer.expected_why}", []).append(variant_name(answer))
    return lines + [f"{', '.join(names)}: {why}" for why, names in reasons.items()]


def _kind(variant: str, groups: int | None) -> str:
    return f"GQA-{groups}" if variant == GQA else variant.upper()


def _numbers(title: str, answers: Sequence[Answer], write: Callable[[Answer], str], rank: int = 0) -> Column:
    return Column(title=title, cells=[write(answer) for answer in answers], rank=rank, is_number=True)


def _written(value: float | None, write: Callable[[float], str]) -> str:
    return numbers.NOTHING if value is None else write(value)


def _money(value: float) -> str:
    return f"{value:,.2f}"
