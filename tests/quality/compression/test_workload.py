"""A case of compression from its settings to its readings, of a tiny model and tiny plays."""

import math

import pytest
import torch

from suite.lm import shakespeare
from suite.lm.training import token_loss
from suite.records.metrics import METRICS
from suite.records.record import Status
from tests.measure import stateful_runs
from tests.quality.compression.cases import CONFIG, FULL_RANK, HELD_OUT, Characters, lend, loaded, settings

LAYERS = CONFIG["num_hidden_layers"]


@pytest.fixture
def checkpoint(monkeypatch, tmp_path):
    return lend(monkeypatch, tmp_path / "model")


def run(folder, checkpoint, *, until=None, **changes):
    """Its outcome, its readings and its facts."""
    return stateful_runs.in_process(settings(checkpoint, **changes), folder, until=until)


def values(readings, metric, span="case"):
    return [one.value for one in readings if (one.span, one.metric) == (span, metric)]


def perplexity(readings):
    return math.exp(sum(values(readings, "text_loss", "text")) / sum(values(readings, "text_tokens", "text")))


def test_a_case_records_text_by_class_cache_and_a_timed_token(checkpoint, tmp_path):
    outcome, readings, facts = run(tmp_path, checkpoint)
    assert outcome == (Status.OK, None)
    assert {one.metric for one in readings} <= set(METRICS)
    assert values(readings, "text_tokens", "text") == [31] * 4
    classes = ("frequent", "common", "rare", "other")
    for metric in ("text_loss", "text_tokens", "text_words"):
        parts = zip(*(values(readings, metric, f"text/{name}") for name in classes), strict=True)
        assert list(map(sum, parts)) == pytest.approx(values(readings, metric, "text"))
    assert all(sum(values(readings, "text_words", f"text/{name}")) > 0 for name in classes[:3])
    assert values(readings, "text_words", "text/other") == [0] * 4
    assert values(readings, "cache_bytes_per_token") == [LAYERS * 12 * 4]
    assert values(readings, "cache_bytes_per_token_mha") == [LAYERS * 2 * 4 * 8 * 4]
    kept = [values(readings, "retained_variance", f"layer {layer}")[0] for layer in range(LAYERS)]
    assert all(0.3 < share < 1 for share in kept)
    assert 1e-3 < values(readings, "logits_change")[0] < 1
    assert len(values(readings, "latency_s", "decode")) >= 10
    assert {one.step for one in readings if one.span == "decode"} == {3}
    assert facts["held_out_plays"] == list(shakespeare.HELD_OUT)
    assert facts["weights"] == "model: as its safetensors have them, made float32"
    assert facts["attention_modes"] == {"trained": "LowRankAttention", "decoded": "LowRankAttention"}


def test_full_rank_reads_as_the_model_and_eight_bits_nearly_so(checkpoint, tmp_path):
    _, whole, _ = run(tmp_path, checkpoint, method="none")
    assert values(whole, "logits_change") == []
    assert values(whole, "cache_bytes_per_token") == [LAYERS * FULL_RANK * 4]
    for method in ("svd", "activation_svd", "activation_svd_balanced"):
        _, full, _ = run(tmp_path, checkpoint, method=method, rank=FULL_RANK)
        assert perplexity(full) == pytest.approx(perplexity(whole), rel=1e-6)
        assert values(full, "logits_change")[0] < 1e-5
        assert values(full, "cache_bytes_per_token") == values(whole, "cache_bytes_per_token")
    _, eight, _ = run(tmp_path, checkpoint, method="int8")
    assert perplexity(eight) == pytest.approx(perplexity(whole), rel=0.01)
    assert values(eight, "cache_bytes_per_token") == [LAYERS * 2 * 2 * (8 + 4)]


def test_all_that_can_be_asked_of_a_latent_at_once(checkpoint, tmp_path):
    asked = {"rope_width": 2, "rank": 7, "ranks": "spectrum", "latent_dtype": "int8"}
    asked |= {"distill_updates": 4, "distill_learning_rate": 1e-3}
    outcome, readings, facts = run(tmp_path, checkpoint, method="activation_svd_balanced", **asked)
    assert outcome == (Status.OK, None)
    ranks = [values(readings, "latent_rank", f"layer {layer}")[0] for layer in range(LAYERS)]
    assert sum(ranks) == LAYERS * 7
    # A byte an element and a scale for the latent, and of two key heads two columns each in bfloat16.
    assert values(readings, "cache_bytes_per_token") == [LAYERS * (7 + 4 + 2 * 2 * 2)]
    before, after = (values(readings, "distillation_loss", f"distill/{moment}")[0] for moment in ("before", "after"))
    assert 0 < after < before
    assert facts["attention_modes"]["decoded"] == "PartialRopeAttention"
    assert facts["decode_settings"] == {
        "attention": "mla",
        "attention.q_lora_rank": 0,
        "attention.kv_lora_rank": 7,
        "attention.qk_nope_head_dim": 6,
        "attention.qk_rope_head_dim": 4,
        "attention.v_head_dim": 8,
        "attention.latent_norm": False,
        "geometry.hidden_size": 32,
        "geometry.num_heads": 4,
        "geometry.head_dim": 8,
        "geometry.num_kv_heads": 2,
        "cache_dtype": "int8",
    }


def test_an_absorbable_cache_that_drops_nothing_is_the_model(checkpoint, tmp_path):
    _, readings, _ = run(tmp_path, checkpoint, rope_width=CONFIG["head_dim"], rank=FULL_RANK // 2)
    assert values(readings, "logits_change")[0] < 1e-5
    for task, answers, guessed in (("continuation", 31, 31 / 4), ("copying", 15, None), ("look_up", None, 1)):
        span = f"task/{task}"
        right = values(readings, "task_right", span)
        assert len(right) == 4
        assert all(0 <= one <= most for one, most in zip(right, values(readings, "task_answers", span), strict=True))
        assert answers is None or values(readings, "task_answers", span) == [answers] * 4
        assert guessed is None or values(readings, "task_guessed", span) == [guessed] * 4


def test_the_loss_is_that_of_each_token_behind_those_before_it(checkpoint, tmp_path):
    _, readings, _ = run(tmp_path, checkpoint, method="none")
    model = loaded(checkpoint, positions=41, dtype=torch.float32, device=torch.device("cpu"))
    text = HELD_OUT[0].text
    length, windows = 32, len(text) // 32
    for number, found in enumerate(values(readings, "text_loss", "text")):
        begin = int((number + 0.5) * windows / 4) * length
        tokens_BS = torch.tensor([Characters().encode(text[begin : begin + length])])
        learnt_BS = torch.ones_like(tokens_BS)
        with torch.no_grad():
            assert found == pytest.approx(float(token_loss(model, tokens_BS, learnt_BS)) * (length - 1), rel=1e-5)


def test_a_run_that_died_ends_as_the_unbroken_one(checkpoint, tmp_path):
    def seeded(readings):
        return [one for one in readings if METRICS[one.metric].seeded]

    _, unbroken, _ = run(tmp_path / "unbroken", checkpoint, checkpoint_seconds=1e-9)
    outcome, _, _ = run(tmp_path / "broken", checkpoint, checkpoint_seconds=1e-9, until=4)
    assert outcome is None
    outcome, readings, facts = run(tmp_path / "broken", checkpoint, checkpoint_seconds=1e-9)
    assert outcome == (Status.OK, None)
    assert facts["resumed_at_steps"]
    assert seeded(readings) == seeded(unbroken)


def test_more_windows_than_the_plays_have_are_refused(checkpoint, tmp_path):
    (status, reason), _, _ = run(tmp_path, checkpoint, windows=50)
    most = sum(len(play.text) for play in HELD_OUT) // 32
    assert (status, reason) == (
        Status.UNSUPPORTED,
        f"windows must be at most {most}, the windows that the plays have; got 50",
    )
    (status, reason), _, _ = run(tmp_path, checkpoint, calibration_windows=999)
    assert status is Status.UNSUPPORTED
    assert reason.startswith("calibration_windows must be at most ")
