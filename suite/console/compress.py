"""What a model with a compressed cache makes of held-out text, in the words that a terminal shows."""

import math

from suite.console.decode_cost import decoded
from suite.console.summary import Summary
from suite.records import numbers
from suite.records.derived import constant, noted
from suite.records.metrics import TEXT, below
from suite.records.record import Record

LONGEST_EXPONENT = 700.0
"""Above it a perplexity is no number that a float holds."""


def summary(record: Record) -> Summary:
    """Tell what a model of workload=compress makes of text, and what its cache keeps."""
    return Summary(lines=[*_lines(record), *decoded(record)], brief=_brief(record))


def _lines(record: Record) -> list[tuple[str, str]]:
    perplexity = _perplexity(record)
    if perplexity is None:
        return []
    read = f"{numbers.count(_sum(record, TEXT, 'text_tokens'))} held-out tokens"
    weights = record.provenance.get("weights")
    lines = [("weights", weights)] if isinstance(weights, str) else []
    lines.append(("text", f"perplexity {perplexity} over {read}"))
    if by_class := _by_class(record):
        lines.append(("", f"loss of a word, in nats: {', '.join(by_class)}"))
    change = noted(record, "case", "logits_change")
    if change is not None:
        lines.append(("logits", f"{numbers.percent(change)} away from the model's own"))
    return lines


def _brief(record: Record) -> str | None:
    perplexity, kept = _perplexity(record), constant(record, "case", "cache_bytes_per_token")
    if perplexity is None or kept is None:
        return None
    return f"perplexity {perplexity}   {numbers.bytes_iec(kept)} a token"


def _perplexity(record: Record) -> str | None:
    tokens = _sum(record, TEXT, "text_tokens")
    loss = _sum(record, TEXT, "text_loss") / tokens if tokens > 0 else math.nan
    return f"{math.exp(loss):,.4g}" if abs(loss) < LONGEST_EXPONENT else None


def _by_class(record: Record) -> list[str]:
    """Of each class that has words, in the order in which they were noted."""
    spans = dict.fromkeys(one.span for one in record.readings if below(one.span, TEXT))
    words = {span: _sum(record, span, "text_words") for span in spans}
    return [
        f"{below(span, TEXT)} {_sum(record, span, 'text_loss') / count:.3g}" for span, count in words.items() if count
    ]


def _sum(record: Record, span: str, metric: str) -> float:
    return sum(one.value for one in record.readings if one.span == span and one.metric == metric)
