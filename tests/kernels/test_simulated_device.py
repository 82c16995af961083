"""The Triton backend's cases as `device=cuda`, on a simulated device whose kernels Triton's interpreter runs."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

from triton.runtime import interpreter

from suite.records.record import Status
from tests.measure.devices.simulated_cuda import NODE_START_S, replayable, simulated_cuda
from tests.measure.devices.test_simulated_cases import measured

pytestmark = [
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="needs TRITON_INTERPRET=1"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),
]

WITHOUT_COMPILER = """
import pytest
from tests.measure.devices.simulated_cuda import simulated_cuda
from tests.measure.devices.test_simulated_cases import measured

with simulated_cuda(pytest.MonkeyPatch()):
    (status, _), _, facts, _ = measured(backend="auto", attention="mla", phase="decode", dtype="bfloat16")
print(status, facts["backend"], facts["backend_form"], sep="\\n")
"""


@pytest.fixture
def chip(monkeypatch):
    """The interpreter computes at once what it is given: here a kernel under capture waits for its graph's replays."""
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


def test_auto_decodes_without_triton_in_a_slim_container():
    """It has no compiler and no library of CUDA: Triton compiles C for its driver, and runs ldconfig to find CUDA's."""
    there = {name: value for name, value in os.environ.items() if name not in ("TRITON_INTERPRET", "CC")}
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER], env={**there, "PATH": "/nonexistent"}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    status, backend, form = run.stdout.splitlines()
    assert (status, backend) == ("ok", "sdpa_folded")
    assert "triton cannot compile or run its kernel" in form
