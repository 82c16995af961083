"""Without a head: the same as if its output had never been."""

import pytest
import torch

from suite.measure.rng import numpy_rng
from suite.quality.answers import Asked, logits_of
from suite.quality.heads import heads_of, without_head
from tests.quality.decoders import prepared


@pytest.mark.parametrize("attention", ["mha", "mqa", "mla"])
def test_a_decoder_without_a_head_is_one_whose_layer_is_given_nothing_of_that_head(attention, monkeypatch):
    workload = prepared("two_hop", attention, dtype="float64")
    model = workload.model
    asked = Asked.of(workload.plan.task.training(3, numpy_rng(0), 0.0), model.made.device)
    assert heads_of(model) == [(layer, head) for layer in range(3) for head in range(2)]
    with torch.no_grad():
        whole = logits_of(model, asked)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        with without_head(model, 1, 0):
            without = logits_of(model, asked)
        assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
        (layer,) = model._blocks[1]._trained
        output = layer.output

        def of_the_other_head(o_BHSv):
            o_BHSv = o_BHSv.clone()
            o_BHSv[:, 0] = 0
            return output(o_BHSv)

        monkeypatch.setattr(layer, "output", of_the_other_head)
        torch.testing.assert_close(without, logits_of(model, asked), rtol=0, atol=1e-12)
    assert not torch.allclose(without, whole)


def test_the_head_is_back_after_an_error_too():
    model = prepared().model
    before = model.attention_of(0).w_o.clone()

    def fail():
        with without_head(model, 0, 1):
            assert not torch.equal(model.attention_of(0).w_o, before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.equal(model.attention_of(0).w_o, before)
