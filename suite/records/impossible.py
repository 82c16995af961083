"""Timings that no device can have given: faster than its roofline.

Public collections of GPU timings have such rows, up to 1.7 times a card's bandwidth in decoding and 260 times its peak
in a prefill, where a kernel did not compute what it was timed for. A check of the output finds that before; this finds
what was written without one.
"""

from collections.abc import Iterable
from statistics import median

from suite.records import numbers
from suite.records.derived import by_launch, ceilings_of, constant
from suite.records.record import SAMPLES, Evidence, Record, Status
from suite.theory.devices.hardware import hardware_reported_as, load_hardware
from suite.theory.layers.roofline import Ceilings

SPECIFIED_SLACK = 1.1
"""Times a published peak: at its boost clock an H100 computes 8 % above it."""
MEASURED_SLACK = 2.0
"""Times what a run's own probes reached, which are no limit: on a CPU our decode kernel reads 1.4 times as fast."""


def impossible_timings(record: Record) -> Iterable[str]:
    """Yield a sentence for each span whose median latency lies below its device's roofline, with its first row."""
    if record.status is not Status.OK or record.evidence is not Evidence.MEASURED:
        return
    first = {one.span: row for row, one in reversed([*enumerate(record.readings)]) if one.metric == "latency_s"}
    for span, row in sorted(first.items(), key=lambda item: item[1]):
        flops, traffic = constant(record, span, "flops"), constant(record, span, "traffic_bytes")
        found = _limits(record, span)
        if flops is None or traffic is None or found is None:
            continue
        median_s = median(map(median, by_launch(record.series("latency_s", span))))
        ceilings, slack, name = found
        bound_s = ceilings.bound_s(flops=flops, traffic_bytes=traffic)
        if median_s > 0 and median_s * slack < bound_s:  # what is no time at all is named as such
            reached = (
                f"{flops / median_s / 1e9:,.0f} GFLOP/s"
                if ceilings.regime(flops=flops, traffic_bytes=traffic) == "compute"
                else f"{traffic / median_s / 1e9:,.0f} GB/s"
            )
            yield (
                f"{SAMPLES} row {row}: {span}: {numbers.seconds(median_s)}, which is {reached}, is "
                f"{bound_s / median_s:.3g} times as fast as {name} allows"
            )


def _limits(record: Record, span: str) -> tuple[Ceilings, float, str] | None:
    """The ceilings of a span's device, the slack that they need, and what they are; None where nothing is known."""
    gpus = record.environment.get("gpus")
    # A product of float32 may be told to take a faster type, whose peak is another.
    is_exact = record.settings.get("matmul_precision") in (None, "highest")
    if record.case.axes.get("device") == "cuda" and is_exact and isinstance(gpus, list) and gpus:
        name = hardware_reported_as(str(gpus[0]))
        known = load_hardware(name).ceilings(str(record.case.axes.get("dtype"))) if name else None
        if known is not None:
            return known, SPECIFIED_SLACK, f"the specification of {name}"
    measured = ceilings_of(record, span)
    return None if measured is None else (measured, MEASURED_SLACK, "the roofline that the run itself measured")
