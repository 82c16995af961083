"""The cost of a token to a trained decoder, its cache and its time, in the words that a terminal shows."""

from statistics import median

from suite.records import numbers
from suite.records.derived import constant
from suite.records.metrics import DECODE
from suite.records.record import Record


def decoded(record: Record) -> list[tuple[str, str]]:
    """Return names and texts of lines; none of what a record does not say."""
    lines = []
    kept, mha = (constant(record, "case", f"cache_bytes_per_token{of}") for of in ("", "_mha"))
    if kept is not None and mha is not None:
        share = f"{numbers.percent(kept / mha)} of the {numbers.bytes_iec(mha)} that MHA keeps"
        lines.append(("cache", f"{numbers.bytes_iec(kept)} a token, {share}"))
    times_s = [reading.value for reading in record.series("latency_s", DECODE)]
    behind = record.settings.get("decode_len")
    if times_s and isinstance(behind, int):
        time = f"{numbers.seconds(median(times_s))} a token behind {numbers.count(behind)}, n = {len(times_s)}"
        lines.append(("decode", time))
    return lines
