"""What a backend holds between calls is in the record, beside a peak that has none of it."""

from types import SimpleNamespace

import pytest
import torch

from suite.attention.backends.eager import Eager
from suite.attention.workload import kept_bytes
from suite.measure.meter import Meter
from suite.measure.profiling import AllocatorProbe
from suite.records.metrics import METRICS
from tests.attention.test_check import prepared

CPU = torch.device("cpu")
FLOAT, WORKSPACE = 4, 1 << 20


class Keeping(Eager):
    """Keeps a workspace from the beginning, and a part of the inputs and a plan from its first call on."""

    def __init__(self, problem):
        super().__init__(problem)
        workspace = torch.empty(WORKSPACE, dtype=torch.uint8)
        self.wrapper = SimpleNamespace(workspace=workspace, parts=[workspace[:16], {"of": workspace.view(2, -1)}])

    def __call__(self, q_BHSd, k_BGTd, v_BGTv):
        self.wrapper.plan, self.seen = (torch.zeros(3, dtype=torch.int32),), k_BGTd
        self.wrapper.itself = self.wrapper
        return super().__call__(q_BHSd, k_BGTd, v_BGTv)


def readings_of(workload):
    return {(reading.span, reading.metric): reading.value for reading in workload.check()}


@pytest.mark.parametrize("phase", ["decode", "train"])
def test_a_workspace_is_in_the_record_though_not_in_the_peak(phase):
    workload = prepared(phase=phase, attention="gqa")
    workload.work.backend = Keeping(workload.work.problem)
    mask_bytes = 40 * 40 if phase == "train" else 0
    assert readings_of(workload)["kernel", "kept_bytes"] == WORKSPACE + 3 * 4 + mask_bytes
    assert METRICS["kept_bytes"].exact
    meter = Meter(AllocatorProbe())
    workload.step(meter)
    (peak,) = (reading.value for reading in meter.readings if reading.span == "kernel")
    assert 0 < peak < WORKSPACE


@pytest.mark.parametrize(("query_len", "backend", "kept"), [(1, "eager", 0), (3, "eager", 3 * 40), (1, "sdpa", 0)])
def test_masks_are_kept_and_inputs_are_not(query_len, backend, kept):
    workload = prepared(query_len=query_len, backend=backend)
    assert readings_of(workload)["kernel", "kept_bytes"] == kept


def test_only_what_lies_on_the_device_counts():
    backend = Keeping(prepared(attention="gqa").work.problem)
    assert kept_bytes(backend, CPU) == WORKSPACE
    assert kept_bytes(backend, torch.device("cuda")) == 0
    assert kept_bytes(backend, CPU, besides=[backend.wrapper.parts[0]]) == 0
