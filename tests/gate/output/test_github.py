"""The summary of a job: readable as Markdown, whatever stands in a record, and never too long for GitHub."""

import re

from suite.gate.output.github import annotations, markdown
from suite.gate.verdict import Outcome
from tests.gate.judgements import case_id, hostile, judgement, mixed, timing
from tools.hostile.texts import TEXTS, harmful


def rows(text):
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Verdict")]


def test_the_headline_says_what_came_out_and_of_what():
    first, _, second, *_ = markdown(judgement(timing(Outcome.SLOWER, 1.052), timing())).splitlines()
    assert first == "## Performance gate: slower or worse"
    assert second == (
        "working tree (89abcde, with uncommitted changes) against main (0123456), measured side by side: "
        "**1 slower, 1 same** (exit code 1)."
    )


def test_what_is_undecided_is_never_green_words():
    undecided = judgement(timing(Outcome.INCONCLUSIVE, 19.0), timing())
    words = "no slowdown was proven; 1 of 2 noisy measurements are undecided"
    assert markdown(undecided).startswith(f"## Performance gate: {words}")
    first, second = annotations(undecided)
    assert first.startswith(f"::warning title=gate::{words}")
    assert second.startswith("::warning title=inconclusive")
    assert not any("no slowdown" in line for line in annotations(judgement(timing())))


def test_the_table_shows_all_that_is_not_the_same():
    shown, folded = markdown(mixed()).split("<details>")
    assert [row.split(" | ")[0] for row in rows(shown)] == [
        *("| **broken**", "| **missing**", "| **slower**", "| **slower**", "| **incomparable**"),
        *("| **inconclusive**", "| **accepted**", "| **faster**", "| new"),
    ]
    assert folded.startswith("<summary>6 same</summary>\n\n| Verdict")
    assert len(rows(folded)) == 6


def test_a_row_has_change_allowance_values_and_reason():
    (row,) = rows(markdown(judgement(timing(Outcome.SLOWER, 1.052, notes=["on wall time too"]))))
    assert row == (
        "| **slower** | attention mla | layer · latency\\_s | +5.2 % (4.2 to 6.2) | +2.0 % | 1.50 ms | 1.58 ms "
        "| slower by more than the 2.0 % that are allowed; on wall time too |"
    )


def test_surroundings_facts_and_the_next_step_are_said():
    text = markdown(mixed())
    for said in ("- torch: 2.12.0 → 2.13.0", "- clock thread\\_cpu", "- rounds 64", "- seconds 12.3", "- floor 0.02"):
        assert said in text.splitlines()
    assert "suite gate accept" in markdown(judgement(timing(Outcome.SLOWER)))
    assert "Nothing was judged" in markdown(judgement())


def test_hostile_text_is_shown_as_it_is_and_stays_in_its_cell():
    text = markdown(hostile())
    assert not re.search(r"<(?!/?(details|summary)>)", text)
    assert not re.search(r"(?<!\\)`", text)
    assert "@octocat" not in text
    assert not any(line.startswith("::") for line in text.splitlines())
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows(text)} == {9}
    text.encode()


def test_a_summary_that_github_would_not_take_is_cut_and_says_so():
    worst = "@" * 10_000
    many = [timing(outcome, 1.1, case=f"{n} {worst}", reason=worst) for outcome in Outcome for n in range(200)]
    text = markdown(judgement(*many, warnings=[worst] * 100, differences={f"{n}{worst}": [worst] for n in range(100)}))
    assert 500_000 < len(text.encode()) < 1 << 20
    (not_same,) = re.findall(r"([\d,]+) more rows are left out", text.split("<details>")[0])
    assert int(not_same.replace(",", "")) + len(rows(text.split("<details>")[0])) == 200 * (len(Outcome) - 1)
    assert "and 80 more; judgement.json has them all." in text


def test_rows_are_cut_at_no_less_than_a_hundred_ordinary_cases():
    many = [timing(Outcome.SLOWER, 1.1, case=case_id(seq_len=n)) for n in range(500)]
    assert "left out" not in markdown(judgement(*many))


def test_no_text_breaks_a_row_or_begins_a_line_of_its_own():
    plain = markdown(judgement(timing(Outcome.SLOWER, case="x", reason="x"), warnings=["x"])).splitlines()
    for text in TEXTS:
        judged = judgement(timing(Outcome.SLOWER, case=text, reason=text), warnings=[text])
        told = markdown(judged).splitlines()
        assert len(told) == len(plain)
        assert all(line.isprintable() for line in told)
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows("\n".join(told))} == {9}


def level(line):
    return re.match(r"::(\w+) ", line)[1]


def test_each_outcome_has_its_level_of_annotation():
    told = [(level(line), re.search("title=([a-z]+)", line)[1]) for line in annotations(mixed())]
    assert told == [
        *(("error", name) for name in ("broken", "missing", "slower", "slower")),
        *(("warning", name) for name in ("incomparable", "inconclusive", "gate")),
        *(("notice", name) for name in ("accepted", "faster")),
    ]


def test_an_annotation_escapes_percent_signs():
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


def test_a_long_list_of_names_ends_with_a_count():
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
