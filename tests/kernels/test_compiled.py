"""What the compiler makes of the kernel for an H100. None is needed: nothing is run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SHARED_BYTES, RESERVED_BYTES, REGISTERS = 228 << 10, 1 << 10, 64 << 10
"""Of a multiprocessor of an H100. So much of its shared memory is reserved for each program."""
MOST_REGISTERS = 255
"""Of a thread."""
SPILLED = {"3.9.0": {"bfloat16, 3 new, key 512 + 64, value 512 in it: 64 x 64, 8 warps, 2 stages": [20, 20]}}
"""Two stores and four loads of a number a turn of 64 keys, where a division by three takes the last registers."""
GOLDEN = yaml.safe_load(Path(__file__).with_name("h100.yaml").read_text(encoding="utf-8"))
KERNEL = GOLDEN.pop("kernel")
AGAIN = ".kernels/bin/python -m tests.kernels.compile_for_h100 --write"


@pytest.fixture(scope="module")
def compiled():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.compile_for_h100"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def said(compiled):
    return compiled["kernels"]


def test_the_compiler_says_what_the_golden_list_has(compiled, said):
    golden = GOLDEN.get(compiled["triton"])
    assert golden is not None, f"no figures of Triton {compiled['triton']}, only of {', '.join(GOLDEN)}; {AGAIN}"
    assert list(said) == list(golden), AGAIN
    for name, figures in golden.items():
        assert {quantity: said[name][quantity] for quantity in figures} == figures, f"{name}; {AGAIN}"


def test_every_version_was_compiled_from_this_very_kernel(compiled):
    assert compiled["kernel"] == KERNEL, AGAIN
    assert all(list(golden) == list(compiled["kernels"]) for golden in GOLDEN.values()), AGAIN


@pytest.mark.parametrize("version", GOLDEN)
def test_no_kernel_spills_registers_but_one(version):
    spilled = {name: of["spilled_bytes"] for name, of in GOLDEN[version].items() if of["spilled_bytes"] != [0, 0]}
    assert spilled == SPILLED.get(version, {})
    assert max(of["registers"] for of in GOLDEN[version].values()) <= MOST_REGISTERS


@pytest.mark.parametrize("version", GOLDEN)
def test_as_many_programs_fit_as_a_launch_counts_on(version):
    for name, of in GOLDEN[version].items():
        registers = -(-of["registers"] // 8) * 8 * of["threads"]
        assert of["programs"] * registers <= REGISTERS, name
        assert of["programs"] * (of["shared_bytes"] + RESERVED_BYTES) <= SHARED_BYTES, name


def test_16_bits_use_matrix_units_and_large_blocks_wide_ones(said):
    for name, of in said.items():
        if "float32" in name or name.startswith("join"):
            assert of["products"] == {}, name
        else:
            kind = "wgmma" if of["row_block"] >= 64 else "mma"
            assert {product.split()[0] for product in of["products"]} == {kind}, name


def test_where_all_warps_share_rows_no_score_is_computed_twice(said):
    shared = {name: of["warps_of_products"] for name, of in said.items() if of["branches"] and of["warps_of_products"]}
    assert shared
    for name, warps in shared.items():
        assert set(warps) == {"[4, 2]"}, name


def test_every_sweep_of_make_gpu_is_in_the_list(said):
    askers = {asker for of in said.values() for asker in of["for"]}
    assert {"gpu_check, mla", "gpu_lengths, mqa", "gpu_sign_map, mla_absorbed"} <= askers
