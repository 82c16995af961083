"""Rates of work whose amount is counted apart, by a clock that it moves."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from suite.measure.devices import ceilings
from suite.measure.devices.ceilings import SIZES_BYTES, measure_ceilings

FLOPS_PER_S, BYTES_PER_S = 1e12, 1e10


class Machine(TorchDispatchMode):
    """Takes for products, sums and copies what it would at these rates, and does not do them: all its `now` says."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name == "mm":
            (m, k), n = args[0].shape, args[1].shape[1]
            self.now += 2 * m * n * k / FLOPS_PER_S
            return args[0]
        if name in ("sum", "copy_"):
            self.now += sum(one.nbytes for one in args if isinstance(one, torch.Tensor)) / BYTES_PER_S
            return args[0]
        return func(*args, **(kwargs or {}))


@pytest.mark.skipif(sys.platform == "win32", reason="wall time judges there")
@pytest.mark.parametrize(("threads", "judge"), [(1, "thread_time"), (2, "perf_counter")])
def test_ceilings_are_amounts_over_the_judging_clock(monkeypatch, threads, judge):
    with torch.device("meta"), Machine() as machine:
        clocks = {"thread_time": lambda: 0.0, "perf_counter": lambda: 0.0} | {judge: lambda: machine.now}
        monkeypatch.setattr(ceilings, "time", SimpleNamespace(**clocks))
        measured = measure_ceilings(torch.float32, threads=threads)
    assert measured.flops_per_s == pytest.approx(FLOPS_PER_S)
    assert measured.bytes_per_s_by_size == pytest.approx(dict.fromkeys(SIZES_BYTES, BYTES_PER_S))
