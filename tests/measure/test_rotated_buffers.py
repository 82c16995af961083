"""The rotated runs of a CUDA graph, laid out without a GPU: their memory can be looked at anywhere."""

import weakref
from itertools import pairwise

import pytest
import torch

from suite.measure.rotated_buffers import MOST_COPIES, copied, read_bytes, rotated
from tests.attention.test_check import prepared

L2_BYTES = 300_000


def addresses(tensor):
    start = tensor.data_ptr()
    return start, start + tensor.untyped_storage().nbytes() - tensor.storage_offset() * tensor.element_size()


@pytest.mark.parametrize("attention", ["mha", "gqa", "mla", "mla_latent", "mla_expanded"])
def test_rotated_runs_exceed_twice_the_cache_and_compute_alike(attention):
    workload, seen = prepared(attention=attention, backend="eager", seq_len=64), []
    work = workload.work
    expected = work.backend(*work.projected)
    settled, work.backend = work.backend, lambda *inputs: seen.append(inputs) or settled(*inputs)
    found = workload.rotated_runs("kernel", 2 * L2_BYTES, 1 << 30)
    outputs = [run() for run in found.runs]
    assert found.rotated_bytes == sum(map(read_bytes, seen[: found.copies])) >= 2 * L2_BYTES
    assert len(found.runs) == len(seen) > 1
    for index, which in enumerate("qkv"):
        spans = sorted(addresses(inputs[index]) for inputs in seen[: found.copies])
        assert all(end <= start for (_, end), (start, _) in pairwise(spans)), which
    for output in outputs:
        assert torch.equal(output, expected)


def test_copies_keep_strides_and_share_memory_as_originals_do():
    buffer = torch.arange(24.0).view(2, 3, 4)
    key, value, apart = buffer[:, :2], buffer[:, :2, :3], torch.ones(5)
    new_key, new_value, new_apart = copied([key, value, apart])
    assert (new_key.stride(), new_value.stride()) == (key.stride(), value.stride())
    assert new_key.data_ptr() == new_value.data_ptr() != key.data_ptr()
    assert all(torch.equal(new, old) for new, old in ((new_key, key), (new_value, value), (new_apart, apart)))
    new_key.zero_()
    assert new_value.sum() == 0 != value.sum()


def test_memory_that_inputs_share_counts_once():
    key = torch.zeros(10, 4)
    assert read_bytes([key, key[:, :3], torch.zeros(5)]) == 160 + 20


def test_copies_grow_with_the_cache_and_shrink_with_memory():
    inputs, much = [torch.ones(100)], 1 << 20
    for cache_bytes, most_bytes, copies, runs in (
        *((80, much, 4, 12), (480, much, 6, 12), (1200, much, 15, 15), (400, 1600, 5, 10), (400, 800, 3, 12)),
        *((400, 400, 2, 10), (400, 399, 1, 1), (401, 400, 1, 1)),
        *((200 * MOST_COPIES, much, MOST_COPIES, MOST_COPIES), (201 * MOST_COPIES, much, 1, 1)),
    ):
        found = rotated(lambda x: x, inputs, cache_bytes, most_bytes)
        addresses_in_turn = [run().data_ptr() for run in found.runs]
        assert (found.copies, len(found.runs)) == (copies, runs)
        assert len(set(addresses_in_turn)) == copies
        assert addresses_in_turn[:copies] * (runs // copies) == addresses_in_turn
        assert found.rotated_bytes == (400 * copies if copies > 1 else 0)


def test_a_layer_is_captured_and_a_training_step_is_not():
    workload = prepared(backend="eager")
    runs = workload.rotated_runs("layer", L2_BYTES, 1 << 30)
    assert runs.runs[0]().shape == (1, 1, workload.plan.hidden_size)
    input_BSD = weakref.ref(workload.work._x_BSD)
    workload.work.draw()
    assert input_BSD() is not None, "a graph of the runs would read freed memory"
    del runs
    assert input_BSD() is None
    assert prepared(attention="gqa", phase="train").rotated_runs("kernel", 1, 1) is None
