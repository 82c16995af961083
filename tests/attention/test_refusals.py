"""The refusals of each backend, and their words: a table of problems, none of which is set up.

The machine is as each row wants it: a device of compute capability 9.0 with every package, unless it says otherwise.
"""

from dataclasses import replace

import pytest
import torch

from suite.attention.backends import needs
from suite.attention.problem import ValueLayout
from suite.configuration.files import choices, locate, read_choice
from suite.measure.workload import UnsupportedError
from tests.kernels.shapes import GQA_8

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GQA = replace(GQA_8, batch=1, heads=32, kv_heads=8, seq_len=4096, dtype=torch.bfloat16, device=CUDA)
ABSORBED = replace(GQA, kv_heads=1, qk_dim=576, v_dim=512, value_layout=ValueLayout.PREFIX_OF_KEY)
EXPANDED = replace(GQA, kv_heads=32, qk_dim=192, value_layout=ValueLayout.SUFFIX_OF_BUFFER)
PROBLEMS = {
    "GQA": GQA,
    "GQA ragged": replace(GQA, seq_len=4090),
    "GQA by threes": replace(GQA, heads=24),
    "two tokens": replace(GQA, query_len=2),
    "five tokens": replace(GQA, query_len=5),
    "prefill": replace(GQA, query_len=4096),
    "train": replace(GQA, query_len=4096, needs_gradient=True),
    "float32": replace(GQA, dtype=torch.float32),
    "float64": replace(GQA, dtype=torch.float64),
    "cpu": replace(GQA, device=CPU),
    "cpu two tokens": replace(GQA, device=CPU, query_len=2),
    "cpu float16": replace(GQA, device=CPU, dtype=torch.float16),
    "cpu absorbed": replace(ABSORBED, device=CPU),
    "absorbed": ABSORBED,
    "absorbed ragged": replace(ABSORBED, seq_len=4090),
    "absorbed two tokens": replace(ABSORBED, query_len=2),
    "absorbed prefill": replace(ABSORBED, query_len=4096),
    "absorbed train": replace(ABSORBED, query_len=4096, needs_gradient=True),
    "absorbed float32": replace(ABSORBED, dtype=torch.float32),
    "absorbed 256": replace(ABSORBED, qk_dim=320, v_dim=256),
    "absorbed 1984": replace(ABSORBED, qk_dim=2048, v_dim=1984),
    "expanded": EXPANDED,
    "expanded prefill": replace(EXPANDED, query_len=4096),
    "expanded prefill ragged": replace(EXPANDED, query_len=4090, seq_len=4090),
    "narrow value apart": replace(GQA, kv_heads=32, qk_dim=192),
    "width 100": replace(GQA, qk_dim=100, v_dim=100),
    "value of 100": replace(GQA, v_dim=100),
    "value of 64": replace(GQA, v_dim=64),
    "key of 64": replace(GQA, qk_dim=64, v_dim=512),
    "key of 64 train": replace(GQA, qk_dim=64, v_dim=512, query_len=4096, needs_gradient=True),
    "width 264": replace(GQA, qk_dim=264, v_dim=264),
    "absorbed wide rotary": replace(ABSORBED, qk_dim=640),
    "absorbed 128": replace(ABSORBED, qk_dim=136, v_dim=72),
    "cpu int8": replace(GQA, device=CPU, cache_dtype=torch.int8),
    "train int8": replace(GQA, query_len=4096, needs_gradient=True, cache_dtype=torch.int8),
    "latent apart": replace(ABSORBED, value_layout=ValueLayout.SEPARATE),
}
RUNS = None
NO_GRADIENT, WIDTHS = "has no backward pass", "as wide as the key"
TABLE = {
    "triton": {
        **dict.fromkeys(("GQA", "two tokens", "float32", "absorbed", "absorbed two tokens", "absorbed float32"), RUNS),
        **dict.fromkeys(("GQA ragged", "absorbed ragged", "absorbed 256", "expanded", "width 100"), RUNS),
        "five tokens": "1 to 4 new tokens at a time; got query_len=5",
        "prefill": "1 to 4 new tokens at a time; got query_len=4096",
        "train": NO_GRADIENT,
        "float64": "triton supports float32, bfloat16, float16; got float64",
        "absorbed 1984": "up to 512 wide; got a key of 2048 and a value of 1984",
        "cpu": "TRITON_INTERPRET=1",
    },
    "flash_attn": {
        **dict.fromkeys(("GQA", "GQA ragged", "GQA by threes", "two tokens", "prefill", "train"), RUNS),
        "float32": "supports bfloat16, float16; got float32",
        "cpu": "CUDA devices only; got device=cpu",
        "absorbed": f"{WIDTHS}; got widths 512 and 576",
        "expanded": f"{WIDTHS}; got widths 128 and 192",
        "width 100": "up to 256 wide, in multiples of 8; got 100",
    },
    "flashinfer": {
        **dict.fromkeys(("GQA", "GQA by threes", "two tokens", "prefill", "absorbed", "absorbed two tokens"), RUNS),
        "GQA ragged": "seq_len must be a multiple of 16; got 4090",
        "expanded prefill ragged": RUNS,
        "absorbed ragged": "seq_len must be a multiple of 16; got 4090",
        "train": NO_GRADIENT,
        "float32": "got float32",
        "cpu": "got device=cpu",
        "absorbed 256": "got 1 with keys 320 and values 256 wide",
        "expanded prefill": RUNS,
        "expanded": "of one width, 64, 128, 256, or in a prefill of 192 and 128; got 192 and 128",
        "width 100": "got 100 and 100",
    },
    "flash_mla": {
        **dict.fromkeys(("absorbed", "absorbed two tokens"), RUNS),
        "GQA": "got 8 with keys 128 and values 128 wide, the value in a tensor of its own",
        "absorbed 256": "got 1 with keys 320 and values 256 wide",
        "absorbed ragged": "seq_len must be a multiple of 64; got 4090",
        "absorbed prefill": "got a prefill",
        "absorbed train": NO_GRADIENT,
        "absorbed float32": "got float32",
        "expanded": "got 32 with keys 192 and values 128 wide",
    },
    "fa3": {
        **dict.fromkeys(("GQA", "GQA ragged", "GQA by threes", "two tokens", "prefill", "train", "absorbed"), RUNS),
        **dict.fromkeys(("absorbed ragged", "absorbed two tokens", "absorbed prefill", "absorbed 256"), RUNS),
        **dict.fromkeys(("expanded", "expanded prefill", "narrow value apart", "key of 64"), RUNS),
        "float32": "supports bfloat16, float16; got float32",
        "cpu": "CUDA devices only; got device=cpu",
        "width 100": "in multiples of 8; got a key of 100 and a value of 100",
        "value of 100": "in multiples of 8; got a key of 128 and a value of 100",
        "value of 64": "got a key of 128 and a value of 64 in a tensor of its own",
        "absorbed 1984": "got a key of 2048 and a value of 1984 in the first columns of the key",
        "absorbed wide rotary": "a key up to 64 wider; got a key of 640 and a value of 512 in the first",
        "absorbed 128": "or a value of 256 to 512 in the first columns of a key up to 64 wider; got a key of 136 and",
        "latent apart": "got a key of 576 and a value of 512 in a tensor of its own",
        "width 264": "fa3 takes one width up to 256",
        "absorbed train": "has no backward pass for absorbed MLA",
        "key of 64 train": "has a backward pass up to widths of 256; got a value of 512",
    },
    "sdpa_flash": {
        **dict.fromkeys(("GQA", "GQA ragged", "prefill", "train", "expanded", "expanded prefill", "cpu"), RUNS),
        "two tokens": "but new tokens after a context need one; got query_len=2 of",
        "float32": "got float32",
        "absorbed": "up to 256 wide; got 576",
        "narrow value apart": "got widths 128 and 192",
    },
    "sdpa_efficient": {
        **dict.fromkeys(("GQA", "two tokens", "prefill", "float32", "absorbed", "expanded", "train"), RUNS),
        "float64": "supports float32, bfloat16, float16; got float64",
        "cpu": "got device=cpu",
        "narrow value apart": RUNS,
    },
    "sdpa_cudnn": {
        **dict.fromkeys(("GQA", "two tokens", "prefill", "train", "expanded", "narrow value apart"), RUNS),
        "float32": "got float32",
        "absorbed": "up to 256 wide; got 576",
        "width 100": "a multiple of 8; got 100 and 100",
        "value of 100": "a multiple of 8; got 128 and 100",
        "cpu": "got device=cpu",
    },
    "compiled_eager": dict.fromkeys(PROBLEMS, RUNS),
    "cpp": {
        **dict.fromkeys(("cpu", "cpu two tokens", "cpu absorbed"), RUNS),
        "GQA": "CPUs only; got device=cuda",
        "five tokens": "1 to 4 new tokens at a time; got query_len=5",
        "prefill": "1 to 4 new tokens at a time; got query_len=4096",
        "train": NO_GRADIENT,
        "cpu float16": "cpp supports float32, bfloat16; got float16",
    },
    "dequantising": {
        "cpu int8": RUNS,
        "GQA": "cache_dtype=int8 or fp8; got null",
        "train int8": NO_GRADIENT,
    },
    "flex": {
        **dict.fromkeys(("GQA", "two tokens", "prefill", "train", "float32", "absorbed", "expanded", "cpu"), RUNS),
        "GQA by threes": "a power of two of query heads share a key-value head; got 3",
        "float64": "flex supports float32, float16, bfloat16; got float64",
    },
}
FOR_CUDA = dict.fromkeys(("flash_mla", "fa3"), ABSORBED)
FOR_CUDA |= dict.fromkeys(("triton", "flash_attn", "flashinfer", "sdpa_flash", "sdpa_efficient", "sdpa_cudnn"), GQA)
FOR_CUDA |= dict.fromkeys(("compiled_eager", "flex"), GQA)
PACKAGES = {"triton": "triton", "flash_attn": "flash-attn", "flashinfer": "flashinfer-python", "flash_mla": "flash-mla"}
PACKAGES |= {"fa3": "flash-attn-3", "compiled_eager": "triton", "flex": "triton"}


@pytest.fixture
def hopper(monkeypatch):
    """torch says that it has an H100."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


@pytest.fixture
def packages(monkeypatch):
    monkeypatch.setattr(needs, "package", lambda backend, module, distribution: None)


def check(name, problem):
    """A backend's check, without its set-up, which needs the device."""
    backend = object.__new__(locate(read_choice("backend", name)["_target_"]))
    backend.check(problem)


@pytest.mark.parametrize("name", TABLE)
def test_a_backend_refuses_what_it_does_not_compute(hopper, packages, name):
    for problem, reason in TABLE[name].items():
        if reason is RUNS:
            check(name, PROBLEMS[problem])
            continue
        with pytest.raises(UnsupportedError) as refusal:
            check(name, PROBLEMS[problem])
        assert reason in str(refusal.value), problem
        assert str(refusal.value).startswith(name)


@pytest.mark.parametrize("name", [name for name in choices("backend") if name != "auto"])
def test_what_is_beyond_plain_attention_is_refused_first(name):
    backend = locate(read_choice("backend", name)["_target_"])
    for beyond, phrase in (
        ({"window": 100}, "a window of 100 keys"),
        ({"has_sinks": True}, "attention sinks"),
        ({"shared_key_dim": 64}, "a key part that groups share"),
    ):
        problem = replace(GQA, **beyond)
        if backend.computes >= set(problem.beyond_plain):
            continue
        with pytest.raises(UnsupportedError) as refusal:
            backend(problem)
        assert str(refusal.value) == f"{name} does not support {phrase}; backend=auto chooses one that does"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
@pytest.mark.parametrize(("name", "problem"), FOR_CUDA.items(), ids=FOR_CUDA)
def test_without_a_device_every_backend_for_one_says_so(name, problem):
    with pytest.raises(needs.AbsentError, match=f"^{name} needs a CUDA device, but torch finds none$"):
        check(name, problem)


@pytest.mark.parametrize(("name", "distribution"), PACKAGES.items(), ids=PACKAGES)
def test_without_its_package_a_backend_names_it(monkeypatch, hopper, name, distribution):
    monkeypatch.setattr(needs.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(needs.AbsentError) as refusal:
        check(name, FOR_CUDA[name])
    assert str(refusal.value) == f"{name} needs the package {distribution}, which is not installed"


@pytest.mark.parametrize("error", [ImportError("undefined symbol\nmore"), AttributeError("undefined symbol")])
def test_a_package_that_cannot_be_loaded_is_a_reason(monkeypatch, error):
    def broken(module):
        raise error

    monkeypatch.setattr(needs.importlib.util, "find_spec", lambda module: module)
    monkeypatch.setattr(needs.importlib, "import_module", broken)
    with pytest.raises(needs.AbsentError) as refusal:
        needs.package("flash_attn", "flash_attn", "flash-attn")
    said = f"{type(error).__name__}: undefined symbol"
    assert str(refusal.value) == f"flash_attn needs the package flash-attn, which cannot be loaded ({said})"


@pytest.mark.parametrize(
    ("name", "capability", "reason"),
    [
        ("flash_attn", (7, 5), "8.0 or above; got 7.5"),
        ("flash_mla", (8, 0), "9.0; got 8.0"),
        ("flash_mla", (10, 0), "9.0; got 10.0"),
        ("fa3", (10, 0), "9.0; got 10.0"),
        ("triton", (7, 5), "8.0 or above; got 7.5"),
        ("flex", (6, 1), "7.0 or above; got 6.1"),
    ],
)
def test_a_device_of_another_generation_is_a_reason(monkeypatch, hopper, packages, name, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    with pytest.raises(needs.AbsentError) as refusal:
        check(name, FOR_CUDA[name])
    assert str(refusal.value).endswith(f"of compute capability {reason}")


def test_every_backend_but_the_old_ones_has_its_rows():
    assert set(choices("backend")) == set(TABLE) | {"auto", "eager", "sdpa", "sdpa_folded"}
