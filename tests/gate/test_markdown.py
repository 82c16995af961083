"""The summary of a job: readable as Markdown, whatever stands in a record, and never too long for GitHub."""

import re

from suite.gate.markdown import markdown
from suite.gate.verdict import Outcome
from tests.gate.judgements import case_id, hostile, judgement, mixed, timing
from tests.hostile.texts import TEXTS


def rows(text):
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Verdict")]


def test_the_headline_says_what_came_out_and_of_what():
    first, _, second, *_ = markdown(judgement(timing(Outcome.SLOWER, 1.052), timing())).splitlines()
    assert first == "## Performance gate: slower or worse"
    assert second == (
        "working tree (89abcde, with uncommitted changes) against main (0123456), measured side by side: "
        "**1 slower, 1 same** (exit code 1)."
    )


def test_all_that_is_not_the_same_is_in_the_table_and_the_rest_behind_a_line_that_opens():
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
