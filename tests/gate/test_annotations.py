"""Annotations on GitHub: a level for each outcome, escaped as its documentation says, and no more than it shows."""

import re

from suite.gate.annotations import annotations
from suite.gate.verdict import Outcome
from tests.gate.judgements import case_id, hostile, judgement, mixed, timing
from tests.hostile.texts import TEXTS, harmful


def level(line):
    return re.match(r"::(\w+) ", line)[1]


def test_each_outcome_has_its_level_and_what_is_the_same_or_new_has_none():
    told = [(level(line), re.search("title=([a-z]+)", line)[1]) for line in annotations(mixed())]
    assert told == [
        *(("error", name) for name in ("broken", "missing", "slower", "slower")),
        *(("warning", name) for name in ("incomparable", "inconclusive", "gate")),
        *(("notice", name) for name in ("accepted", "faster")),
    ]


def test_the_text_has_change_and_reason_with_percent_signs_escaped():
    (line,) = annotations(judgement(timing(Outcome.SLOWER, 1.052)))
    assert line == (
        "::error title=slower%3A attention mla · layer · latency_s::+5.2 %25 (4.2 to 6.2): "
        "slower by more than the 2.0 %25 that are allowed"
    )


def test_signs_are_escaped_as_github_reads_them():
    (line,) = annotations(judgement(timing(Outcome.SLOWER, case="a:b,c%d\r\ne", reason="a:b,c%d\r\ne")))
    title, text = re.fullmatch(r"::error title=(.*?)::(.*)", line).groups()
    assert "a%3Ab%2Cc%25d%0D%0Ae" in title
    assert text.endswith("a:b,c%25d%0D%0Ae")


def test_of_more_than_ten_the_last_one_names_the_rest():
    many = [timing(Outcome.SLOWER, 2 - n / 100, case=case_id(seq_len=n)) for n in range(1, 14)]
    told = annotations(judgement(*many))
    assert len(told) == 10
    assert told[-1].startswith("::error title=4 more::slower: seq_len=10 · layer · latency_s; slower: seq_len=11 ·")
    assert "seq_len=13" in told[-1]
    assert len(annotations(judgement(*many[:10]))) == 10
    assert "more" not in annotations(judgement(*many[:10]))[-1].split("::")[1]


def test_a_list_of_names_too_long_to_read_ends_with_how_many_are_left():
    many = [timing(Outcome.SLOWER, case=f"{n} {'x' * 500}") for n in range(100)]
    assert len(annotations(judgement(*many))[-1]) < 5000
    assert re.search(r"; and \d+ others$", annotations(judgement(*many))[-1])


def test_what_was_cut_short_or_judged_nothing_is_an_error():
    assert [level(line) for line in annotations(judgement())] == ["error"]
    assert [level(line) for line in annotations(judgement(timing(Outcome.NEW)))] == ["error"]
    assert [level(line) for line in annotations(judgement(timing(), interrupted=True))] == ["error"]
    assert annotations(judgement(timing())) == []


def test_hostile_text_begins_no_command_of_its_own():
    told = annotations(hostile())
    assert all(line.isprintable() and re.match("::(error|warning|notice) title=[^:,]*::", line) for line in told)
    "\n".join(told).encode()


def test_no_text_ends_an_annotation_or_begins_another():
    for text in TEXTS:
        told = annotations(judgement(timing(Outcome.SLOWER, case=text, span=text, reason=text), warnings=[text]))
        assert len(told) == 2
        for line in told:
            assert harmful(line.removeprefix("::")) == []
            assert re.match("::(error|warning) title=[^:,]*::", line)
