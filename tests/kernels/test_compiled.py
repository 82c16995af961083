"""What the compiler makes of the kernel for an H100. None is needed: nothing is run."""

import json
import os
import subprocess
import sys

import pytest

H100_SHARED_BYTES = 227 << 10


@pytest.fixture(scope="module")
def said():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.compile_for_h100"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_every_launch_fits_into_a_multiprocessor(said):
    assert {name: one["shared_bytes"] for name, one in said.items() if one["shared_bytes"] > H100_SHARED_BYTES} == {}


def test_16_bits_use_matrix_units_and_large_blocks_wide_ones(said):
    for name, one in said.items():
        if "float32" in name or name == "joining":
            assert one["wide_products"] == one["products"] == 0, name
        else:
            assert (one["wide_products"] if one["row_block"] >= 64 else one["products"]) > 0, name


def test_where_all_warps_share_rows_no_score_is_computed_twice(said):
    shared = {name: one["warps_of_products"] for name, one in said.items() if one["branches"]}
    assert "MLA absorbed, 128 heads" in shared
    for name, warps in shared.items():
        assert set(warps) == {"[4, 2]"}, name
