"""Sentences that two arms allow, by the ratio of medians or by pairs and the one rule."""

from dataclasses import replace
from pathlib import Path

import pytest

import suite
from suite.console.compare import between_folders, between_two, by_machine, by_setting, headline
from suite.console.summary import SummaryEntry, summarise_record
from suite.records.stores.store import read_contents
from tests.records.factory import build
from tests.report.compress_records import compress_record
from tests.report.quality_records import arm, mla
from tests.report.rl.runs import arms, noting_what_guessing_scores
from tests.report.rl_memory_records import projected
from tests.report.rl_records import rl_record

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
STEADY = (1.00, 1.01, 0.99, 1.02, 1.00, 0.98, 1.01, 1.00)


def entries(*records, label=""):
    return [SummaryEntry(record=record, summary=summarise_record(record), label=label) for record in records]


def timed(milliseconds, **axes):
    """Over two launches."""
    record = build(latencies_s=tuple(value * milliseconds * 1e-3 for value in STEADY), **axes)
    return replace(record, readings=[replace(reading, launch=reading.step % 2) for reading in record.readings])


def compared(*records, **asked):
    return headline(entries(*records), **asked)


def test_the_largest_size_tells_how_fast_the_fastest_arm_is():
    records = [
        timed(time * (1 + size / 4096), attention=name, seq_len=size)
        for name, time in (("mha", 3.0), ("gqa", 2.0), ("mla", 1.0))
        for size in (1024, 16384)
    ]
    words = "mla against mha (seq_len=16384): 5.00 ms against 15.0 ms, speed ratio 3.00× (2.84–3.17): faster"
    assert compared(*records).sentence == words
    to_gqa = compared(*records, by="attention", against="gqa")
    assert (to_gqa.arm, to_gqa.other, to_gqa.where) == ("mla", "gqa", "seq_len=16384")
    assert to_gqa.estimate == pytest.approx(2.0)


def test_arms_whose_intervals_meet_are_not_told_apart():
    alike = compared(timed(1.0, attention="mha"), timed(1.05, attention="mla"))
    assert (alike.outcome_in_words, alike.difference) == ("no clear difference", "1.05× (0.995–1.11)")
    single = build(latencies_s=(9e-3,), attention="mha")
    alone = compared(single, timed(1.0))
    assert (alone.outcome_in_words, alone.low) == ("one launch, so not compared (at least 2 are needed)", None)
    assert alone.difference == "9.00×"


def test_where_nothing_differs_nothing_is_said():
    assert compared() is None
    assert compared(timed(1.0)) is None


def test_an_algorithm_that_copies_its_prompt_has_learnt_nothing():
    finals = {"ppo": [0.0] * 5, "grpo": [0.074] * 5, "rloo": [0.8, 0.8, 0.8, 0.8, 0.81]}
    records = [noting_what_guessing_scores(record) for record in arms(finals, base=0.0)]
    of_grpo, of_rloo = by_setting(entries(*records), "algorithm", "ppo")
    assert of_grpo.outcome_in_words == "both are no better than guessing"
    assert (of_rloo.outcome_in_words, round(of_rloo.estimate, 3)) == ("clearly higher", 0.802)


def test_no_difference_needs_evidence_too():
    finals = [0.50, 0.51, 0.52, 0.53, 0.54, 0.55]
    alike = [*arm(finals, attention="mha"), *arm(finals, attention="mqa")]
    assert compared(*alike).outcome_in_words == "equal within the margin"
    few = [record for record in alike if record.case.axes["seed"] in (0, 1)]
    assert compared(*few).outcome == "few"
    assert compared(*few).sentence.endswith(", 2 seeds: too few to compare (at least 5 are needed)")


def test_an_arm_is_named_with_the_sizes_it_was_given():
    records = [*arm([0.9, 0.91, 0.92, 0.93, 0.94], attention="mha"), *arm([0.5, 0.51, 0.52, 0.53, 0.54], **mla(8))]
    assert compared(*records).sentence == (
        "mla (kv_lora_rank=8) against mha: accuracy 52% against 92%, difference −40.0 points (−40.0 to −40.0), "
        "5 seeds: clearly lower"
    )


def test_losses_are_paired_by_windows_of_text():
    records = [compress_record(), compress_record("svd", 64, added={"other": 0.5})]
    comparison = compared(*records, by="method", against="none")
    assert (comparison.quantity, comparison.paired_by) == ("loss of a token", "5 windows of text")
    assert comparison.difference == "+0.080 nats (+0.080 to +0.080)"


def test_projected_peaks_are_compared_without_an_interval():
    peaks = compared(*(projected(algorithm=name) for name in ("grpo", "ppo")))
    assert (peaks.quantity, peaks.low, peaks.pairs) == ("projected peak", None, None)


def test_a_foreign_workload_is_compared_by_its_timings():
    records = [timed(1.0, attention="mha"), timed(2.0, attention="mla")]
    for record in records:
        object.__setattr__(record.case, "workload", "weather")
    assert (compared(*records).arm, compared(*records).outcome) == ("mha", "faster")


@pytest.mark.parametrize(
    ("folder", "by", "against"),
    [
        ("cpu_rl_feedback", "recipe", "r1_zero"),
        ("cpu_rl_feedback", "reward_source", "ground_truth"),
        ("cpu/quality", "attention", "mha"),
        ("cpu/compress", "method", "none"),
    ],
)
def test_arms_are_judged_as_a_notebook_judges_them(folder, by, against):
    records = [stored.record for stored in read_contents([REFERENCE / folder]).stored]
    found = by_setting(entries(*records), by, against)
    table = suite.load(REFERENCE / folder).compare(by=by, against=against)
    ours = sorted(
        (round(verdict.estimate, 9), round(verdict.low, 9), verdict.outcome, verdict.pairs) for verdict in found
    )
    rows = zip(*(table[name] for name in ("difference", "low", "outcome", "pairs")), strict=True)
    theirs = sorted((round(mean, 9), round(low, 9), outcome, pairs) for mean, low, outcome, pairs in rows)
    assert ours == theirs


def test_a_setting_without_arms_is_refused_with_the_choices():
    records = [timed(1.0, seq_len=size, attention=name) for name in ("mha", "mla") for size in (64, 128)]
    with pytest.raises(ValueError, match=r"by must be a setting .* differ \(attention, seq_len\); got 'nope'"):
        by_setting(entries(*records), "nope", None)
    with pytest.raises(ValueError, match=r"against must be one of mha, mla; got 'gqa'"):
        by_setting(entries(*records), "attention", "gqa")


def test_two_runs_are_named_by_what_they_differ_in():
    first, second = entries(timed(2.0, seq_len=64)), entries(timed(1.0, attention="mha", seq_len=64))
    found = between_two(first[0], second[0])
    assert (found.arm, found.other, found.outcome) == ("mla", "mha", "slower")
    assert between_two(first[0], entries(rl_record())[0]) is None


def test_two_folders_are_compared_case_by_case():
    before = entries(timed(1.0), timed(2.0, seq_len=64), label="before")
    after = entries(timed(2.0), timed(9.0, seq_len=128), label="after")
    (found,) = between_folders(after, before)
    assert (found.arm, found.other, found.outcome) == ("after", "before", "slower")
    with pytest.raises(ValueError, match="share a case"):
        between_folders(after[1:], before)


def test_odd_records_are_compared_as_far_as_they_go():
    odd = {"attention": {"fixed": 3}, "seq_len": [1]}
    tiny, huge = (build(latencies_s=(value,) * 9, attention=name) for name, value in (("mha", 1e-300), ("mla", 1e300)))
    assert compared(tiny, replace(huge, settings=odd)) is not None
    assert compared(replace(tiny, settings=odd), replace(huge, readings=[])) is None


ONE, OTHER = ({"machine_id": name, "cpu": f"CPU {name}"} for name in ("aaaa1111", "bbbb2222"))


def test_arms_on_two_machines_are_never_compared():
    mixed = [timed(3.0, attention="mha", environment=ONE), timed(1.0, attention="mla", environment=OTHER)]
    assert headline(by_machine(entries(*mixed))) is None
    both = [*mixed, timed(2.0, attention="mla", environment=ONE)]
    found = headline(by_machine(entries(*both)))
    assert (found.arm, found.where) == ("mla", "label=CPU aaaa1111, seq_len=4096")


def test_folders_of_several_machines_are_compared_by_machine():
    def of(label, *milliseconds):
        records = [timed(ms, environment=machine) for ms, machine in zip(milliseconds, (ONE, OTHER), strict=True)]
        return by_machine(entries(*records, label=label))

    found = between_folders(of("after", 2.0, 6.0), of("before", 1.0, 2.0))
    assert [(verdict.arm, verdict.other, round(1 / verdict.estimate, 6)) for verdict in found] == [
        ("after (CPU aaaa1111)", "before (CPU aaaa1111)", 2.0),
        ("after (CPU bbbb2222)", "before (CPU bbbb2222)", 3.0),
    ]


def test_a_spread_arms_times_are_not_compared():
    records = [
        replace(record, environment=record.environment | machine)
        for name in ("mha", "mla")
        for record, machine in zip(arm([0.5, 0.6], attention=name), (ONE, OTHER), strict=True)
    ]
    found = by_machine(entries(*records))
    assert {entry.is_of_one_machine for entry in found} == {False}
    assert {entry.label for entry in found} == {""}
    assert headline(found) is not None
    timed_only = [replace(entry, record=replace(entry.record, readings=[])) for entry in found]
    assert headline(timed_only) is None
