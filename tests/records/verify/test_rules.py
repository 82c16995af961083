"""Bad records are refused with their row named, each by the rule that it breaks; good ones are not."""

import re
from dataclasses import replace

import pytest

from suite.commands.results import merge, verify
from suite.records.record import Evidence
from suite.records.stores.store import StoredRecord, read_record
from suite.records.verify.copies import Copies
from suite.records.verify.faults import reasons_against
from suite.records.verify.rules import impossible_timings
from tests.records.factory import REFERENCE, build, committed, store
from tests.records.verify.implausible_records import (
    H100,
    ON_A_CPU,
    ON_A_GPU,
    busy_on_all_cpus,
    kernel_from_layer,
    on_a_cpu,
    on_a_gpu,
    readings_of,
    scaled,
    taking,
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
    chosen, copies = runs[:: len(runs) // 25][:25], Copies()
    assert len({folder.parent for folder in chosen}) > 12
    for folder in chosen:
        assert reasons_against(StoredRecord(record=read_record(folder), folder=folder), copies) == []


@pytest.mark.parametrize("factor", [1.0, 1.37])
def test_timings_of_another_run_are_found_even_scaled(factor, tmp_path, capsys):
    good = on_a_cpu()
    rows = good.rows()
    other = replace(good.record, case=replace(good.record.case, axes={**good.record.case.axes, "seq_len": 99}))
    copied = taking(replace(good, record=other), rows, readings_of(good, rows), factor)
    first, second = store(tmp_path, good.record, copied.record)
    found, code = faults(tmp_path, capsys)
    assert code == 4
    scaled = f", times {factor:.4g}" if factor != 1 else ""
    assert found == [
        f"samples.parquet row {rows[0]} (layer latency_s, launch 0, step 0): the 16 timings from here on are those of "
        f"{tmp_path.name}/{first.name} from row {rows[0]} on{scaled}; and 15 more"
    ]
    assert second.name != first.name


@pytest.mark.parametrize(("noise", "is_copy"), [(0.9e-5, True), (1.1e-5, False)])
def test_a_copy_may_differ_by_rounding_and_no_more(noise, is_copy, tmp_path, capsys):
    """Two launches of one work differ by a thousand times as much."""
    good = on_a_cpu()
    case = replace(good.record.case, axes={**good.record.case.axes, "seq_len": 99})
    readings = [
        scaled(one, 1 + noise * (one.step % 2)) if one.metric == "latency_s" else one for one in good.record.readings
    ]
    store(tmp_path, good.record, replace(good.record, case=case, readings=readings))
    found, _ = faults(tmp_path, capsys)
    assert ["timings from here on are those of" in fault for fault in found] == [True] * is_copy


def test_telemetry_of_another_run_is_found(tmp_path, capsys):
    good = on_a_gpu()
    store(tmp_path, good.record, build(), series=good.series)
    (said,), _ = faults(tmp_path, capsys)
    assert said.startswith("telemetry.parquet row 0 and all that follow are byte for byte those of ")


def test_the_same_record_in_two_folders_is_no_copy(tmp_path, capsys):
    good = on_a_cpu()
    for name in ("a", "b"):
        store(tmp_path / name, good.record, series=good.series)
    assert faults(tmp_path, capsys) == ([], 0)


def test_a_refused_run_makes_no_copy_of_the_one_it_was_made_of(tmp_path, capsys):
    good = on_a_cpu()
    bad = ON_A_CPU["a value that its clock does not have"][0](good)
    store(tmp_path / "a", bad.record, series=bad.series)
    store(tmp_path / "b", good.record, series=good.series)
    (said,), _ = faults(tmp_path, capsys)
    assert "its value is " in said


def test_merge_refuses_them_and_says_which(tmp_path, capsys):
    good, bad = on_a_cpu(), kernel_from_layer(on_a_cpu())
    store(tmp_path / "from", good.record, series=good.series)
    store(tmp_path / "other", bad.record)
    assert merge([tmp_path / "from", tmp_path / "other"], tmp_path / "to") == 4
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("1 runs copied")
    assert "left out: " in said.err
    assert f"{tmp_path / 'other'}" in said.err
    assert re.search(r"samples.parquet row \d+ ", said.err)


def test_merge_refuses_what_copies_a_run_that_lies_there(tmp_path, capsys):
    good = on_a_cpu()
    store(tmp_path / "to", good.record, series=good.series)
    store(tmp_path / "from", replace(good.record, provenance={**good.record.provenance, "dirty": True}))
    assert merge([tmp_path / "from"], tmp_path / "to") == 4
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("0 runs copied")
    assert "are those of to/" in said.err


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
