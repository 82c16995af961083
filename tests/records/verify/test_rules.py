"""Bad records are refused with their row named, each by the rule that it breaks; good ones are not."""

import re
from dataclasses import replace

import pytest

from suite.commands.results import merge, verify
from suite.records.record import Evidence
from suite.records.stores.store import StoredRecord, read_record
from suite.records.verify.faults import reasons_against
from suite.records.verify.rules import impossible_timings
from tests.records.factory import REFERENCE, build, committed, store
from tests.records.verify.implausible_records import (
    H100,
    ON_A_CPU,
    ON_A_GPU,
    busy_on_all_cpus,
    on_a_cpu,
    on_a_gpu,
)

pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="the records are a part of a checkout alone")

PLANTS = {name: (on_a_cpu, *plant) for name, plant in ON_A_CPU.items()}
PLANTS |= {name: (on_a_gpu, *plant) for name, plant in ON_A_GPU.items()}


def faults(folder, capsys):
    """Return what verify says of a folder, without the folders' names, and its exit code."""
    code = verify([folder])
    *lines, _ = capsys.readouterr().out.splitlines()
    return [line.partition(": ")[2] for line in lines], code


@pytest.mark.parametrize("plant", PLANTS)
def test_a_bad_record_is_refused_by_its_own_rule_alone(plant, tmp_path, capsys):
    good, change, expected = PLANTS[plant]
    planted = change(good())
    (folder,) = store(tmp_path, planted.record, series=planted.series)
    assert verify([tmp_path]) == 4
    *said, sums = capsys.readouterr().out.splitlines()
    assert len(said) == 1, said
    assert said[0].startswith(f"{folder}: ")
    assert re.search(expected, said[0]), said[0]
    assert sums.endswith("; 1 faults")


@pytest.mark.parametrize("good", [on_a_cpu, on_a_gpu])
def test_the_record_they_are_made_of_is_good(good, tmp_path, capsys):
    store(tmp_path, good().record, series=good().series)
    assert faults(tmp_path, capsys) == ([], 0)


def test_a_process_may_be_busy_on_every_cpu(tmp_path, capsys):
    store(tmp_path, busy_on_all_cpus(on_a_cpu(), 0.99).record)
    assert faults(tmp_path, capsys) == ([], 0)


def test_committed_records_are_accepted():
    runs = [folder for folder, _ in committed()]
    chosen = runs[:: len(runs) // 25][:25]
    assert len({folder.parent for folder in chosen}) > 12
    for folder in chosen:
        assert reasons_against(StoredRecord(record=read_record(folder), folder=folder)) == []


def test_merge_refuses_them_and_says_which(tmp_path, capsys):
    good, bad = on_a_cpu(), ON_A_CPU["a series that never varies"][0](on_a_cpu())
    store(tmp_path / "from", good.record, series=good.series)
    store(tmp_path / "other", bad.record)
    assert merge([tmp_path / "from", tmp_path / "other"], tmp_path / "to") == 4
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("1 runs copied")
    assert "left out: " in said.err
    assert f"{tmp_path / 'other'}" in said.err
    assert re.search(r"samples.parquet row \d+ ", said.err)


def test_what_was_projected_is_no_measurement_to_doubt(tmp_path, capsys):
    planted = ON_A_CPU["more memory than the machine has"][0](on_a_cpu())
    store(tmp_path, replace(planted.record, evidence=Evidence.PROJECTED))
    assert faults(tmp_path, capsys) == ([], 0)


BYTES, H100_BYTES_PER_S = 1.51e8, 3.35e12
"""A kernel that reads so much on an H100 takes 45 µs at least."""
LEAST_S = 2e8 / 1e11
"""Of the factory's layer, at the ceilings that its run measured."""
OWN_ROOFLINE = "times as fast as the roofline that the run itself measured allows"


def on_an_h100(times_the_bandwidth, gpu=H100, evidence=Evidence.MEASURED):
    latency_s = BYTES / H100_BYTES_PER_S / times_the_bandwidth
    record = build(latencies_s=(latency_s / 0.4,), environment={"gpus": [gpu]}, device="cuda")
    amounts = {("kernel", "traffic_bytes"): BYTES, ("layer", "traffic_bytes"): BYTES}
    noted = [replace(one, value=amounts.get((one.span, one.metric), one.value)) for one in record.readings]
    return replace(record, readings=noted, evidence=evidence)


@pytest.mark.parametrize(
    ("record", "span", "expected"),
    [
        (
            on_an_h100(1.73),
            "kernel",
            "row 13: kernel: 26.1 µs, which is 5,795 GB/s, is 1.73 times as fast as the specification of "
            "h100-sxm5-80gb allows",
        ),
        (on_an_h100(1.08), "kernel", ""),
        (on_an_h100(0.9), "kernel", ""),
        (on_an_h100(1.73, evidence=Evidence.PROJECTED), "kernel", ""),
        (on_an_h100(1.73, gpu="A card of tomorrow"), "kernel", OWN_ROOFLINE),
        (build(latencies_s=(LEAST_S / 2.1,)), "layer", f"is 2.1 {OWN_ROOFLINE}"),
        (build(latencies_s=(LEAST_S / 1.9,)), "layer", ""),
    ],
)
def test_a_timing_below_its_roofline_is_named(record, span, expected):
    sentences = [sentence for sentence in impossible_timings(record) if f": {span}: " in sentence]
    assert len(sentences) == bool(expected)
    assert all(sentence.endswith(expected) for sentence in sentences)
