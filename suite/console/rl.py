"""A run of reinforcement learning, in the words that a terminal shows."""

from collections.abc import Iterator, Mapping

from suite.console.summary import Summary
from suite.console.values import Value, seconds_value, share_value
from suite.records import numbers
from suite.records.holdings import PART, PEAK, parts_of
from suite.records.metrics import EVALUATE, PHASES
from suite.records.record import STEP, Record

SHOWN = {"heldout_accuracy": "held-out accuracy", "heldout_format": "form"}
MOST_PARTS = 4
"""Parts of a peak's memory that are named; there may be a dozen."""
ACCURACY = "heldout_accuracy"


def summary(record: Record) -> Summary:
    """Tell what a run of workload=rl learnt; nothing of one that has learnt nothing yet."""
    change, spent = _change(record, ACCURACY), numbers.seconds(sum(cpu_s(record, phase) for phase in PHASES))
    brief = None if change is None else f"{SHOWN[ACCURACY]} {change}   {spent} CPU"
    return Summary(lines=_lines(record), brief=brief, values=_values(record))


def _values(record: Record) -> list[Value]:
    accuracy = _evaluated(record, ACCURACY)
    if not accuracy:
        return []
    spent_s = sum(cpu_s(record, phase) for phase in PHASES)
    reached = share_value("heldout_accuracy", "held-out accuracy", accuracy[max(accuracy)])
    return [reached, seconds_value("process_cpu_s", "CPU", spent_s)]


def _lines(record: Record) -> list[tuple[str, str]]:
    changes = [f"{name} {change}" for metric, name in SHOWN.items() if (change := _change(record, metric))]
    if not changes:
        return []
    completions, tokens, steps = (
        sum_of_steps(record, metric) for metric in ("completions", "sampled_tokens", "updates")
    )
    spent = f"{numbers.count(completions)} completions, {numbers.count(tokens)} tokens, {numbers.count(steps)} updates"
    if examples := sum_of_steps(record, "examples"):
        spent += f", {numbers.count(examples)} given texts"
    split = ", ".join(f"{phase} {numbers.seconds(cpu_s(record, phase))}" for phase in PHASES)
    total = numbers.seconds(sum(cpu_s(record, phase) for phase in PHASES))
    cost = [("spent", spent), ("", f"{total} of process CPU time: {split}")]
    return [("learnt", ", ".join(changes)), *_stages(record), *_teacher(record), *cost, *_memory(record)]


def cpu_s(record: Record, phase: str) -> float:
    """Return the process CPU seconds of a phase, over all steps."""
    return sum(reading.process_cpu_s or 0.0 for reading in record.series("latency_s", phase))


def _memory(record: Record) -> list[tuple[str, str]]:
    """Name the phase that held most, with its largest parts; none where nothing was tracked."""
    peaks = record.series(PEAK)
    if not peaks:
        return []
    peak = max(peaks, key=lambda reading: reading.value)
    parts = {
        named[1:]: reading.value
        for reading in record.series(PART)
        if reading.step == peak.step and (named := parts_of(reading.span)) and named[0] == peak.span
    }
    largest = sorted(parts.items(), key=lambda part: -part[1])[:MOST_PARTS]
    told = ", ".join(f"{owner} {kind} {numbers.bytes_iec(value)}" for (owner, kind), value in largest)
    return [
        ("memory", f"peak {numbers.bytes_iec(peak.value)} in {peak.span}: {told.replace('_', ' ')}"),
        ("", "every operator was watched for it: the times above are not comparable"),
    ]


def _stages(record: Record) -> Iterator[tuple[str, str]]:
    """Yield what each of several stages came to, by the evaluations at their ends."""
    accuracy, end = _evaluated(record, "heldout_accuracy"), 0
    texts: list[str] = []
    for kind, steps in _planned(record):
        begun, end = accuracy.get(end), end + steps
        if begun is None or end not in accuracy:
            return
        begin = "" if texts else f"{numbers.percent(begun)} "
        texts.append(f"{kind} {steps}: {begin}→ {numbers.percent(accuracy[end])}")
    if len(texts) > 1:
        yield "stages", ", ".join(texts)


def _planned(record: Record) -> list[tuple[str, int]]:
    """The kinds and steps of its stages; none where the record does not say, or not as this suite does."""
    stages = record.provenance.get("stages")
    said = [stage for stage in stages if isinstance(stage, Mapping)] if isinstance(stages, list) else []
    return [(str(stage.get("kind")), steps) for stage in said if isinstance(steps := stage.get("steps"), int)]


def _teacher(record: Record) -> Iterator[tuple[str, str]]:
    teacher = record.provenance.get("teacher")
    if not isinstance(teacher, Mapping):
        return
    accuracy, cost_s = teacher.get("heldout_accuracy"), teacher.get("process_cpu_s")
    if isinstance(accuracy, float) and isinstance(cost_s, float):
        yield "teacher", f"held-out accuracy {numbers.percent(accuracy)}, made in {numbers.seconds(cost_s)} of CPU time"


def _change(record: Record, metric: str) -> str | None:
    """Write the change from the first evaluation to the last."""
    values = _evaluated(record, metric)
    if not values:
        return None
    return f"{numbers.percent(values[min(values)])} → {numbers.percent(values[max(values)])}"


def _evaluated(record: Record, metric: str) -> dict[int, float]:
    """A metric of each evaluation, by the number of steps before it."""
    return {reading.step: reading.value for reading in record.series(metric, EVALUATE)}


def sum_of_steps(record: Record, metric: str) -> float:
    return sum(reading.value for reading in record.series(metric, STEP))
