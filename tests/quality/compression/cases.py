"""A tiny model that reads tiny plays character by character, in place of the packages that carry the real ones."""

import json

import torch

from suite.configuration.files import read_settings
from suite.lm import shakespeare
from suite.lm.checkpoint.sizes import read_sizes, shape_from
from suite.lm.decoder import Decoder, FactoryKwargs
from suite.lm.shakespeare import Play
from suite.quality.compression import plan, workload

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "vocab_size": 128,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
FULL_RANK = 32
"""2 x 2 x 8."""
SPEECH = "HAM.\nthe cat and the dog saw the {} there.\n\n"
OTHERS = [Play(name="other", text="".join(SPEECH.format(word) for word in ("moon", "sun", "star") * 3))]
HELD_OUT = [Play(name="held", text="".join(SPEECH.format(word) for word in ("moon", "owl", "sun") * 2))]


class Characters:
    """Each is a token."""

    def encode(self, text):
        return [ord(character) for character in text]

    def encode_with_places(self, text):
        return self.encode(text), [(place, place + 1) for place in range(len(text))]


def loaded(checkpoint, *, positions, dtype, device):
    shape, attention = shape_from(read_sizes(checkpoint, "checkpoint"), "checkpoint")
    factory = FactoryKwargs(dtype=dtype, device=device, generator=torch.Generator().manual_seed(0))
    return Decoder(shape, attention, positions=positions, factory=factory)


def lend(monkeypatch, folder):
    """Put stand-ins for the packages in place; return the checkpoint's folder."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for where, name, lent in (
        (plan, "missing", lambda checkpoint: None),
        (shakespeare, "missing", lambda: None),
        (shakespeare, "held_out_plays", lambda: HELD_OUT),
        (shakespeare, "other_plays", lambda: OTHERS),
        (workload, "load_tokenizer", lambda place, vocab_size: Characters()),
        (workload, "load_decoder", loaded),
    ):
        monkeypatch.setattr(where, name, lent)
    return str(folder)


def settings(checkpoint, **changes):
    run = {"device": "cpu", "threads": 1, "dtype": "float32", "matmul_precision": None}
    target = "suite.quality.compression.workload.CompressionWorkload"
    composed = {**run, **read_settings("compress"), "workload": {"name": "compress", "_target_": target}}
    tiny = {"window": 32, "windows": 4, "calibration_windows": 8, "decode_len": 40, "rank": 12}
    return {**composed, "checkpoint": checkpoint, **tiny, **changes}
