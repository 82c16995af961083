"""What a run of reinforcement learning came to, in the words that a terminal shows."""

from suite.records import numbers
from suite.records.holdings import PART, PEAK, parts_of
from suite.records.record import STEP, Record
from suite.records.rl_metrics import EVALUATE, PHASES

SHOWN = {"heldout_accuracy": "held-out accuracy", "heldout_format": "form"}
MOST_PARTS = 4
"""Of a peak's memory that are named; there may be a dozen."""


def learnt(record: Record) -> list[tuple[str, str]]:
    """Names and texts of lines; none for what is no such run or has learnt nothing yet."""
    changes = [f"{name} {change}" for metric, name in SHOWN.items() if (change := _change(record, metric))]
    if not changes:
        return []
    completions, tokens, steps = (_sum(record, metric) for metric in ("completions", "sampled_tokens", "updates"))
    spent = f"{numbers.count(completions)} completions, {numbers.count(tokens)} tokens, {numbers.count(steps)} updates"
    split = ", ".join(f"{phase} {numbers.seconds(cpu_s(record, phase))}" for phase in PHASES)
    total = numbers.seconds(sum(cpu_s(record, phase) for phase in PHASES))
    lines = [("learnt", ", ".join(changes)), ("spent", spent), ("", f"{total} of process CPU time: {split}")]
    return [*lines, *_memory(record)]


def learnt_briefly(record: Record) -> str | None:
    change = _change(record, "heldout_accuracy")
    if change is None:
        return None
    return (
        f"{SHOWN['heldout_accuracy']} {change}   {numbers.seconds(sum(cpu_s(record, phase) for phase in PHASES))} CPU"
    )


def cpu_s(record: Record, phase: str) -> float:
    """Process CPU seconds of a phase, over all steps."""
    return sum(one.process_cpu_s or 0.0 for one in record.readings if one.span == phase and one.metric == "latency_s")


def _memory(record: Record) -> list[tuple[str, str]]:
    """The phase that held most, with its largest parts; none where nothing was tracked."""
    peaks = [one for one in record.readings if one.metric == PEAK]
    if not peaks:
        return []
    peak = max(peaks, key=lambda one: one.value)
    parts = {
        named[1:]: one.value
        for one in record.readings
        if one.metric == PART and one.step == peak.step and (named := parts_of(one.span)) and named[0] == peak.span
    }
    largest = sorted(parts.items(), key=lambda part: -part[1])[:MOST_PARTS]
    told = ", ".join(f"{owner} {kind} {numbers.bytes_iec(value)}" for (owner, kind), value in largest)
    return [
        ("memory", f"peak {numbers.bytes_iec(peak.value)} in {peak.span}: {told.replace('_', ' ')}"),
        ("", "every operator was watched for it: the times above are not comparable"),
    ]


def _change(record: Record, metric: str) -> str | None:
    """From the first evaluation to the last."""
    values = {one.step: one.value for one in record.readings if one.span == EVALUATE and one.metric == metric}
    if not values:
        return None
    return f"{numbers.percent(values[min(values)])} → {numbers.percent(values[max(values)])}"


def _sum(record: Record, metric: str) -> float:
    return sum(one.value for one in record.readings if one.span == STEP and one.metric == metric)
