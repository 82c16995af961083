"""The answers of a decoder that was trained on questions, as a terminal shows them."""

from collections.abc import Mapping

from suite.console.record import decode_cost
from suite.console.rl import cpu_s, sum_of_steps
from suite.console.summary import Summary, bytes_value, seconds_value, share_value
from suite.records import numbers
from suite.records.derived import constant
from suite.records.metrics import EVALUATE, TRAIN, below, within
from suite.records.plain_text import one_line
from suite.records.record import Record

MOST_KINDS = 6
"""Kinds of question that are named."""


def summary(record: Record) -> Summary:
    """What a decoder of workload=quality answers, and what its tokens cost; of groups of questions, where a task has
    some, else of all questions, and of its kinds where they are few."""
    shares, losses = (_at_last_evaluation(record, metric) for metric in ("answer_accuracy", "answer_loss"))
    groups = {name: span for name in _groups(record) if (span := within(EVALUATE, name)) in shares}
    texts = [f"{name} {numbers.percent(shares[span])}" for name, span in groups.items()]
    if not texts and EVALUATE not in shares:
        return Summary(lines=decode_cost(record))
    chance, asked = constant(record, EVALUATE, "chance"), constant(record, EVALUATE, "questions_asked")
    guessing = "" if chance is None else f" (guessing {numbers.percent(chance)})"
    if texts:
        lines = [("accuracy", f"{', '.join(texts)}{guessing}")]
    else:
        texts = [numbers.percent(shares[EVALUATE])]
        of = "" if asked is None else f" of {numbers.count(asked)} held-out questions"
        lines = [("accuracy", f"{texts[0]}{of}{guessing}")]
        kinds = [
            f"{kind} {numbers.percent(share)}" for span, share in shares.items() if (kind := below(span, EVALUATE))
        ]
        lines += [("", ", ".join(kinds))] if 0 < len(kinds) <= MOST_KINDS else []
    if EVALUATE in losses:
        lines.append(("loss", f"{losses[EVALUATE]:.3g} nats an answer"))
    trained_s, (questions, updates) = cpu_s(record, TRAIN), (sum_of_steps(record, m) for m in ("questions", "updates"))
    if questions:
        spent = f"{numbers.count(questions)} questions in {numbers.count(updates)} updates"
        lines.append(("spent", f"{spent}, {numbers.seconds(trained_s)} of process CPU time"))
    values = [share_value("answer_accuracy", "accuracy", shares[EVALUATE])] if EVALUATE in shares else []
    if values:
        values += [
            share_value(f"answer_accuracy_{name}", one_line(name), shares[span]) for name, span in groups.items()
        ]
        values.append(seconds_value("process_cpu_s", "CPU", trained_s))
        cache = constant(record, "case", "cache_bytes_per_token")
        values += [] if cache is None else [bytes_value("cache_bytes_per_token", "cache a token", cache)]
    return Summary(
        lines=[*lines, *decode_cost(record)],
        brief=f"accuracy {', '.join(texts)}   {numbers.seconds(trained_s)} CPU",
        values=values,
    )


def _groups(record: Record) -> list[str]:
    """The names of groups of questions; none where the record does not say, or not as this suite does."""
    task = record.provenance.get("task")
    groups = task.get("groups") if isinstance(task, Mapping) else None
    return list(map(str, groups)) if isinstance(groups, list) else []


def _at_last_evaluation(record: Record, metric: str) -> dict[str, float]:
    """A metric by span; nothing without an evaluation."""
    readings = record.series(metric)
    last = max((reading.step for reading in readings if reading.span == EVALUATE), default=None)
    return {reading.span: reading.value for reading in readings if reading.step == last}
