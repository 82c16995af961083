"""What the compiler makes of the kernel for each architecture. No GPU is needed: nothing is run.

Lists in compiled/ have every kernel of every architecture. Each kernel is compiled anew once, most of them for an H100;
where EVERY_ARCHITECTURE is set, as in the nightly run, once for each architecture that launches it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from suite.attention.triton_launch import BARRIER_BYTES, RESERVED_BYTES
from tests.kernels.launches import CHIPS

REGISTERS, TENSOR_COLUMNS = 64 << 10, 512
"""Of a multiprocessor. Only Blackwell's large chips have tensor memory."""
MOST_REGISTERS = 255
"""Of a thread."""
ABSORBED = "key 512 + 64, value 512 in it"
SPILLING = {
    "sm_90": {
        # Two stores and four loads of a number a turn of 64 keys, where a division by three takes the last registers.
        f"bfloat16, 3 new, {ABSORBED}: 64 x 64, 8 warps, 2 stages",
        # Places of the result, written before the loop over keys and read after it.
        f"bfloat16, 1 new, {ABSORBED}: 64 x 64, 8 warps, 2 stages, unsplit",
    },
    "sm_100": {
        f"bfloat16, 1 new, {ABSORBED}: 64 x 32, 8 warps, 2 stages, unsplit",
        "float32, 1 new, key 128 + 64, value 128: 16 x 32, 4 warps, 2 stages",  # since a cache may be in pages
    },
    "sm_120": {"bfloat16, 3 new, key 128, value 128: 64 x 64, 4 warps, 3 stages"},
}
MOST_SPILLED_BYTES = 80
GOLDEN = {
    architecture: yaml.safe_load(
        Path(__file__).with_name("compiled").joinpath(f"{architecture}.yaml").read_text("utf-8")
    )
    for architecture in CHIPS
}
KERNELS = {architecture: golden.pop("kernel") for architecture, golden in GOLDEN.items()}
LISTS = [(architecture, compiler) for architecture, golden in GOLDEN.items() for compiler in golden]
AGAIN = ".kernels/bin/python -m tests.kernels.compile_for --write"


@pytest.fixture(scope="module")
def report():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    options = [] if "EVERY_ARCHITECTURE" in environment else ["--each-once"]
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.compile_for", *options]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def architectures(report):
    return report["architectures"]


@pytest.mark.parametrize("architecture", CHIPS)
def test_the_compiler_says_what_the_golden_list_has(architectures, architecture):
    compiler, kernels = architectures[architecture]["compiler"], architectures[architecture]["compiled"]
    golden = GOLDEN[architecture].get(compiler)
    if golden is None:
        assert architecture != "sm_90", f"no figures of {compiler}, only of {'; '.join(GOLDEN['sm_90'])}; {AGAIN}"
        pytest.skip(f"other versions of Triton than the newest, here {compiler}, have a list for an H100 alone")
    for name, figures in kernels.items():
        assert {quantity: figures[quantity] for quantity in golden[name]} == golden[name], f"{name}; {AGAIN}"


@pytest.mark.parametrize(("architecture", "compiler"), LISTS)
def test_a_list_has_these_launches_of_this_very_kernel(report, architecture, compiler):
    assert report["kernel"] == KERNELS[architecture], AGAIN
    assert list(report["architectures"][architecture]["launched"]) == list(GOLDEN[architecture][compiler]), AGAIN


@pytest.mark.parametrize(("architecture", "compiler"), LISTS)
def test_as_many_programs_fit_as_a_launch_counts_on(architecture, compiler):
    most_bytes = CHIPS[architecture].shared_bytes
    for name, of in GOLDEN[architecture][compiler].items():
        registers = -(-of["registers"] // 8) * 8 * of["threads"]
        assert of["registers"] <= MOST_REGISTERS, name
        assert of["programs"] * registers <= REGISTERS, name
        assert of["shared_bytes"] <= most_bytes, name
        assert of["programs"] * (of["shared_bytes"] + RESERVED_BYTES) <= most_bytes + RESERVED_BYTES, name
        assert of["programs"] * of["tensor_columns"] <= TENSOR_COLUMNS, name


@pytest.mark.parametrize("architecture", CHIPS)
def test_only_the_largest_blocks_spill_and_little(architecture):
    spilled = [
        (name, max(of["spilled_bytes"]))
        for golden in GOLDEN[architecture].values()
        for name, of in golden.items()
        if of["spilled_bytes"] != [0, 0]
    ]
    assert {name for name, _ in spilled} == SPILLING.get(architecture, set())
    assert all(spilled_bytes <= MOST_SPILLED_BYTES for _, spilled_bytes in spilled)


@pytest.mark.parametrize(("architecture", "compiler"), LISTS)
def test_a_launch_knows_the_shared_memory_that_it_takes(architectures, architecture, compiler):
    """Else it would take blocks that do not fit, or smaller ones than do."""
    for name, counted_bytes in architectures[architecture]["launched"].items():
        if not name.startswith("join"):
            assert 0 <= counted_bytes - GOLDEN[architecture][compiler][name]["shared_bytes"] <= BARRIER_BYTES, name


def test_16_bits_use_matrix_units_and_large_blocks_wide_ones(architectures):
    for architecture, of_one in architectures.items():
        wide = {"sm_90": "wgmma", "sm_100": "tcgen05"}.get(architecture, "mma")
        for name, of in of_one["compiled"].items():
            kinds = {product.split()[0] for product in of["products"]}
            if "float32" in name or name.startswith("join"):
                assert not kinds, name
            else:
                assert kinds == {wide if of["row_block"] >= 64 else "mma"}, name


def test_where_all_warps_share_rows_no_score_is_computed_twice(architectures):
    kernels = architectures["sm_90"]["compiled"]
    shared = {n: of["warps_of_products"] for n, of in kernels.items() if of["branches"] and of["warps_of_products"]}
    assert shared
    for name, warps in shared.items():
        assert set(warps) == {"[4, 2]"}, name


def test_every_sweep_of_make_gpu_is_in_the_list(architectures):
    askers = {asker for of in architectures["sm_90"]["compiled"].values() for asker in of["for"]}
    assert {"gpu_check, mla", "gpu_lengths, mqa", "gpu_sign_map, mla_absorbed"} <= askers
