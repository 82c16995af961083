"""The time left comes from what like cases took."""

import pytest

from suite.console.progress import MOST_LOOKED_AT, remaining_s
from suite.records.case import Case


def case(attention, seq_len):
    return Case(workload="attention", axes={"attention": attention, "seq_len": seq_len, "phase": "decode"})


DONE = [(case("gqa", 1), 1.0), (case("mla", 1), 5.0), (case("mla", 2), 7.0), (case("mha", 3), 100.0)]
LENGTHS = range(100 + MOST_LOOKED_AT)


@pytest.mark.parametrize(
    ("waiting", "done", "seconds"),
    [
        ([case("mla", 1)], [], None),
        ([], DONE, 0.0),
        # A case takes the mean of those that share most of its settings.
        ([case("mla", 4)], DONE, 6.0),
        ([case("mla", 4), case("gqa", 4)], DONE, 7.0),
        # Of many the latest count, and not all of those that wait are looked at.
        ([case("mla", -1)], [(case("mla", length), 1.0 if length < 100 else 3.0) for length in LENGTHS], 3.0),
        ([case("mla", -length) for length in range(1, 2001)], [(case("mla", n), 2.0) for n in range(1000)], 4000.0),
    ],
)
def test_a_case_takes_what_those_most_like_it_took(waiting, done, seconds):
    assert remaining_s(waiting, done) == seconds
