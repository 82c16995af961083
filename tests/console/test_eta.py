"""The time left comes from what like cases took."""

from suite.console.eta import MOST_LOOKED_AT, SeveralSweeps, remaining_s
from suite.records.case import Case


def case(attention, seq_len):
    return Case(workload="attention", axes={"attention": attention, "seq_len": seq_len, "phase": "decode"})


def test_nothing_is_said_before_a_case_is_done():
    assert remaining_s([case("mla", 1)], []) is None


def test_nothing_is_left_when_nothing_waits():
    assert remaining_s([], [(case("mla", 1), 3.0)]) == 0.0


def test_a_case_takes_what_those_that_share_most_axes_took():
    done = [(case("gqa", 1), 1.0), (case("mla", 1), 5.0), (case("mla", 2), 7.0), (case("mha", 3), 100.0)]
    assert remaining_s([case("mla", 4)], done) == 6.0
    assert remaining_s([case("mla", 4), case("gqa", 4)], done) == 7.0


def test_a_thousand_cases_are_estimated_from_some():
    done = [(case("mla", length), 2.0) for length in range(1000)]
    assert remaining_s([case("mla", -length) for length in range(1, 2001)], done) == 4000.0


def test_of_many_like_cases_the_latest_count():
    done = [(case("mla", length), 1.0 if length < 100 else 3.0) for length in range(100 + MOST_LOOKED_AT)]
    assert remaining_s([case("mla", -1)], done) == 3.0


def test_what_ended_sweeps_took_corrects_those_that_follow():
    several = SeveralSweeps([60.0, 120.0, 600.0])
    assert several.left_s(None, undone=1.0) == 780.0
    assert several.left_s(10.0, undone=0.5) == 730.0
    several.ended(120.0)
    assert several.left_s(None, undone=0.5) == 120.0 + 1200.0


def test_a_sweep_that_ran_nothing_says_nothing_of_the_pace():
    several = SeveralSweeps([60.0, 120.0])
    several.ended(0.0)
    assert several.left_s(None, undone=1.0) == 120.0
