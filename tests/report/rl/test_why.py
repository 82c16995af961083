"""Effects, interactions and leaders of a factorial design, from invented final accuracies."""

from itertools import product

import pytest

from suite.report.rl import design, efficiency, why
from suite.statistics.paired import ArmOutcome
from tests.report.quality_records import in_memory
from tests.report.reading import said
from tests.report.rl.runs import named, noting_what_guessing_scores, run, section_of, titled

NOISE = (0.0, 0.01, 0.02, 0.03, 0.04)
KLS = {"none": {}, "loss": {"kl_coef": 0.04}, "reward": {"kl_coef": 0.04, "use_kl_in_reward": True}}
FORMATS = {"0.1": {"format_weight": 0.1}, "gate": {"format_reward": "gate"}}
WORTH, INTERACTIONS = "Effect of each setting on final accuracy", "Which effects depend on another setting"


def cell(algorithm, final, seed, *, kl="none", form="0.1", deviation=None, **axes):
    settings = {"use_kl_in_reward": False, **KLS[kl], **FORMATS[form], "scale_rewards": deviation}
    coefficient = settings.pop("kl_coef", 0.0)
    record = run([0.1, 0.2, final + NOISE[seed]], algorithm=algorithm, seed=seed, kl_coef=coefficient, **axes)
    return named(record, **{name: value for name, value in settings.items() if value is not None})


def study(seeds=5, kls=tuple(KLS), forms=tuple(FORMATS)):
    """Dividing by the batch's deviation is worth 20 points to GRPO, and 10 more without a KL."""
    records = []
    for seed, kl, form in product(range(seeds), kls, forms):
        for deviation, worth in (("group", 0.0), ("batch", 0.3 if kl == "none" else 0.2)):
            jitter = 0.002 * ((seed + len(kl)) % 3)
            records.append(cell("grpo", 0.4 + worth + jitter, seed, kl=kl, form=form, deviation=deviation))
        records.append(cell("ppo", 0.6, seed, kl=kl, form=form, critic_lr=1e-3))
    return records


@pytest.fixture(scope="module")
def results():
    return in_memory(*study())


@pytest.fixture(scope="module")
def section(results):
    return said(why.build(results))


def test_an_effect_is_averaged_over_the_other_settings(section):
    rows = titled(section, WORTH)
    (batch,) = [row for row in rows if row["Level"] == "scaled by the batch"]
    # 30 points without a KL, 20 under each of two others.
    assert batch["Difference (points)"].startswith("+23.3 (")
    assert batch["In single combinations (points)"] == "+20.0 to +30.0"
    assert (batch["Algorithm"], batch["Verdict"], batch["Pairs"]) == ("GRPO", "higher", "5")
    (arm,) = [row for row in rows if row["Algorithm"] == "at equal settings" and row["Level"] == "GRPO · group"]
    assert (arm["Compared with"], arm["Verdict"]) == ("PPO", "lower")
    # GRPO: 1 of deviation, 2 of KL, 1 of format; PPO: 3; 2 arms.
    note = section.tables[0].note
    assert "9 comparisons are corrected together, so the smallest p must be below 0.0056" in note


def test_interactions_are_sorted_by_size(section):
    first, *_ = titled(section, INTERACTIONS)
    assert first["Difference (points)"].startswith("-10.")
    assert first["Under the setting"] in (f"KL 0.04 in the {place} minus no KL" for place in ("loss", "reward"))


def test_a_leader_leads_alone_only_by_the_rule(results):
    (experiment,) = design.layout(results).factorials
    duels = why.arm_duels(why.build_factorial(experiment))
    assert len(duels) == 18
    leaders = why.leader_duels(duels)
    alone = {setting for setting, of_setting in leaders.items() if all(duel.is_clear for duel in of_setting)}
    assert alone == {("none", "0.1"), ("none", "gate")}
    duel, *_ = leaders["loss 0.04", "0.1"]
    assert (duel.better, duel.other, duel.comparison.outcome) == ("grpo |batch", "ppo |", ArmOutcome.ALIKE)


def test_few_seeds_say_nothing():
    section = section_of(why, *study(seeds=2, kls=("none", "loss")))
    assert {row["Verdict"] for row in titled(section, WORTH)} == {"too few seeds (2; at least 5 are needed)"}
    assert section.figures[0].finding.startswith("None of 7 effects differs clearly from zero")


def test_large_factorials_are_no_comparison_of_algorithms(results):
    assert len(design.layout(results).factorials[0].arms) == 18
    assert design.layout(results).algorithms == []
    assert efficiency.build(results) is None


def test_a_small_factorial_stays_with_the_algorithms_too():
    results = in_memory(*study(seeds=1, kls=("none", "loss"), forms=("0.1",)))
    assert len(design.layout(results).algorithms[0].arms) == 6
    assert why.build(results) is not None


def test_settings_that_are_not_crossed_give_no_section():
    assert section_of(why, cell("grpo", 0.5, 0, kl="loss"), cell("ppo", 0.5, 0, kl="reward")) is None


def test_arms_that_do_not_beat_guessing_are_all_alike():
    records = [noting_what_guessing_scores(record, 0.9) for record in study(kls=("none", "loss"))]
    rows = titled(section_of(why, *records), WORTH)
    assert {row["Verdict"] for row in rows} == {"neither side beats guessing (90%)"}


def test_arms_with_their_own_format_are_compared_as_algorithms(results):
    assert design.layout(results).algorithms == []  # every arm names its format
    plain = [run([0.1, 0.2, 0.5], algorithm=algorithm, seed=0, kl_coef=0.0) for algorithm in ("rloo", "dr_grpo")]
    (experiment,) = design.layout(in_memory(*study(), *plain)).algorithms
    assert {arm.value("algorithm") for arm in experiment.arms} == {"rloo", "dr_grpo"}
