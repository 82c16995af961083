"""The kernels that `backend=triton` launches on a chip: for the sweeps that `make gpu` runs, and some problems beside.

Each sweep is composed as a run composes it, its layer projects inputs that have shapes and strides and no memory
(torch's device meta), and the backend is called with them. What it then launches is noted down instead of being run.
"""

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch

from suite.attention import triton_decode
from suite.attention.backends import needs
from suite.attention.backends import triton as backend_module
from suite.attention.backends.triton import Triton
from suite.attention.problem import Problem, ValueLayout
from suite.attention.steps import ForwardStep
from suite.attention.triton_launch import Chip, Launch
from suite.attention.workload import DTYPES, AttentionWorkload
from suite.configuration.files import conf_dir, locate
from suite.measure.workload import UnsupportedError
from suite.run.compose.composer import compose
from suite.run.compose.point import SweepPoint
from suite.theory.layers.attention_plan import AttentionPlan
from tests.kernels import shapes

CHIPS = {
    "sm_90": Chip(generation=9, multiprocessors=132, shared_bytes=227 << 10),  # H100
    "sm_100": Chip(generation=10, multiprocessors=148, shared_bytes=227 << 10),  # B200
    "sm_80": Chip(generation=8, multiprocessors=108, shared_bytes=163 << 10),  # A100
    # RTX 4090. The compiler says the same of every kernel for sm_86, an RTX 3090, which has as much shared memory.
    "sm_89": Chip(generation=8, multiprocessors=128, shared_bytes=99 << 10),
    "sm_120": Chip(generation=12, multiprocessors=170, shared_bytes=99 << 10),  # RTX 5090
}
"""A chip of each architecture, the one that is compiled in full first."""
META = torch.device("meta")
KERNELS = ("attend_split", "join_splits")
GQA_8 = replace(shapes.GQA_8, batch=1, heads=128, kv_heads=8, seq_len=16384, dtype=torch.bfloat16, device=META)
ABSORBED = replace(GQA_8, kv_heads=1, qk_dim=576, v_dim=512, value_layout=ValueLayout.PREFIX_OF_KEY)
BESIDE = {
    "MHA": replace(GQA_8, kv_heads=128),
    "MHA, keys of 64": replace(GQA_8, kv_heads=128, qk_dim=64, v_dim=64),
    "GQA-8": GQA_8,
    "GQA-8, 4 new tokens": replace(GQA_8, query_len=4),
    "MQA": replace(GQA_8, kv_heads=1),
    "MLA expanded": replace(GQA_8, kv_heads=128, qk_dim=192, value_layout=ValueLayout.SUFFIX_OF_BUFFER),
    "MLA absorbed, 16 heads": replace(ABSORBED, heads=16),
    "MLA absorbed, 32 heads": replace(ABSORBED, heads=32, dtype=torch.float16),
    "MLA absorbed, 128 heads": ABSORBED,
    "MLA absorbed, 128 heads, in one split": replace(ABSORBED, seq_len=128),
    "MLA absorbed, 128 heads, 4 new tokens": replace(ABSORBED, query_len=4),
    "MLA absorbed, 128 heads, a latent of 256": replace(ABSORBED, qk_dim=320, v_dim=256),
    "keys of 256": replace(GQA_8, kv_heads=1, qk_dim=256, v_dim=256),
    "keys of 512": replace(GQA_8, kv_heads=1, qk_dim=512, v_dim=512),
    "keys of 512, 16 heads": replace(GQA_8, heads=16, kv_heads=1, qk_dim=512, v_dim=512),
    "GQA-8, float32": replace(GQA_8, dtype=torch.float32),
    "MHA, float32": replace(GQA_8, kv_heads=128, dtype=torch.float32),
    "keys of 256, float32": replace(GQA_8, kv_heads=1, qk_dim=256, v_dim=256, dtype=torch.float32),
    "MLA absorbed, float32": replace(ABSORBED, dtype=torch.float32),
    "MLA expanded, float32": replace(
        GQA_8, kv_heads=128, qk_dim=192, value_layout=ValueLayout.SUFFIX_OF_BUFFER, dtype=torch.float32
    ),
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a kernel that was noted down."""

    kernel: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    launch: Launch


def launched(chip: Chip) -> Iterator[tuple[str, Call]]:
    """Yield who asks, and the call, for every sweep `gpu_*` and every problem beside."""
    for asker, problem, inputs in _problems():
        for call in _calls(problem, inputs, chip):
            yield asker, call


@functools.cache
def _problems() -> list[tuple[str, Problem, tuple[torch.Tensor, ...]]]:
    swept = [
        (f"{sweep}, {point.chosen['attention']}", *_inputs_of(AttentionPlan(point.settings)))
        for sweep in sorted(path.stem for path in (conf_dir() / "sweep").glob("gpu_*.yaml"))
        for point in _points(sweep)
        if locate(point.settings["workload"]["_target_"]) is AttentionWorkload
    ]
    return [*swept, *((name, problem, shapes.drawn(problem)) for name, problem in BESIDE.items())]


def _points(sweep: str) -> list[SweepPoint]:
    with tempfile.TemporaryDirectory() as folder:
        return compose(["-m", f"sweep={sweep}", f"hydra.sweep.dir={folder}"])


def _inputs_of(plan: AttentionPlan) -> tuple[Problem, tuple[torch.Tensor, ...]]:
    generator = torch.Generator()
    layer_class = locate(plan.attention["_target_"])
    layer = layer_class(
        plan.shape, positions=plan.forward.seq_len, dtype=DTYPES[plan.dtype], device=META, generator=generator
    )
    step = ForwardStep(layer, None, plan.forward, generator)
    step.draw()
    return step.problem, step.projected


def _calls(problem: Problem, inputs: tuple[torch.Tensor, ...], chip: Chip) -> list[Call]:
    """The calls for one problem; none where the backend refuses it."""
    with _noted(chip) as calls:
        try:
            backend = Triton(problem)
        except UnsupportedError:
            return []
        backend(*inputs)
    return [
        Call(kernel=kernel, arguments=given, options=named, launch=backend.launch) for kernel, given, named in calls
    ]


@contextmanager
def _noted(chip: Chip) -> Iterator[list[Any]]:
    """Let the backend take the device meta for this chip, and note its calls of kernels."""
    calls: list[Any] = []

    class Noting:
        def __init__(self, kernel: Any) -> None:
            self._kernel = kernel

        def __getitem__(self, grid: Any) -> Any:
            return lambda *given, **named: calls.append((self._kernel, given, named))

    noting = {name: Noting(getattr(triton_decode, name)) for name in KERNELS}
    with (
        patch.object(needs, "cuda", lambda *_: None),
        patch.object(backend_module, "_chip", lambda device: chip),
        patch.multiple(triton_decode, **noting),
    ):
        yield calls
