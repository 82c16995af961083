"""A projection of memory, in the words that a terminal shows."""

from collections.abc import Mapping

from suite.console.summary import Summary
from suite.console.values import Cost, bytes_value
from suite.records import numbers
from suite.records.derived import noted
from suite.records.holdings import PART, PEAK, parts_of
from suite.records.metrics import PHASES
from suite.records.record import Record

MOST_PARTS = 6
GPU, SHARDS = "gpu_", "shards_"
"""Beginnings of spans: before the gigabytes of one GPU, and before how many devices there are."""
GPUS = "gpus"
"""The span of what is said of the GPUs at hand, and what its phases' spans begin with."""


def summary(record: Record) -> Summary:
    """Tell what a case of workload=rl_memory holds, and which GPUs fit; nothing where it projects no memory."""
    sets = fitting(record)
    peaks = {reading.span: reading.value for reading in record.series(PEAK)}
    if not peaks or not record.series("peak_bytes_per_device"):
        return Summary()
    phase = max(peaks, key=lambda name: peaks[name])
    fits = sets_in_words(sets, most_devices(record))
    parts = sorted(_parts(record, phase).items(), key=lambda part: -part[1])[:MOST_PARTS]
    shards = record.case.axes.get("shards")
    where = "on one device" if shards == 1 else f"on each of {shards} devices"
    others = ", ".join(f"{numbers.bytes_iec(peak)} in {name}" for name, peak in peaks.items() if name != phase)
    lines = [("peak", f"{numbers.bytes_iec(peaks[phase])} in {phase} {where}; {others}")]
    lines += [("" if n else "of it", f"{name}  {numbers.bytes_iec(value)}") for n, (name, value) in enumerate(parts)]
    lines += [*_rollout(record), ("fits", fits), *_gpus(record)]
    brief = f"{numbers.bytes_iec(peaks[phase])} in {phase}   fits {fits}"
    return Summary(
        lines=lines,
        brief=brief,
        values=[bytes_value("peak_bytes", "peak", peaks[phase])],
        cost=Cost(says="holds", number=peaks[phase], is_size=True),
    )


def fitting(record: Record) -> dict[int, int]:
    """Return how many GPUs it takes, by the gigabytes of one; least memory first, then fewest devices."""
    counts = {
        int(reading.span.removeprefix(GPU)): int(reading.value)
        for reading in record.series("devices_needed")
        if reading.span.removeprefix(GPU).isdecimal()
    }
    return dict(sorted(counts.items(), key=lambda item: (item[0] * item[1], item[1])))


def most_devices(record: Record) -> int:
    """Return the most devices that a minibatch is enough for, each with a micro-batch of its own."""
    tried = [reading.span.removeprefix(SHARDS) for reading in record.series("peak_bytes_per_device")]
    return max(int(count) for count in tried if count.isdecimal())


def sets_in_words(sets: Mapping[int, int], most: int) -> str:
    """`2 x 80 GB, or 4 x 40 GB, 1 x 141 GB`, as `fitting` orders them; at `most` so many devices were tried."""
    if not sets:
        return f"on no {most} or fewer GPUs" if most > 1 else "on no GPU, and the minibatch has one micro-batch for one"
    smallest, *others = [f"{count} x {gigabytes} GB" for gigabytes, count in sets.items()]
    return f"{smallest}, or {', '.join(others)}" if others else smallest


def _rollout(record: Record) -> list[tuple[str, str]]:
    """Say how many completions a device samples at once, and what cache one of them needs."""
    batch, cache = noted(record, PHASES[0], "rollout_batch"), noted(record, "case", "completion_cache_bytes")
    if batch is None or cache is None:
        return []
    return [("rollout", f"{batch:,.0f} completions at once on a device, {numbers.bytes_iec(cache)} of cache each")]


def _gpus(record: Record) -> list[tuple[str, str]]:
    """Say whether the GPUs at hand hold the step, how they sample best, and the least time that it takes them."""
    fits, spare = (noted(record, GPUS, metric) for metric in ("step_fits", "spare_bytes"))
    if fits is None or spare is None:
        return []
    gpus = record.settings["gpus"]
    if not fits:
        return [("gpus", f"{gpus} do not hold it: {numbers.bytes_iec(-spare)} more are needed on each")]
    batch = noted(record, GPUS, "rollout_batch")
    room = "" if batch is None else f", room to sample {batch:,.0f} completions at once on each"
    lines = [("gpus", f"{gpus} hold it: {numbers.bytes_iec(spare)} spare on each{room}")]
    bounds = {phase: noted(record, f"{GPUS}/{phase}", "bound_s") for phase in PHASES}
    known = {phase: bound for phase, bound in bounds.items() if bound is not None}
    if known:
        parts = ", ".join(f"{phase} {numbers.duration(bound)}" for phase, bound in known.items())
        whole = numbers.duration(sum(known.values()))
        lines.append(("time", f"{whole} a step at least ({parts}): full lengths, peak rates, no communication"))
    return lines


def _parts(record: Record, phase: str) -> dict[str, float]:
    """A phase's bytes by owner and kind, in words."""
    found = {}
    for reading in record.series(PART):
        parts = parts_of(reading.span)
        if parts is not None and parts[0] == phase:
            found[f"{parts[1]} {parts[2].replace('_', ' ')}"] = reading.value
    return found
