"""How thought evolves in training."""

from dataclasses import replace

from suite.report.rl import evolution, stability
from suite.statistics.holm import holm
from suite.statistics.paired import ArmOutcome
from tests.report.reading import results_of, rows_of, said
from tests.report.rl.runs import SORTED_ALREADY, noting_what_guessing_scores, run, section_of, thinking


def test_thought_is_told_from_the_first_evaluation_to_the_last(tmp_path):
    records = [thinking([2.0, 3.0, 4.0 + seed % 2], [0.1, 0.3, 0.6], [0.5, 0.5, 0.25], seed=seed) for seed in range(5)]
    results = results_of(tmp_path, *records, run([0.1, 0.2, 0.3], algorithm="ppo"))
    section = said(stability.build(results))
    (experiment,) = evolution.thinking(results)
    changed = [one for of_arm in evolution.evaluation_changes(experiment.arms).values() for one in of_arm.values()]
    assert [one.adjusted_p for one in changed] == holm([one.p for one in changed])
    thoughts = next(table for table in section.tables if table.title == "From first to last")
    (row,) = rows_of(thoughts)
    assert (row["Thought (tokens)"], row["Corrections"], row["Sampled thought"]) == ("2 → 4.4", "50 % → 25 %", "3 → 3")
    # 2, 3, 2, 3, 2: the standard error is 0.548 / √5 = 0.245.
    assert thoughts.rows[0][2:4] == ["+2.40 (+1.72 to +3.08)", "higher"]
    assert thoughts.rows[0][7:9] == ["-25.0 (-25.0 to -25.0)", "lower"]
    finding = "GRPO’s thought changes by +2.40 (+1.72 to +3.08) tokens, n = 5; of 1 arms 1 longer, 0 shorter"
    assert section.figures[-1].finding == finding
    assert [view.title for view in section.figures[-1].views] == ["Thought", "Corrections"]


def test_accuracy_that_does_not_beat_guessing_has_not_risen(tmp_path):
    records = [thinking([2.0, 3.0], [0.0, SORTED_ALREADY], seed=seed) for seed in range(5)]
    experiment, *_ = evolution.thinking(results_of(tmp_path, *map(noting_what_guessing_scores, records)))
    length, accuracy = (
        next(iter(evolution.evaluation_changes(experiment.arms)[metric].values())).outcome
        for metric in ("thought_length", "accuracy")
    )
    assert (length, accuracy) == (ArmOutcome.HIGHER, ArmOutcome.FLOOR)


def test_experiments_with_self_correction_come_first(tmp_path):
    # The other one has more arms.
    silent = [thinking([2.0, 2.0], [0.1, 0.2], algorithm=name, task="addition") for name in ("grpo", "ppo")]
    silent = [replace(one, readings=[r for r in one.readings if r.metric != "corrections"]) for one in silent]
    section = section_of(stability, tmp_path, *silent, thinking([2.0, 2.0], [0.1, 0.2], [0.0, 0.5]))
    figures = [figure for figure in section.figures if figure.title == "Thought over the steps"]
    assert [figure.facets["task"] for figure in figures] == ["sort", "addition"]
    assert ["Corrections" in [view.title for view in figure.views] for figure in figures] == [True, False]
