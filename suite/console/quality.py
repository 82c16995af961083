"""The answers of a decoder that was trained on questions, as a terminal shows them."""

from collections.abc import Mapping

from suite.console.record import decode_cost
from suite.console.rl import cpu_s, step_total
from suite.console.summary import HeadlineValue, Summary
from suite.machine.plain_text import one_line
from suite.records import numbers
from suite.records.derived import constant
from suite.records.metrics import EVALUATE, TRAIN, below, within
from suite.records.record import Record

# Kinds of question that are named.
MOST_KINDS = 6


def summary(record: Record) -> Summary:
    """Accuracy, loss and cost of a decoder of workload=quality: by groups of questions if its task has some, else over
    all questions and, where they are few, by kind."""
    at_last = []
    for readings in map(record.series, ("answer_accuracy", "answer_loss")):
        last = max((reading.step for reading in readings if reading.span == EVALUATE), default=None)
        at_last.append({reading.span: reading.value for reading in readings if reading.step == last})
    accuracies, losses = at_last
    task = record.provenance.get("task")
    names = task.get("groups") if isinstance(task, Mapping) else None
    spans = {str(name): within(EVALUATE, str(name)) for name in (names if isinstance(names, list) else ())}
    groups = {name: accuracies[span] for name, span in spans.items() if span in accuracies}
    texts = [f"{name} {numbers.percent(accuracy)}" for name, accuracy in groups.items()]
    if not texts and EVALUATE not in accuracies:
        return Summary(lines=decode_cost(record))
    chance, num_questions = constant(record, EVALUATE, "chance"), constant(record, EVALUATE, "questions_asked")
    guessing = "" if chance is None else f" (guessing {numbers.percent(chance)})"
    if texts:
        lines = [("accuracy", f"{', '.join(texts)}{guessing}")]
    else:
        texts = [numbers.percent(accuracies[EVALUATE])]
        of = "" if num_questions is None else f" of {numbers.count(num_questions)} held-out questions"
        lines = [("accuracy", f"{texts[0]}{of}{guessing}")]
        kinds = [f"{kind} {numbers.percent(accuracies[s])}" for s in accuracies if (kind := below(s, EVALUATE))]
        lines += [("", ", ".join(kinds))] if 0 < len(kinds) <= MOST_KINDS else []
    if EVALUATE in losses:
        lines.append(("loss", f"{losses[EVALUATE]:.3g} nats per answer"))
    trained_s, (questions, updates) = cpu_s(record, TRAIN), (step_total(record, m) for m in ("questions", "updates"))
    if questions:
        spent = f"{numbers.count(questions)} questions in {numbers.count(updates)} updates"
        lines.append(("spent", f"{spent}, {numbers.seconds(trained_s)} of process CPU time"))
    values = []
    if EVALUATE in accuracies:
        shares = {"answer_accuracy": ("accuracy", accuracies[EVALUATE])}
        shares |= {f"answer_accuracy_{name}": (one_line(name), accuracy) for name, accuracy in groups.items()}
        values = [HeadlineValue(key, title, share, numbers.percent) for key, (title, share) in shares.items()]
        values.append(HeadlineValue("process_cpu_s", "CPU", trained_s, numbers.seconds))
        if (cache := constant(record, "case", "cache_bytes_per_token")) is not None:
            values.append(HeadlineValue("cache_bytes_per_token", "cache per token", cache, numbers.bytes_iec))
    return Summary(
        lines=[*lines, *decode_cost(record)],
        brief=f"accuracy {', '.join(texts)}   {numbers.seconds(trained_s)} CPU",
        values=values,
    )
