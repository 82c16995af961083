"""JUnit XML: nothing that fails the gate looks green, and any text can be read back."""

from xml.etree import ElementTree as ET

import pytest

from suite.gate.output.junit import junit
from suite.gate.verdict import Outcome
from tests.gate.judgements import case_id, hostile, judgement, mixed, timing, whole
from tools.hostile.texts import SEQUENCES


def suite_of(judged):
    (suite,) = ET.fromstring(junit(judged))
    return suite


def result(case):
    return next((one.tag for one in case if one.tag != "properties"), "passed")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        *((outcome, "error") for outcome in (Outcome.BROKEN, Outcome.MISSING, Outcome.INCOMPARABLE)),
        *((outcome, "passed") for outcome in (Outcome.FASTER, Outcome.SAME, Outcome.NEW, Outcome.ACCEPTED)),
        (Outcome.SLOWER, "failure"),
        *((outcome, "skipped") for outcome in (Outcome.INCONCLUSIVE, Outcome.UNJUDGED)),
    ],
)
def test_each_outcome_has_its_result(outcome, said):
    suite = suite_of(judgement(timing(outcome, case="a=1"), timing()))
    (case,) = [case for case in suite if case.get("classname") == "a=1"]
    assert result(case) == said


def test_inconclusive_fails_where_it_was_asked_to():
    assert [result(case) for case in suite_of(judgement(timing(Outcome.INCONCLUSIVE), inconclusive_fails=True))] == [
        "failure"
    ]


def test_a_test_case_has_its_quantitys_name_and_numbers():
    (case,) = suite_of(judgement(timing(Outcome.SLOWER, 1.052, code="normed (src/normed/__init__.py)")))
    assert (case.get("classname"), case.get("name")) == (case_id(), "layer·latency_s")
    properties = {one.get("name"): one.get("value") for one in case.find("properties")}
    assert properties["estimate"] == "1.052"
    assert properties["interval"] == "1.042 1.062"
    expected = {"level": "0.99", "clock": "thread_cpu", "rounds": "64", "launches": "2", "allowed": "1.02"}
    assert expected.items() <= properties.items()
    assert properties["code"] == "normed (src/normed/__init__.py)"
    assert case.find("failure").get("message").startswith("+5.2 % (4.2 to 6.2): slower by more")


def test_the_suites_name_says_what_is_undecided():
    assert "no slowdown was proven; 1 of 1" in suite_of(judgement(timing(Outcome.INCONCLUSIVE))).get("name")
    assert suite_of(judgement(timing())).get("name").endswith(": nothing is slower or worse")


def test_a_verdict_on_a_whole_case_has_a_name_too():
    (case,) = suite_of(judgement(whole()))
    assert case.get("name") == "case"


def test_the_totals_are_those_of_the_cases():
    for judged in (mixed(), judgement(), judgement(timing(), interrupted=True)):
        suite, root = suite_of(judged), ET.fromstring(junit(judged))
        results = [result(case) for case in suite]
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
    assert [result(case) for case in suite_of(judged)][-1] == "error"


def test_characters_that_xml_forbids_are_replaced():
    suite = suite_of(hostile())
    (case,) = [case for case in suite if case.get("classname").endswith("slower")]
    assert '<a href="https://evil.example">x</a>' in case.get("classname")
    assert "\ufffd[2J\ufffd\ufffd" in case.find("failure").text


def test_no_text_moves_the_cursor_of_whoever_prints_the_file():
    for text in SEQUENCES:
        told = junit(judgement(timing(Outcome.SLOWER, case=text, span=text, reason=text, notes=[text], code=text)))
        assert all(line.isprintable() for line in told.decode().splitlines())
        ET.fromstring(told)
