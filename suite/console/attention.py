"""An attention layer, measured or projected, and the largest batch of a whole model, as a terminal shows them."""

import math

from suite.console.summary import SPANS, Cost, HeadlineValue, Summary, latency, timed_values
from suite.records import numbers
from suite.records.derived import constant, roofline
from suite.records.record import Record


def summary(record: Record) -> Summary:
    """The numbers of a record of workload=attention or projection."""
    bound_s, warm = constant(record, SPANS[0], "bound_s"), latency(record, SPANS[0])
    cost = None if bound_s is None else Cost(number=bound_s)
    values = timed_values(record)
    if warm is not None:
        cost = Cost(number=warm.median, interval=warm)
        share, _ = roofline(record, SPANS[0], warm.median)
        values += [] if share is None else [HeadlineValue("roofline_share", "roofline", share, numbers.percent)]
    return Summary(values=[*values, *_cache(record)], cost=cost)


def _cache(record: Record) -> list[HeadlineValue]:
    """What a token leaves in the cache of one layer, where its phase keeps one."""
    axes, nbytes = record.case.axes, constant(record, "case", "cache_bytes")
    sizes = [size for name in ("seq_len", "batch") if isinstance(size := axes.get(name), int) and size > 0]
    if nbytes is None or len(sizes) < 2 or axes.get("phase") == "train":
        return []
    return [HeadlineValue("cache_bytes_per_token", "cache a token", nbytes / math.prod(sizes), numbers.bytes_iec)]


def capacity(record: Record) -> Summary:
    """The room that weights leave on a few devices, the batch that fits, and the tokens a second that it gives."""
    weights, each, batch = (
        constant(record, "case", name) for name in ("weight_bytes", "sequence_bytes", "largest_batch")
    )
    bound_s, most = constant(record, "step", "bound_s"), constant(record, "step", "most_tokens_per_s")
    if weights is None or each is None or batch is None or bound_s is None or most is None:
        return Summary()
    lines = [
        ("weights", f"{numbers.bytes_iec(weights)} on each device"),
        ("sequence", f"{numbers.bytes_iec(each)} of cache on a device that holds it"),
        ("batch", f"{numbers.count(batch)} sequences at most, over all devices"),
        ("step", f"{numbers.seconds(bound_s)} at least: {numbers.count(most)} tokens a second at most"),
    ]
    values = [
        HeadlineValue("largest_batch", "batch", batch, numbers.count),
        HeadlineValue("most_tokens_per_s", "tokens/s at most", most, numbers.count),
        HeadlineValue("weight_bytes", "weights", weights, numbers.bytes_iec),
    ]
    expected_s, expected = constant(record, "step", "expected_s"), constant(record, "step", "expected_tokens_per_s")
    if expected_s is not None and expected is not None:
        rate = f"{numbers.count(expected)} tokens a second"
        lines.append(("", f"{numbers.seconds(expected_s)} expected of good kernels: {rate}"))
        values.insert(2, HeadlineValue("expected_tokens_per_s", "tokens/s expected", expected, numbers.count))
    return Summary(lines=lines, values=values, cost=Cost(number=1 / most))
