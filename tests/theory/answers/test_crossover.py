"""The crossover of re-expanding MLA's latent and absorbing: against a formula, against trying every number."""

import itertools
from dataclasses import replace

import pytest

from suite.theory.answers.crossover import expected_crossover, flops_crossover, roofline_crossover
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.hardware import load_hardware
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, reexpanded_shape
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import cache_bytes, kernel_work, layer_work

V3, LITE = load_geometry("deepseek-v3"), load_geometry("deepseek-v2-lite")
DEVICES = [load_hardware(name).ceilings("bfloat16") for name in ("h100-sxm5-80gb", "h20-96gb", "l4")]
CONTEXTS = (256, 512, 1024, 4096, 16384)


def closed_form(seq_len):
    """New tokens at which both modes take the same FLOPs, from the formula and not from the shapes: V3's sizes."""
    c, d_n, d_v = 512, 128, 128
    k = c * (d_n + d_v) / (2 * c - d_n - d_v)
    # (2c - d_n - d_v) N = c (d_n + d_v) (Sk - Sq) with N = Sq (2 Sk - Sq + 1) / 2, a quadratic in Sq.
    half = seq_len + 0.5 + k
    return half - (half * half - 2 * k * seq_len) ** 0.5


@pytest.mark.parametrize(("seq_len", "expected"), list(zip(CONTEXTS, (119, 143, 157, 168, 170), strict=True)))
def test_flops_cross_at_the_published_counts(seq_len, expected):
    assert expected - 1 < closed_form(seq_len) < expected
    assert flops_crossover(V3, seq_len=seq_len) == flops_crossover(LITE, seq_len=seq_len) == expected


def tried(geometry, ceilings, seq_len, element_bytes):
    """For every number of new tokens if re-expanding is cheaper: by FLOPs, and by the roofline bound."""
    absorbed, reexpanded = absorbed_shape(geometry), reexpanded_shape(geometry)
    by_flops, by_bound = [], []
    for query_len in range(1, seq_len + 1):
        forward = Pass(batch=1, query_len=query_len, seq_len=seq_len, element_bytes=element_bytes)
        works = [layer_work(shape, forward) for shape in (reexpanded, absorbed)]
        flops, traffic = [work.flops for work in works], [work.traffic_bytes for work in works]
        bounds = [ceilings.bound_s(flops=f, traffic_bytes=b) for f, b in zip(flops, traffic, strict=True)]
        by_flops.append(flops[0] < flops[1])
        by_bound.append(bounds[0] < bounds[1])
    return by_flops, by_bound


def first(cheaper):
    return cheaper.index(True) + 1 if True in cheaper else None


@pytest.mark.parametrize(
    ("name", "ceilings", "seq_len"),
    list(itertools.product(("deepseek-v3", "deepseek-v2-lite", "glm-4.7-flash"), DEVICES, (1, 2, 256, 700))),
)
def test_trying_every_number_finds_the_same_single_crossing(name, ceilings, seq_len):
    geometry = load_geometry(name)
    by_flops, by_bound = tried(geometry, ceilings, seq_len, element_bytes=2)
    assert by_flops == sorted(by_flops)
    assert by_bound == sorted(by_bound)
    assert flops_crossover(geometry, seq_len=seq_len) == first(by_flops)
    assert roofline_crossover(geometry, ceilings, seq_len=seq_len, element_bytes=2) == first(by_bound)


RATES = {
    ("h100-sxm5-80gb", 128): {"bandwidth": 3.35e12, "of_latent": 0.80, "of_peak": 0.655, "floor_s": 25e-6},
    ("h200-sxm-141gb", 128): {"bandwidth": 4.8e12, "of_latent": 0.91, "of_peak": 0.67, "floor_s": 22e-6},
    ("h200-sxm-141gb", 16): {"bandwidth": 4.8e12, "of_latent": 0.91, "of_peak": 0.67, "floor_s": 16e-6},
}
"""What the calibrations say of absorbed MLA, by device and heads."""
PRODUCTS = {
    "h100-sxm5-80gb": {1: (0.90, 3.2e-6), 2: (0.90, 3e-6), 17: (0.88, 3.3e-6), 65: (0.85, 3.3e-6), 129: (0.79, 3.5e-6)},
    "h200-sxm-141gb": {1: (0.86, 3e-6), 2: (0.88, 3e-6), 17: (0.85, 3e-6), 65: (0.82, 3.3e-6), 129: (0.72, 3.4e-6)},
}
"""And of matrix products by their rows: the share of their bound, and the floor of each."""


@pytest.mark.parametrize(
    ("geometry", "device", "seq_len", "share", "expected"),
    [
        (V3, "h100-sxm5-80gb", 1024, 0.37, 108),
        (V3, "h100-sxm5-80gb", 4096, 0.53, 106),
        (V3, "h200-sxm-141gb", 1024, 0.38, 74),
        (LITE, "h200-sxm-141gb", 4096, 0.54, 114),
    ],
)
def test_good_kernels_are_expected_to_cross_earlier(geometry, device, seq_len, share, expected):
    """Every number tried, by rates that are written out and not read from the calibration."""
    peak, of_keys = 989.4e12, 0.92 if "h100" in device else 0.91
    rates = RATES[device, geometry.num_heads]

    def layer_s(shape, forward, kernel_s, products):
        around = layer_work(shape, forward) - kernel_work(shape, forward)
        rest, traffic = around.flops / peak, around.traffic_bytes / rates["bandwidth"]
        matmul, floor_s = PRODUCTS[device][max(rows for rows in PRODUCTS[device] if rows <= forward.query_len)]
        return rates["floor_s"] + kernel_s + products * floor_s + max(rest, traffic) / matmul

    cheaper = []
    for count in range(1, 257):
        forward = Pass(batch=1, query_len=count, seq_len=seq_len, element_bytes=2)
        absorbed, again = absorbed_shape(geometry), reexpanded_shape(geometry)
        of_cache = cache_bytes(absorbed, forward) / rates["bandwidth"] / rates["of_latent"]
        absorbed_s = max(of_cache, kernel_work(absorbed, forward).flops / peak / rates["of_peak"])
        by_memory = kernel_work(again, forward).traffic_bytes / rates["bandwidth"] / of_keys
        again_s = max(kernel_work(again, forward).flops / peak / share, by_memory)
        cheaper.append(layer_s(again, forward, again_s, 4) < layer_s(absorbed, forward, absorbed_s, 5))
    assert cheaper == sorted(cheaper)
    assert first(cheaper) == expected == expected_crossover(geometry, load_calibration(device), seq_len=seq_len)


def test_no_crossover_is_expected_outside_what_was_measured():
    h100, a100 = load_calibration("h100-sxm5-80gb"), load_calibration("a100-80gb-sxm4")
    assert expected_crossover(V3, h100, seq_len=1023) is None
    assert expected_crossover(V3, a100, seq_len=4096) is None
    assert expected_crossover(replace(V3, kv_lora_rank=256), h100, seq_len=4096) is None


def test_there_is_none_with_a_narrow_latent_or_a_slow_memory():
    assert flops_crossover(replace(V3, kv_lora_rank=128), seq_len=512) is None
    slow = Ceilings(flops_per_s=1e30, bytes_per_s=1.0)
    assert roofline_crossover(load_geometry("glm-4.7-flash"), slow, seq_len=256, element_bytes=2) is None
