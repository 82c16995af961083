"""Differences and values in words."""

from dataclasses import replace

import pytest

from suite.gate.output.sentences import (
    accept_command,
    advice,
    change,
    compared,
    differences,
    facts,
    meaning,
    values,
)
from suite.gate.verdict import Outcome, Side
from tests.gate.judgements import case_id, exact, judgement, timing, whole


@pytest.mark.parametrize(
    ("ratio", "low", "high", "text"),
    [
        (1.052, 1.041, 1.063, "+5.2 % (4.1 to 6.3)"),
        (0.95, 0.94, 0.96, "-5.0 % (-6.0 to -4.0)"),
        (1.0, 0.99, 1.01, "+0.0 % (-1.0 to 1.0)"),
        (1.0001, None, None, "+0.01 %"),
        (25.0, 20.0, 31.0, "25× (20× to 31×)"),
        (float("inf"), None, None, ""),
        (None, None, None, ""),
    ],
)
def test_a_change_is_a_percentage_with_its_interval(ratio, low, high, text):
    assert change(replace(timing(), ratio=ratio, low=low, high=high)) == text


def test_values_have_their_unit_and_enough_digits_to_differ():
    assert values(timing(ratio=1.1)) == ("1.50 ms", "1.65 ms")
    assert values(replace(timing(ratio=1.0001), low=None, high=None)) == ("1.50 ms", "1.50 ms")
    assert values(exact()) == ("24.0 KiB", "30.0 KiB")
    assert values(exact(before=1e9, after=1e9 + 1)) == ("1,000,000,000.0", "1,000,000,001.0")
    assert values(whole()) == ("–", "–")


def test_the_comparison_names_both_sides_and_uncommitted_work():
    assert compared(judgement()) == (
        "working tree (89abcde, with uncommitted changes) against main (0123456), measured side by side"
    )
    plain = judgement(before=Side(label="0123456789", commit="0123456789abcdef"), after=Side(label="b"), form="stored")
    assert compared(plain) == "b against 0123456789, from stored records"


def test_facts_are_told_as_far_as_they_are_known_and_plain():
    told = facts(judgement(timing(rounds=8), timing(rounds=64), facts={"clock": "wall", "floor": {"odd": 1}}))
    assert told == ["clock wall", "rounds 8 to 64"]
    assert facts(judgement(facts={"seconds": 12.3456, "launches": 10**400}))[-1] == "seconds 12.3"


def test_a_difference_has_a_dash_where_a_side_is_not_known():
    assert differences(judgement(differences={"torch": ["2.13"], "gpu": []})) == [
        ("torch", "2.13", "–"),
        ("gpu", "–", "–"),
    ]


@pytest.mark.parametrize(
    ("verdicts", "said", "words"),
    [
        ([timing(Outcome.SLOWER)], {"interrupted": True}, "cut short"),
        ([], {}, "Nothing was judged"),
        ([whole(Outcome.NEW)], {}, "Nothing was judged"),
        ([whole(Outcome.NEW)], {"facts": {"first": True}}, "Nothing to do"),
        ([whole(Outcome.MISSING), timing(Outcome.SLOWER)], {}, "Mend"),
        ([timing(Outcome.SLOWER), whole(Outcome.INCOMPARABLE)], {}, "To let a case pass"),
        ([whole(Outcome.INCOMPARABLE), timing(Outcome.INCONCLUSIVE)], {"form": "stored"}, "on one machine"),
        ([whole(Outcome.INCOMPARABLE), timing(Outcome.INCONCLUSIVE)], {}, "--trust-candidate-settings"),
        ([timing(Outcome.INCONCLUSIVE)], {}, "--seconds"),
        ([timing(Outcome.INCONCLUSIVE)], {"form": "stored"}, "--against"),
        ([timing()], {}, "Nothing to do"),
    ],
)
def test_the_advice_is_for_the_worst_that_was_found(verdicts, said, words):
    assert words in advice(judgement(*verdicts, **said))


UNDECIDED = timing(Outcome.INCONCLUSIVE, 1.2, high=1.4)


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([timing(), exact(Outcome.SAME)], "nothing is slower or worse"),
        (
            [UNDECIDED] * 16,
            "no slowdown was proven; 16 of 16 noisy measurements are undecided: the noise hides slowdowns of up to +40",
        ),
        (
            [UNDECIDED, timing(), exact(Outcome.SAME)],
            "no slowdown was proven; 1 of 2 noisy measurements are undecided: the",
        ),
        ([whole(Outcome.INCONCLUSIVE)], "no slowdown was proven; 1 of 1 noisy measurements are undecided"),
        ([timing(), whole(Outcome.UNJUDGED)], "no slowdown was proven; 1 ran no code of the revisions"),
        ([whole(Outcome.NEW)], "nothing to compare with yet, since all of it is new"),
        ([UNDECIDED, timing(Outcome.SLOWER)], "slower or worse"),
    ],
)
def test_nothing_is_slower_is_said_only_where_all_is_decided(verdicts, words):
    judged = judgement(*verdicts, facts={"first": True})
    assert meaning(judged).startswith(words)
    assert ("nothing is slower" in meaning(judged)) is (words == "nothing is slower or worse")


def test_what_is_new_passes_only_where_the_older_side_ran():
    for verdicts, code in (([], 4), ([whole(Outcome.NEW)], 0), ([whole(Outcome.NEW), whole(Outcome.UNJUDGED)], 4)):
        assert judgement(*verdicts, facts={"first": True}).exit_code == code
        assert judgement(*verdicts, facts={"first": False}).exit_code == 4
    assert judgement(whole(Outcome.NEW), whole(Outcome.MISSING), facts={"first": True}).exit_code == 4


def test_the_accept_command_quotes_the_worst_case_for_a_shell():
    verdicts = [timing(Outcome.INCONCLUSIVE), timing(Outcome.SLOWER, case="it's"), timing(Outcome.SLOWER)]
    assert accept_command(verdicts).startswith("""suite gate accept 'it'"'"'s' --reason""")
    assert accept_command([timing(case=case_id())]) == ""
