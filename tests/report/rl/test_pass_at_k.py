"""What training teaches, and what it only sharpens, by many samples of each prompt."""

from dataclasses import replace

from suite.records.record import Reading
from suite.report.rl import pass_at_k
from tests.report.quality_records import in_memory
from tests.report.reading import rows_of
from tests.report.rl.runs import recipes, section_of, staged

KS = (1, 128, 256)
BASE = (0.02, 0.59, 0.6)


def sampled(record, before, after, ks=KS):
    """The record with pass@k before the first step and after the last."""
    last = record.case.axes["steps"]
    noted = [
        Reading(step=step, span=f"evaluate/k={k}", metric="pass_at_k", value=share)
        for step, shares in ((0, before), (last, after))
        for k, share in zip(ks, shares, strict=True)
    ]
    return replace(record, readings=[*record.readings, *noted])


def arm(recipe, after, *, base=BASE, seeds=5, kind="rl", **axes):
    """An arm whose shares lie around `after`, a little apart from seed to seed, as its base models do."""
    return [
        sampled(
            staged(recipe, [0.0, 0.1, 0.2], kind, seed=seed, **axes),
            [share - 0.001 * seed for share in base],
            [share - 0.001 * seed + 0.0005 * (seed % 2) for share in after],
        )
        for seed in range(seeds)
    ]


ARMS = (
    *arm("sft", (0.3, 0.6, 0.8), kind="sft"),
    *arm("r1_zero", (0.5, 0.55, 0.6)),
    *arm("r1_zero", (0.5, 0.5, 0.55), algorithm="ppo", critic_lr=1e-3),
    *arm("base", (0.02, 0.2, 0.4), kind="corpus"),
    *arm("distill", (0.02, 0.2, 0.6), kind="distill"),
)


def test_each_arm_stands_beside_its_base_models_with_a_word():
    (table,) = section_of(pass_at_k, *ARMS).tables
    before, *rows = rows_of(table)
    assert (before["Arm"], before["pass@1"], before["pass@256"], before["Seeds"]) == (
        "Before training",
        "1.8% (2–2)",
        "60% (60–60)",
        "5",
    )
    words = {row["Arm"]: row["Effect of training"] for row in rows}
    assert words == {
        "SFT": "teaches",
        "R1-Zero": "sharpens",
        "R1-Zero · PPO": "sharpens and narrows",
        "Base": "narrows",
        "Distilled": "no clear effect",
    }
    sft = next(row for row in rows if row["Arm"] == "SFT")
    assert sft["Change of pass@1 (points)"].startswith("+28.0 (")
    assert sft["Change of pass@256 (points)"].startswith("+20.0 (")


def test_of_saturated_base_models_nothing_is_said_to_be_taught():
    saturated = (0.3, 0.9, 1.0)
    (table,) = section_of(pass_at_k, *arm("r1_zero", (0.8, 0.99, 1.0), base=saturated)).tables
    assert rows_of(table)[1]["Effect of training"].startswith("sharpens; nothing to teach")


def test_few_seeds_have_no_word_and_one_has_no_interval():
    (table,) = section_of(pass_at_k, *arm("r1_zero", (0.5, 0.6, 0.9), seeds=4)).tables
    assert rows_of(table)[1]["Effect of training"] == "needs at least 5 seeds"
    (table,) = section_of(pass_at_k, *arm("r1_zero", (0.5, 0.6, 0.9), seeds=1)).tables
    assert rows_of(table)[1]["pass@256"] == "90%"


def test_arms_with_fewer_samples_are_compared_at_what_all_have():
    fewer = [
        sampled(staged("sft", [0.0, 0.1, 0.2], "sft", seed=seed), BASE[:2], (0.3, 0.6), KS[:2]) for seed in range(5)
    ]
    (table,) = section_of(pass_at_k, *fewer, *arm("r1_zero", (0.5, 0.55, 0.6))).tables
    assert {"pass@128", "Change of pass@128 (points)"} <= set(rows_of(table)[0])
    assert "pass@256" not in rows_of(table)[0]


def test_runs_without_such_samples_make_no_section():
    assert pass_at_k.build(in_memory(*recipes())) is None
    half = replace(ARMS[0], readings=[one for one in ARMS[0].readings if one.metric != "pass_at_k" or one.step == 0])
    assert pass_at_k.build(in_memory(half)) is None
    impossible = sampled(staged("sft", [0.0, 0.1, 0.2], "sft"), BASE, (1.5, -1.0, 2.0))
    assert pass_at_k.build(in_memory(impossible)) is None
