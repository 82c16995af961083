"""Exact quantities are judged at zero tolerance, and none is lost on the way."""

import math

import pytest

from suite.gate.rules.exact import Exact, judge_exact
from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import Outcome


def judged(before, after, tolerances=Tolerances()):  # noqa: B008
    return judge_exact("a case", before, after, tolerances)


@pytest.mark.parametrize(
    ("metric", "before", "after", "outcome", "ratio", "reason"),
    [
        (
            "peak_bytes",
            4096000.0,
            4096001.0,
            Outcome.SLOWER,
            4096001 / 4096000,
            "rose: 3.91 MiB (4,096,000 B) before, 3.91 MiB (4,096,001 B) now",
        ),
        ("flops", 200.0, 199.0, Outcome.FASTER, 0.995, "fell: 200 before, 199 now"),
        ("parameter_count", 100.0, 99.0, Outcome.SLOWER, 0.99, "changed, but must stay equal: 100 before, 99 now"),
        ("parameter_count", 100.0, 101.0, Outcome.SLOWER, 1.01, "changed, but must stay equal: 100 before, 101 now"),
        ("flops", None, 200.0, Outcome.NEW, None, "was not recorded before: nothing before, 200 now"),
        ("flops", 200.0, None, Outcome.MISSING, None, "is no longer recorded: 200 before, nothing now"),
        ("peak_bytes", 0.0, 64.0, Outcome.SLOWER, None, "rose: 0 B (0 B) before, 64.0 B (64 B) now"),
        *(("flops", value, value, Outcome.BROKEN, None, None) for value in (math.nan, math.inf)),
        ("flops", 1.0, math.nan, Outcome.BROKEN, None, "is not a finite number: 1 before, nan now"),
        ("flops", None, math.inf, Outcome.BROKEN, None, "is not a finite number: nothing before, inf now"),
    ],
)
def test_a_quantity_that_is_not_equal_has_its_verdict(metric, before, after, outcome, ratio, reason):
    beside = {"cache_bytes_mha": 2.0, "cache_bytes": 1.0}
    sides = [beside | ({} if value is None else {metric: value}) for value in (before, after)]
    verdict, same = judged(*(Exact(readings={"layer": side}) for side in sides))
    assert (verdict.span, verdict.metric, verdict.outcome, verdict.allowed) == ("layer", metric, outcome, 1.0)
    assert verdict.ratio == pytest.approx(ratio)
    assert reason in (None, verdict.reason)
    if all(value is None or math.isfinite(value) for value in (before, after)):
        assert (verdict.before, verdict.after) == (before, after)
    assert (same.outcome, same.metric, same.reason) == (Outcome.SAME, "", "2 exact quantities are equal")


def test_a_span_that_vanished_is_missing():
    (verdict,) = judged(Exact(readings={"kernel": {"flops": 1.0}}), Exact())
    assert (verdict.outcome, verdict.span) == (Outcome.MISSING, "kernel")
    assert judged(Exact(), Exact()) == []


@pytest.mark.parametrize(
    ("before", "after", "outcome", "reason"),
    [
        (["mm", "softmax"], ["bmm", "mm", "clone"], Outcome.SLOWER, "added bmm, clone; removed softmax"),
        (["mm"], ["mm", "mm"], Outcome.SLOWER, "added mm"),
        (["mm", "mm"], ["mm"], Outcome.SLOWER, "removed mm"),
        (["mm", "add"], ["add", "mm"], Outcome.SAME, "1 exact quantity is equal"),  # their order says nothing
        (["mm"], None, Outcome.MISSING, "operators are no longer recorded"),
        (None, ["mm"], Outcome.NEW, "operators were not recorded before"),
    ],
)
def test_other_operators_are_worse_and_are_named(before, after, outcome, reason):
    sides = [Exact() if names is None else Exact(operators={"layer": names}) for names in (before, after)]
    (verdict,) = judged(*sides)
    assert (verdict.outcome, verdict.reason.removeprefix("other operators ran: ")) == (outcome, reason)
    assert (verdict.span, verdict.metric) == (("", "") if outcome is Outcome.SAME else ("layer", "operators"))


def test_under_show_other_operators_are_only_noted():
    sides = [Exact(operators={"layer": [name]}) for name in ("mm", "bmm")]
    (verdict,) = judged(*sides, Tolerances(operators="show"))
    assert verdict.outcome is Outcome.SAME
    assert verdict.notes == ["layer: other operators ran: added bmm; removed mm"]
