"""The Triton backend's cases as `device=cuda`, on a simulated device whose kernels Triton's interpreter runs."""

import os
from types import SimpleNamespace

import pytest

pytest.importorskip("triton")

from triton.runtime import driver, interpreter

from suite.records.record import Status
from tests.measure.devices.simulated_cuda import NODE_START_S, replayable, simulated_cuda
from tests.measure.devices.test_simulated_cases import measured

pytestmark = [
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="needs TRITON_INTERPRET=1"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),
]
CHIP = {"multiprocessor_count": 4, "max_shared_mem": 227 << 10}


@pytest.fixture
def chip(monkeypatch):
    """The interpreter computes at once what it is given: here a kernel under capture waits for its graph's replays."""
    properties = SimpleNamespace(get_device_properties=lambda index: CHIP)
    monkeypatch.setattr(driver, "_active", SimpleNamespace(utils=properties))
    with simulated_cuda(monkeypatch, l2_bytes=32 << 10) as chip:
        run = interpreter.GridExecutor.__call__
        monkeypatch.setattr(interpreter.GridExecutor, "__call__", replayable(chip, run))
        yield chip


@pytest.mark.parametrize("attention", ["mha", "gqa", "mqa", "mla"])
def test_every_variant_is_captured_and_its_kernel_rotates(chip, attention):
    outcome, readings, facts, warnings = measured(backend="triton", attention=attention, phase="decode", seq_len=16)
    assert (outcome, warnings) == ((Status.OK, None), [])
    assert facts["cuda_graph"]["kernel"]["copies"] > 1
    assert min(one.value for one in readings if one.metric == "latency_s" and one.span == "kernel") > NODE_START_S
