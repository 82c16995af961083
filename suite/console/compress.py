"""A model with a compressed cache on held-out text, in the words that a terminal shows."""

import math

from suite.console.decode_cost import decoded
from suite.console.summary import Summary
from suite.console.values import Value, bytes_value
from suite.records import numbers
from suite.records.derived import constant, noted
from suite.records.metrics import TEXT, below
from suite.records.record import Record

LONGEST_EXPONENT = 700.0
"""Above it a perplexity is no number that a float holds."""


def summary(record: Record) -> Summary:
    """Tell what a model of workload=compress makes of text, and what its cache keeps."""
    perplexity, kept = _perplexity(record), constant(record, "case", "cache_bytes_per_token")
    brief = None
    if perplexity is not None and kept is not None:
        brief = f"perplexity {perplexity}   {numbers.bytes_iec(kept)} a token"
    return Summary(lines=[*_lines(record), *decoded(record)], brief=brief, values=_values(record))


def _values(record: Record) -> list[Value]:
    loss, kept = _loss(record), constant(record, "case", "cache_bytes_per_token")
    if _perplexity(record) is None:
        return []
    perplexity = Value(key="perplexity", title="perplexity", number=math.exp(loss), write=_four_digits)
    return [perplexity, *([] if kept is None else [bytes_value("cache_bytes_per_token", "cache a token", kept)])]


def _lines(record: Record) -> list[tuple[str, str]]:
    perplexity = _perplexity(record)
    if perplexity is None:
        return []
    read = f"{numbers.count(_sum(record, TEXT, 'text_tokens'))} held-out tokens"
    weights = record.provenance.get("weights")
    lines = [("weights", weights)] if isinstance(weights, str) else []
    lines.append(("text", f"perplexity {perplexity} over {read}"))
    spans = dict.fromkeys(reading.span for reading in record.readings if below(reading.span, TEXT))
    words = {span: count for span in spans if (count := _sum(record, span, "text_words"))}
    if by_class := [f"{below(span, TEXT)} {_sum(record, span, 'text_loss') / words[span]:.3g}" for span in words]:
        lines.append(("", f"loss of a word, in nats: {', '.join(by_class)}"))
    change = noted(record, "case", "logits_change")
    if change is not None:
        lines.append(("logits", f"{numbers.percent(change)} away from the model's own"))
    return lines


def _loss(record: Record) -> float:
    """The mean loss of a token, in nats; no number where no text was read."""
    tokens = _sum(record, TEXT, "text_tokens")
    return _sum(record, TEXT, "text_loss") / tokens if tokens > 0 else math.nan


def _perplexity(record: Record) -> str | None:
    loss = _loss(record)
    return _four_digits(math.exp(loss)) if abs(loss) < LONGEST_EXPONENT else None


def _four_digits(value: float) -> str:
    return f"{value:,.4g}"


def _sum(record: Record, span: str, metric: str) -> float:
    return sum(reading.value for reading in record.series(metric, span))
