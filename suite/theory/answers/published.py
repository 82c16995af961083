"""Published numbers: figures of attention kernels, caches of models, and figures of memory in reinforcement learning.

Figures of kernels are divided by the roofline of our closed forms, which checks both. A kernel can be no faster than
the least time that its card allows. Each figure becomes seconds by its source's own way of counting, and our bound is
divided by these: a closed form that counted too much would push a share above 1. Sizes that a source does not state
leave only the ceiling that it names; the share is then that of this ceiling.

Our bound counts useful work: exactly the causal triangle, S (S + 1) / 2 pairs where sources take S² / 2, and for a
training step three times the forward pass where they take 3.5, since their kernels compute the scores again.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from suite.configuration.files import choices, read_choice, read_yaml
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import geometry_names, load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.layer_plan import LayerPlan, Parameters, parameters_from, plan_from
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import LayerShape, grouped_shape, kernel_work

UNITS = {"tflops": ("TFLOP/s", 1e12), "gbytes_per_s": ("GB/s", 1e9), "us": ("µs", 1e-6)}
"""A file's name of a number, people's name of its unit, and the unit in SI."""
DTYPE_BYTES = {"fp16": 2, "bf16": 2, "fp8": 1}
TIMES_FORWARD = {"forward": 1.0, "backward": 2.5, "forward_backward": 3.5}
"""FLOPs as multiples of the forward pass's, in FlashAttention's convention
(benchmarks/benchmark_flash_attention.py)."""
GROUPED, LATENT, WINDOWS, STATES, COMPRESSED = CACHE_FAMILIES = ("grouped", "latent", "windows", "states", "compressed")
BOUNDED = {"compressed": COMPRESSED, "state": STATES, "window": WINDOWS, "latent": LATENT, "full": GROUPED}
"""The family of a model by its kinds of layers, the first that it has."""
NEEDS, PEAK, SAVING = KINDS = ("needs", "peak", "saving")
ANY_GROUPED_GEOMETRY = "llama-2-7b"
"""Its sizes are replaced by a figure's own; the rest of it does not count in a kernel."""


@dataclass(frozen=True, kw_only=True)
class FigureSizes:
    """Sizes of a figure's kernel, where its source states them."""

    heads: int
    kv_heads: int | None
    """None for one latent that all heads share."""
    head_dim: int | None
    batch: int
    seq_len: int
    is_causal: bool


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    kernel: str
    gpu: str
    dtype: str
    kind: str
    """`forward`, `backward`, `forward_backward` or `decode`."""
    problem: str
    """The problem in words, where the sizes are not stated."""
    published: float
    unit: str
    share: float
    """Share of the roofline; without sizes, of the ceiling that the source names."""
    regime: str
    source: str
    note: str
    sizes: FigureSizes | None = None
    time_s: float | None = None
    bound_s: float | None = None
    """Our least time for the same problem on the same card."""


def published_figures() -> list[PublishedFigure]:
    """Every figure of conf/published, source by source."""
    return [figure for name in choices("published") for figure in _source_figures(read_choice("published", name))]


@functools.cache
def specified_ceilings(gpu: str, dtype: str) -> Ceilings:
    """A card's ceilings by its specification; `dtype` by its name there, so that fp8 has a peak too."""
    card = read_choice("hardware", gpu)
    return Ceilings(flops_per_s=card["dense_tflops"][dtype] * 1e12, bytes_per_s=card["mem_bw_gbs"] * 1e9)


def _source_figures(source: Mapping[str, Any]) -> Iterator[PublishedFigure]:
    """Yield the figures of one file of conf/published, one for each result and length."""
    for result in source["results"]:
        figure = {"problem": "", "note": "", **source, **result}
        (measure,) = (name for name in UNITS if name in figure)
        unit, in_si = UNITS[measure]
        facts = {name: figure[name] for name in ("kernel", "gpu", "dtype", "problem", "source", "note")}
        facts |= {"kind": figure["pass"], "unit": unit}
        if "limit" in figure:
            ceilings = specified_ceilings(figure["gpu"], figure["dtype"])
            ceiling = {"compute": ceilings.flops_per_s, "memory": ceilings.bytes_per_s}[figure["limit"]]
            share = figure[measure] * in_si / ceiling
            yield PublishedFigure(**facts, published=figure[measure], share=share, regime=figure["limit"])
        else:
            for seq_len, value in figure[measure].items():
                yield PublishedFigure(
                    **facts, published=value, **_share_of_bound(figure, measure, seq_len, value * in_si)
                )


def _share_of_bound(figure: Mapping[str, Any], measure: str, seq_len: int, rate_or_time: float) -> dict[str, Any]:
    """The fields of a figure that follow from its sizes: time, our bound, their ratio, and what limits it."""
    sizes, shape = _sizes_and_shape(figure, seq_len)
    kind = figure["pass"]
    time_s = rate_or_time if measure == "us" else _credited_flops(kind, sizes, shape) / rate_or_time
    whole = Pass(
        batch=sizes.batch,
        query_len=1 if kind == "decode" else sizes.seq_len,
        seq_len=sizes.seq_len,
        element_bytes=DTYPE_BYTES[figure["dtype"]],
        is_training=kind == "forward_backward",
    )
    # Our passes are causal. Without a mask each of S queries sees all S keys, as S passes of one query each would.
    counted = whole if sizes.is_causal else replace(whole, batch=whole.tokens, query_len=1)
    work = {"flops": kernel_work(shape, counted).flops, "traffic_bytes": kernel_work(shape, whole).traffic_bytes}
    ceilings = specified_ceilings(figure["gpu"], figure["dtype"])
    bound_s, regime = ceilings.bound_s(**work), ceilings.regime(**work)
    return {"sizes": sizes, "time_s": time_s, "bound_s": bound_s, "share": bound_s / time_s, "regime": regime}


def _sizes_and_shape(figure: Mapping[str, Any], seq_len: int) -> tuple[FigureSizes, LayerShape]:
    """The sizes that a figure's setting states, and the layer of our closed forms that has them."""
    setting = figure["setting"]
    width = setting.get("head_dim", figure.get("head_dim"))
    heads = setting["heads"] if "heads" in setting else setting["hidden"] // width
    kv_heads = None if "latent_of" in setting else setting.get("kv_heads", heads)
    sizes = FigureSizes(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=width,
        batch=setting["batch"] if "batch" in setting else setting["tokens"] // seq_len,
        seq_len=seq_len,
        is_causal=figure.get("causal", False),
    )
    geometry = load_geometry(setting.get("latent_of", ANY_GROUPED_GEOMETRY))
    geometry = replace(geometry, num_heads=heads, num_kv_heads=heads)
    if kv_heads is None:
        return sizes, absorbed_shape(geometry)
    return sizes, grouped_shape(replace(geometry, head_dim=width), kv_heads=kv_heads)


def _credited_flops(kind: str, sizes: FigureSizes, shape: LayerShape) -> float:
    """The FLOPs that sources divide by the time: written out, not by our closed forms, which it is to check."""
    if kind == "decode":
        return 2 * sizes.batch * sizes.heads * sizes.seq_len * (shape.qk_dim + shape.v_dim)
    square = 4 * sizes.batch * sizes.seq_len**2 * sizes.heads * shape.qk_dim
    return square * (0.5 if sizes.is_causal else 1.0) * TIMES_FORWARD[kind]


@dataclass(frozen=True, kw_only=True)
class ModelCache:
    """Cache of a published model, as a constant and a slope, and its parameters."""

    name: str
    variant: str
    plan: LayerPlan
    parameters: Parameters

    @property
    def family(self) -> str:
        """The kind of its layers that bounds its cache most; one of CACHE_FAMILIES."""
        kinds = {"window" if layer.has_window else layer.kind for layer in self.plan.layers}
        return next(family for kind, family in BOUNDED.items() if kind in kinds)

    def share_of_mha(self, tokens: int) -> float:
        """Its cache over that of MHA in each of its attention layers."""
        return self.plan.cache_bytes(tokens) / (tokens * self.plan.mha_growth_bytes)


@functools.cache
def published_caches() -> tuple[ModelCache, ...]:
    """Every published geometry, the one that grows least first."""
    models = []
    for name in geometry_names():
        settings = read_choice("geometry", name)
        if settings["family"] != "synthetic":
            plan, parameters = plan_from(settings), parameters_from(settings)
            models.append(ModelCache(name=name, variant=settings["attention"], plan=plan, parameters=parameters))
    return tuple(sorted(models, key=lambda model: (model.plan.growth_bytes, model.plan.fixed_bytes)))


def published_cache(name: str) -> ModelCache:
    """The cache of one published model. Raises ValueError for an unknown name."""
    (model,) = (model for model in published_caches() if model.name == name)
    return model


@dataclass(frozen=True, kw_only=True)
class PublishedMemory:
    """A published figure of memory, and the axes of a case of ours to stand beside it."""

    kind: str
    problem: str
    source: str
    count: int = 0
    gpu_gb: int = 0
    """For `needs`: so many GPUs of so many decimal GB."""
    peak: str = ""
    """The peak in the words of its source."""
    share: float = 0.0
    """For `saving`."""
    like: Mapping[str, Any] | None = None
    """Axes of a comparable case; None where there is none."""
    note: str = ""


def published_memory() -> list[PublishedMemory]:
    """Every figure of published_rl_memory.yaml."""
    return [PublishedMemory(**figure) for figure in read_yaml("published_rl_memory.yaml")["figures"]]
