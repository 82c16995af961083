"""One decode step of a whole layer: where the host's own work is most of it, and where the arithmetic is."""

import time

import pytest

from tests.attention.test_check import prepared

SIZES = {"tiny": {"geometry": "tiny", "seq_len": 64}, "milliseconds": {"geometry": "deepseek-v2-lite", "seq_len": 2048}}


@pytest.mark.benchmark(group="attention: a decode step", timer=time.thread_time)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("attention", ["gqa", "mla"])
def test_a_decode_step(benchmark, one_thread, attention, size):
    workload = prepared(attention=attention, backend="sdpa_folded", phase="decode", **SIZES[size])
    benchmark(workload.parts()["layer"])
    workload.check()
