"""A model with a compressed cache on held-out text, as a terminal shows it."""

import math

from suite.console.record import decode_cost
from suite.console.rl import step_total
from suite.console.summary import HeadlineValue, Summary
from suite.records import numbers
from suite.records.derived import constant, noted
from suite.records.metrics import TEXT, below
from suite.records.record import Record

# Above it a perplexity is no number that a float holds.
LONGEST_EXPONENT = 700.0


def summary(record: Record) -> Summary:
    """Perplexity, loss per word, change of logits and cache of a compressed model; without a loss, the decode cost."""
    tokens = step_total(record, "text_tokens", TEXT)
    loss = step_total(record, "text_loss", TEXT) / tokens if tokens > 0 else math.nan
    if not abs(loss) < LONGEST_EXPONENT:
        return Summary(lines=decode_cost(record))
    perplexity = HeadlineValue("perplexity", "perplexity", math.exp(loss), "{:,.4g}".format)
    weights = record.provenance.get("weights")
    lines = [("weights", weights)] if isinstance(weights, str) else []
    lines.append(("text", f"{perplexity.labelled} over {numbers.count(tokens)} held-out tokens"))
    spans = dict.fromkeys(reading.span for reading in record.series("text_words") if below(reading.span, TEXT))
    words = {span: count for span in spans if (count := step_total(record, "text_words", span))}
    if words:
        losses = [f"{below(span, TEXT)} {step_total(record, 'text_loss', span) / words[span]:.3g}" for span in words]
        lines.append(("", f"loss per word, in nats: {', '.join(losses)}"))
    if (change := noted(record, "case", "logits_change")) is not None:
        lines.append(("logits", f"{numbers.percent(change)} away from the model's own"))
    lines += decode_cost(record)
    if (cache := constant(record, "case", "cache_bytes_per_token")) is None:
        return Summary(lines=lines, values=[perplexity])
    return Summary(
        lines=lines,
        brief=f"{perplexity.labelled}   {numbers.bytes_iec(cache)} per token",
        values=[perplexity, HeadlineValue("cache_bytes_per_token", "cache per token", cache, numbers.bytes_iec)],
    )
