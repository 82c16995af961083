import torch

from suite.measure.ceilings import SIZES_BYTES, measure_ceilings


def test_ceilings_are_measured_for_every_size():
    measured = measure_ceilings(torch.float32, threads=1)
    assert measured.flops_per_s > 0
    assert set(measured.bytes_per_s_by_size) == set(SIZES_BYTES)
    assert all(rate > 0 for rate in measured.bytes_per_s_by_size.values())
