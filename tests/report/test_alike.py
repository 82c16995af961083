"""One experiment is one group, whether a record names a setting, names its default, or is older than the setting."""

from dataclasses import replace

import pytest
from suite.report.compress_runs import compress_studies

from suite.report.alike import case_key
from suite.report.quality_runs import studies
from suite.report.rl.memory_design import memory_experiments
from suite.report.rl_contrasts import contrasts_of
from suite.report.rl_runs import comparisons
from tests.records.factory import build
from tests.report.compress_records import compress_record
from tests.report.quality_records import in_memory, mla, quality_record
from tests.report.rl_memory_records import projected
from tests.report.rl_records import PPO, rl_record

SORT = {"task": {"digits": 4, "corrections": 0.0}, "attention": {"kv_heads": "all", "fixed": ["kv_heads"]}}
UNSAID = [
    {},
    {"attention.kv_heads": None, "attention.kv_lora_rank": None},
    {"task.digits": 4},
    {"task.digits": None},
    {"task.corrections": 0.0},
    {"recipe": "r1_zero", "supervision": "outcome", "reward_from": "key"},
]


@pytest.mark.parametrize("unsaid", UNSAID)
def test_a_setting_that_says_nothing_makes_no_other_experiment(unsaid):
    plain = [rl_record(seed=1, settings=SORT), rl_record(seed=1, algorithm="ppo", settings=SORT, **PPO)]
    other = [
        rl_record(seed=2, settings=SORT, extras=unsaid),
        rl_record(seed=2, algorithm="ppo", settings=SORT, extras=unsaid, **PPO),
    ]
    (found,) = comparisons(in_memory(*plain, *other))
    assert [(arm.name, [run.seed for run in arm.runs]) for arm in found.arms] == [
        ("PPO", ["1", "2"]),
        ("GRPO", ["1", "2"]),
    ]


def test_a_setting_that_says_something_still_does():
    both = [
        rl_record(algorithm=name, extras=extras) for name in ("grpo", "rloo") for extras in ({}, {"task.digits": 3})
    ]
    found = comparisons(in_memory(*both))
    assert [one.title for one in found] == ["sort · small · MHA", "sort · small · MHA · task.digits=3"]


def test_of_two_alike_the_one_taken_with_the_others_counts():
    once, later = {"commit": "aaaaaaa"}, {"commit": "bbbbbbb", "started_at": "2026-03-02T10:00:00+00:00"}
    first = [rl_record(algorithm=name, provenance=once) for name in ("grpo", "rloo")]
    again = rl_record(extras={"attention.kv_heads": None}, provenance=later)
    (found,) = comparisons(in_memory(*first, again))
    assert [run.record for arm in found.arms for run in arm.runs] == first
    (alone,) = comparisons(in_memory(first[0], again))
    assert [run.record for arm in alone.arms for run in arm.runs] == [again], "of equals the newest"


def test_a_switch_at_its_default_is_no_arm_of_its_own():
    process = {"supervision": "process"}
    runs = [
        rl_record(seed=1, extras=process),
        rl_record(seed=2, extras={**process, "outcome_as_step": False}),
        rl_record(seed=1),
        rl_record(seed=2, extras={"supervision": "outcome", "outcome_as_step": None}),
    ]
    (found,) = contrasts_of(in_memory(*runs), "supervision")
    assert [len(arm.runs) for arm in found.arms] == [2, 2]


def test_quality_groups_alike():
    plain = quality_record(seed=0, **mla(16))
    other = quality_record(seed=1, **mla(16, **{"attention.kv_heads": None, "task.asked": "unevenly"}))
    (study,) = studies(in_memory(plain, other))
    assert [[run.seed for run in arm.runs] for arm in study.arms] == [["0", "1"]]


def test_compress_groups_alike():
    plain, other = compress_record("none"), compress_record("int8", extras={"decode_len": None, "lines": None})
    (study,) = compress_studies(in_memory(plain, other))
    assert len(study.runs) == 2


@pytest.mark.parametrize("prompt_len", [None, 256])
def test_memory_groups_alike(prompt_len):
    settings = {} if prompt_len is None else {"prompt_len": prompt_len}
    plain, other = (replace(projected(algorithm=name), settings=settings) for name in ("grpo", "ppo"))
    other = replace(other, case=replace(other.case, extras={"prompt_len": prompt_len}))
    (found,) = memory_experiments(in_memory(plain, other))
    assert len(found.arms) == 2


def test_a_key_has_no_empty_settings():
    record = build(extras={"geometry.num_heads": None, "tp": None}, cache_dtype=None)
    assert all(value for _, value in case_key(record, record.case.extras))
