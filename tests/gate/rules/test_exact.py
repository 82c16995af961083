"""Exact quantities are judged at zero tolerance, and none is lost on the way."""

import math
from dataclasses import replace

import pytest

from suite.gate.rules.exact import Exact, exact_of_record, judge_exact
from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import Outcome
from suite.records.record import Reading
from tests.records.factory import CONSTANTS, build

STRICT, SHOWING = Tolerances(), Tolerances(operators="show")
BEFORE = {"layer": {"flops": 2e8, "peak_bytes": 4096.0}}


def judged(before, after, tolerances=STRICT):
    return judge_exact("a case", before, after, tolerances)


def judged_numbers(before, after):
    return judged(Exact(readings={"layer": before}), Exact(readings={"layer": after}))


def test_equal_quantities_are_one_verdict_that_counts_them():
    exact = Exact(readings=BEFORE, operators={"layer": ["mm"]})
    (verdict,) = judged(exact, exact)
    assert verdict.outcome is Outcome.SAME
    assert (verdict.metric, verdict.reason) == ("", "3 exact quantities equal")


def test_one_byte_more_is_worse_and_every_digit_is_said():
    worse, same = judged_numbers({"peak_bytes": 4096000.0, "flops": 1.0}, {"peak_bytes": 4096001.0, "flops": 1.0})
    assert worse.outcome is Outcome.SLOWER
    assert (worse.span, worse.metric, worse.before, worse.after) == ("layer", "peak_bytes", 4096000.0, 4096001.0)
    assert worse.reason == "rose: 3.91 MiB (4,096,000 B) before, 3.91 MiB (4,096,001 B) now"
    assert worse.ratio == pytest.approx(4096001 / 4096000)
    assert worse.ratio > worse.allowed == 1.0
    assert same.reason == "1 exact quantity equal"


def test_fewer_flops_are_faster():
    (verdict,) = judged_numbers({"flops": 200.0}, {"flops": 199.0})
    assert verdict.outcome is Outcome.FASTER
    assert verdict.reason == "fell: 200 before, 199 now"


@pytest.mark.parametrize("after", [99.0, 101.0])
def test_a_quantity_without_a_better_side_must_not_change(after):
    (verdict,) = judged_numbers({"parameter_count": 100.0}, {"parameter_count": after})
    assert verdict.outcome is Outcome.SLOWER
    assert "changed" in verdict.reason


def test_what_one_side_lacks_is_said_of_that_side():
    (new,) = judged_numbers({}, {"flops": 200.0})
    (missing,) = judged_numbers({"flops": 200.0}, {})
    assert (new.outcome, new.reason) == (Outcome.NEW, "was not recorded before: nothing before, 200 now")
    assert (missing.outcome, missing.reason) == (Outcome.MISSING, "is no longer recorded: 200 before, nothing now")


def test_a_rise_from_zero_is_worse_without_a_ratio():
    (verdict,) = judged_numbers({"peak_bytes": 0.0}, {"peak_bytes": 64.0})
    assert (verdict.outcome, verdict.ratio) == (Outcome.SLOWER, None)


def test_a_vanished_quantity_is_missing_and_an_added_one_new():
    gone, came = judged_numbers({"flops": 1.0}, {"peak_bytes": 1.0})
    assert (gone.outcome, gone.metric, gone.before) == (Outcome.MISSING, "flops", 1.0)
    assert (came.outcome, came.metric, came.after) == (Outcome.NEW, "peak_bytes", 1.0)


def test_a_span_that_vanished_is_missing():
    (verdict,) = judged(Exact(readings={"kernel": {"flops": 1.0}}), Exact())
    assert (verdict.outcome, verdict.span) == (Outcome.MISSING, "kernel")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_infinite_number_is_broken_even_on_both_sides(value):
    assert [verdict.outcome for verdict in judged_numbers({"flops": value}, {"flops": value})] == [Outcome.BROKEN]
    assert judged_numbers({"flops": 1.0}, {"flops": value})[0].outcome is Outcome.BROKEN
    assert judged_numbers({}, {"flops": value})[0].outcome is Outcome.BROKEN


def operators(*names):
    return Exact(operators={"layer": list(names)})


def test_other_operators_are_worse_and_are_named():
    (verdict,) = judged(operators("mm", "softmax"), operators("bmm", "mm", "clone"))
    assert (verdict.outcome, verdict.span, verdict.metric) == (Outcome.SLOWER, "layer", "operators")
    assert verdict.reason == "other operators ran: added bmm, clone; gone softmax"


def test_the_order_of_operators_says_nothing():
    assert judged(operators("mm", "add"), operators("add", "mm"))[0].outcome is Outcome.SAME


def test_an_operator_that_runs_once_more_is_worse():
    for before, after, reason in (("mm",), ("mm", "mm"), "added mm"), (("mm", "mm"), ("mm",), "gone mm"):
        (verdict,) = judged(operators(*before), operators(*after))
        assert (verdict.outcome, verdict.reason) == (Outcome.SLOWER, f"other operators ran: {reason}")


def test_under_show_other_operators_are_only_noted():
    (verdict,) = judged(operators("mm"), operators("bmm"), SHOWING)
    assert verdict.outcome is Outcome.SAME
    assert verdict.notes == ["layer: other operators ran: added bmm; gone mm"]


def test_operators_that_are_no_longer_recorded_are_missing():
    assert judged(operators("mm"), Exact())[0].outcome is Outcome.MISSING
    assert judged(Exact(), operators("mm"))[0].outcome is Outcome.NEW


def test_nothing_exact_gives_no_verdict():
    assert judged(Exact(), Exact()) == []


def test_a_record_gives_its_exact_metrics_alone():
    unknown = Reading(step=0, span="layer", metric="their_own", value=1.0)
    record = build(provenance={"operators": {"layer": ["mm"], "odd": "text"}})
    exact = exact_of_record(replace(record, readings=[*record.readings, unknown]))
    assert exact.readings["layer"] == {name: CONSTANTS["layer", name] for name in ("flops", "traffic_bytes")}
    assert set(exact.readings["case"]) == {"cache_bytes", "cache_bytes_mha"}
    assert exact.operators == {"layer": ("mm",)}


def test_a_run_with_two_values_of_one_exact_quantity_is_refused():
    record = build()
    twice = Reading(step=1, span="layer", metric="flops", value=3e8)
    with pytest.raises(ValueError, match="flops of layer must be one value in a run"):
        exact_of_record(replace(record, readings=[*record.readings, twice]))
    equal = replace(twice, value=2e8)
    assert exact_of_record(replace(record, readings=[*record.readings, equal])) == exact_of_record(record)
