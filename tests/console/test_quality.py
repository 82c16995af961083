"""What a terminal says of a decoder that was trained on questions, and of what its tokens cost."""

import math
from dataclasses import replace

from suite.console.quality import summary
from suite.console.record import decode_cost as decoded
from suite.records.record import Reading
from tests.records.factory import build


def of(numbers, task=None, settings=None):
    """A record of these readings: by span and metric, the values of steps 0, 1 and so on."""
    readings = [
        Reading(step=step, span=span, metric=metric, value=value, process_cpu_s=value)
        for (span, metric), values in numbers.items()
        for step, value in enumerate(values)
    ]
    return replace(build(), readings=readings, provenance={"task": task}, settings=settings or {})


SPENT = {
    ("step", "questions"): [500.0, 700.0],
    ("step", "updates"): [10.0, 10.0],
    ("train", "latency_s"): [2.0, 4.0],
    ("evaluate", "chance"): [0.125],
    ("evaluate", "questions_asked"): [2048.0],
    ("evaluate", "answer_accuracy"): [0.1, 0.5, 0.8],
    ("evaluate", "answer_loss"): [2.0, 1.0, 0.25],
}
TIERS = {
    ("evaluate/often", "answer_accuracy"): [0.1, 0.9, 1.0],
    ("evaluate/rarely", "answer_accuracy"): [0.1, 0.2, 0.41],
    ("evaluate/attribute 1", "answer_accuracy"): [0.1, 0.9, 1.0],
    ("head_ablation/layer 0 head 0/often", "answer_accuracy"): [0.0, 0.0, 0.3],
}
COST = ("spent", "1,200 questions in 20 updates, 6.00 s of process CPU time")


def test_groups_of_questions_are_told_as_they_ended():
    record = of(SPENT | TIERS, {"groups": ["often", "rarely"]})
    assert summary(record).lines == [
        ("accuracy", "often 100%, rarely 41% (guessing 12%)"),
        ("loss", "0.25 nats per answer"),
        COST,
    ]
    assert summary(record).brief == "accuracy often 100%, rarely 41%   6.00 s CPU"


def test_without_groups_the_whole_is_told_and_few_kinds():
    kinds = {
        ("evaluate/one hop", "answer_accuracy"): [0.1, 0.6, 0.9],
        ("evaluate/two hops", "answer_accuracy"): [0.1, 0.2, 0.6],
    }
    whole = ("accuracy", "80% of 2,048 held-out questions (guessing 12%)")
    lines = summary(of(SPENT | kinds, {"groups": []})).lines
    assert lines == [whole, ("", "one hop 90%, two hops 60%"), ("loss", "0.25 nats per answer"), COST]
    many = {(f"evaluate/pair {number}", "answer_accuracy"): [0.1, 0.2, 0.6] for number in range(7)}
    assert [name for name, _ in summary(of(SPENT | many, {"groups": []})).lines] == ["accuracy", "loss", "spent"]
    assert summary(of(SPENT | many)).brief == "accuracy 80%   6.00 s CPU"


def test_of_what_answers_nothing_nothing_is_told():
    for record in (build(), of({key: SPENT[key] for key in SPENT if key[1] not in ("answer_accuracy", "answer_loss")})):
        assert summary(record).lines == []
        assert summary(record).brief is None
    assert summary(of({("evaluate", "answer_accuracy"): [0.5]}, "no mapping")).lines == [("accuracy", "50%")]


def test_a_tokens_cache_is_told_beside_mhas_and_its_context():
    sizes = {("case", "cache_bytes_per_token"): [288], ("case", "cache_bytes_per_token_mha"): [1024]}
    times = {("decode", "latency_s"): [5e-4, 6e-4, 2e-3]}
    assert decoded(of(sizes | times, settings={"decode_len": 4096})) == [
        ("cache", "288 B per token, 28% of MHA's 1.00 KiB"),
        ("decode", "600 µs per token after 4,096 tokens, n = 3"),
    ]
    assert decoded(of(times)) == decoded(of({("case", "cache_bytes_per_token"): [math.nan]})) == []
