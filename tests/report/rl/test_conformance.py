"""Which estimators are unbiased."""

from suite.report.rl import conformance
from tests.report.reading import rows_of
from tests.report.rl.runs import CONFORMANCE, conformance_record, section_of


def test_each_choice_is_said_to_be_unbiased_or_how_not():
    section = section_of(conformance, conformance_record(CONFORMANCE))
    titles = [table.title for table in section.tables]
    assert titles == ["KL estimates", "Advantage estimators", "Choices that must be equal"]
    assert {row["Choice"]: row["Verdict"] for table in section.tables for row in rows_of(table)} == {
        "k1 in the loss": "value unbiased; no gradient",
        "k3 in the loss": "value biased by +0.25; gradient biased, 80% of it in another direction",
        "k3 in the reward": "gradient biased, in the opposite direction",
        "rloo": "gradient unbiased",
        "grpo": "direction unbiased, 0.500× the length",
        "padding ppo": "equal",
        "order ppo": "differs by 0.125",
    }
    rloo = rows_of(section.tables[1])[0]
    assert (rloo["Gradient error"], rloo["unheard_of"]) == ("0", "7")
    assert list(rloo)[1] == "Verdict"


def test_no_more_of_a_record_is_read_than_a_page_can_hold(monkeypatch):
    monkeypatch.setattr(conformance, "MOST_CELLS", 3)
    section = section_of(conformance, conformance_record(CONFORMANCE))
    assert [len(rows_of(table)) for table in section.tables] == [1]


def test_a_second_conformance_record_is_named_and_folded():
    section = section_of(conformance, conformance_record(CONFORMANCE), conformance_record(CONFORMANCE, seed=1))
    assert [table.folded for table in section.tables] == [False] * 3 + [True] * 3
    assert [table.settings for table in section.tables] == ["seed=0"] * 3 + ["seed=1"] * 3
