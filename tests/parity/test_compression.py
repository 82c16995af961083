"""The real model that workload=compress cuts, on the real plays: at full rank it is itself."""

import copy
import math

import pytest
import torch

from suite.commands.run import main
from suite.lm import shakespeare
from suite.lm.checkpoint.locate import missing
from suite.quality.compression.layers import LowRankAttention
from suite.quality.compression.low_rank import low_rank_factors, second_moments
from suite.quality.compression.text import CLASSES, Frequencies, read_windows, speakers_in
from suite.records.record import Status
from suite.records.stores.store import read_contents
from tests.parity.conftest import SMOLLM2

FULL_RANK, GQA_BYTES = 384, 30 * 384 * 4
TOKENS = 48
lacking = missing(SMOLLM2) or shakespeare.missing()

pytestmark = pytest.mark.skipif(lacking is not None, reason=str(lacking))


def cache_bytes(decoder):
    return sum(cache.counted_bytes() for cache in decoder.new_caches(1, 1))


def test_full_rank_smollm2_is_itself_and_8_bits_nearly_so(smollm2, smollm2_words):
    ids = torch.tensor([smollm2_words.encode(shakespeare.held_out_plays()[0].text[5000:6000])[:TOKENS]])
    decoder = copy.deepcopy(smollm2).requires_grad_(False)
    assert cache_bytes(decoder) == GQA_BYTES
    moments_LDD = second_moments(decoder, ids.tolist())
    own = [decoder.attention_layer(layer) for layer in range(30)]
    with torch.no_grad():
        wanted = decoder.logits(decoder(ids))
        for layer, moments_DD in enumerate(moments_LDD):
            weight_ED = torch.cat((own[layer].w_k, own[layer].w_v))
            factors = low_rank_factors(
                weight_ED, rank=FULL_RANK, fitted_to_DD=moments_DD, balances=True, moments_DD=moments_DD
            )
            decoder.replace_attention(layer, LowRankAttention(own[layer], factors))
        assert cache_bytes(decoder) == GQA_BYTES
        assert (decoder.logits(decoder(ids)) - wanted).norm() / wanted.norm() < 1e-5
        for layer in range(30):
            decoder.replace_attention(layer, own[layer])
        decoder.cache_rounding = torch.int8
        rounded = decoder.logits(decoder.decode(ids, decoder.new_caches(1, TOKENS), 0, None))
        assert 1e-4 < (rounded - wanted).norm() / wanted.norm() < 0.05


def test_the_plays_are_read_whole_and_their_words_are_told_apart(smollm2_words):
    held_out, others = shakespeare.held_out_plays(), shakespeare.other_plays()
    assert len(others) == 33
    for play in (*held_out, *others):
        assert "William Shakespeare" not in play.text
        assert "Gutenberg" not in play.text
        assert not play.text.endswith("THE END")
        assert len(play.text) > 80_000
        assert len(speakers_in(play.text)) > 400
    frequencies = Frequencies.in_texts(play.text for play in others)
    assert {"the", "and", "i"} <= frequencies.frequent
    assert len(frequencies.frequent) < 150 < 1000 < len(frequencies.common)
    windows = read_windows(held_out[:1], smollm2_words, frequencies, 512)
    counts = {name: sum(window.words[name] for window in windows) for name in CLASSES}
    assert counts["other"] == 0
    running = sum(counts.values())
    assert 0.4 < counts["frequent"] / running < 0.6
    assert 0.05 < counts["rare"] / running < 0.25


def test_a_real_models_case_is_recorded_without_its_text(tmp_path, capsys):
    asked = ["workload=compress", "rank=256", "window=64", "windows=2", "calibration_windows=12", "decode_len=32"]
    assert main([*asked, f"hydra.run.dir={tmp_path}"]) == 0
    (stored,) = read_contents([tmp_path]).stored
    record = stored.record
    assert record.status is Status.OK
    told = {(one.span, one.metric): one.value for one in record.readings}
    assert told["case", "cache_bytes_per_token"] == 30 * 256 * 4
    assert 0.95 < told["layer 29", "retained_variance"] < 1
    assert told["text", "text_tokens"] == 63
    assert 1 < told["text", "text_loss"] / 63 < math.log(49152)
    assert "Q4_1" in record.provenance["weights"]
    assert "perplexity" in capsys.readouterr().out
    written = b"".join(path.read_bytes() for path in stored.folder.rglob("*") if path.is_file())
    assert "Hamlet" not in written.decode(errors="ignore")
