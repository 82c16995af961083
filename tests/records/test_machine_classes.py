"""Machines alike that shared a sweep read as one, and nothing that is compared directly stands on two."""

from dataclasses import replace

import pytest

from suite.records.derived import constant
from suite.records.machine_classes import class_names, machine_ceilings, times_apart
from tests.records.factory import build, with_readings

WORKLOAD = {"workload": {"_target_": "suite.attention.workload.AttentionWorkload"}}
NODES = [{"machine_id": f"{letter}0000000"} for letter in "abcd"]
LENGTHS = (1024, 2048, 4096, 8192)


def timed(node, variant="mla", **axes):
    return build(environment=NODES[node], settings=WORKLOAD, attention=variant, **axes)


def shared_sweep():
    """Four machines, each of which ran both variants at one length."""
    return [timed(node, variant, seq_len=LENGTHS[node]) for node in range(4) for variant in ("mha", "mla")]


def with_ceilings(record, factor, name, spans=("layer", "kernel")):
    for span in spans:
        record = with_readings(record, span, **{name: constant(record, span, name) * factor})
    return record


def test_machines_alike_that_shared_a_sweep_have_one_name():
    assert set(class_names(shared_sweep())) == {"A processor × 4"}


def test_machines_that_ran_other_dtypes_are_compared_by_memory():
    wide = [
        replace(record, case=replace(record.case, axes={**record.case.axes, "dtype": "float32"}))
        for record in shared_sweep()
    ]
    other = [with_ceilings(record, 2, "ceiling_flops_per_s") for record in wide[4:]]
    assert set(class_names([*shared_sweep()[:4], *other])) == {"A processor × 4"}


@pytest.mark.parametrize("factor", [1.04, 1 / 1.04])
@pytest.mark.parametrize("name", ["ceiling_flops_per_s", "ceiling_bytes_per_s"])
def test_a_machine_whose_ceilings_differ_stands_by_itself(name, factor):
    records = shared_sweep()
    other = [with_ceilings(record, factor, name) for record in records[6:]]
    assert sorted(set(class_names([*records[:6], *other]))) == ["A processor × 3", "A processor, d000"]


def test_another_kind_of_machine_stands_by_itself():
    records = shared_sweep()
    for changed in ({"cpu": "Another"}, {"memory_bytes": 16 << 30}, {"packages": {"torch": "2.9"}}, {"gpus": ["L4"]}):
        others = [replace(record, environment={**record.environment, **changed}) for record in records[6:]]
        names = class_names([*records[:6], *others])
        assert set(names[:6]) == {"A processor × 3"}
        assert "×" not in names[-1]


def test_machines_without_ceilings_are_not_known_to_be_alike():
    bare = [
        replace(record, readings=[reading for reading in record.readings if "ceiling" not in reading.metric])
        for record in shared_sweep()
    ]
    assert len(set(class_names(bare))) == 4


def test_two_machines_with_a_whole_comparison_stay_apart():
    records = [*shared_sweep(), timed(0, "mha", seq_len=2048), timed(0, seq_len=2048)]
    assert len(set(class_names(records))) == 4


def test_machines_that_halved_a_comparison_stay_apart():
    records = [*shared_sweep(), timed(0, "mha", seq_len=512), timed(1, "mla", seq_len=512)]
    assert len(set(class_names(records))) == 4


def test_what_a_lost_machine_left_keeps_its_own_name():
    records = [*shared_sweep(), timed(3, "mha", seq_len=1024)]
    names = class_names(records)
    assert set(names[:-1]) == {"A processor × 4"}
    assert names[-1] == "A processor, d000"


def test_two_classes_of_one_model_and_size_are_told_apart():
    records = shared_sweep()
    slow = [with_ceilings(record, 0.5, "ceiling_flops_per_s") for record in records[4:]]
    names = set(class_names([*records[:4], *slow]))
    assert names == {"A processor × 2", "A processor × 2, c000"}


def test_ceilings_are_compared_probe_by_probe():
    one, other = timed(0), with_ceilings(timed(1), 1.1, "ceiling_bytes_per_s", ["layer"])
    apart = times_apart(machine_ceilings([one]), machine_ceilings([other]))
    assert apart["ceiling_flops_per_s"] == 1
    # Layer and kernel are two levels of the cache, of which one differs.
    assert apart["ceiling_bytes_per_s"] == pytest.approx(1.1**0.5)
    wide = machine_ceilings([timed(1, dtype="float32", threads=2)])
    assert times_apart(machine_ceilings([one]), wide) == {}
