"""The questions that the doctor puts to torch, on a machine that other packages spoil."""

import sys
import types

import pytest

torch = pytest.importorskip("torch")

from suite.attention.backends import needs  # noqa: E402
from suite.attention.backends.triton import Triton  # noqa: E402
from suite.commands import torch_probe  # noqa: E402


@pytest.fixture
def with_every_package(monkeypatch):
    """A CUDA device and all packages, the first of which has lost its functions."""
    monkeypatch.setattr(needs, "cuda", lambda *arguments, **settings: None)
    monkeypatch.setattr(needs, "package", lambda *arguments: None)
    monkeypatch.setitem(sys.modules, "flash_attn", types.ModuleType("flash_attn"))


@pytest.mark.parametrize("error", [RuntimeError("0 active drivers ([])\nmore"), KeyError("sm_90"), AssertionError()])
def test_a_constructor_that_raises_anything_ends_no_probe(monkeypatch, with_every_package, error):
    def broken(self, problem):
        raise error

    monkeypatch.setattr(Triton, "__init__", broken)
    with_its_class = type(error).__name__ + (f": {error}".partition("\n")[0] if str(error) else "")
    assert torch_probe._failures("backend", torch_probe._build_backend)["triton"] == with_its_class
