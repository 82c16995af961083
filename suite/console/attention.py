"""The headline numbers of an attention layer, measured or projected, in the words that a terminal shows."""

import math

from suite.console.summary import Summary
from suite.console.values import Cost, Value, bytes_value, latency, roofline_values, timed_values
from suite.records.derived import constant
from suite.records.record import Record

VERBS = {"decode": "decodes", "prefill": "reads a prompt", "train": "trains"}


def summary(record: Record) -> Summary:
    """Tell nothing more of a record of workload=attention or projection than its numbers."""
    values = [*timed_values(record), *roofline_values(record), *_cache(record)]
    phase = record.case.axes.get("phase")
    says = VERBS.get(phase, "runs") if isinstance(phase, str) else "runs"
    bound_s, warm = constant(record, "layer", "bound_s"), latency(record, "layer")
    cost = None if bound_s is None else Cost(says=says, number=bound_s)
    if warm is not None:
        cost = Cost(says=says, number=warm.median, interval=warm)
    return Summary(values=values, cost=cost)


def _cache(record: Record) -> list[Value]:
    """What a token leaves in the cache of one layer, where its phase keeps one."""
    sizes = [record.case.axes.get(name) for name in ("seq_len", "batch")]
    known = [size for size in sizes if isinstance(size, int) and size > 0]
    nbytes, tokens = constant(record, "case", "cache_bytes"), math.prod(known) if len(known) == len(sizes) else None
    if nbytes is None or tokens is None or record.case.axes.get("phase") == "train":
        return []
    return [bytes_value("cache_bytes_per_token", "cache a token", nbytes / tokens)]
