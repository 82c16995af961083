"""The rule by which the Triton kernel is laid over a problem; the kernel itself is in tests/kernels."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from suite.attention.problem import ValueLayout
from suite.attention.triton_launch import BARRIER_BYTES, Chip, key_parts, launch_for
from tests.attention.test_refusals import ABSORBED, GQA

H100 = Chip(generation=9, multiprocessors=132, shared_bytes=227 << 10)
A100 = Chip(generation=8, multiprocessors=108, shared_bytes=163 << 10)
B200 = Chip(generation=10, multiprocessors=148, shared_bytes=227 << 10)
T4 = Chip(generation=7, multiprocessors=40, shared_bytes=48 << 10)
SMALL = Chip(generation=8, multiprocessors=128, shared_bytes=99 << 10)


@pytest.mark.parametrize(
    ("qk_dim", "v_dim", "value_layout", "parts"),
    [
        (128, 128, ValueLayout.SEPARATE, (128, 0)),
        (192, 128, ValueLayout.SUFFIX_OF_BUFFER, (128, 64)),
        (576, 512, ValueLayout.PREFIX_OF_KEY, (512, 64)),
        (512, 448, ValueLayout.PREFIX_OF_KEY, (448, 64)),
        (40, 24, ValueLayout.SEPARATE, (32, 8)),
        (8, 8, ValueLayout.SEPARATE, (8, 0)),
        (32, 32, ValueLayout.PREFIX_OF_KEY, (32, 0)),
    ],
)
def test_a_key_is_scored_in_two_parts_which_are_all_of_it(qk_dim, v_dim, value_layout, parts):
    assert key_parts(replace(GQA, qk_dim=qk_dim, v_dim=v_dim, value_layout=value_layout)) == parts
    assert sum(parts) == qk_dim


@pytest.mark.parametrize("chip", [H100, SMALL], ids=["H100", "small"])
@pytest.mark.parametrize("problem", [GQA, ABSORBED, replace(ABSORBED, query_len=4)], ids=["GQA", "absorbed", "4 new"])
def test_splits_cover_the_context_and_none_is_empty(problem, chip):
    for batch, seq_len in product((1, 5, 64, 300), (1, 100, 4096, 16384, 100_000)):
        launch = launch_for(replace(problem, batch=batch, seq_len=seq_len), chip)
        assert launch.keys_per_split % launch.key_block == 0, (batch, seq_len)
        assert (launch.splits - 1) * launch.keys_per_split < seq_len <= launch.splits * launch.keys_per_split


def test_one_sequence_keeps_an_h100_busy_and_many_are_not_split():
    for problem in (GQA, ABSORBED):
        one = launch_for(replace(problem, seq_len=65536), H100)
        row_blocks = -(-problem.heads_per_group // one.row_block)
        assert problem.kv_heads * row_blocks * one.splits >= 0.85 * H100.multiprocessors
    assert launch_for(replace(GQA, batch=99), H100).splits == 1  # two whole waves of three programs each


def test_heads_of_one_latent_share_a_block_of_rows():
    assert launch_for(replace(ABSORBED, heads=16), H100).row_block == 16
    assert launch_for(replace(ABSORBED, heads=32), H100).row_block == 32
    assert launch_for(replace(ABSORBED, heads=128), H100).row_block == 64
    assert launch_for(replace(GQA, heads=128, kv_heads=1), H100).row_block == 64
    assert launch_for(replace(ABSORBED, heads=128, dtype=torch.float32), H100).row_block == 16


def test_small_programs_are_three_on_a_multiprocessor():
    assert launch_for(GQA, H100).programs == 3
    assert launch_for(GQA, SMALL).programs == 1
    assert launch_for(replace(GQA, heads=16 * GQA.kv_heads, query_len=2, qk_dim=64, v_dim=64), H100).programs == 2
    assert launch_for(replace(ABSORBED, heads=16), H100).programs == 2
    assert launch_for(replace(GQA, heads=128, kv_heads=1), H100).programs == 2
    assert launch_for(replace(ABSORBED, heads=128), H100).programs == 1


def test_each_program_takes_a_kilobyte_of_shared_memory_more():
    own, reserved = 71_680 + BARRIER_BYTES, 1024
    for too_few in (0, 1):
        chip = replace(H100, shared_bytes=3 * (own + reserved) - reserved - too_few)
        assert launch_for(GQA, chip).programs == 3 - too_few


def test_waves_of_programs_are_nearly_full():
    for batch in (1, 3, 7, 40, 256):
        launch = launch_for(replace(GQA, batch=batch, seq_len=65536), H100)
        programs, places = batch * GQA.kv_heads * launch.splits, H100.multiprocessors * launch.programs
        least = 65536 * batch * GQA.kv_heads / places
        assert least >= 0.95 * -(-programs // places) * launch.keys_per_split


def test_a_chip_with_less_memory_gets_smaller_blocks():
    large, small = (launch_for(replace(ABSORBED, heads=128), chip) for chip in (H100, SMALL))
    assert small.row_block * small.key_block < large.row_block * large.key_block


def test_few_rows_of_wide_keys_get_fewer_where_they_do_not_fit():
    problem = replace(GQA, heads=16, kv_heads=1, qk_dim=512, v_dim=512)
    blocks = [(launch.row_block, launch.key_block) for launch in (launch_for(problem, chip) for chip in (H100, SMALL))]
    assert blocks == [(16, 32), (16, 16)]


def test_eight_warps_share_64_rows_on_hopper_only():
    problem = replace(ABSORBED, heads=128)
    assert launch_for(problem, H100).branches
    assert not launch_for(replace(GQA, heads=128, kv_heads=1), H100).branches
    for latent in (problem, replace(problem, qk_dim=320, v_dim=256)):
        assert not any(launch_for(latent, chip).branches for chip in (A100, SMALL, B200))
    assert [launch_for(problem, chip).row_block for chip in (A100, SMALL, B200)] == [32, 32, 64]


def test_a_launch_says_what_was_chosen():
    launch = launch_for(replace(ABSORBED, heads=128, seq_len=16384), H100)
    assert str(launch) == (
        "64 splits of 256 keys; blocks of 64 rows by 64 keys, scored in 512 + 64 columns; 8 warps, 2 stages"
    )
    assert str(launch_for(replace(GQA, seq_len=64), H100)).startswith("1 split; ")


F32 = {"dtype": torch.float32}
LAUNCHES = [
    (GQA, {}, H100, (16, 64, 4, 3, 3, 43, 384)),
    (GQA, {}, SMALL, (16, 64, 4, 3, 1, 16, 1024)),
    (GQA, {"heads": 128, "kv_heads": 1}, B200, (64, 64, 4, 3, 2, 128, 128)),
    (GQA, {"heads": 128, "kv_heads": 1}, SMALL, (64, 64, 4, 3, 1, 64, 256)),
    (GQA, {"heads": 128, "kv_heads": 1}, T4, (64, 16, 4, 3, 1, 20, 832)),
    (GQA, F32, H100, (16, 32, 4, 2, 3, 47, 352)),
    (GQA, F32, T4, (16, 32, 4, 2, 1, 5, 3296)),
    (GQA, {"qk_dim": 256, "v_dim": 256, "query_len": 8}, B200, (32, 32, 4, 3, 2, 37, 448)),
    (GQA, {"qk_dim": 256, "v_dim": 256, "query_len": 8}, T4, (16, 16, 4, 3, 1, 5, 3280)),
    (GQA, {"qk_dim": 40, "v_dim": 24}, T4, (16, 64, 4, 3, 1, 5, 3328)),
    (ABSORBED, {"heads": 16}, H100, (16, 32, 8, 3, 2, 128, 128)),
    (ABSORBED, {"heads": 16}, T4, (16, 16, 8, 3, 1, 40, 416)),
    (ABSORBED, {"heads": 128}, B200, (64, 32, 8, 2, 1, 74, 224)),
    (ABSORBED, {"heads": 128}, SMALL, (32, 16, 8, 3, 1, 32, 512)),
    (ABSORBED, {"heads": 128, **F32}, H100, (16, 16, 8, 2, 2, 32, 512)),
    (ABSORBED, {"heads": 128, **F32}, SMALL, (16, 16, 8, 2, 1, 16, 1024)),
    (ABSORBED, {"heads": 24, "query_len": 3, "batch": 7}, H100, (64, 64, 8, 2, 1, 37, 448)),
    (ABSORBED, {"heads": 24, "query_len": 3, "batch": 7}, T4, (16, 16, 8, 3, 1, 8, 2048)),
]
"""Rows and keys of a block, warps, stages, programs on a multiprocessor, splits and keys of each, at 16,384 tokens."""


@pytest.mark.parametrize(("problem", "changes", "chip", "sizes"), LAUNCHES)
def test_the_written_rule_chooses_these_sizes(problem, changes, chip, sizes):
    launch = launch_for(replace(problem, seq_len=16_384, **changes), chip)
    blocks = (launch.row_block, launch.key_block, launch.warps, launch.stages)
    assert (*blocks, launch.programs, launch.splits, launch.keys_per_split) == sizes
