"""Probes of decoders that were made by hand: details in a cache, and the part of a single head."""

import pytest
import torch

from suite.measure.rng import numpy_rng
from suite.quality.workload import QuestionBatch, ablated_head, answer_logits, linear_probe_accuracies
from tests.quality.decoders import prepared

# Ids by hand: values 1-2, 3-4 and 5-6 of three attributes, then names; an id's embedding is a direction of its own.
TINY = {"entities": 2, "attributes_per_tier": 1, "values": 2, "questions": 3}
OF_SECOND_ATTRIBUTE = [3, 4]


def decoder_that_keeps_all(task, **changes):
    workload = prepared("tiers", task_changes=task, dtype="float64", **changes)
    attention = workload.model.attention_layer(0)
    with torch.no_grad():
        workload.model.embedding[:16] = torch.eye(16, dtype=torch.float64)
        attention.w_k.zero_()
        attention.w_v.copy_(torch.eye(16, dtype=torch.float64))
    return workload.model, workload.plan.task


def test_in_a_cache_that_has_everything_every_detail_is_found():
    assert linear_probe_accuracies(*decoder_that_keeps_all(TINY)) == [1.0, 1.0, 1.0]


def test_a_detail_that_is_not_cached_is_found_by_guessing_alone():
    model, task = decoder_that_keeps_all(TINY)
    with torch.no_grad():
        model.attention_layer(0).w_v[:, OF_SECOND_ATTRIBUTE] = 0
    first, second, third = linear_probe_accuracies(model, task)
    assert (first, third) == (1.0, 1.0)
    assert second == pytest.approx(0.5, abs=0.05)


def test_a_detail_in_the_keys_alone_is_found():
    model, task = decoder_that_keeps_all(TINY)
    with torch.no_grad():
        attention = model.attention_layer(0)
        attention.w_v[:, OF_SECOND_ATTRIBUTE] = 0
        attention.w_k[0, OF_SECOND_ATTRIBUTE] = torch.tensor([1.0, -1.0], dtype=torch.float64)
    assert linear_probe_accuracies(model, task) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("attention", ["mha", "mqa", "mla"])
def test_an_ablated_head_gives_its_layer_nothing(attention, monkeypatch):
    workload = prepared("two_hop", attention, dtype="float64")
    model = workload.model
    asked = QuestionBatch.from_questions(workload.plan.task.training(3, numpy_rng(0), 0.0), model.factory.device)
    with torch.no_grad():
        whole = answer_logits(model, asked)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        with ablated_head(model, 1, 0):
            without = answer_logits(model, asked)
        assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
        (layer,) = model._blocks[1]._trained
        output = layer.output

        def of_the_other_head(o_BHSv):
            o_BHSv = o_BHSv.clone()
            o_BHSv[:, 0] = 0
            return output(o_BHSv)

        monkeypatch.setattr(layer, "output", of_the_other_head)
        torch.testing.assert_close(without, answer_logits(model, asked), rtol=0, atol=1e-12)
    assert not torch.allclose(without, whole)


def test_the_head_is_back_after_an_error_too():
    model = prepared().model
    before = model.attention_layer(0).w_o.clone()

    def fail():
        with ablated_head(model, 0, 1):
            assert not torch.equal(model.attention_layer(0).w_o, before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.equal(model.attention_layer(0).w_o, before)
