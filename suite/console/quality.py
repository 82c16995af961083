"""The answers of a decoder that was trained on questions, in the words that a terminal shows."""

from collections.abc import Iterator, Mapping

from suite.console.decode_cost import decoded
from suite.console.rl import cpu_s, sum_of_steps
from suite.console.summary import Summary
from suite.console.values import Value, bytes_value, seconds_value, share_value
from suite.records import numbers
from suite.records.derived import constant
from suite.records.metrics import EVALUATE, TRAIN, below, within
from suite.records.plain_text import one_line
from suite.records.record import Record

MOST_KINDS = 6
"""Kinds of question that are named."""


def summary(record: Record) -> Summary:
    """Tell what a decoder of workload=quality answers, and what its tokens cost."""
    shares = _last(record, "answer_accuracy")
    told = _named(shares, _groups(record)) or ([numbers.percent(shares[EVALUATE])] if EVALUATE in shares else [])
    brief = f"accuracy {', '.join(told)}   {numbers.seconds(cpu_s(record, TRAIN))} CPU" if told else None
    return Summary(lines=[*_lines(record), *decoded(record)], brief=brief, values=_values(record))


def _values(record: Record) -> list[Value]:
    shares, kept = _last(record, "answer_accuracy"), constant(record, "case", "cache_bytes_per_token")
    if EVALUATE not in shares:
        return []
    values = [share_value("answer_accuracy", "accuracy", shares[EVALUATE])]
    for name in _groups(record):
        if (span := within(EVALUATE, name)) in shares:
            values.append(share_value(f"answer_accuracy_{name}", one_line(name), shares[span]))
    values.append(seconds_value("process_cpu_s", "CPU", cpu_s(record, TRAIN)))
    return [*values, *([] if kept is None else [bytes_value("cache_bytes_per_token", "cache a token", kept)])]


def _lines(record: Record) -> list[tuple[str, str]]:
    """Names and texts; none of what has answered nothing yet."""
    lines = list(_shares(record))
    losses = _last(record, "answer_loss")
    if lines and EVALUATE in losses:
        lines.append(("loss", f"{losses[EVALUATE]:.3g} nats an answer"))
    questions, updates = (sum_of_steps(record, metric) for metric in ("questions", "updates"))
    if lines and questions:
        cost = f"{numbers.seconds(cpu_s(record, TRAIN))} of process CPU time"
        lines.append(("spent", f"{numbers.count(questions)} questions in {numbers.count(updates)} updates, {cost}"))
    return lines


def _shares(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the groups where a task has some; else the whole, and its kinds where they are few."""
    shares, chance = _last(record, "answer_accuracy"), constant(record, EVALUATE, "chance")
    guessing = "" if chance is None else f" (guessing {numbers.percent(chance)})"
    if groups := _named(shares, _groups(record)):
        yield "accuracy", f"{', '.join(groups)}{guessing}"
    elif EVALUATE in shares:
        asked = constant(record, EVALUATE, "questions_asked")
        of = "" if asked is None else f" of {numbers.count(asked)} held-out questions"
        yield "accuracy", f"{numbers.percent(shares[EVALUATE])}{of}{guessing}"
        kinds = _named(shares, [kind for span in shares if (kind := below(span, EVALUATE))])
        if 0 < len(kinds) <= MOST_KINDS:
            yield "", ", ".join(kinds)


def _named(shares: Mapping[str, float], names: list[str]) -> list[str]:
    return [f"{name} {numbers.percent(shares[span])}" for name in names if (span := within(EVALUATE, name)) in shares]


def _groups(record: Record) -> list[str]:
    """The names of groups of questions; none where the record does not say, or not as this suite does."""
    task = record.provenance.get("task")
    groups = task.get("groups") if isinstance(task, Mapping) else None
    return list(map(str, groups)) if isinstance(groups, list) else []


def _last(record: Record, metric: str) -> dict[str, float]:
    """A metric by span at the last evaluation; nothing without one."""
    of_metric = record.series(metric)
    last = max((reading.step for reading in of_metric if reading.span == EVALUATE), default=None)
    return {reading.span: reading.value for reading in of_metric if reading.step == last}
