"""What a reader finds in a cache that was made by hand."""

import pytest
import torch

from suite.quality import cached
from suite.quality.cached import linear_probe_accuracy
from tests.quality.decoders import prepared

# Ids by hand: values 1-2, 3-4 and 5-6 of three attributes, then names; an id's embedding is a direction of its own.
TINY = {"entities": 2, "attributes_per_tier": 1, "values": 2, "questions": 3}
OF_SECOND_ATTRIBUTE = [3, 4]


def decoder_that_keeps_all(task, **changes):
    workload = prepared("tiers", task_changes=task, dtype="float64", **changes)
    attention = workload.model.attention_of(0)
    with torch.no_grad():
        workload.model.embedding[:16] = torch.eye(16, dtype=torch.float64)
        attention.w_k.zero_()
        attention.w_v.copy_(torch.eye(16, dtype=torch.float64))
    return workload.model, workload.plan.task


def test_in_a_cache_that_has_everything_every_detail_is_found():
    assert linear_probe_accuracy(*decoder_that_keeps_all(TINY)) == [1.0, 1.0, 1.0]


def test_a_detail_that_is_not_cached_is_found_no_more_often_than_by_guessing():
    model, task = decoder_that_keeps_all(TINY)
    with torch.no_grad():
        model.attention_of(0).w_v[:, OF_SECOND_ATTRIBUTE] = 0
    first, second, third = linear_probe_accuracy(model, task)
    assert (first, third) == (1.0, 1.0)
    assert second == pytest.approx(0.5, abs=0.05)


def test_a_detail_in_the_keys_alone_is_found():
    model, task = decoder_that_keeps_all(TINY)
    with torch.no_grad():
        attention = model.attention_of(0)
        attention.w_v[:, OF_SECOND_ATTRIBUTE] = 0
        attention.w_k[0, OF_SECOND_ATTRIBUTE] = torch.tensor([1.0, -1.0], dtype=torch.float64)
    assert linear_probe_accuracy(model, task) == [1.0, 1.0, 1.0]


def test_a_reader_finds_what_differs_by_less_than_its_mean():
    numbers, classes = torch.tensor([[1.0], [2.0]]).double(), torch.tensor([0, 1])
    assert cached._read(numbers.repeat(3072, 1), classes.repeat(3072)) == 1.0
