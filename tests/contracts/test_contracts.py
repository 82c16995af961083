"""Our calls of other packages' kernels, bound to the signatures that those packages really have.

    make contracts

The adapters run in full, on the stand-ins of tests/attention/test_other_packages.py, which compute what the packages
document; before each call its arguments must bind to the published signature, and be of the kinds annotated there.
Whether the kernels compute it, tests/kernels/test_on_device.py tries on a CUDA device.
"""

import functools
import inspect
import os
import sys
import types
from dataclasses import dataclass

import pytest
import torch

from suite.attention.backends.eager import Eager
from tests.attention import test_other_packages as packages
from tests.contracts.sources import UnfetchedError, from_repository, from_wheel, skeletons

KINDS = {"int": int, "float": float, "bool": bool, "str": str, "torch.Tensor": torch.Tensor, "torch.dtype": torch.dtype}
DAO, DEEPSEEK = "https://github.com/Dao-AILab/flash-attention", "https://github.com/deepseek-ai/FlashMLA"
GROUPED = ("BatchPrefillWithPagedKVCacheWrapper", "BatchPrefillWithRaggedKVCacheWrapper")
DECODE, LATENT = "BatchDecodeWithPagedKVCacheWrapper", "BatchMLAPagedAttentionWrapper"
METADATA = "MLAPlanMetadata"


@dataclass(frozen=True)
class Package:
    """A published package: the module by which an adapter imports it, and its parts by file."""

    module: str
    read: functools.partial
    parts: dict


def flashinfer(requirement, latent=(LATENT, METADATA), latent_files="flashinfer/mla/**/*.py"):
    files = {"flashinfer/decode.py": (DECODE,), "flashinfer/prefill.py": GROUPED, latent_files: latent}
    return Package("flashinfer", functools.partial(from_wheel, requirement), files)


FLASH = ("flash_attn_func", "flash_attn_with_kvcache")
PUBLISHED = {
    "FlashInfer 0.5.3": flashinfer("flashinfer-python==0.5.3", (LATENT,), "flashinfer/mla.py"),
    "FlashInfer 0.6.18": flashinfer("flashinfer-python==0.6.18", (LATENT,)),
    "FlashInfer 0.7.2": flashinfer("flashinfer-python==0.7.2"),
    "FlashInfer, newest": flashinfer("flashinfer-python"),
    "flash-attn": Package(
        "flash_attn", functools.partial(from_repository, DAO), {"flash_attn/flash_attn_interface.py": FLASH}
    ),
    "FlashAttention-3": Package(
        "flash_attn_interface", functools.partial(from_repository, DAO), {"hopper/flash_attn_interface.py": FLASH}
    ),
    "FlashMLA": Package(
        "flash_mla",
        functools.partial(from_repository, DEEPSEEK),
        {"flash_mla/flash_mla_interface.py": ("get_mla_metadata", "flash_mla_with_kvcache")},
    ),
}
ADAPTERS = {
    "flashinfer": packages.FlashInfer,
    "flash_attn": packages.FlashAttn,
    "flash_attn_interface": packages.Fa3,
    "flash_mla": packages.FlashMla,
}


@functools.cache
def published(name):
    """Return a package's parts, or why it cannot be fetched, which is tried once."""
    package, found = PUBLISHED[name], {}
    try:
        for file, parts in package.parts.items():
            found |= skeletons(package.read(file), *parts)
    except UnfetchedError as error:
        return error
    return found


def bind(signature, *arguments, **named):
    """Raise TypeError where the arguments do not fit, and AssertionError where one is of another kind."""
    for name, value in signature.bind(*arguments, **named).arguments.items():
        annotation = str(signature.parameters[name].annotation)
        kind = KINDS.get(annotation.removeprefix("Optional[").removesuffix("]"))
        assert kind is None or isinstance(value, kind) or (value is None and annotation.startswith("Optional")), name
        assert kind in (None, bool) or not isinstance(value, bool), name


def bound(real, stand_in):
    """Return the stand-in, each call of which must bind to the real signature."""
    if inspect.isclass(real):
        names = [name for name in ("__init__", "plan", "_plan_impl", "run") if name in vars(real)]
        return type(stand_in)(
            real.__name__, (stand_in,), {name: bound(vars(real)[name], getattr(stand_in, name)) for name in names}
        )
    signature = inspect.signature(real)

    @functools.wraps(stand_in)
    def call(*arguments, **named):
        bind(signature, *arguments, **named)
        return stand_in(*arguments, **named)

    call.__signature__ = signature
    return call


def stand_ins(module, real):
    """Return what an adapter imports."""
    if module == "flash_attn_interface":
        return types.SimpleNamespace(
            **{name: bound(one, getattr(packages.FlashAttention3, name)) for name, one in real.items()}
        )
    found = {}
    for name, one in real.items():
        stand_in = getattr(packages, name)
        if name == DECODE and not hasattr(one, "_plan_impl"):
            stand_in = packages.OldDecode
        if name == LATENT and METADATA not in real:
            stand_in = packages.OldLatent
        if name == METADATA:
            dual = bound(functools.partial(one.dual, None), stand_in.dual)  # its class is bound before the call
            found[name] = types.SimpleNamespace(dual=dual)
        else:
            found[name] = bound(one, stand_in)
    found["mla"] = types.SimpleNamespace(**found)
    return types.SimpleNamespace(**found)


@pytest.fixture(autouse=True)
def on_hopper(monkeypatch):
    packages.on_hopper(monkeypatch)


CASES = [
    pytest.param(name, problem, id=f"{name}-{number}")
    for name, package in PUBLISHED.items()
    for number, (backend, problem, _) in enumerate(packages.CASES)
    if backend is ADAPTERS[package.module]
]


@pytest.mark.parametrize(("name", "problem"), CASES)
def test_our_calls_bind_to_what_is_published(monkeypatch, name, problem):
    module, real = PUBLISHED[name].module, published(name)
    if isinstance(real, UnfetchedError):
        if os.environ.get("CONTRACTS_MUST_BE_FETCHED"):
            raise real
        pytest.skip(f"{name} cannot be fetched: {real}")
    monkeypatch.setitem(sys.modules, module, stand_ins(module, real))
    inputs = packages.drawn(problem)
    kernel = ADAPTERS[module](problem).autotuned(*inputs)
    torch.testing.assert_close(kernel(*inputs), Eager(problem)(*inputs), rtol=0.02, atol=0.02)
