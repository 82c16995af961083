"""The largest batch of a model on a few devices, in the words that a terminal shows."""

from suite.console.summary import Summary
from suite.console.values import Cost, Value, bytes_value
from suite.records import numbers
from suite.records.derived import constant
from suite.records.record import Record


def summary(record: Record) -> Summary:
    """Tell the room that weights leave, the batch that fits, and the tokens a second that it gives."""
    weights, each, batch = (
        constant(record, "case", name) for name in ("weight_bytes", "sequence_bytes", "largest_batch")
    )
    bound_s, most = constant(record, "step", "bound_s"), constant(record, "step", "most_tokens_per_s")
    if weights is None or each is None or batch is None or bound_s is None or most is None:
        return Summary()
    expected_s, expected = constant(record, "step", "expected_s"), constant(record, "step", "expected_tokens_per_s")
    lines = [
        ("weights", f"{numbers.bytes_iec(weights)} on each device"),
        ("sequence", f"{numbers.bytes_iec(each)} of cache on a device that holds it"),
        ("batch", f"{numbers.count(batch)} sequences at most, over all devices"),
        ("step", f"{numbers.seconds(bound_s)} at least: {numbers.count(most)} tokens a second at most"),
    ]
    if expected_s is not None and expected is not None:
        said = f"{numbers.seconds(expected_s)} expected of good kernels: {numbers.count(expected)} tokens a second"
        lines.append(("", said))
    values = [
        Value(key="largest_batch", title="batch", number=batch, write=numbers.count),
        Value(key="most_tokens_per_s", title="tokens/s at most", number=most, write=numbers.count),
        bytes_value("weight_bytes", "weights", weights),
    ]
    if expected is not None:
        found = Value(key="expected_tokens_per_s", title="tokens/s expected", number=expected, write=numbers.count)
        values.insert(2, found)
    return Summary(lines=lines, values=values, cost=Cost(says="serves", number=1 / most))
