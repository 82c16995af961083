"""What follows from a record that may be anybody's."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from suite.records.derived import (
    by_launch,
    constant,
    cost_per_million_tokens,
    joules_per_token,
    noted,
    possible_time,
    roofline,
    run_warnings,
    span_operators,
    started_at,
)
from suite.records.record import Reading
from tests.records.factory import build


@pytest.mark.parametrize(
    "said",
    [
        "9999-12-31T23:59:59+00:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "2019-12-31T23:59:59+00:00",
        timedelta(days=2),
        "zzzz",
        "",
        7,
        None,
        ["2026-03-01"],
    ],
)
def test_a_time_that_cannot_be_is_older_than_any_other(said):
    said = (datetime.now(UTC) + said).isoformat() if isinstance(said, timedelta) else said
    assert started_at(build(provenance={"started_at": said})) == ""


@pytest.mark.parametrize(
    ("said", "is_read_as"),
    [
        ("2026-03-01T10:00:00+00:00", "2026-03-01T10:00:00+00:00"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
    ],
)
def test_times_sort_as_text_whatever_their_zone(said, is_read_as):
    assert possible_time(said) == is_read_as


def noting(record, **sizes):
    """The record with these quantities of its layer or, as a token's, of its case in the place of its own."""
    kept = [one for one in record.readings if one.metric not in sizes]
    span = {"tokens": "case"}
    new = [
        Reading(step=0, span=span.get(metric, "layer"), metric=metric, value=value)
        for metric, value in sizes.items()
        if value is not None
    ]
    return replace(record, readings=kept + new)


def test_a_roofline_is_the_longer_of_arithmetic_and_traffic():
    sizes = {"flops": 6.0, "traffic_bytes": 8.0, "ceiling_flops_per_s": 3.0, "ceiling_bytes_per_s": 2.0}
    assert roofline(noting(build(), **sizes), "layer", 16.0) == (4 / 16, "memory")
    assert roofline(noting(build(), **{**sizes, "flops": 24.0}), "layer", 16.0) == (8 / 16, "compute")
    for name in sizes:
        for absent in (None, 0.0, math.inf):
            assert roofline(noting(build(), **{**sizes, name: absent}), "layer", 16.0) == (None, None)


def test_a_quantity_is_finite_and_a_size_is_above_zero():
    record = noting(build(), peak_bytes=None)
    values = [math.nan, 0.0, 3.0]
    more = [Reading(step=0, span="layer", metric="peak_bytes", value=value) for value in values]
    record = replace(record, readings=[*record.readings, *more])
    assert (noted(record, "layer", "peak_bytes"), constant(record, "layer", "peak_bytes")) == (0.0, None)
    assert (noted(record, "kernel", "peak_bytes"), noted(record, "layer", "other")) == (None, None)


def test_launches_are_told_apart_and_come_in_order():
    launches = [(2, 5.0), (0, 1.0), (2, 6.0), (None, 2.0)]
    values = [Reading(step=0, span="a", metric="b", value=value, launch=launch) for launch, value in launches]
    assert by_launch(values) == [[1.0, 2.0], [5.0, 6.0]]
    assert by_launch([]) == []


def test_joules_and_prices_are_of_the_new_tokens_of_a_step():
    record = noting(build(settings={"price_per_device_hour": 3.6}), tokens=4.0, energy_j=2.0)
    assert joules_per_token(record, "layer") == 0.5
    assert joules_per_token(noting(record, energy_j=None), "layer") is None
    assert joules_per_token(noting(record, tokens=None), "layer") is None
    assert cost_per_million_tokens(record, 0.02) == pytest.approx(1e6 * 0.001 * 0.02 / 4)
    assert cost_per_million_tokens(noting(record, tokens=None), 0.02) is None


@pytest.mark.parametrize("price", [None, True, "3", 0, -1.0, math.inf, math.nan])
def test_what_is_no_price_costs_nothing_that_is_known(price):
    record = noting(build(settings={"price_per_device_hour": price}), tokens=4.0)
    assert cost_per_million_tokens(record, 0.02) is None


def test_words_of_a_record_in_another_type_are_none():
    record = build(provenance={"warnings": ["a", 1], "operators": {"layer": ["mm"], "kernel": "mm"}})
    assert (run_warnings(record), run_warnings(build(provenance={"warnings": "a"}))) == (["a", "1"], [])
    assert [span_operators(record, span) for span in ("layer", "kernel", "case")] == [("mm",), (), ()]
    assert span_operators(build(provenance={"operators": ["layer"]}), "layer") == ()
