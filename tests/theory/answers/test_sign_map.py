"""The sign map against the figures that the project claims for it."""

import pytest

from suite.theory.answers.sign_map import CONTEXT_TOKENS, deepseek_sizes, duel
from suite.theory.devices.calibration import DTYPE
from suite.theory.devices.hardware import hardware_names, load_hardware
from suite.theory.layers.algebra import SERVED_BYTES, Pass
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import cache_bytes, kernel_work


def speedup(device, **where):
    return duel(load_hardware(device).ceilings(DTYPE), **{"heads": 128, "query_len": 1, "tp": 1} | where).speedup


@pytest.mark.parametrize(
    ("device", "query_len", "expected"),
    [("h100-sxm5-80gb", 1, "3.6"), ("a100-80gb-sxm4", 1, "2.3"), ("h20-96gb", 1, "0.54"), ("h100-sxm5-80gb", 2, "2.2")],
)
def test_mlas_speedup_at_128_heads_on_one_device(device, query_len, expected):
    decimals = len(expected.partition(".")[2])
    assert f"{speedup(device, query_len=query_len):.{decimals}f}" == expected


def test_on_eight_ranks_mla_takes_the_inverse_of_0_44_everywhere():
    devices = [name for name in hardware_names() if load_hardware(name).ceilings(DTYPE)]
    assert len(devices) > 20
    assert {f"{speedup(name, tp=8):.2f}" for name in devices} == {"0.44"}


def test_queries_and_outputs_would_add_three_percent_at_most():
    forward = Pass(batch=1, query_len=16, seq_len=CONTEXT_TOKENS, element_bytes=SERVED_BYTES)
    shape = absorbed_shape(deepseek_sizes(128))
    assert kernel_work(shape, forward).traffic_bytes / cache_bytes(shape, forward) < 1.03


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_only_the_ridge_point_of_a_device_matters(scale):
    ceilings = Ceilings(flops_per_s=150 * scale, bytes_per_s=1 * scale)
    assert duel(ceilings, heads=128, query_len=1, tp=1).speedup == pytest.approx(
        duel(Ceilings(flops_per_s=150, bytes_per_s=1), heads=128, query_len=1, tp=1).speedup
    )


def test_each_side_says_what_limits_it():
    cell = duel(load_hardware("h20-96gb").ceilings(DTYPE), heads=128, query_len=1, tp=1)
    assert (cell.gqa_regime, cell.mla_regime) == ("memory", "compute")


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of tp"):
        speedup("h20-96gb", heads=24, tp=16)
    with pytest.raises(ValueError, match=r"multiple of attention\.kv_heads"):
        speedup("h20-96gb", heads=4)
