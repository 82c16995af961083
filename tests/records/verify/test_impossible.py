"""Timings below a roofline are named; those that a faster clock or a faster read explains are not."""

from dataclasses import replace

import pytest

from suite.commands.results import verify
from suite.records.record import Evidence
from suite.records.verify.rules import impossible_timings
from tests.records.factory import build, store

BYTES, H100_BYTES_PER_S = 1.51e8, 3.35e12
"""A kernel that reads so much on an H100 takes 45 µs at least."""


def on_a_gpu(times_the_bandwidth, gpu="NVIDIA H100 80GB HBM3", **axes):
    latency_s = BYTES / H100_BYTES_PER_S / times_the_bandwidth
    record = build(latencies_s=(latency_s / 0.4,), environment={"gpus": [gpu]}, device="cuda", **axes)
    amounts = {("kernel", "traffic_bytes"): BYTES, ("layer", "traffic_bytes"): BYTES}
    noted = [replace(one, value=amounts.get((one.span, one.metric), one.value)) for one in record.readings]
    return replace(record, readings=noted)


def test_a_kernel_above_its_cards_bandwidth_is_named():
    (said,) = impossible_timings(on_a_gpu(1.73))
    assert said == (
        "samples.parquet row 13: kernel: 26.1 µs, which is 5,795 GB/s, is 1.73 times as fast as the specification of "
        "h100-sxm5-80gb allows"
    )


@pytest.mark.parametrize("record", [on_a_gpu(1.08), on_a_gpu(0.9)])
def test_what_a_device_can_do_is_not_named(record):
    assert not list(impossible_timings(record))


def test_a_cpu_is_held_to_twice_what_its_own_run_measured():
    least_s = 2e8 / 1e11  # of the layer
    said = next(iter(impossible_timings(build(latencies_s=(least_s / 2.1,)))))
    assert said.startswith("samples.parquet row 12: layer: ")
    assert said.endswith("is 2.1 times as fast as the roofline that the run itself measured allows")
    assert not [said for said in impossible_timings(build(latencies_s=(least_s / 1.9,))) if "layer" in said]


def test_an_unknown_card_is_held_to_its_own_probes():
    (said,) = [said for said in impossible_timings(on_a_gpu(1.73, gpu="A card of tomorrow")) if "kernel" in said]
    assert said.endswith("the roofline that the run itself measured allows")


def test_a_projection_is_no_timing():
    assert not list(impossible_timings(replace(on_a_gpu(1.73), evidence=Evidence.PROJECTED)))


def test_verify_refuses_the_run_and_names_its_row(tmp_path, capsys):
    good, bad = store(tmp_path, build(), on_a_gpu(1.73))
    assert verify([tmp_path]) == 4
    said = capsys.readouterr().out
    assert f"{bad.name}: samples.parquet row 13: kernel: 26.1 µs, which is 5,795 GB/s" in said
    assert good.name + ":" not in said
