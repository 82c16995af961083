"""FlashInfer's own planner, fed by our adapter: which of its kernels for MLA each generation of GPUs gets.

Its package must be installed, with PyPI's own torch, which the nightly job has. No GPU: the capability is set, and a
kernel that accepts the plan then fails for want of a device.
"""

import importlib
import os
import pkgutil
import sys

import pytest

from suite.attention.backends.flashinfer import FlashInfer
from suite.measure.workload import UnsupportedError
from tests.attention import test_other_packages as packages

if os.environ.get("CONTRACTS_MUST_BE_FETCHED"):
    importlib.import_module("flashinfer.mla")
else:
    pytest.importorskip("flashinfer.mla", exc_type=ImportError)

PLANNER = "flashinfer.mla._batch_mla"
# Names of the package's functions that ask the device, in whichever of its modules they were imported.
CAPABILITIES = ("_get_compute_capability", "get_compute_capability")
NO_FAMILY = {"is_sm90a_supported": False, "is_sm120a_supported": False, "is_sm121a_supported": False}


@pytest.fixture
def kernels_tried(monkeypatch):
    """The names of the kernels that were offered a plan, and whether each refused it."""
    wrapper = importlib.import_module(f"{PLANNER}._wrapper")
    refusal = importlib.import_module(f"{PLANNER}._backends._capabilities")._BackendPlanUnsupportedError
    tried = {}

    def noting(name, plan):
        def plan_and_note(cls, arguments):
            tried[name] = "taken"
            try:
                return plan(cls, arguments)
            except refusal:
                tried[name] = "refused"
                raise

        return classmethod(plan_and_note)

    for name, kernel in wrapper._BACKEND_TYPES.items():
        if name not in ("auto", "autotune", "cute-dsl"):  # which only choose among the others
            monkeypatch.setattr(kernel, "plan_from_wrapper", noting(name, kernel.plan_from_wrapper.__func__))
    return tried


def on(monkeypatch, capability):
    packages.on_hopper(monkeypatch)
    answers = {**NO_FAMILY, "is_sm90a_supported": capability == (9, 0)}
    backends = importlib.import_module(f"{PLANNER}._backends")
    for module in pkgutil.iter_modules(backends.__path__):
        importlib.import_module(f"{backends.__name__}.{module.name}")
    for module in [module for name, module in sys.modules.items() if name.startswith(PLANNER)]:
        for name in CAPABILITIES:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_: capability)
        for name, answer in answers.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_, answer=answer: answer)


@pytest.mark.parametrize(
    ("capability", "heads", "seq_len", "query_len", "taken"),
    [
        ((8, 0), 128, 16_384, 1, "fa2"),
        ((9, 0), 128, 16_384, 1, "fa3"),
        ((9, 0), 16, 4_096, 2, "fa3"),
        ((10, 0), 128, 16_384, 2, "cute-dsl-monolithic"),
        ((10, 0), 128, 65_536, 1, "trtllm-gen"),
        ((10, 0), 16, 131_072, 1, "cute-dsl-monolithic"),
        ((10, 0), 128, 1_024, 1, "trtllm-gen"),
        ((10, 0), 128, 16_400, 1, "fa2"),  # in pages of 16, which the others refuse
    ],
)
def test_each_generation_gets_its_fast_kernel(monkeypatch, kernels_tried, capability, heads, seq_len, query_len, taken):
    on(monkeypatch, capability)
    problem = packages.replace(packages.LATENT, heads=heads, seq_len=seq_len, query_len=query_len)
    with pytest.raises(UnsupportedError):
        FlashInfer(problem).autotuned(*packages.drawn(problem))
    assert [name for name, answer in kernels_tried.items() if answer == "taken"] == [taken]
