"""The least work of a step against what is counted by hand."""

import pytest

from suite.rl.memory.work import bound_s, step_work
from suite.theory.layers.roofline import Ceilings
from tests.rl.memory.cases import SMALLER, TINY, plan

BLOCKS = 2 * (16 * 16 * 2 + 16 * 8 * 2 + 3 * 16 * 24)
"""Multiplied weights of the blocks: queries and output, keys and values, the MLP."""
HEAD = 50 * 16
PAIRS = 12 * 13 // 2
CORE = 2 * 2 * 2 * PAIRS * (8 + 8)
"""FLOPs of attention of one whole text: two layers of two heads of width 8."""


def work(phase, batch=16, algorithm="grpo", **changes):
    return step_work(plan(algorithm, micro_batch=1, geometry=TINY | {"qkv_bias": False}, **changes), batch)[phase]


def test_an_update_is_three_passes_and_what_is_recomputed():
    forward, heads = 2 * BLOCKS * 12 + CORE, 2 * HEAD * 8
    (plain, adamw) = work("update", checkpointing=False)
    assert (plain.times, plain.flops) == (16, 3 * (forward + heads))
    assert work("update")[0].flops == 3 * (forward + heads) + forward
    assert work("update", lora_rank=2, checkpointing=False)[0].flops == 3 * CORE + 2 * (2 * BLOCKS * 12 + heads)
    parameters = plan(geometry=TINY | {"qkv_bias": False}).parameter_counts()["policy"]
    assert (adamw.times, adamw.flops, adamw.traffic_bytes) == (1, 0, 7 * 2 * parameters)


def test_weights_are_read_once_a_token_and_batch():
    prefill, *decode = work("rollout", batch=6)
    prompts = 5  # of batches of 6, 6 and 4 in groups of 4
    assert prefill.flops == prompts * (2 * BLOCKS * 4 + 2 * 2 * 2 * 10 * 16 + 2 * HEAD)
    assert [(one.times, one.flops > 0) for one in decode] == [(2 * 8, True), (8, True)]
    a_token = 2 * 2 * 8 * 2 * 8  # two layers' keys and values of two bytes each, at the mean of 4 + 4 tokens
    query_and_output = 2 * 2 * 2 * 8 * 2
    assert decode[0].traffic_bytes - decode[1].traffic_bytes == 2 * (a_token + query_and_output)


def test_a_pass_takes_the_longer_of_its_two_times():
    (score,) = work("score")
    assert score.flops == 2 * BLOCKS * 12 + CORE + 2 * HEAD * 8
    assert bound_s([score], Ceilings(flops_per_s=1.0, bytes_per_s=1e30)) == pytest.approx(16 * score.flops)
    assert bound_s([score], Ceilings(flops_per_s=1e30, bytes_per_s=1.0)) == pytest.approx(16 * score.traffic_bytes)


def test_a_smaller_critic_has_less_to_score_and_to_train():
    for phase in ("score", "update"):
        own, smaller = (work(phase, algorithm="ppo", **changes) for changes in ({}, SMALLER))
        assert len(own) == len(smaller)
        less = [theirs.flops < ours.flops for ours, theirs in zip(own, smaller, strict=True) if ours.flops]
        assert less.count(True) == 1
