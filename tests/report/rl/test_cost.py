"""Where the time goes."""

from dataclasses import replace

from suite.report.rl import cost, efficiency
from tests.report.reading import rows_of
from tests.report.rl.runs import failed, rows, run, section_of


def test_cost_is_split_into_phases_and_evaluation_apart():
    records = [run([0.1, 0.2, 0.3], seed=0), run([0.1, 0.2, 0.3], seed=1, cpu_s=(0.25, 0.25, 1.5))]
    section = section_of(cost, *records)
    (row,) = rows_of(section.tables[0])
    # Ten completions a step take 1 and 2 CPU seconds: 100 and 200 s a thousand.
    assert row["CPU seconds per 1,000 completions"] == "150 s"
    assert row["One step"] == "1.50 s"
    assert (row["Rollout"], row["Score"], row["Update"]) == ("17%", "17%", "67%")
    assert (row["Rollout tokens/s"], row["Wall-clock time per 1,000"]) == ("200", "300 s")
    assert (row["Whole run"], row["Evaluation, separate"]) == ("3.00 s", "375 ms")
    assert "Energy per 1,000" not in row
    bars = section.figures[0].views[0].figure["data"]
    assert {bar["name"]: bar["x"] for bar in bars} == {"Rollout": [25.0], "Score": [25.0], "Update": [100.0]}


def test_a_run_without_one_phases_time_has_no_cost():
    whole, partial = run(seed=0), run(seed=1)
    unscored = replace(partial, readings=[reading for reading in partial.readings if reading.span != "score"])
    (row,) = rows(cost, whole, unscored)
    assert (row["CPU seconds per 1,000 completions"], row["Runs"]) == ("100 s", "1")
    assert section_of(cost, unscored, failed(seed=2)) is None


def test_recorded_energy_is_a_budget_and_a_column():
    records = [run([0.1, 0.2], seed=seed, energy_j=3.0) for seed in (0, 1)]
    assert rows(cost, *records)[0]["Energy per 1,000"] == "300 J"
    assert section_of(efficiency, *records).figures[0].views[-1].title == "Joules"


def test_a_gpu_is_told_by_the_wall_clock():
    (row,) = rows(cost, run([0.1, 0.2], device="cuda"))
    assert row["wall-clock seconds per 1,000 completions"] == "200 s"
    assert "Wall-clock time per 1,000" not in row


def test_two_trained_variants_stand_side_by_side():
    alone = [run([0.1, 0.5], seed=seed, algorithm="rloo") for seed in (0, 1)]
    assert len(section_of(cost, *alone).tables) == 1
    both = [
        run([0.1, final], seed=seed, attention=attention)
        for attention, finals in (("mla", (0.4, 0.6, 0.5)), ("mha", (0.6, 0.8, 0.7)))
        for seed, final in enumerate(finals)
    ]
    variants = section_of(cost, *alone, *both).tables[-1]
    mha, mla = rows_of(variants)
    # t(2, 97.5%) = 4.303, and a standard error of 10 / √3 points.
    assert (mha["Arm"], mha["Variant"], mha["Final accuracy"], mha["Interval"]) == ("GRPO", "MHA", "70%", "45–95%")
    assert (mla["Variant"], mla["Final accuracy"], mla["Seeds"]) == ("MLA", "50%", "3")
    assert "The runs are not paired, so the difference is not judged" in variants.note
