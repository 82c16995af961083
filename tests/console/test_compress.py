"""What a terminal says of a compressed cache."""

import math
from dataclasses import replace

from suite.console.compress import summary
from tests.console.test_quality import of
from tests.records.factory import build

NUMBERS = {
    ("case", "cache_bytes_per_token"): [23040],
    ("case", "logits_change"): [0.1],
    ("text", "text_loss"): [300 * math.log(30), 100 * math.log(30)],
    ("text", "text_tokens"): [300, 100],
    ("text/frequent", "text_loss"): [60.0, 60.0],
    ("text/frequent", "text_words"): [10, 20],
    ("text/other", "text_loss"): [5.0],
    ("text/other", "text_words"): [0],
}
FACTS = {"weights": "a model: small ones"}


def record(numbers, facts=FACTS):
    return replace(of(numbers), provenance=facts)


def test_loss_words_and_logits_are_told_in_a_line_each():
    assert summary(record(NUMBERS)).lines == [
        ("weights", "a model: small ones"),
        ("text", "perplexity 30 over 400 held-out tokens"),
        ("", "loss per word, in nats: frequent 4"),
        ("logits", "10% away from the model's own"),
    ]
    assert summary(record(NUMBERS)).brief == "perplexity 30   22.5 KiB per token"


def test_what_a_record_lacks_is_not_told():
    text = {key: NUMBERS[key] for key in (("text", "text_loss"), ("text", "text_tokens"))}
    assert summary(record(text, {})).lines == [("text", "perplexity 30 over 400 held-out tokens")]
    assert summary(record(text)).brief is None
    for loss in ([], [math.inf], [math.nan], [1e9]):
        assert (
            summary(record({**NUMBERS, ("text", "text_loss"): loss, ("text", "text_tokens"): loss and [1]})).lines == []
        )
    assert summary(build()).lines == []
    assert summary(build()).brief is None
