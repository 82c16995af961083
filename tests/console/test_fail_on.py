"""What makes a comparison of two folders fail, and what it says of cases that tell nothing."""

import pytest

from suite.console.compare import by_machine
from suite.console.fail_on import judge
from suite.console.summary import SummaryEntry, summarise_record
from tests.records.factory import build, in_launches, with_readings
from tests.report.compress_records import compress_record
from tests.report.quality_records import arm
from tests.report.rl_memory_records import projected

LAUNCHES = (0.98, 1.00, 1.02, 1.01)
SEEDS = (0.70, 0.72, 0.71, 0.69, 0.73, 0.70)


def timed(scale=1.0, **axes):
    """A case of four launches, which takes some 1 ms times `scale`."""
    return in_launches(build(**axes), *(scale * launch * 1e-3 for launch in LAUNCHES))


def judged(after, before, fail_on, damaged=0):
    """The judgement of two folders of records."""
    folders = [
        by_machine([SummaryEntry(record=record, summary=summarise_record(record), label=label) for record in records])
        for label, records in (("after", after), ("before", before))
    ]
    return judge(folders, None, None, fail_on, damaged)


def test_a_slower_case_fails_and_a_faster_one_does_not():
    before = [timed(seq_len=size) for size in (64, 128, 256)]
    mixed = [timed(scale, seq_len=size) for scale, size in ((1.5, 64), (0.5, 128), (1.0, 256))]
    is_failing, sentence = judged(mixed, before, "slower")
    assert is_failing
    assert sentence.startswith("1 of 3 compared cases is clearly slower")
    assert "after against before (seq_len=64)" in sentence
    assert not judged(mixed[1:], before[1:], "slower")[0]


def test_one_slower_case_is_lost_among_many_equal_ones():
    sizes = [2**power for power in range(4, 44)]
    before, after = [timed(seq_len=size) for size in sizes], [timed(1.1, seq_len=sizes[0])]
    assert judged(after, before[:1], "slower")[0]
    assert not judged([*after, *before[1:]], before, "slower")[0]


def test_cases_that_tell_nothing_are_counted_by_their_reason():
    once, unchecked = build(seq_len=128), timed(9.0, seq_len=256, provenance={"layer_check": "none: no definition"})
    before = [timed(seq_len=64), once, unchecked]
    is_failing, sentence = judged([*before, timed(9.0, seq_len=512)], before, "slower", damaged=2)
    assert not is_failing
    reasons = "2 damaged, 1 without a counterpart, 1 with one launch, 1 not checked"
    assert sentence.endswith(f"; not compared: {reasons}")


def test_times_of_two_machines_decide_nothing():
    elsewhere = [timed(9.0, environment={"machine_id": "ffff0000"})]
    with pytest.raises(ValueError, match="got 1 timed on two machines"):
        judged(elsewhere, [timed()], "slower")


def test_projected_times_count_as_they_are():
    long, short = (
        with_readings(build(latencies_s=()), "layer", bound_s=bound_s, expected_s=bound_s)
        for bound_s in (1.001e-3, 1e-3)
    )
    assert judged([long], [short], "slower")[0]
    assert not judged([short], [long], "slower")[0]


def test_falling_scores_are_worse_given_enough_seeds():
    before = [*arm(SEEDS, task="tiers"), *arm(SEEDS[:3], task="recall")]
    lower = [*arm([score - 0.1 for score in SEEDS], task="tiers"), *arm([0.1] * 3, task="recall")]
    is_failing, sentence = judged(lower, before, "worse")
    assert is_failing
    assert sentence.startswith("1 of 1 compared cases is clearly worse")
    assert "not compared: 1 with fewer than 5 pairs;" in sentence
    assert not judged(before, lower, "worse")[0]


def test_a_loss_that_rises_is_worse():
    plain, harder = compress_record("svd", 64), compress_record("svd", 64, added={"other": 0.5})
    assert judged([harder], [plain], "worse")[0]
    assert not judged([plain], [harder], "worse")[0]


def test_arms_that_only_guess_and_sizes_decide_nothing():
    guessing, also_guessing = arm([0.125] * 6), arm([0.125] * 6)
    with pytest.raises(ValueError, match="got 1 no better than guessing on both sides"):
        judged(guessing, also_guessing, "worse")
    for fail_on in ("slower", "worse"):
        with pytest.raises(ValueError, match=r"got 1 without a (time|score)"):
            judged([projected()], [projected()], fail_on)


def test_a_case_at_full_marks_on_both_sides_is_compared():
    full, also_full = arm([1.0] * 6), arm([1.0] * 6)
    is_failing, sentence = judged(full, also_full, "worse")
    assert (is_failing, sentence[:24]) == (False, "none of 1 compared cases")
