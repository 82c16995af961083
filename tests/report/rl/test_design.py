"""Runs of reinforcement learning become arms and experiments."""

from dataclasses import replace

import pytest

from suite.records.metrics import PHASES
from suite.records.record import Reading
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts
from suite.report.rl import design
from suite.report.rl.run import BUDGETS, final_accuracy
from tests.records.factory import store
from tests.report.quality_records import in_memory
from tests.report.rl.runs import named, run
from tests.report.rl_records import PPO, rl_record

EN = load_texts("en")


def algorithms(*records):
    return design.layout(in_memory(*records)).algorithms


def test_an_evaluation_stands_at_what_was_spent_before_it():
    (experiment,) = algorithms(run([0.1, 0.3, 0.6, 0.5], energy_j=2.0))
    (curve,) = design.arm_curves(experiment.arms[0])
    assert curve.accuracy == [0.1, 0.3, 0.6, 0.5]
    assert curve.spent == {
        "steps": [0, 1, 2, 3],
        "completions": [0, 10, 20, 30],
        "tokens": [0, 50, 100, 150],
        "updates": [0, 1, 2, 3],
        "cpu": [0, 1.0, 2.0, 3.0],
        "wall": [0, 2.0, 4.0, 6.0],
        "joules": [0, 2.0, 4.0, 6.0],
    }


def test_what_no_share_or_length_can_be_is_left_out():
    by_metric = {"format": [-0.1, 0.0, 1.0, 1.2], "thought_length": [7.0, 2e15, -1.0], "entropy": [-0.1, 1.2]}
    readings = [
        Reading(step=step, span="step", metric=metric, value=value)
        for metric, values in by_metric.items()
        for step, value in enumerate(values)
    ]
    (record,) = design.layout(in_memory(replace(run(), readings=readings))).runs
    assert record.series("format") == {1: 0.0, 2: 1.0}
    assert (record.series("thought_length"), record.series("entropy")) == ({0: 7.0}, {0: -0.1, 1: 1.2})


def test_a_budget_with_a_gap_is_none():
    record = run([0.1, 0.3, 0.6])
    readings = [r for r in record.readings if not (r.metric == "sampled_tokens" and r.step == 0)]
    readings = [replace(r, process_cpu_s=None) if r.span == "score" else r for r in readings]
    (experiment,) = algorithms(replace(record, readings=readings))
    assert experiment.budgets(*BUDGETS) == ["completions", "updates", "wall"]


def test_names_tell_what_differs_but_for_what_follows():
    (experiment,) = algorithms(
        run(algorithm="dr_grpo", kl_coef=0.0),
        run(algorithm="grpo", lr=1e-4),
        run(algorithm="ppo", critic_lr=1e-3, prompts_per_step=10, num_generations=1),
        run(algorithm="someone's"),
    )
    assert [arm.name for arm in experiment.arms] == [
        "PPO · 10 × 1 · lr=0.0003",
        "GRPO · 5 × 2 · lr=0.0001",
        "Dr. GRPO · 5 × 2 · lr=0.0003",
        "someone's · 5 × 2 · lr=0.0003",
    ]


def test_runs_of_another_task_device_or_length_are_no_comparison():
    experiments = algorithms(
        run([0.1, 0.2]), run([0.1, 0.2], task="add"), run([0.1, 0.2, 0.3]), run([0.1, 0.2], device="cuda")
    )
    assert [EN.render(experiment.name) for experiment in experiments] == [
        "add · small · MHA",
        "sort · small · MHA · cpu · 10 completions",
        "sort · small · MHA · cpu · 20 completions",
        "sort · small · MHA · cuda · 10 completions",
    ]


def test_recipes_and_votes_are_no_arms_among_algorithms():
    records = [
        named(run([0.1, 0.2, 0.3]), started_at="2026-01-01"),
        named(run([0.1, 0.2, 0.6]), recipe="r1_zero", reward_source="ground_truth", started_at="2026-01-02"),
        named(run([0.1, 0.2, 0.9]), recipe="r1"),
        named(run([0.1, 0.2, 0.9]), reward_source="majority"),
    ]
    assert algorithms(*records) == []
    (experiment,) = algorithms(*records, run([0.1, 0.2, 0.4], algorithm="ppo"))
    finals = [(arm.name, arm.mean(final_accuracy), len(arm.runs)) for arm in experiment.arms]
    assert finals == [("PPO", 0.4, 1), ("GRPO", 0.6, 1)]


SORT = {"task": {"digits": 4, "corrections": 0.0}, "attention": {"kv_heads": "all", "fixed": ["kv_heads"]}}


@pytest.mark.parametrize(
    "extras",
    [
        {},
        {"attention.kv_heads": None, "attention.kv_lora_rank": None},
        {"task.digits": 4},
        {"task.digits": None},
        {"task.corrections": 0.0},
        {"recipe": "r1_zero", "supervision": "outcome", "reward_source": "ground_truth"},
    ],
)
def test_a_setting_that_says_nothing_makes_no_experiment(extras):
    (experiment,) = algorithms(
        *(
            rl_record(seed=seed, settings=SORT, extras=of_seed, **algorithm)
            for seed, of_seed in ((1, {}), (2, extras))
            for algorithm in ({}, {"algorithm": "ppo", **PPO})
        )
    )
    seeds = [(arm.name, [run.seed for run in arm.runs]) for arm in experiment.arms]
    assert seeds == [("PPO", ["1", "2"]), ("GRPO", ["1", "2"])]


def test_a_setting_that_says_something_still_does():
    experiments = algorithms(
        *(rl_record(algorithm=name, extras=extras) for name in ("grpo", "rloo") for extras in ({}, {"task.digits": 3}))
    )
    names = [EN.render(experiment.name) for experiment in experiments]
    assert names == ["sort · small · MHA", "sort · small · MHA · 3 digits"]


def test_of_two_alike_the_one_of_the_same_sitting_counts():
    once, later = {"commit": "aaaaaaa"}, {"commit": "bbbbbbb", "started_at": "2026-03-02T10:00:00+00:00"}
    first = [rl_record(algorithm=name, provenance=once) for name in ("grpo", "rloo")]
    again = rl_record(extras={"attention.kv_heads": None}, provenance=later)
    for records, commits in (([*first, again], ["aaaaaaa"] * 2), ([first[0], again], ["bbbbbbb"])):  # else the newest
        (experiment,) = algorithms(*records)
        assert [run.record.provenance["commit"] for arm in experiment.arms for run in arm.runs] == commits


def test_a_switch_at_its_default_is_no_arm_of_its_own():
    process = {"supervision": "process"}
    records = [
        rl_record(seed=1, extras=process),
        rl_record(seed=2, extras={**process, "outcome_as_step": False}),
        rl_record(seed=1),
        rl_record(seed=2, extras={"supervision": "outcome", "outcome_as_step": None, "critic_warmup_steps": 0}),
    ]
    (experiment,) = design.layout(in_memory(*records)).rewards["supervision"]
    assert [len(arm.runs) for arm in experiment.arms] == [2, 2]


EPYC = {"machine_id": "be23c3d5", "cpu": "AMD EPYC"}
XEON = {"machine_id": "1e99252b", "cpu": "Intel(R) Xeon(R) Processor"}


def on_machines(tmp_path, records):
    """The algorithms of records on machines, each read from a folder of its own."""
    for number, (machine, record) in enumerate(records):
        store(tmp_path / "reference" / str(number), replace(record, environment={**record.environment, **machine}))
    return design.layout(read_results([tmp_path / "reference"])).algorithms


def test_seeds_spread_over_machines_stay_one_arm_without_times(tmp_path):
    places = [(EPYC, 1), (EPYC, 2), (XEON, 3)]
    records = [(place, rl_record(seed=seed, algorithm=name)) for name in ("grpo", "rloo") for place, seed in places]
    (experiment,) = on_machines(tmp_path, records)
    assert [len(arm.runs) for arm in experiment.arms] == [3, 3]
    assert experiment.budgets(*BUDGETS) == ["completions", "tokens", "updates"]
    assert all(run.seconds(span) is None for arm in experiment.arms for run in arm.runs for span in PHASES)


def test_an_arm_that_one_machine_has_whole_keeps_its_times(tmp_path):
    records = [(machine, rl_record(seed=seed)) for machine, seed in ((EPYC, 1), (EPYC, 2), (XEON, 1))]
    records += [(EPYC, rl_record(seed=seed, algorithm="rloo")) for seed in (1, 2)]
    experiments = on_machines(tmp_path, records)
    assert [(experiment.title, len(experiment.arms)) for experiment in experiments] == [
        ("sort · small · MHA · reference (AMD EPYC)", 2),
        ("sort · small · MHA · reference (Intel Xeon Processor)", 1),
    ]
    assert all(experiment.budgets("cpu") for experiment in experiments)
