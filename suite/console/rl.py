"""A run of reinforcement learning, as a terminal shows it."""

from collections.abc import Mapping, Sequence

from suite.console.summary import HeadlineValue, Summary
from suite.records import numbers
from suite.records.holdings import OF_GPU, PART, PEAK, holder_parts
from suite.records.metrics import EVALUATE, PHASES
from suite.records.record import STEP, Record

ACCURACY, TITLES = "heldout_accuracy", {"heldout_accuracy": "held-out accuracy", "heldout_format": "format"}
SPENT = {
    "completions": "completions",
    "sampled_tokens": "tokens",
    "updates": "updates",
    "examples": "given texts",
}
COUNTED = dict(zip(OF_GPU, ("allocated", "reserved", "in use on the GPU, with context and others"), strict=True))
# Parts of a peak's memory that are named; there may be a dozen.
MOST_PARTS = 4


def summary(record: Record) -> Summary:
    """First and last accuracy, samples, CPU time and memory of an RL run; empty before any evaluation."""
    curves = {metric: evaluated(record, metric) for metric in TITLES}
    if not any(curves.values()):
        return Summary()
    changes = {
        metric: f"{TITLES[metric]} {numbers.percent(curve[min(curve)])} → {numbers.percent(curve[max(curve)])}"
        for metric, curve in curves.items()
        if curve
    }
    times_s = {phase: cpu_s(record, phase) for phase in PHASES}
    total_s, counts = sum(times_s.values()), {name: step_total(record, metric) for metric, name in SPENT.items()}
    spent = [f"{numbers.count(count)} {name}" for name, count in counts.items() if count or name != SPENT["examples"]]
    phases = ", ".join(f"{phase} {numbers.seconds(time_s)}" for phase, time_s in times_s.items())
    teacher: list[tuple[str, str]] = []
    taught = record.provenance.get("teacher")
    reached, cost_s = (
        taught.get(name) if isinstance(taught, Mapping) else None for name in (ACCURACY, "process_cpu_s")
    )
    if isinstance(reached, float) and isinstance(cost_s, float):
        made = f"made in {numbers.seconds(cost_s)} of CPU time"
        teacher = [("teacher", f"{TITLES[ACCURACY]} {numbers.percent(reached)}, {made}")]
    gpu_memory: list[tuple[str, str]] = []
    for phase in PHASES:
        series = {name: record.series(metric, phase) for metric, name in COUNTED.items()}
        most = {name: max(reading.value for reading in readings) for name, readings in series.items() if readings}
        if most:
            peaks = ", ".join(f"{numbers.bytes_iec(value)} {name}" for name, value in most.items())
            gpu_memory.append(("" if gpu_memory else "GPU memory", f"{phase}: {peaks}"))
    lines = [
        ("learnt", ", ".join(changes.values())),
        *_stages(record, curves[ACCURACY]),
        *teacher,
        ("spent", ", ".join(spent)),
        ("", f"{numbers.seconds(total_s)} of process CPU time: {phases}"),
        *_memory(record),
        *gpu_memory,
    ]
    if not (accuracy := curves[ACCURACY]):
        return Summary(lines=lines)
    return Summary(
        lines=lines,
        brief=f"{changes[ACCURACY]}   {numbers.seconds(total_s)} CPU",
        values=[
            HeadlineValue(ACCURACY, TITLES[ACCURACY], accuracy[max(accuracy)], numbers.percent),
            HeadlineValue("process_cpu_s", "CPU", total_s, numbers.seconds),
        ],
    )


def evaluated(record: Record, metric: str) -> dict[int, float]:
    """A metric's value at each evaluation, by the number of steps before it."""
    readings = record.series(metric, EVALUATE)
    return dict(zip(readings.column("step"), readings.column("value"), strict=True))


def cpu_s(record: Record, phase: str) -> float:
    """The process CPU seconds of a phase, over all steps."""
    times_s: list[float] = record.series("latency_s", phase).array("process_cpu_s", empty=0.0).tolist()
    return sum(times_s)


def step_total(record: Record, metric: str, span: str = STEP) -> float:
    """The sum of a metric's readings in a span, over all steps."""
    values: Sequence[float] = record.series(metric, span).column("value")
    return sum(values)


def _stages(record: Record, accuracy: Mapping[int, float]) -> list[tuple[str, str]]:
    """One line of the accuracy after each training stage; none for a single stage, or where it was not evaluated."""
    stages = record.provenance.get("stages")
    texts, end = list[str](), 0
    for stage in stages if isinstance(stages, list) else ():
        if not isinstance(stage, Mapping) or not isinstance(steps := stage.get("steps"), int):
            continue
        begin, end = end, end + steps
        # A stage that was cut short has no evaluation at its end, and nor has any that follows.
        if not {begin, end} <= accuracy.keys():
            break
        change = "" if texts else f"{numbers.percent(accuracy[begin])} "
        texts.append(f"{stage.get('kind')} {steps}: {change}→ {numbers.percent(accuracy[end])}")
    return [("stages", ", ".join(texts))] if len(texts) > 1 else []


def _memory(record: Record) -> list[tuple[str, str]]:
    """The phase that held most, with its largest parts; nothing where nothing was tracked."""
    if not (peaks := record.series(PEAK)):
        return []
    peak = max(peaks, key=lambda reading: reading.value)
    parts = largest_parts(record, peak.span, step=peak.step)[:MOST_PARTS]
    listed = ", ".join(f"{name} {numbers.bytes_iec(nbytes)}" for name, nbytes in parts)
    return [
        ("memory", f"peak {numbers.bytes_iec(peak.value)} in {peak.span}: {listed}"),
        ("", "every operator was watched to find it, so the times above cannot be compared"),
    ]


def largest_parts(record: Record, phase: str, step: int = 0) -> list[tuple[str, float]]:
    """The bytes that a phase held at its peak by owner and kind, as `policy kv cache`, the largest first."""
    parts = {
        f"{named[1]} {named[2].replace('_', ' ')}": reading.value
        for reading in record.series(PART)
        if reading.step == step and (named := holder_parts(reading.span)) and named[0] == phase
    }
    return sorted(parts.items(), key=lambda part: -part[1])
