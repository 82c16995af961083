"""What a case of quality records: how well a decoder answers, of which kind of question, and what its cache keeps.

`answer_accuracy` and `answer_loss` stand in the span `evaluate`, and for each kind of question (a tier, an attribute, a
distance) in a span of its own below it; with one head knocked out, in a span below `head_ablation`. Those of step n are
of the decoder after the updates of n steps. A share without its standard error is no measurement: the questions are as
many as `questions_asked` says, and seeds are runs of their own.
"""

from suite.records.metric import Better, exact, seeded

TRAIN, DECODE = "train", "decode"
"""Timed spans: the updates of a step; one new token of the trained decoder."""
HEAD_ABLATION, CACHED, TEXT = "head_ablation", "cached", "text"
"""Spans of numbers: answers without one head; what a linear reader finds in the cache; text of workload=compress."""


def within(*parts: str) -> str:
    """A span below another one: `evaluate/rarely`."""
    return "/".join(parts)


def below(span: str, above: str) -> str | None:
    """What stands behind `above/` in a span; None for another span."""
    return span[len(above) + 1 :] if span.startswith(f"{above}/") else None


QUALITY_METRICS = (
    seeded("questions", "", "Questions that a step trained on"),
    seeded("training_loss", "", "Loss on a trained answer, in nats, mean over a step's updates"),
    seeded("answer_accuracy", "", "Share of held-out questions answered rightly", Better.HIGHER, points=True),
    seeded("answer_loss", "", "Loss on a held-out answer, in nats", Better.LOWER),
    seeded(
        "linear_probe_accuracy", "", "Share of a token's details that a linear reader finds in its cache", Better.HIGHER
    ),
    exact("questions_asked", "", "Held-out questions of one evaluation"),
    exact("chance", "", "Share that guessing answers"),
    exact("model_parameter_count", "", "Parameters of the whole model"),
    exact("cache_bytes_per_token", "B", "KV cache of a token, all layers", Better.LOWER),
    exact("cache_bytes_per_token_mha", "B", "KV cache of a token under MHA, all layers"),
    # workload=compress: sums over one window of text, so that any mean can be taken on reading.
    seeded("text_loss", "", "Summed loss of a window's tokens, in nats", Better.LOWER),
    seeded("text_tokens", "", "Tokens that the loss is summed over"),
    seeded("text_words", "", "Words that these tokens are of"),
    seeded("logits_change", "", "Relative Frobenius difference of logits from the model's own", Better.LOWER),
    seeded(
        "retained_variance", "", "Share of the squared norm of a layer's keys and values that is kept", Better.HIGHER
    ),
)
