"""How steadily algorithms learn."""

from suite.report.rl import cost, efficiency, stability
from tests.report.reading import results_of, rows_of, said
from tests.report.rl.runs import failed, run, section_of


def test_failed_and_collapsed_runs_are_counted(tmp_path):
    records = [
        run([0.1, 0.8, 0.3, 0.4], seed=0, more={"entropy": 0.5, "clip_fraction_low": 0.02}),
        run([0.1, 0.8, 0.3, 0.3], seed=1, more={"entropy": 0.7, "clip_fraction_low": 0.04}),
        failed(seed=2, steps=3),
    ]
    section = section_of(stability, tmp_path, *records)
    (row,) = rows_of(section.tables[0])
    # The first ends at half of its best, which is not below it.
    assert (row["Failed"], row["Collapsed"]) == ("1 of 3", "1 of 2")
    assert (row["Worst fall (points)"], row["Entropy"], row["Clipped low"]) == ("50.0", "0.6", "3.0 %")
    assert "Critic explains" not in row
    assert section.headlines[0].text == "Of 3 runs 1 failed, 1 collapsed and 0 learnt the form alone."


def test_a_run_that_learnt_the_form_alone_is_counted(tmp_path):
    hacked = run([0.1, 0.7, 0.02], seed=4, forms=[0.1, 0.95, 1.0])
    honest = run([0.1, 0.7, 0.8], seed=5, forms=[0.1, 0.95, 1.0])
    unformed = run([0.1, 0.7, 0.02], seed=6, forms=[0.1, 0.9, 0.3])
    section = section_of(stability, tmp_path, hacked, honest, unformed)
    assert rows_of(section.tables[0])[0]["Form alone"] == "1 of 3"
    assert section.headlines[0].text.endswith("and 1 learnt the form alone.")


def test_the_worst_fall_is_judged_beside_the_reference(tmp_path):
    # PPO falls by 10 points in each seed, GRPO by 30 to 34.
    falls = {"ppo": [0.1] * 5, "grpo": [0.3, 0.31, 0.32, 0.33, 0.34]}
    records = [
        run([0.1, 0.8, 0.8 - fall], algorithm=name, seed=seed)
        for name in falls
        for seed, fall in enumerate(falls[name])
    ]
    section = section_of(stability, tmp_path, *records)
    row = next(row for row in rows_of(section.tables[0]) if row["Arm"] == "GRPO")
    assert (row["Less reference (points)"].split()[0], row["In words"]) == ("+22.0", "higher")


def test_long_lines_are_thinned_to_what_a_screen_shows(tmp_path):
    record = run([0.1] * 200, more={"entropy": 0.5})
    (figure,) = section_of(stability, tmp_path, record).figures
    (line,) = figure.views[0].figure["data"]
    assert (len(line["x"]), line["x"][1] - line["x"][0]) == (50, 4)
    assert "hovertext" not in line


def test_a_line_is_the_mean_of_the_seeds_between_extremes(tmp_path):
    records = [run([0.1, 0.2, 0.3], seed=seed, more={"entropy": value}) for seed, value in enumerate((0.2, 0.4, 0.9))]
    (figure,) = section_of(stability, tmp_path, *records).figures
    assert [view.title for view in figure.views] == ["Entropy"]
    band, line = figure.views[0].figure["data"]
    assert (line["x"], line["y"]) == ([0, 1], [0.5, 0.5])
    assert band["y"] == [0.9, 0.9, 0.2, 0.2]


def test_what_failed_everywhere_still_has_its_row(tmp_path):
    results = results_of(tmp_path, failed(seed=0), failed(seed=1))
    assert said(efficiency.build(results)) is None
    assert said(cost.build(results)) is None
    section = said(stability.build(results))
    assert section.figures == []
    assert rows_of(section.tables[0])[0]["Failed"] == "2 of 2"
