"""Expected times against what others measured, and that nothing is expected beyond it."""

import math
from dataclasses import asdict, replace
from itertools import product
from statistics import median

import pytest
import yaml

from suite.configuration.files import choices, read_choice
from suite.theory.answers.sign_map import duel, expected_duel
from suite.theory.devices.calibration import FEWEST_TOKENS, GQA, MLA, Cell, Kernel, relative_errors
from suite.theory.devices.calibration_file import (
    calibrated_by,
    calibration_from,
    known_calibrations,
    load_calibration,
    read_calibration,
)
from suite.theory.devices.hardware import load_hardware
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape, expanded_shape, reexpanded_shape
from suite.theory.layers.shapes import grouped_shape, kernel_work

V3, LLAMA = load_geometry("deepseek-v3"), load_geometry("llama-3.1-8b")
H100, H200 = "h100-sxm5-80gb", "h200-sxm-141gb"
BOTH = [H100, H200]


def decoded(batch=1, query_len=1, seq_len=8192, **changes):
    return Pass(**{"batch": batch, "query_len": query_len, "seq_len": seq_len, "element_bytes": 2, **changes})


def prompt(seq_len, **changes):
    return decoded(query_len=seq_len, seq_len=seq_len, **changes)


def mla(heads):
    return Kernel(kernel=MLA, heads=heads, kv_heads=1, qk_dim=576, v_dim=512)


def gqa(heads, kv_heads):
    return Kernel(kernel=GQA, heads=heads, kv_heads=kv_heads, qk_dim=128, v_dim=128)


# --- against what was measured


@pytest.mark.parametrize("device", BOTH)
def test_the_median_error_over_the_measured_cells_is_a_tenth(device):
    calibration = load_calibration(device)
    errors = relative_errors([(calibration, cell) for cell in calibration.measured])
    assert len(errors) == len(calibration.measured) >= 60
    assert median(errors) <= 0.10


@pytest.mark.parametrize("calibration", known_calibrations(), ids=lambda one: one.name)
def test_one_new_token_takes_what_its_fit_says(calibration):
    for fit in calibration.decode:
        for batch, seq_len in product((8, 64), (8192, 65_536)):
            cell = Cell(of=fit.of, batch=batch, seq_len=seq_len)
            bound_s = calibration.ceilings.bound_s(**cell.work)
            expected = calibration.expected_cell(cell)
            assert expected.seconds == pytest.approx(fit.floor_s + bound_s / fit.share)
            assert expected.family == fit.of.family
            assert expected.high == pytest.approx(expected.seconds * math.exp(fit.p90_error))
            assert expected.low == pytest.approx(max(bound_s, expected.seconds / math.exp(fit.p90_error)))


@pytest.mark.parametrize("device", BOTH)
def test_the_closed_forms_count_as_the_source_does(device):
    """The source counts 512 bytes a token and key-value head of GQA, 1,152 of MLA."""
    for fit in load_calibration(device).decode:
        kernel = fit.of
        per_token = (512 * kernel.kv_heads, 512 * kernel.heads) if kernel.kernel == GQA else (1152, 2176 * kernel.heads)
        assert (kernel.bytes_per_token, kernel.flops_per_token) == per_token


def test_absorbed_mla_computes_at_two_thirds_of_the_peak():
    """FlashMLA's own figure is 660 TFLOP/s of 989 on an H800, 67%."""
    forward = decoded(batch=64, query_len=16, seq_len=65_536)
    for device in BOTH:
        calibration = load_calibration(device)
        for heads in (32, 128):
            shape = absorbed_shape(replace(V3, num_heads=heads, num_kv_heads=heads))
            seconds = calibration.expected(shape, forward, "bfloat16").seconds
            peak = load_hardware(device).dense_flops_per_s["bfloat16"]
            assert 0.64 < kernel_work(shape, forward).flops / seconds / peak < 0.68


def test_three_cells_of_an_h100_turn_from_mla_to_gqa():
    ceilings, calibration = load_hardware(H100).ceilings("bfloat16"), load_calibration(H100)
    turned = set()
    for heads, count in product((128, 64, 32, 16), (1, 2, 4, 8, 16)):
        where = {"heads": heads, "query_len": count, "tp": 1}
        bound, expected = duel(ceilings, **where).speedup, expected_duel(calibration, **where).speedup
        assert expected < bound
        if (bound > 1) != (expected > 1):
            turned.add((heads, count))
    assert turned == {(128, 4), (64, 8), (32, 16)}


# --- families


@pytest.mark.parametrize(
    ("kernel", "family"),
    [
        (gqa(32, 8), "GQA 32/8"),
        (gqa(128, 16), "GQA 64/8"),  # as many heads a group
        (gqa(16, 8), "GQA 32/8"),  # as far as 32/32 in both; nearer in groups
        (gqa(8, 1), "GQA 64/8"),
        (gqa(64, 64), "GQA 32/32"),
        (mla(128), "MLA 128"),
        (mla(40), "MLA 32"),
        (mla(4), "MLA 16"),
    ],
)
def test_a_size_that_was_not_fitted_has_the_nearest_family(kernel, family):
    assert load_calibration(H100).nearest(kernel).of.family == family


def test_a_family_bound_by_arithmetic_lends_no_bandwidth():
    """On an H200 128 heads are bound by arithmetic; 96 heads, which are not, read as 64 do."""
    calibration = load_calibration(H200)
    expected = calibration.decoded(mla(96), flops=0, traffic_bytes=4.8e9)
    assert expected.family == "MLA 128"
    assert expected.seconds == pytest.approx(22e-6 + 1e-3 / 0.91)


# --- what nothing is expected of


@pytest.mark.parametrize(
    ("shape", "forward", "dtype", "why"),
    [
        (absorbed_shape(V3), decoded(), "float16", "covers only bfloat16"),
        (absorbed_shape(V3), decoded(cache_dtype="fp8"), "bfloat16", "for the cache too"),
        (absorbed_shape(V3), decoded(is_training=True), "bfloat16", "no training"),
        (absorbed_shape(V3), decoded(seq_len=FEWEST_TOKENS - 1), "bfloat16", "begins at 512 tokens"),
        (absorbed_shape(V3), decoded(seq_len=5800), "bfloat16", "whose least times begin at 2 µs"),
        (expanded_shape(V3), decoded(), "bfloat16", "grouped attention and of absorbed MLA alone"),
        (reexpanded_shape(V3), decoded(), "bfloat16", "grouped attention and of absorbed MLA alone"),
        (grouped_shape(load_geometry("qwen2.5-0.5b")), decoded(), "bfloat16", "heads of widths 64 and 64"),
        (absorbed_shape(V3), prompt(4096), "bfloat16", "no prefill of this kernel"),
        (grouped_shape(LLAMA), prompt(512, batch=1024), "bfloat16", "begins at 1024 tokens"),
        (grouped_shape(LLAMA), prompt(1024), "bfloat16", "begins at 0.2 TFLOP"),
    ],
)
def test_nothing_is_expected_outside_what_was_measured(shape, forward, dtype, why):
    calibration = load_calibration(H100)
    assert why in calibration.unknown(shape, forward, dtype)
    assert calibration.expected(shape, forward, dtype) is None
    assert calibration.expected_layer(shape, forward, dtype) is None


def test_only_where_both_kernels_are_fitted_is_a_duel_expected():
    assert load_calibration("h20-96gb") is None
    for device, kernels in (("a100-80gb-sxm4", [GQA]), ("b200-sxm", [MLA]), ("gb200-gpu", [MLA])):
        calibration = load_calibration(device)
        assert [kernel for kernel in (GQA, MLA) if calibration.has(kernel)] == kernels
        assert expected_duel(calibration, heads=128, query_len=1, tp=1) is None


def test_arithmetic_of_which_nothing_is_known_must_not_limit():
    bare = replace(load_calibration(H100), prefill={})
    shape = grouped_shape(V3, kv_heads=8)
    assert bare.expected(shape, decoded(query_len=4), "bfloat16").seconds > 0
    assert "does not say how fast this kernel computes" in bare.unknown(shape, decoded(query_len=64), "bfloat16")


# --- spans, prompts, interval


def test_what_is_expected_never_beats_the_bound():
    for calibration, batch, count in product(known_calibrations(), (1, 1024), (1, 16, 128)):
        for shape in (absorbed_shape(V3), grouped_shape(V3, kv_heads=8), grouped_shape(LLAMA, kv_heads=1)):
            forward = decoded(batch=batch, query_len=count, seq_len=512)
            expected = calibration.expected(shape, forward, "bfloat16")
            bound_s = calibration.ceilings.bound_s(**asdict(kernel_work(shape, forward)))
            assert expected is None or bound_s <= expected.low <= expected.seconds <= expected.high


@pytest.mark.parametrize(("seq_len", "share"), [(1024, 0.37), (1448, 0.42), (4096, 0.53), (65_536, 0.74)])
def test_a_prompt_reaches_the_share_of_its_length(seq_len, share):
    shape, forward = expanded_once_shape(V3), prompt(seq_len, batch=64)
    expected = load_calibration(H100).expected(shape, forward, "bfloat16")
    assert kernel_work(shape, forward).flops / 989.4e12 / expected.seconds == pytest.approx(share, abs=1e-3)
    assert (expected.low, expected.high, expected.family) == (None, None, "MLA expanded prefill")


@pytest.mark.parametrize(("batch", "share", "floor_us"), [(1, 0.90, 3.2), (64, 0.88, 3.3), (65, 0.85, 3.3)])
def test_a_layer_takes_its_kernel_and_its_matrices(batch, share, floor_us):
    """Five products of absorbed MLA, each with its floor; by the share that so many rows reach."""
    calibration, shape, forward = load_calibration(H100), absorbed_shape(V3), decoded(batch=batch)
    kernel = calibration.expected(shape, forward, "bfloat16")
    layer = calibration.expected_layer(shape, forward, "bfloat16")
    weights_s = shape.parameter_count * 2 / 3.35e12
    assert layer.seconds - kernel.seconds == pytest.approx(weights_s / share + 5 * floor_us * 1e-6)
    assert layer.low < kernel.seconds + weights_s < layer.seconds < layer.high


@pytest.mark.parametrize("calibration", known_calibrations(), ids=lambda one: one.name)
def test_products_of_a_few_rows_are_slower_than_their_bound(calibration):
    for weights in {fit.weights for fit in calibration.products}:
        for rows in (1, 16, 65, 256, 2048):
            work = {"flops": 2e8 * rows, "traffic_bytes": 2e8}
            bound_s = calibration.ceilings.bound_s(**work)
            time = calibration.multiplied("matrices", weights, rows=rows, count=1, **work)
            assert bound_s <= time.low <= time.seconds < time.high
            assert calibration.errors[time.family].rows <= rows
    assert calibration.multiplied("matrices", "int4", rows=1, count=1, flops=1.0, traffic_bytes=1.0) is None


# --- files


@pytest.mark.parametrize("name", choices("calibration"))
def test_each_file_names_its_device_and_its_source(name):
    calibration = load_calibration(name)
    assert calibration.name == name
    assert "ai-dynamo/aiconfigurator@095f58a" in calibration.source
    assert len(calibration.measured) == {H100: 68, H200: 60}.get(name, 0)


def test_a_file_of_ones_own_takes_the_packaged_ones_place(tmp_path):
    content = read_choice("calibration", H100)
    content["decode"][-1]["floor_us"] = 1000
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    packaged = load_calibration(H100)
    with calibrated_by(path):
        assert load_calibration(H100).nearest(mla(128)).floor_s == pytest.approx(1e-3)
        assert load_calibration(H200).nearest(mla(128)).floor_s == pytest.approx(22e-6)
    assert load_calibration(H100) is packaged


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "a-card"}, "name must be a device of conf/hardware"),
        ({"decode": []}, "decode must have at least one row; got none"),
        ({"decode": None}, "decode must be a list of rows"),
        ({"share": 1.2}, "share must be a number from 1e-06 to 1; got 1.2"),
        ({"heads": 0}, "heads must be a whole number from 1 to 2147483648; got 0"),
        ({"kernel": "mqa"}, "kernel must be one of gqa, mla; got 'mqa'"),
        ({"floor_us": -1}, "floor_us must be a number from 0 to 1e+09; got -1"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(tmp_path, change, why):
    content = read_choice("calibration", H100)
    if set(change) <= set(content):
        content |= change
    else:
        content["decode"][0] |= change
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match="calibration must be") as caught:
        read_calibration(path)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_products_keeps_the_packaged_ones(tmp_path):
    content = {key: value for key, value in read_choice("calibration", H100).items() if key != "products"}
    assert calibration_from(content).products == load_calibration(H100).products
    with pytest.raises(ValueError, match="one row for each kernel"):
        calibration_from(content | {"decode": content["decode"] * 2})
    with pytest.raises(ValueError, match="No such file"):
        read_calibration(tmp_path / "none.yaml")
