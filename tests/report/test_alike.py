"""One experiment is one group, whether a record names a setting, names its default, or is older than the setting."""

from dataclasses import replace

import pytest

from suite.report.model.run import case_key
from suite.report.quality.compress_design import compress_experiments, runs_in
from suite.report.rl.memory_design import memory_experiments
from tests.records.factory import build
from tests.report.compress_records import compress_record
from tests.report.quality_records import in_memory
from tests.report.rl_memory_records import projected


def test_compress_groups_alike():
    plain, other = compress_record("none"), compress_record("int8", extras={"decode_len": None, "lines": None})
    (study,) = compress_experiments(in_memory(plain, other))
    assert len(runs_in(study)) == 2


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
