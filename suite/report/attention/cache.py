"""The caches of published models, from closed forms: the reason why MLA and grouped heads exist, and what came after.

A cache is a constant and a slope: full windows and recurrent states do not grow. The figures show the best known
models, the tables all of them.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Text, View, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import BLUE, GREEN, ORANGE, PURPLE, VERMILION, Style, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import height_px, plot
from suite.report.plot.rows import bars
from suite.report.plot.scales import byte_axis, categories, linear, token_axis
from suite.report.table import Column, column, table
from suite.theory.answers.published import (
    CACHE_FAMILIES,
    COMPRESSED,
    GROUPED,
    LATENT,
    STATES,
    WINDOWS,
    ModelCache,
    published_cache,
    published_caches,
)
from suite.theory.layers.algebra import SERVED_BYTES, Layer, Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.shapes import grouped_shape

LONG_CONTEXT_TOKENS = 131_072
STEP = Pass(batch=1, query_len=1, seq_len=LONG_CONTEXT_TOKENS, element_bytes=SERVED_BYTES)
"""A decode step of one sequence."""
MEMORY_GB = (24, 40, 80, 141)
"""Decimal, as devices are sold: an RTX 4090, an A100, an H100, an H200."""
CONTEXTS = tuple(1 << power for power in range(10, 21))
LATENT_MODEL, HYBRID_MODEL, COMPRESSED_MODEL = PREMISE = "deepseek-v3", "qwen3.5-397b-a17b", "deepseek-v4-pro"
"""The article's model, and two of 2026 that keep less."""
GROUPED_MODEL = "llama-3.1-70b"
"""The best known model of grouped heads."""
SIZES_OF = ("deepseek-v3", "deepseek-v2-lite", "llama-3.1-70b", "llama-3.1-8b")
"""Models whose sizes every variant is given."""
LINES = ("llama-3.1-70b", "gpt-oss-120b", "gemma-4-31b", "kimi-k3", "nemotron-3-super", "glm-5", *PREMISE)
BARS = (
    *LINES,
    "deepseek-v3.2",
    "deepseek-v4-flash",
    "gemma-3-27b",
    "glm-5.3-flash",
    "kimi-k2.5",
    "llama-2-7b",
    "llama-3.1-405b",
    "llama-3.1-8b",
    "llama-4-maverick",
    "mimo-v2-flash",
    "minimax-m2.5",
    "minimax-m3",
    "mistral-small-4",
    "qwen2.5-72b",
    "qwen3-235b-a22b",
    "qwen3-32b",
    "step-3.7-flash",
)
"""Best known models, of every family; the tables have all."""
GIB = 1024**3
MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8, "pad": 4}
ROOM = 1.3
"""Widths of the widest bar: its size is written beside it."""
STYLES: Mapping[str, Style] = {
    GROUPED: Style(colour=GREEN, dash="dashdot"),
    LATENT: Style(colour=BLUE, dash="solid"),
    WINDOWS: Style(colour=ORANGE, dash="dot"),
    STATES: Style(colour=PURPLE, dash="dash"),
    COMPRESSED: Style(colour=VERMILION, dash="longdash"),
}


def build(results: Results) -> Section:
    """Build it from the models' published geometries; no record is needed."""
    models = published_caches()
    drawn = [model for model in models if model.name in BARS]
    least = min(drawn, key=_growth)
    latent, best_grouped = published_cache(LATENT_MODEL), published_cache(GROUPED_MODEL)
    sizes = {"size": least, "latent": latent, "grouped": best_grouped}
    said = {name: numbers.bytes_iec(_growth(model)) for name, model in sizes.items()}
    finding = say("cache.finding", model=least.name, latent_model=latent.name, grouped_model=best_grouped.name, **said)
    growth = Figure(
        title=say("cache.figure"),
        finding=finding,
        caption=say("cache.caption", count=numbers.count(len(models))),
        views=[
            View(title=say("cache.a_token"), figure=_bars(drawn)),
            View(title=say("cache.in_all", tokens=numbers.count(LONG_CONTEXT_TOKENS)), figure=_totals(drawn)),
        ],
        height_px=110 + 22 * len(drawn),
    )
    over_context = Figure(
        title=say("cache.over_context"),
        finding=_long_finding([published_cache(name) for name in LINES]),
        caption=say("cache.over_context_caption"),
        views=[View(title="", figure=_lines([published_cache(name) for name in LINES]))],
        height_px=height_px(len(LINES)) + 60,
    )
    kept = table(say("cache.table"), models, [*NAMED, *KEPT, *LAYERS], note=say("cache.note"), folded=True)
    weights = table(say("cache.weights"), models, [*NAMED, *WEIGHTS], note=say("cache.weights_note"), folded=True)
    fits = table(say("cache.fits"), models, [*NAMED, *FITS], note=say("cache.fits_note"), folded=True)
    step = table(say("cache.step"), models, [*NAMED, *WORK], note=say("cache.step_note"), folded=True)
    tables = [kept, fits, weights, step]
    figures = [growth, over_context, *map(_of_variants, SIZES_OF)]
    return section("cache", figures=figures, tables=tables, headlines=[_premise()])


def _growth(model: ModelCache) -> float:
    return model.plan.growth_bytes


def _long_finding(models: Sequence[ModelCache]) -> Text:
    kept = {model.name: model.plan.cache_bytes(LONG_CONTEXT_TOKENS) for model in models}
    least, most = min(kept, key=kept.__getitem__), max(kept, key=kept.__getitem__)
    return say(
        "cache.long_finding",
        tokens=numbers.count(LONG_CONTEXT_TOKENS),
        least=least,
        most=most,
        low=numbers.bytes_iec(kept[least]),
        high=numbers.bytes_iec(kept[most]),
    )


def _premise() -> Headline:
    """Say what has become of the article's premise, that a latent is what keeps least."""
    latent, hybrid, compressed = (published_cache(name).plan for name in PREMISE)
    full = next(layer for layer in hybrid.layers if layer.kind == "full")
    fields = {
        "latent": numbers.bytes_iec(latent.growth_bytes),
        "hybrid": numbers.bytes_iec(hybrid.growth_bytes),
        "compressed": numbers.bytes_iec(compressed.growth_bytes),
    }
    beside = (hybrid.fixed_bytes - latent.fixed_bytes) / (latent.growth_bytes - hybrid.growth_bytes)
    detail = say(
        "cache.premise.detail",
        tokens=numbers.count(LONG_CONTEXT_TOKENS),
        state=numbers.bytes_iec(hybrid.state_bytes),
        full=numbers.count(full.count),
        layers=numbers.count(sum(layer.count for layer in hybrid.layers)),
        even=numbers.count(beside),
        latent_long=numbers.bytes_iec(latent.cache_bytes(LONG_CONTEXT_TOKENS)),
        hybrid_long=numbers.bytes_iec(hybrid.cache_bytes(LONG_CONTEXT_TOKENS)),
        compressed_long=numbers.bytes_iec(compressed.cache_bytes(LONG_CONTEXT_TOKENS)),
        **fields,
    )
    return Headline(text=say("cache.premise", **fields), detail=detail)


def family_name(family: str) -> Text:
    return say(f"cache.family.{family}")


def _bars(models: Sequence[ModelCache]) -> dict[str, Any]:
    of_families = grouped(sorted(models, key=_family_rank), lambda model: model.family)
    drawn = [
        bars(
            family_name(family),
            list(map(_bar, of_family)),
            colour=STYLES[family].colour,
            textposition="outside",
            cliponaxis=False,
        )
        for family, of_family in of_families.items()
    ]
    most = max(model.plan.growth_bytes for model in models) / 1024
    return plot(
        drawn,
        xaxis=linear(say("cache.axis"), range=[0, ROOM * most]),
        yaxis=categories([model.name for model in models], showgrid=False),
        bargap=0.3,
        barmode="overlay",
        margin=MARGIN,
    )


def _family_rank(model: ModelCache) -> int:
    return CACHE_FAMILIES.index(model.family)


def _bar(model: ModelCache) -> Point:
    growth, fixed = numbers.bytes_iec(model.plan.growth_bytes), model.plan.fixed_bytes
    size = f"{numbers.bytes_iec(fixed)} + {growth}" if fixed else growth
    hover = say("cache.hover", model=model.name, kept=size, kinds=_kinds(model))
    return Point(
        x=model.plan.growth_bytes / 1024,
        y=model.name,
        text=size,
        hover=hover,
        facets={"variant": variant_label(model.variant)},
    )


def _totals(models: Sequence[ModelCache]) -> dict[str, Any]:
    """Draw what a long context keeps: what grows with it, and behind it, patterned, what was there from the start."""
    ordered = sorted(models, key=lambda model: model.plan.cache_bytes(LONG_CONTEXT_TOKENS))
    of_families = grouped(sorted(ordered, key=_family_rank), lambda model: model.family)

    def part(family: str, of_family: Sequence[ModelCache], is_constant: bool) -> dict[str, Any]:
        points = [_share(model, is_constant) for model in of_family]
        named = "cache.constant_part" if is_constant else f"cache.family.{family}"
        return bars(
            say(named),
            points,
            colour=STYLES[family].colour,
            pattern="/" if is_constant else "",
            in_legend=not is_constant,
            textposition="outside",
            cliponaxis=False,
        )

    drawn = [
        part(family, of_family, is_constant)
        for family, of_family in of_families.items()
        for is_constant in (True, False)
        if not is_constant or any(model.plan.fixed_bytes for model in of_family)
    ]
    most = max(model.plan.cache_bytes(LONG_CONTEXT_TOKENS) for model in models) / GIB
    return plot(
        drawn,
        xaxis=linear(say("cache.total_axis", tokens=numbers.count(LONG_CONTEXT_TOKENS)), range=[0, ROOM * most]),
        yaxis=categories([model.name for model in ordered], showgrid=False),
        bargap=0.3,
        barmode="stack",
        margin=MARGIN,
    )


def _share(model: ModelCache, is_constant: bool) -> Point:
    """The constant, or what lies beyond it with the whole written behind it."""
    whole = model.plan.cache_bytes(LONG_CONTEXT_TOKENS)
    constant = min(whole, model.plan.fixed_bytes)
    size = constant if is_constant else whole - constant
    hover = say("cache.at", tokens=numbers.count(LONG_CONTEXT_TOKENS), size=numbers.bytes_iec(size))
    text = "" if is_constant else numbers.bytes_iec(whole)
    return Point(x=size / GIB, y=model.name, text=text, hover=hover, facets={"variant": variant_label(model.variant)})


def _of_variants(name: str) -> Figure:
    """Draw what each variant would keep of one model's sizes, all its layers alike."""
    geometry = load_geometry(name)
    shapes = {
        "mha": grouped_shape(geometry, kv_heads="all"),
        "gqa": grouped_shape(geometry),
        "mqa": grouped_shape(geometry, kv_heads=1),
        "mla": absorbed_shape(geometry),
    }
    kept = {variant: geometry.num_layers * shape.cache_bytes_per_token(STEP) for variant, shape in shapes.items()}
    least = min(kept, key=kept.__getitem__)
    points = {
        variant: Point(
            x=size / 1024,
            y=variant_label(variant),
            text=joined(" ", [numbers.bytes_iec(size), f"({numbers.percent(size / kept['mha'])})"]),
            hover=say("cache.of_variant", variant=variant_label(variant), size=numbers.bytes_iec(size)),
        )
        for variant, size in kept.items()
    }
    figure = plot(
        [
            bars(
                variant_label(variant),
                [point],
                colour=variant_style(variant).colour,
                textposition="outside",
                cliponaxis=False,
            )
            for variant, point in points.items()
        ],
        xaxis=linear(say("cache.axis"), range=[0, ROOM * kept["mha"] / 1024]),
        yaxis=categories([variant_label(variant) for variant in kept], showgrid=False),
        bargap=0.3,
        showlegend=False,
        barmode="overlay",
        margin=MARGIN,
    )
    fields = {
        "model": name,
        "gqa": numbers.times(kept["gqa"] / kept["mla"]),
        "mha": numbers.times(kept["mha"] / kept["mla"]),
    }
    return Figure(
        title=name,
        family=say("cache.variants"),
        finding=say("cache.variants_finding", least=variant_label(least), **fields),
        caption=say("cache.variants_caption"),
        views=[View(title="", figure=figure)],
        height_px=230,
        facets={"geometry": name},
    )


def _lines(models: Sequence[ModelCache]) -> dict[str, Any]:
    """Draw caches over context, on axes where a constant is level and a slope rises by as much as the context."""
    of_families = grouped(sorted(models, key=_family_rank), lambda model: model.family)
    series = [
        Series(
            name=model.name,
            points=[_at(model, tokens) for tokens in CONTEXTS],
            style=STYLES[family],
            ordinal=ordinal,
            mode="lines",
            facets={"variant": variant_label(model.variant)},
        )
        for family, of_family in of_families.items()
        for ordinal, model in enumerate(of_family)
    ]
    sizes = [point.y for line in series for point in line.points]
    contexts = token_axis(say("latency.context"), CONTEXTS[::3])
    ends = [math.log10(CONTEXTS[0]), math.log10(CONTEXTS[-1]) + 0.05]
    return plot(series, xaxis={**contexts, "range": ends}, yaxis=byte_axis(say("cache.kept_axis"), sizes))


def _at(model: ModelCache, tokens: int) -> Point:
    size = model.plan.cache_bytes(tokens)
    hover = say("cache.at", tokens=numbers.count(tokens), size=numbers.bytes_iec(size))
    return Point(x=tokens, y=size, hover=hover)


def _kinds(model: ModelCache) -> Text:
    return joined("list", [_kind(layer) for layer in model.plan.layers])


def _kind(layer: Layer) -> Text:
    window, every = getattr(layer, "window", None), getattr(layer, "every", None)
    kind = layer.kind
    if kind == "compressed":
        kind = "window" if every is None else kind
    elif window is not None and kind != "window":
        kind = f"{kind}_window"
    return say(
        f"cache.kind.{kind}",
        count=numbers.count(layer.count),
        window=numbers.count(window or 0),
        every=numbers.count(every or 0),
    )


def _intensity(model: ModelCache) -> float:
    """FLOP per byte of a decode step between the projections."""
    work = model.plan.kernel(STEP)
    return float(round(work.flops / work.traffic_bytes))


def _billions(count: float) -> str:
    return f"{count / 1e9:,.1f}" if count >= 1e10 else f"{count / 1e9:,.2f}"


def _tokens_in(size_gb: int, model: ModelCache) -> Text:
    """Whole tokens of context whose cache fits."""
    tokens = model.plan.tokens_in(size_gb * 1e9)
    return say("cache.any") if tokens is None else numbers.count(tokens)


NAMED: list[Column[ModelCache]] = [
    column("column.model", lambda model: model.name),
    column("column.variant", lambda model: variant_label(model.variant), facet="variant"),
]
LAYERS: list[Column[ModelCache]] = [
    column("cache.family", lambda model: family_name(model.family)),
    column("cache.layers", _kinds),
]
KEPT: list[Column[ModelCache]] = [
    column("cache.per_token", lambda model: model.plan.growth_bytes, numbers.bytes_iec),
    column("cache.constant", lambda model: model.plan.fixed_bytes or None, numbers.bytes_iec),
    column("cache.long_context", lambda model: model.plan.cache_bytes(LONG_CONTEXT_TOKENS) / 1024**3, "{:,.2f}".format),
    column("cache.of_mha", lambda model: model.share_of_mha(LONG_CONTEXT_TOKENS), numbers.percent),
]
WEIGHTS: list[Column[ModelCache]] = [
    column("cache.total", lambda model: model.parameters.total, _billions),
    column("cache.active", lambda model: model.parameters.active, _billions),
]
WORK: list[Column[ModelCache]] = [
    column("cache.step_flops", lambda model: model.plan.kernel(STEP).flops / 1e9, "{:,.1f}".format),
    column("cache.step_bytes", lambda model: model.plan.kernel(STEP).traffic_bytes, numbers.bytes_iec),
    column("cache.step_intensity", _intensity, numbers.plain_tick),
]
FITS = [column(say("cache.fits_in", size=gb), partial(_tokens_in, gb), kind=Kind.NUMBER) for gb in MEMORY_GB]
