"""What a reward is of."""

from suite.report.rl import feedback
from tests.report.reading import results_of, rows_of, said
from tests.report.rl.runs import SORTED_ALREADY, details, fed, named, noting_what_guessing_scores, run, section_of


def test_a_reward_is_compared_with_all_else_the_same(tmp_path):
    records = [
        *fed("supervision", "outcome", (0.6, 0.5, 0.6, 0.5, 0.6)),
        *fed("supervision", "process", (0.8, 0.7, 0.8, 0.7, 0.8)),
        *fed("reward_source", "majority", (0.5, 0.6, 0.5, 0.6, 0.55), task="addition"),
        *(run([0.1, 0.2, final], seed=seed, task="addition") for seed, final in enumerate((0.6, 0.5, 0.6, 0.5, 0.55))),
        *fed("reward_source", "majority", (0.5, 0.6), task="alone"),
    ]
    results = results_of(tmp_path, *records)
    section = said(feedback.build(results))
    assert "every token of a completion gets the same advantage" in section.explanation
    assert "GRPO compares samples of one policy" in section.explanation
    process, majority = (rows_of(table) for table in section.tables)
    assert {row["Arm"] for row in process} == {"supervision=process"}
    assert (process[0]["Held equal"], process[0]["Difference (points)"]) == (
        "Completions: 20",
        "+20.0 (+20.0 to +20.0)",
    )
    assert [row["Group"].split(" · ")[0] for row in majority] == ["addition", "addition"]
    assert majority[0]["In words"] == "no clear difference (5 pairs)"
    paid = "process against outcome supervision: process supervision higher"
    voted = "majority vote against the key: the group’s vote: no clear difference"
    assert f"At equal completions: {paid}; {voted}." in details(section)


def test_settings_of_one_value_keep_the_reference(tmp_path):
    records = [run([0.1, 0.2, 0.5], seed=0), run([0.1, 0.2, 0.6], seed=1)]
    for is_step in (False, True):
        process = [run([0.1, 0.2, 0.8], seed=seed) for seed in (0, 1)]
        records += [named(one, supervision="process", outcome_as_step=is_step) for one in process]
    (table,) = section_of(feedback, tmp_path, *records).tables
    arms = [row["Arm"] for row in rows_of(table)]
    assert {"supervision=process", "supervision=process · outcome_as_step=true"} == set(arms)


def test_the_rule_is_said_where_one_reward_alone_was_compared(tmp_path):
    finals = (0.6, 0.5, 0.6, 0.5, 0.6)
    records = [*fed("reward_source", "ground_truth", finals), *fed("reward_source", "majority", finals)]
    section = section_of(feedback, tmp_path, *records)
    (table,) = section.tables
    assert "after Holm’s correction" in table.note
    assert section.headlines[0].text == "Against the usual reward: votes 0 of 1 higher, 0 lower"


def test_votes_that_copy_the_prompt_are_no_better_than_guessing(tmp_path):
    key, votes = fed("reward_source", "ground_truth", [0.0] * 5), fed("reward_source", "majority", [SORTED_ALREADY] * 5)
    section = section_of(feedback, tmp_path, *map(noting_what_guessing_scores, [*key, *votes]))
    row, *_ = rows_of(section.tables[0])
    assert (row["Difference (points)"], row["Guessing"]) == ("+7.4 (+7.4 to +7.4)", "7.4 %")
    assert row["In words"] == "neither beats guessing (7.4 %)"
    assert section.headlines[0].text == "Against the usual reward: votes 0 of 1 higher, 0 lower"
