"""Three ends of a claim: this machine's records agree with the reference records, differ, or cannot tell."""

from dataclasses import replace

import pytest

from suite.report.answers.answers import build_answers
from suite.report.answers.claims import ClaimVerdict, Standing
from suite.report.answers.reproduced import End, compare_verdicts
from suite.report.page.texts import load_texts
from tests.records.factory import ENVIRONMENT, build, in_launches
from tests.report.quality_records import in_memory

EN = load_texts("en")
HERE = ENVIRONMENT["machine_id"]
ELSEWHERE = {"machine_id": "ffff0000", "cpu": "Another processor"}
SUPPORTED, CONTRADICTED, OPEN = Standing.SUPPORTED, Standing.CONTRADICTED, Standing.OPEN


def verdict(outcome, **fields):
    return ClaimVerdict(outcome=outcome, evidence=[], **{"machine": "A processor", **fields})


@pytest.mark.parametrize(
    ("ours", "theirs", "end"),
    [
        (SUPPORTED, SUPPORTED, End.AGREES),
        (CONTRADICTED, SUPPORTED, End.DIFFERS),
        (Standing.DEPENDS, SUPPORTED, End.DIFFERS),
        (Standing.EQUAL, SUPPORTED, End.DIFFERS),
        (Standing.MIXED, SUPPORTED, End.UNTOLD),
        (Standing.BOUNDED, Standing.EQUAL, End.UNTOLD),
        (OPEN, SUPPORTED, End.UNTOLD),
        (Standing.UNTESTED, CONTRADICTED, End.UNTOLD),
        (SUPPORTED, OPEN, End.UNTOLD),
    ],
)
def test_only_two_decided_verdicts_differ(ours, theirs, end):
    assert compare_verdicts(verdict(ours), verdict(theirs)) is end


@pytest.mark.parametrize(
    ("ours", "theirs", "end"),
    [
        ({"mha": SUPPORTED, "gqa": CONTRADICTED}, {"mha": SUPPORTED, "gqa": CONTRADICTED}, End.AGREES),
        ({"mha": SUPPORTED, "gqa": OPEN}, {"mha": SUPPORTED, "gqa": CONTRADICTED}, End.UNTOLD),
        ({"mha": SUPPORTED}, {"mha": SUPPORTED, "gqa": CONTRADICTED}, End.UNTOLD),
        ({"mha": CONTRADICTED, "gqa": OPEN}, {"mha": SUPPORTED, "gqa": CONTRADICTED}, End.DIFFERS),
        ({"mha": SUPPORTED, "gqa": CONTRADICTED}, {"mha": OPEN, "gqa": CONTRADICTED}, End.AGREES),
    ],
)
def test_parts_are_compared_one_by_one(ours, theirs, end):
    """The outcome is the same word in all of them: it depends on the rival."""
    sides = [verdict(Standing.DEPENDS, parts=parts) for parts in (ours, theirs)]
    assert compare_verdicts(*sides) is end


@pytest.mark.parametrize("fields", [{"suffices": False}, {"machine": ""}])
def test_without_enough_records_of_its_own_a_machine_cannot_tell(fields):
    assert compare_verdicts(verdict(SUPPORTED, **fields), verdict(SUPPORTED)) is End.UNTOLD
    assert compare_verdicts(verdict(SUPPORTED), None) is End.UNTOLD


def steps(mla_s, mha_s, **axes):
    """MLA and MHA in three launches of which each is 1% from the next."""
    return [
        in_launches(build(attention=name, **axes), *(seconds * by for by in (0.99, 1.0, 1.01)))
        for name, seconds in (("mla", mla_s), ("mha", mha_s))
    ]


def ends(own, others):
    others = [replace(record, environment=record.environment | ELSEWHERE) for record in others]
    return [EN.render(text) for text in build_answers(in_memory(*own, *others), HERE).reproduced]


def counted(**counts):
    return EN("answer.reproduced", **{"total": 1, "agrees": 0, "differs": 0, "untold": 0} | counts)


@pytest.mark.parametrize("axis", [{"seq_len": 512}, {"dtype": "float32"}, {"geometry": "llama-3.2-1b"}])
def test_a_claim_is_compared_in_equal_cases_alone(axis):
    """The reference's deciding case is of another kind, and says the opposite of the case that both have."""
    short, long = {"seq_len": 1024, **axis}, {"seq_len": 16384, "dtype": "bfloat16"}
    reference = [*steps(1e-3, 3e-3, **short), *steps(3e-3, 1e-3, **long)]
    assert ends(steps(1e-3, 3e-3, **short), reference) == [counted(agrees=1)]
    differs = ends(steps(3e-3, 1e-3, **short), reference)
    assert differs[0] == counted(differs=1)
    assert "0.333×" in differs[1]
    assert "3.00×" in differs[1]


def test_a_case_that_the_reference_lacks_cannot_be_told():
    first, deciding = ends(steps(1e-3, 3e-3, geometry="llama-3.2-1b"), steps(1e-3, 3e-3))
    assert (first, "suite demo --sweep attention" in deciding) == (counted(untold=1), True)


def test_a_noisy_machine_cannot_tell():
    noisy = [in_launches(record, 0.3e-3, 1e-3, 4e-3) for record in steps(1e-3, 3e-3)]
    assert ends(noisy, steps(1e-3, 3e-3))[0] == counted(untold=1)


def test_what_the_reference_leaves_open_is_not_counted():
    assert ends(steps(1e-3, 3e-3), steps(1e-3, 1.001e-3)) == []
