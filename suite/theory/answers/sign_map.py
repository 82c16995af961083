"""Who wins where: absorbed MLA's decode kernel against GQA's, by the roofline bound of the closed forms.

MLA reads a smaller cache but computes more for each byte of it. So it wins while memory sets the limit, and loses where
arithmetic does: on devices with a low ridge point, with several new tokens a step, with many heads. Tensor parallelism
shares out GQA's groups and MLA's heads, but each rank keeps MLA's whole latent (GLA's argument, arXiv 2505.21487).

The bound is an idea of the device at its best, by specification. Where others measured both kernels on a device,
what is expected of good ones stands beside it (calibration.py); records have the speed that a kernel really reaches.
"""

import functools
from dataclasses import dataclass, replace

from suite.theory.devices.calibration import DTYPE, GQA, MLA, Calibration, Expected
from suite.theory.layers.algebra import SERVED_BYTES, Pass
from suite.theory.layers.geometry import Geometry, load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import LayerShape, cache_bytes, grouped_shape, kernel_work

SIZES_OF = "deepseek-v3"
"""Its c 512, d_r 64 and d_n = d_v = 128, at any number of heads; GQA's heads are as wide as its value heads."""
KV_HEADS = 8
CONTEXT_TOKENS = 131_072
"""Queries and outputs are left out, as they vanish beside a long context's cache: here they would add at most 3% to
MLA's bytes (16 new tokens, 128 heads)."""
CELLS = 1 << 13
"""Kept of each kind, which is more than one page's: it asks for each several times."""


@dataclass(frozen=True, kw_only=True)
class KernelDuel:
    """Both sides of one cell of the map."""

    gqa_s: float
    mla_s: float
    gqa_regime: str
    mla_regime: str

    @property
    def speedup(self) -> float:
        """Speed of MLA's kernel over GQA's: above 1 MLA wins."""
        return self.gqa_s / self.mla_s


@dataclass(frozen=True, kw_only=True)
class ExpectedDuel:
    """Both sides of one cell as they are expected of good kernels."""

    gqa: Expected
    mla: Expected

    @property
    def speedup(self) -> float:
        """Expected speed of MLA's kernel over GQA's: above 1 MLA wins."""
        return self.gqa.seconds / self.mla.seconds


@functools.lru_cache(maxsize=CELLS)
def duel(ceilings: Ceilings, *, heads: int, query_len: int, tp: int) -> KernelDuel:
    """The least times of one decode step's kernels on one of `tp` ranks.

    Raises ValueError where `heads` is no multiple of `tp` or of GQA's groups.
    """
    forward = Pass(batch=1, query_len=query_len, seq_len=CONTEXT_TOKENS, element_bytes=SERVED_BYTES)
    gqa, mla = (
        {"flops": shape.core_flops(forward), "traffic_bytes": cache_bytes(shape, forward)}
        for shape in rivals(heads, tp)
    )
    return KernelDuel(
        gqa_s=ceilings.bound_s(**gqa),
        mla_s=ceilings.bound_s(**mla),
        gqa_regime=ceilings.regime(**gqa),
        mla_regime=ceilings.regime(**mla),
    )


@functools.lru_cache(maxsize=CELLS)
def expected_duel(
    calibration: Calibration | None,
    *,
    heads: int,
    query_len: int,
    tp: int,
    batch: int = 1,
    seq_len: int = CONTEXT_TOKENS,
) -> ExpectedDuel | None:
    """The times of one decode step's kernels that are expected of good ones on one of `tp` ranks.

    None where the device has no calibration of both, or one of other sizes. Raises ValueError as `duel` does.
    """
    if calibration is None or not calibration.has(GQA, MLA):
        return None
    forward = Pass(batch=batch, query_len=query_len, seq_len=seq_len, element_bytes=SERVED_BYTES)
    gqa, mla = (calibration.expected(shape, forward, DTYPE) for shape in rivals(heads, tp))
    return ExpectedDuel(gqa=gqa, mla=mla) if gqa and mla else None


@functools.cache
def rivals(heads: int, tp: int) -> tuple[LayerShape, LayerShape]:
    """GQA's and absorbed MLA's shape on one of `tp` ranks. Raises ValueError as `duel` does."""
    geometry = deepseek_sizes(heads)
    return grouped_shape(geometry, tp=tp, kv_heads=KV_HEADS), absorbed_shape(geometry, tp=tp)


def exact_quantities(heads: int, tp: int, forward: Pass) -> list[tuple[int, int]]:
    """FLOPs of the kernel and bytes of the cache, first GQA's, then MLA's; empty where `duel` raises."""
    try:
        return [(kernel_work(shape, forward).flops, cache_bytes(shape, forward)) for shape in rivals(heads, tp)]
    except ValueError:
        return []


@functools.cache
def deepseek_sizes(heads: int) -> Geometry:
    """DeepSeek-V3's geometry with another number of heads. Cached, since a map asks for it a thousand times."""
    return replace(load_geometry(SIZES_OF), num_heads=heads, num_kv_heads=heads)
