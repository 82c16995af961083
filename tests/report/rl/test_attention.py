"""Attention variants under one algorithm."""

from suite.report.rl import attention
from tests.report.reading import rows_of
from tests.report.rl.runs import run, section_of


def test_two_trained_variants_stand_side_by_side(tmp_path):
    alone = [run([0.1, 0.5], seed=seed, algorithm="rloo") for seed in (0, 1)]
    assert section_of(attention, tmp_path, *alone) is None
    both = [
        run([0.1, final], seed=seed, attention=attention)
        for attention, finals in (("mla", (0.4, 0.6, 0.5)), ("mha", (0.6, 0.8, 0.7)))
        for seed, final in enumerate(finals)
    ]
    section = section_of(attention, tmp_path / "both", *alone, *both)
    mha, mla = rows_of(section.tables[0])
    # t(2, 97.5 %) = 4.303, and a standard error of 10 / √3 points.
    assert (mha["Arm"], mha["Variant"], mha["Final accuracy"], mha["Interval"]) == ("GRPO", "MHA", "70 %", "45–95 %")
    assert (mla["Variant"], mla["Final accuracy"], mla["Seeds"]) == ("MLA", "50 %", "3")
    assert (mla["CPU seconds / 1,000 completions"], mla["Parameters of the policy"]) == ("100 s", "1,000")
    accuracy, cost = section.figures[0].views
    assert [(bar["name"], bar["x"], bar["y"]) for bar in accuracy.figure["data"]] == [
        ("MHA", [0.7], [0]),
        ("MLA", [0.5], [0]),
    ]
    assert [bar["x"] for bar in cost.figure["data"]] == [[100.0], [100.0]]
