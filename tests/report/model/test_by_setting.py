"""Arms of one setting: what tells them apart, what they are called, and which experiments stand apart."""

from pathlib import Path

import pytest

from suite.report.model.by_setting import belongs_to, experiments_by, telling_settings, workload_design
from suite.report.model.results import CurrentRecord
from suite.report.model.run import Run
from suite.report.quality.design import DESIGN as QUALITY
from suite.report.rl.design import DESIGN as RL
from tests.records.factory import build
from tests.report.compress_records import compress_record
from tests.report.quality_records import quality_record
from tests.report.rl_records import PPO, rl_record


def grouped(*records, by, against=None):
    currents = [
        CurrentRecord(label="a", record=record, folder=Path(), superseded=0, settings_changed=False)
        for record in records
    ]
    workload = records[0].case.workload
    return experiments_by(currents, workload, by, lambda current, key: Run(current=current, key=key), against)


def names_of(*records, by):
    return [[arm.name for arm in experiment.arms] for experiment in grouped(*records, by=by)]


def test_a_workload_names_its_design():
    assert workload_design("quality").is_factor is QUALITY.is_factor
    assert workload_design("rl_memory").workload == "rl_memory"
    assert workload_design("weather").workload == "weather"


@pytest.mark.parametrize(
    ("by", "own"),
    [
        ("algorithm", {"algorithm", "adv_estimator", "kl_coef", "critic_lr", "lam", "value_coef"}),
        ("supervision", {"supervision", "outcome_as_step"}),
        ("device", {"device", "matmul_precision"}),
        ("task", {"task", "task.corrections"}),
    ],
)
def test_settings_of_one_value_belong_to_it(by, own):
    belongs = belongs_to(RL, by)
    asked = {"algorithm", "supervision", "device", "task", "steps", "lr", "recipe"} | own
    assert {name for name in asked if belongs(name)} == own


def test_what_an_algorithm_brings_along_goes_unsaid():
    ppo, grpo = rl_record(algorithm="ppo", **PPO), rl_record(algorithm="dr_grpo", kl_coef=0.0)
    assert names_of(ppo, grpo, by="algorithm") == [["ppo", "dr_grpo"]]
    other = rl_record(algorithm="dr_grpo", kl_coef=0.1)
    assert names_of(ppo, grpo, other, by="algorithm") == [["ppo", "dr_grpo (kl_coef=0.0)", "dr_grpo (kl_coef=0.1)"]]


def test_what_follows_from_an_algorithm_tells_nothing_apart():
    records = [
        rl_record(attention=attention, **arm)
        for attention in ("mha", "mla")
        for arm in ({"algorithm": "ppo", **PPO}, {})
    ]
    keys = [experiment.key for experiment in grouped(*records, by="attention")]
    assert telling_settings(keys, RL) == ["algorithm"]


def test_narrow_heads_are_arms_of_a_variant():
    narrow = quality_record(attention="mqa", extras={"geometry.head_dim": 8}, settings={"geometry": {"head_dim": 8}})
    ((first, *others),) = names_of(quality_record(), quality_record(attention="mqa"), narrow, by="attention")
    assert first == "mha"
    assert others == ["mqa (geometry.head_dim=16)", "mqa (geometry.head_dim=8)"]


def test_a_default_that_is_named_says_no_more():
    said = quality_record(attention="mqa", extras={"task.query_frequency": "skewed"})
    assert names_of(quality_record(), said, by="attention") == [["mha", "mqa"]]
    uniform = quality_record(extras={"task.query_frequency": "uniform"})
    assert names_of(quality_record(), uniform, by="task.query_frequency") == [["skewed", "uniform"]]


def test_ranks_are_arms_of_a_method():
    records = [compress_record(), compress_record("svd", 64), compress_record("svd", 32)]
    assert names_of(*records, by="method") == [["none", "svd (rank=64)", "svd (rank=32)"]]


def test_the_baseline_is_named_by_its_value():
    records = [build(seq_len=size) for size in (64, 128)]
    (experiment,) = grouped(*records, by="seq_len", against="128")
    assert experiment.baseline.name == "seq_len=128"
    assert [arm.name for arm in experiment.others] == ["seq_len=64"]
    (alone,) = grouped(*records, by="seq_len", against="256")
    assert alone.baseline is None
