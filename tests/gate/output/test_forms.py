"""Every form of the answer: the words stand in snapshot.txt; here is what must hold whatever a record says."""

import re
from xml.etree import ElementTree as ET

import pytest

from suite.gate.output.github import annotations, markdown
from suite.gate.output.junit import junit
from suite.gate.output.sentences import accept_command
from suite.gate.output.terminal import lines
from suite.gate.verdict import Outcome, Side
from tests.gate.judgements import case_id, exact, hostile, judgement, mixed, timing, whole
from tests.gate.output.snapshot import SNAPSHOT, shown
from tools.hostile.texts import SEQUENCES, SPACED, TEXTS, harmful


def test_every_form_of_the_answer_is_what_it_was():
    """Where it is to be another: `python -m tests.gate.output.snapshot`, and look at what git shows."""
    assert "\n".join(shown()) + "\n" == SNAPSHOT.read_text(encoding="utf-8")


def test_what_is_new_passes_only_where_the_older_side_ran():
    for verdicts, code in (([], 4), ([whole(Outcome.NEW)], 0), ([whole(Outcome.NEW), whole(Outcome.UNJUDGED)], 4)):
        assert judgement(*verdicts, facts={"first": True}).exit_code == code
        assert judgement(*verdicts, facts={"first": False}).exit_code == 4
    assert judgement(whole(Outcome.NEW), whole(Outcome.MISSING), facts={"first": True}).exit_code == 4


def test_the_accept_command_quotes_the_worst_case_for_a_shell():
    verdicts = [timing(Outcome.INCONCLUSIVE), timing(Outcome.SLOWER, case="it's"), timing(Outcome.SLOWER)]
    assert accept_command(judgement(*verdicts)).startswith("""suite gate accept 'it'"'"'s' --reason""")
    assert accept_command(judgement(timing(case=case_id()))) == ""


# In the terminal


def text_of(judged, *, width=200, colour=False):
    return "\n".join(lines(judged, width=width, colour=colour))


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("judged", [mixed(), hostile()], ids=["mixed", "hostile"])
def test_no_line_is_wider_than_the_terminal(judged, width):
    assert max(map(len, lines(judged, width=width, colour=False))) <= width


def test_many_incomparable_cases_of_one_reason_are_counted():
    many = [whole(Outcome.INCOMPARABLE, case=f"case {n}", reason="its file changed") for n in range(6)]
    text = text_of(judgement(*many, whole(Outcome.INCOMPARABLE, case="alone", reason="another CPU")))
    assert re.findall(r"incomparable +6 cases: its file changed\n", text)
    assert re.findall(r"incomparable +alone +another CPU\n", text)


def test_colour_paints_the_outcome_only_and_moves_nothing():
    coloured = text_of(mixed(), colour=True)
    assert "\x1b[31mslower\x1b[0m        gqa" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == text_of(mixed())


def test_hostile_text_cannot_move_the_cursor_or_begin_a_line():
    short = judgement(whole(case="\x1b[2J", reason="\x1b[2J"))
    for told in (lines(hostile(), width=80, colour=False), lines(short, width=200, colour=False)):
        assert all(line.isprintable() and not line.startswith("::") for line in told)
        "\n".join(told).encode()


def full_of(text):
    """A judgement with a text wherever it can have one, once alone and once among many."""
    many = [whole(outcome, case=f"{text} {n}", reason=text) for outcome in Outcome for n in range(6)]
    said = {
        "before": Side(label=text, commit=text),
        "after": Side(label=text, commit=text),
        "warnings": [text],
        "facts": dict.fromkeys(("sweep", "code", "clock"), text),
    }
    alone = timing(Outcome.SLOWER, case=text, span=text, metric=text, reason=text, notes=[text])
    return [judgement(alone, form=text, **said), judgement(*many, form=text, **said)]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_commands_a_ci_system_however_it_is_wrapped(width):
    for text in (*TEXTS, SPACED):
        for judged in full_of(text):
            assert harmful(text_of(judged, width=width)) == []
            assert harmful(re.sub("\x1b\\[\\d*m", "", text_of(judged, width=width, colour=True))) == []


# On GitHub


def rows(text):
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Verdict")]


def test_a_summary_that_github_would_not_take_is_cut_and_says_so():
    worst = "@" * 10_000
    many = [timing(outcome, 1.1, case=f"{n} {worst}", reason=worst) for outcome in Outcome for n in range(200)]
    text = markdown(judgement(*many, warnings=[worst] * 100))
    assert 500_000 < len(text.encode()) < 1 << 20
    (not_same,) = re.findall(r"([\d,]+) more rows are left out", text.split("<details>")[0])
    assert int(not_same.replace(",", "")) + len(rows(text.split("<details>")[0])) == 200 * (len(Outcome) - 1)
    assert "and 80 more; judgement.json lists all of them." in text
    ordinary = [timing(Outcome.SLOWER, 1.1, case=case_id(seq_len=n)) for n in range(500)]
    assert "left out" not in markdown(judgement(*ordinary))


def test_no_text_breaks_a_row_or_begins_a_line_of_its_own():
    plain = markdown(judgement(timing(Outcome.SLOWER, case="x", reason="x"), warnings=["x"])).splitlines()
    for text in TEXTS:
        judged = judgement(timing(Outcome.SLOWER, case=text, reason=text), warnings=[text])
        told = markdown(judged).splitlines()
        assert len(told) == len(plain)
        assert all(line.isprintable() for line in told)
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows("\n".join(told))} == {9}


def test_signs_are_escaped_as_github_reads_them():
    (line,) = annotations(judgement(timing(Outcome.SLOWER, 1.052, case="a:b,c%d\r\ne", reason="a:b,c%d\r\ne")))
    title, text = re.fullmatch(r"::error title=(.*?)::(.*)", line).groups()
    assert "a%3Ab%2Cc%25d%0D%0Ae" in title
    assert text == "+5.2%25 (+4.2 to +6.2): a:b,c%25d%0D%0Ae"


def test_a_long_list_of_names_ends_with_a_count():
    many = [timing(Outcome.SLOWER, case=f"{n} {'x' * 500}") for n in range(100)]
    assert len(annotations(judgement(*many))[-1]) < 5000
    assert re.search(r"; and \d+ others$", annotations(judgement(*many))[-1])


def test_no_text_ends_an_annotation_or_begins_another():
    for text in TEXTS:
        told = annotations(judgement(timing(Outcome.SLOWER, case=text, span=text, reason=text), warnings=[text]))
        assert len(told) == 2
        for line in told:
            assert harmful(line.removeprefix("::")) == []
            assert re.match("::(error|warning) title=[^:,]*::", line)


# As JUnit XML


def suite_of(judged):
    (suite,) = ET.fromstring(junit(judged))
    return suite


def results_in(judged):
    return [next((part.tag for part in case if part.tag != "properties"), "passed") for case in suite_of(judged)]


@pytest.mark.parametrize(
    ("outcomes", "result"),
    [
        ((Outcome.BROKEN, Outcome.MISSING, Outcome.INCOMPARABLE), "error"),
        ((Outcome.FASTER, Outcome.SAME, Outcome.NEW, Outcome.ACCEPTED), "passed"),
        ((Outcome.SLOWER,), "failure"),
        ((Outcome.INCONCLUSIVE, Outcome.UNJUDGED), "skipped"),
    ],
)
def test_each_outcome_has_its_result(outcomes, result):
    for outcome in outcomes:
        assert sorted(results_in(judgement(timing(outcome), timing()))) == sorted([result, "passed"])
    assert results_in(judgement(timing(Outcome.INCONCLUSIVE), inconclusive_fails=True)) == ["failure"]


def test_the_totals_are_those_of_the_cases():
    for judged in (mixed(), judgement(), judgement(timing(), interrupted=True)):
        suite, root, results = suite_of(judged), ET.fromstring(junit(judged)), results_in(judged)
        counted = {"tests": len(results), "failures": results.count("failure")}
        counted |= {"errors": results.count("error"), "skipped": results.count("skipped")}
        assert {name: int(suite.get(name)) for name in counted} == counted
        assert {name: int(root.get(name)) for name in counted} == counted


@pytest.mark.parametrize(
    "judged",
    [
        judgement(),
        judgement(whole(Outcome.NEW)),
        judgement(whole(Outcome.NEW), whole(Outcome.UNJUDGED)),
        judgement(timing(), interrupted=True),
    ],
    ids=["empty", "only new", "new or unjudged", "interrupted"],
)
def test_what_judged_nothing_or_was_cut_short_is_not_green(judged):
    assert int(suite_of(judged).get("errors")) == 1
    assert results_in(judged)[-1] == "error"
    assert annotations(judged)[0].startswith("::error ")
    assert annotations(judgement(timing(), exact(Outcome.SAME))) == []


def test_no_text_moves_the_cursor_of_whoever_prints_the_file():
    (case,) = [case for case in suite_of(hostile()) if case.get("classname").endswith("slower")]
    assert '<a href="https://evil.example">x</a>' in case.get("classname")
    assert "\ufffd[2J\ufffd\ufffd" in case.find("failure").text  # what XML forbids is replaced
    for text in SEQUENCES:
        told = junit(judgement(timing(Outcome.SLOWER, case=text, span=text, reason=text, notes=[text], code=text)))
        assert all(line.isprintable() for line in told.decode().splitlines())
        ET.fromstring(told)
