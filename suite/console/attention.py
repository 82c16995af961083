"""An attention layer, measured or projected, and the largest batch of a whole model, as a terminal shows them."""

import math

from suite.console.summary import SPANS, Cost, HeadlineValue, Summary, timed_values
from suite.records import numbers
from suite.records.derived import constant, roofline
from suite.records.record import Record


def summary(record: Record) -> Summary:
    """A layer's times, or the bounds where it is projected, its share of the roofline and its cache per token. Runs are
    compared by the median time of the whole layer, or by its bound."""
    bound_s, values = constant(record, SPANS[0], "bound_s"), timed_values(record)
    cost = None if bound_s is None else Cost(number=bound_s)
    warm = next((value.interval for value in values if value.title == SPANS[0]), None)
    if warm is not None:
        cost = Cost(number=warm.median, interval=warm)
        share, _ = roofline(record, SPANS[0], warm.median)
        values += [] if share is None else [HeadlineValue("roofline_share", "roofline", share, numbers.percent)]
    return Summary(values=[*values, *_cache(record)], cost=cost)


def _cache(record: Record) -> list[HeadlineValue]:
    """The cache bytes per token of one layer, as a list of one value; empty where the phase keeps no cache."""
    axes, nbytes = record.case.axes, constant(record, "case", "cache_bytes")
    sizes = [size for name in ("seq_len", "batch") if isinstance(size := axes.get(name), int) and size > 0]
    if nbytes is None or len(sizes) < 2 or axes.get("phase") == "train":
        return []
    return [HeadlineValue("cache_bytes_per_token", "cache per token", nbytes / math.prod(sizes), numbers.bytes_iec)]


def capacity(record: Record) -> Summary:
    """Weights, cache per sequence, largest batch and tokens per second on a few devices; empty where one is missing."""
    weights, each, batch = (
        constant(record, "case", name) for name in ("weight_bytes", "sequence_bytes", "largest_batch")
    )
    bound_s, most = constant(record, "step", "bound_s"), constant(record, "step", "most_tokens_per_s")
    if weights is None or each is None or batch is None or bound_s is None or most is None:
        return Summary()
    lines = [
        ("weights", f"{numbers.bytes_iec(weights)} on each device"),
        ("sequence", f"{numbers.bytes_iec(each)} of cache per sequence, on each device that holds it"),
        ("batch", f"{numbers.count(batch)} sequences at most, over all devices"),
        ("step", f"at least {numbers.seconds(bound_s)}, so at most {numbers.count(most)} tokens per second"),
    ]
    values = [
        HeadlineValue("largest_batch", "batch", batch, numbers.count),
        HeadlineValue("most_tokens_per_s", "tokens/s at most", most, numbers.count),
        HeadlineValue("weight_bytes", "weights", weights, numbers.bytes_iec),
    ]
    expected_s, expected = constant(record, "step", "expected_s"), constant(record, "step", "expected_tokens_per_s")
    if expected_s is not None and expected is not None:
        rate = f"{numbers.count(expected)} tokens per second"
        lines.append(("", f"{numbers.seconds(expected_s)} expected of good kernels: {rate}"))
        values.insert(2, HeadlineValue("expected_tokens_per_s", "tokens/s expected", expected, numbers.count))
    return Summary(lines=lines, values=values, cost=Cost(number=1 / most))
