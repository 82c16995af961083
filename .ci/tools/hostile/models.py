"""Folders with a published model from strangers: composed as a case and, where transformers is installed, loaded."""

import importlib.util
import json
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from tools.hostile.attempt import CODES, UNMEASURED, Attempt, command
from tools.hostile.mutations import KINDS_OF_FILE, OTHERS, TEXTS
from tools.hostile.texts import words

CAN_LOAD = importlib.util.find_spec("transformers") is not None
LOADED = ("torch", "transformers", "suite.lm.checkpoint.load", "suite.lm.checkpoint.tokenizer") if CAN_LOAD else ()
"""As in `tools.hostile.__main__`."""
UNCHANGED = "nothing changed"
CONFIG, WEIGHTS, TOKENS, INDEX = "config.json", "model.safetensors", "tokenizer.json", "model.safetensors.index.json"
WIDTH, HEADS, INNER, VOCABULARY = 8, 2, 12, 11
SIZES = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "intermediate_size": INNER,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
TENSORS: Mapping[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (VOCABULARY, WIDTH),
    "model.norm.weight": (WIDTH,),
    "model.layers.0.self_attn.q_proj.weight": (WIDTH, WIDTH),
    "model.layers.0.self_attn.k_proj.weight": (WIDTH // HEADS, WIDTH),
    "model.layers.0.self_attn.v_proj.weight": (WIDTH // HEADS, WIDTH),
    "model.layers.0.self_attn.o_proj.weight": (WIDTH, WIDTH),
    "model.layers.0.mlp.gate_proj.weight": (INNER, WIDTH),
    "model.layers.0.mlp.up_proj.weight": (INNER, WIDTH),
    "model.layers.0.mlp.down_proj.weight": (WIDTH, INNER),
    "model.layers.0.input_layernorm.weight": (WIDTH,),
    "model.layers.0.post_attention_layernorm.weight": (WIDTH,),
}
TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [
        {"id": 10, "content": "</s>", "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    ],
    "model": {"type": "BPE", "vocab": {chr(97 + number): number for number in range(10)}, "merges": []},
}
NUMBERS = (*OTHERS, 10**12, 10**18, 2**31, "8", 8.5, "")


def attempts(chance: random.Random) -> Iterator[Attempt]:
    """Every folder of the catalogue, composed and loaded, then bytes changed by chance, without end."""
    for what, change in _catalogue():
        yield from _composed_and_loaded(what, change)
    while True:
        seed, name = chance.randrange(1 << 30), chance.choice((CONFIG, WEIGHTS, TOKENS))
        yield from _composed_and_loaded(f"{name} changed by seed {seed}", _bytes_changed(name, seed))


def _composed_and_loaded(what: str, change: Callable[[Path], object]) -> Iterator[Attempt]:
    """An attempt that composes a case from the changed folder and, where transformers is there, one that loads it."""
    codes, prepare = (0,) if what == UNCHANGED else CODES, _prepared(change)
    yield Attempt(what=f"composed, {what}", run=_compose, prepare=prepare, codes=codes)
    if CAN_LOAD:
        yield Attempt(what=f"loaded, {what}", run=_load, prepare=prepare, codes=codes)


def _compose() -> int:
    with mock.patch("suite.commands.run.execute", return_value=UNMEASURED):
        return command("run", "workload=compress", "checkpoint=hostile", "rank=2")()


def _load() -> int:
    """Load the folder as a worker does; prints why where that cannot be, and returns the exit code."""
    import torch

    from suite.lm.checkpoint.load import load_decoder
    from suite.lm.checkpoint.locate import locate_checkpoint
    from suite.lm.checkpoint.tokenizer import load_tokenizer
    from suite.measure.workload import UnsupportedError

    try:
        load_decoder("hostile", positions=16, dtype=torch.float32, device=torch.device("cpu"))
        load_tokenizer(locate_checkpoint("hostile"), vocab_size=VOCABULARY).encode("abc")
    except (ValueError, UnsupportedError) as error:
        print(error)
        return 3
    return 0


def _prepared(change: Callable[[Path], object]) -> Callable[[Path], object]:
    """A function that writes a small good model and then changes it."""

    def prepare(folder: Path) -> None:
        model = folder / "hostile"
        model.mkdir()
        _write(model / CONFIG, SIZES)
        (model / WEIGHTS).write_bytes(_safetensors(TENSORS))
        _write(model / TOKENS, TOKENIZER)
        _write(model / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"})
        change(model)

    return prepare


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def _safetensors(tensors: Mapping[str, tuple[int, ...]], **header: Any) -> bytes:
    """A file as its format says: the header's length, the header, the numbers."""
    described, end = dict[str, Any](), 0
    for name, shape in tensors.items():
        size = 4 * math.prod(shape)
        described[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({**described, **header}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def _catalogue() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Yield what is wrong with each folder, and what changes it."""
    yield UNCHANGED, lambda model: None
    for name in (CONFIG, WEIGHTS, TOKENS):
        for what, make in KINDS_OF_FILE.items():
            yield f"{name} is {what}", _file(name, make)
        yield f"{name} is torn", lambda model, name=name: os.truncate(model / name, 20)
        yield f"{name} is gone", lambda model, name=name: (model / name).unlink()
    for setting in words("hidden_size num_hidden_layers num_attention_heads vocab_size head_dim rope_scaling"):
        for value in NUMBERS:
            yield f"{setting} is {str(value)[:20]}", _config(setting, value)
    for setting in ("model_type", "architectures", "layer_types", "rope_parameters", "hidden_act", "rms_norm_eps"):
        for value in (*OTHERS, *TEXTS[:12]):
            yield f"{setting} is {str(value)[:20]!r}", _config(setting, value)
    for content in (b"[]", b"null", b"1", b'"x"', b"[" * 100_000, b'{"a":' * 800 + b"1" + b"}" * 800, b"\xff\xfe"):
        for name in (CONFIG, TOKENS):
            yield (
                f"{name} is {content[:10]!r}",
                lambda model, name=name, content=content: (model / name).write_bytes(content),
            )
    for what, content in HEADERS.items():
        yield f"its weights have {what}", lambda model, content=content: (model / WEIGHTS).write_bytes(content())
    for named in ("../../../../etc/passwd", "/etc/passwd", "nope.safetensors", "", "\0"):
        yield (
            f"its index names {named!r}",
            lambda model, named=named: _write(model / INDEX, {"weight_map": dict.fromkeys(TENSORS, named)}),
        )
    yield "pickled weights beside", lambda model: (model / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'id'\ntR.")
    yield "pickled weights alone", lambda model: (model / WEIGHTS).rename(model / "pytorch_model.bin")
    yield "code beside", _code_beside
    tokenizers = {
        "a tokenizer with code": {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"},
        "a template without an end": {
            "chat_template": "{% for a in range(10**12) %}x{% endfor %}",
            "eos_token": "</s>",
        },
    }
    for what, settings in tokenizers.items():
        yield what, lambda model, settings=settings: _write(model / "tokenizer_config.json", settings)


def _code_beside(model: Path) -> None:
    _config("auto_map", {"AutoConfig": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]})(model)
    (model / "evil.py").write_text("raise SystemExit('it ran')")


def _file(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(model: Path) -> None:
        (model / name).unlink()
        make(model / name)

    return change


def _config(setting: str, value: Any) -> Callable[[Path], object]:
    """A function that writes a configuration with another value of one setting."""
    return lambda model: _write(model / CONFIG, {**SIZES, setting: _writable(value)})


def _writable(value: Any) -> Any:
    """The value, or infinity for a whole number that Python does not write."""
    return float("inf") if isinstance(value, int) and abs(value) > 10**300 else value


def _bytes_changed(name: str, seed: int) -> Callable[[Path], object]:
    def change(model: Path) -> None:
        chance, content = random.Random(seed), bytearray((model / name).read_bytes())
        for _ in range(chance.choice((1, 3, 20))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (model / name).write_bytes(content)

    return change


def _one(**described: Any) -> bytes:
    """Weights whose header says other things of one tensor."""
    return _safetensors(
        TENSORS, **{"model.norm.weight": {"dtype": "F32", "shape": [WIDTH], "data_offsets": [0, 32], **described}}
    )


HEADERS: Mapping[str, Callable[[], bytes]] = {
    "no header": lambda: b"",
    "a header of 2^63 bytes": lambda: (1 << 63).to_bytes(8, "little") + b"{}",
    "a header longer than the file": lambda: (1 << 20).to_bytes(8, "little") + b"{}",
    "a header that is no JSON": lambda: (2).to_bytes(8, "little") + b"{{",
    "a header that is a list": lambda: (2).to_bytes(8, "little") + b"[]",
    "a header that is deep": lambda: (100_000).to_bytes(8, "little") + b"[" * 100_000,
    "an unknown dtype": lambda: _one(dtype="F3"),
    "another dtype": lambda: _one(dtype="I64"),
    "a negative shape": lambda: _one(shape=[-8]),
    "a huge shape": lambda: _one(shape=[1 << 62, 1 << 62]),
    "a shape that is text": lambda: _one(shape="x"),
    "offsets behind the end": lambda: _one(data_offsets=[0, 1 << 62]),
    "offsets that go back": lambda: _one(data_offsets=[32, 0]),
    "negative offsets": lambda: _one(data_offsets=[-32, 0]),
    "offsets that overlap": lambda: _one(data_offsets=[0, 32]),
    "one tensor less": lambda: _safetensors(dict(list(TENSORS.items())[:-1])),
    "one tensor more": lambda: _safetensors({**TENSORS, "evil": (2,)}),
    "a tensor of another size": lambda: _safetensors({**TENSORS, "model.norm.weight": (WIDTH + 1,)}),
    "names that are no plain text": lambda: _safetensors({**TENSORS, "a\0\u202e/../x": (2,)}),
    "metadata that is huge": lambda: _safetensors(TENSORS, __metadata__={"x": "y" * (20 << 20)}),
    "a million tensors": lambda: _safetensors({**TENSORS, **{f"t{number}": (0,) for number in range(1_000_000)}}),
}
