"""A projection of a step's memory, as a terminal shows it."""

from suite.console.rl import largest_parts
from suite.console.summary import Cost, HeadlineValue, Summary
from suite.records import numbers
from suite.records.derived import noted
from suite.records.holdings import PEAK
from suite.records.metrics import PHASES
from suite.records.record import Record

MOST_PARTS = 6
# Beginnings of spans: before the gigabytes of one GPU, and before how many devices there are.
GPU, SHARDS = "gpu_", "shards_"
# The span of what is said of the GPUs at hand, and what its phases' spans begin with.
GPUS = "gpus"


def summary(record: Record) -> Summary:
    """Peak memory of a projected RL step, its largest parts and the GPUs that hold it; empty without a projection."""
    peaks = {reading.span: reading.value for reading in record.series(PEAK)}
    if not peaks or not record.series("peak_bytes_per_device"):
        return Summary()
    phase = max(peaks, key=lambda name: peaks[name])
    tried = [reading.span.removeprefix(SHARDS) for reading in record.series("peak_bytes_per_device")]
    most = max(int(count) for count in tried if count.isdecimal())
    fits = f"no set of up to {most} GPUs" if most > 1 else "no single GPU, and one micro-batch allows no more"
    if sets := [f"{count} x {gigabytes} GB" for gigabytes, count in fitting(record).items()]:
        fits = ", or ".join(filter(None, [sets[0], ", ".join(sets[1:])]))
    peak = numbers.bytes_iec(peaks[phase])
    shards = record.case.axes.get("shards")
    where = "on one device" if shards == 1 else f"on each of {shards} devices"
    other_peaks = ", ".join(f"{numbers.bytes_iec(nbytes)} in {name}" for name, nbytes in peaks.items() if name != phase)
    parts = [f"{name}  {numbers.bytes_iec(nbytes)}" for name, nbytes in largest_parts(record, phase)[:MOST_PARTS]]
    lines = [
        ("peak", f"{peak} in {phase} {where}; {other_peaks}"),
        *(("" if place else "of it", part) for place, part in enumerate(parts)),
    ]
    batch, cache = noted(record, PHASES[0], "rollout_batch"), noted(record, "case", "completion_cache_bytes")
    if batch is not None and cache is not None:
        rollout = f"{batch:,.0f} completions at once on a device, {numbers.bytes_iec(cache)} of cache each"
        lines.append(("rollout", rollout))
    return Summary(
        lines=[*lines, ("fits", fits), *_gpus(record)],
        brief=f"{peak} in {phase}   fits {fits}",
        values=[HeadlineValue("peak_bytes", "peak", peaks[phase], numbers.bytes_iec)],
        cost=Cost(number=peaks[phase], is_size=True),
    )


def fitting(record: Record) -> dict[int, int]:
    """How many GPUs a step needs, by the GB of one; least total memory first, then fewest GPUs."""
    counts = {
        int(gigabytes): int(reading.value)
        for reading in record.series("devices_needed")
        if (gigabytes := reading.span.removeprefix(GPU)).isdecimal()
    }
    return dict(sorted(counts.items(), key=lambda item: (item[0] * item[1], item[1])))


def _gpus(record: Record) -> list[tuple[str, str]]:
    """Lines of whether the GPUs named in the settings hold the step, and of the least time that it takes on them."""
    fits, spare = (noted(record, GPUS, metric) for metric in ("step_fits", "spare_bytes"))
    if fits is None or spare is None:
        return []
    gpus = record.settings["gpus"]
    if not fits:
        return [("gpus", f"{gpus} cannot hold the step: {numbers.bytes_iec(-spare)} more are needed on each")]
    batch = noted(record, GPUS, "rollout_batch")
    room = "" if batch is None else f", room to sample {batch:,.0f} completions at once on each"
    lines = [("gpus", f"{gpus} hold the step: {numbers.bytes_iec(spare)} to spare on each{room}")]
    bounds = {phase: bound for phase in PHASES if (bound := noted(record, f"{GPUS}/{phase}", "bound_s")) is not None}
    if bounds:
        parts = ", ".join(f"{phase} {numbers.duration(bound)}" for phase, bound in bounds.items())
        whole = numbers.duration(sum(bounds.values()))
        lines.append(("time", f"at least {whole} per step ({parts}): full lengths, peak rates, no communication"))
    return lines
