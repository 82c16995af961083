"""The KV caches of published models, by closed forms, and how many sequences fit beside their weights.

A cache is a constant and a slope: full windows and recurrent states do not grow. Figures show the best known models,
tables all of them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Text, View, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import BLUE, GREEN, ORANGE, PURPLE, VERMILION, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.model.run import Run, context_tokens
from suite.report.plot.plots import Point, categories, linear, plot
from suite.report.plot.rows import bars
from suite.report.table import Column, column, label_column, table
from suite.theory.answers import published
from suite.theory.layers.algebra import SERVED_BYTES, Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.shapes import grouped_shape

LONG_CONTEXT_TOKENS = 131_072
STEP = Pass(batch=1, query_len=1, seq_len=LONG_CONTEXT_TOKENS, element_bytes=SERVED_BYTES)
"""A decode step of one sequence."""
MEMORY_GB = (24, 40, 80, 141)  # decimal, as devices are sold: an RTX 4090, an A100, an H100, an H200
# The article's model, and two of 2026 that keep less.
PREMISE = {"latent": "deepseek-v3", "hybrid": "qwen3.5-397b-a17b", "compressed": "deepseek-v4-pro"}
# Models whose sizes every variant is given.
MODELS_WITH_VARIANTS = ("deepseek-v3", "deepseek-v2-lite", "llama-3.1-70b", "llama-3.1-8b")
BEST_KNOWN = (  # models of every family
    *("deepseek-v3", "deepseek-v3.2", "deepseek-v4-flash", "deepseek-v4-pro", "gemma-3-27b", "gemma-4-31b", "glm-5"),
    *("glm-5.3-flash", "gpt-oss-120b", "kimi-k2.5", "kimi-k3", "llama-2-7b", "llama-3.1-405b", "llama-3.1-70b"),
    *("llama-3.1-8b", "llama-4-maverick", "mimo-v2-flash", "minimax-m2.5", "minimax-m3", "mistral-small-4"),
    *("nemotron-3-super", "qwen2.5-72b", "qwen3-235b-a22b", "qwen3-32b", "qwen3.5-397b-a17b", "step-3.7-flash"),
)
KIB, GIB = 1024, 1024**3
ROOM = 1.3  # widths of the widest bar: its size is written beside it
BAR_TEXT: Mapping[str, Any] = {"textposition": "outside", "cliponaxis": False}
COLOURS = dict(zip(published.CACHE_FAMILIES, (GREEN, BLUE, ORANGE, PURPLE, VERMILION), strict=True))


def build(results: Results) -> Section:
    """Build the section on caches from published geometries, and from records of workload=capacity if there are any."""
    models = published.published_caches()
    runs = [Run(current=current) for current in results.records if current.record.case.workload == "capacity"]
    runs.sort(key=lambda run: -(_most_tokens_per_s(run) or 0))
    capacity_columns = [*CAPACITY_COLUMNS, *label_column(results.several)]
    tables = [
        table(say("cache.table"), models, MODEL_COLUMNS, note=say("cache.note"), folded=True),
        table(say("capacity.table"), runs, capacity_columns, note=say("capacity.note")),
    ]
    headlines = [_premise()]
    for run in runs[:1] if runs and runs[0].is_ok else ():
        batch, rate = numbers.count(run.constant("largest_batch") or 0), numbers.count(_most_tokens_per_s(run) or 0)
        fields = {"model": run.axis("geometry"), "share": _devices(run), "batch": batch, "rate": rate}
        headlines.append(Headline(text=say("capacity.finding", **fields)))
    return section(
        "cache",
        explanation=joined("sentence", [say("cache.explanation"), say("capacity.explanation") if runs else ""]),
        figures=[_models_figure(models), *map(_variants_figure, MODELS_WITH_VARIANTS)],
        tables=tables,
        headlines=headlines,
    )


def _premise() -> Headline:
    """The headline on the article's premise that a latent keeps least: two newer models keep less."""
    plans = {kind: published.published_cache(name).plan for kind, name in PREMISE.items()}
    latent, hybrid = plans["latent"], plans["hybrid"]
    full = next(layer for layer in hybrid.layers if layer.kind == "full")
    slopes = {name: numbers.bytes_iec(plan.growth_bytes) for name, plan in plans.items()}
    totals = {f"{name}_long": numbers.bytes_iec(plan.cache_bytes(LONG_CONTEXT_TOKENS)) for name, plan in plans.items()}
    # A hybrid's states cost the same at any context, so it keeps less than a latent from this context on.
    even = (hybrid.fixed_bytes - latent.fixed_bytes) / (latent.growth_bytes - hybrid.growth_bytes)
    detail = say(
        "cache.premise.detail",
        tokens=numbers.count(LONG_CONTEXT_TOKENS),
        state=numbers.bytes_iec(hybrid.state_bytes),
        full=numbers.count(full.count),
        layers=numbers.count(sum(layer.count for layer in hybrid.layers)),
        even=numbers.count(even),
        **slopes,
        **totals,
    )
    return Headline(text=say("cache.premise", **slopes), detail=detail)


def _models_figure(models: Sequence[published.ModelCache]) -> Figure:
    """Draw the best known models' caches at a long context as bars, sorted by size; the caption counts all models."""
    best_known = [model for model in models if model.name in BEST_KNOWN]
    points = {}
    for model in best_known:
        # The hover text has the fixed part and the bytes a token.
        growth, fixed = numbers.bytes_iec(model.plan.growth_bytes), model.plan.fixed_bytes
        parts = f"{numbers.bytes_iec(fixed)} + {growth}" if fixed else growth
        hover = say("cache.hover", model=model.name, kept=parts, kinds=_layer_kinds(model))
        whole, facets = model.plan.cache_bytes(LONG_CONTEXT_TOKENS), {"variant": variant_label(model.variant)}
        bar = Point(x=whole / GIB, y=model.name, text=numbers.bytes_iec(whole), hover=hover, facets=facets)
        points[model.name] = bar
    order = sorted(points, key=lambda name: points[name].x)
    families = grouped(best_known, lambda model: model.family)
    series = [
        bars(say(f"cache.family.{name}"), [points[model.name] for model in families[name]], colour=colour, **BAR_TEXT)
        for name, colour in COLOURS.items()
        if name in families
    ]
    tokens = numbers.count(LONG_CONTEXT_TOKENS)
    (low, least), *_, (high, most) = ((points[name].text, name) for name in order)
    ends = {"least": least, "low": low, "most": most, "high": high}
    figure = _plot_bars(series, order, say("cache.total_axis", tokens=tokens), points[order[-1]].x)
    return Figure(
        title=say("cache.figure", tokens=tokens),
        finding=say("cache.finding", tokens=tokens, **ends),
        caption=say("cache.caption", count=numbers.count(len(models))),
        views=[View(title="", figure=figure)],
        height_px=110 + 22 * len(best_known),
    )


def _plot_bars(series: Sequence[Mapping[str, Any]], names: Sequence[str], axis: Text, most: float, **more: Any) -> Any:
    """Lay out horizontal bars, a row for each of `names`, on an axis that leaves room beside the longest, `most`."""
    return plot(
        series,
        xaxis=linear(axis, range=[0, ROOM * most]),
        yaxis=categories(names, showgrid=False),
        bargap=0.3,
        barmode="overlay",
        margin={"l": 8, "r": 8, "t": 8, "b": 8, "pad": 4},
        **more,
    )


def _variants_figure(name: str) -> Figure:
    """Draw the bytes a token that each variant would cache at one model's sizes in all its layers."""
    geometry = load_geometry(name)
    shapes = {
        "mha": grouped_shape(geometry, kv_heads="all"),
        "gqa": grouped_shape(geometry),
        "mqa": grouped_shape(geometry, kv_heads=1),
        "mla": absorbed_shape(geometry),
    }
    sizes = {variant: geometry.num_layers * shape.cache_bytes_per_token(STEP) for variant, shape in shapes.items()}
    series = []
    for variant, size_bytes in sizes.items():
        label, size = variant_label(variant), numbers.bytes_iec(size_bytes)
        hover, share = say("cache.of_variant", variant=label, size=size), numbers.percent(size_bytes / sizes["mha"])
        point = Point(x=size_bytes / KIB, y=label, text=f"{size} ({share})", hover=hover)
        series.append(bars(label, [point], colour=variant_style(variant).colour, **BAR_TEXT))
    names, axis = list(map(variant_label, sizes)), say("cache.axis")
    ratios = {"gqa": numbers.times(sizes["mla"] / sizes["gqa"]), "mha": numbers.percent(sizes["mla"] / sizes["mha"])}
    least = variant_label(min(sizes, key=sizes.__getitem__))
    return Figure(
        title=name,
        family=say("cache.variants"),
        finding=say("cache.variants_finding", model=name, least=least, **ratios),
        caption=say("cache.variants_caption"),
        views=[View(title="", figure=_plot_bars(series, names, axis, sizes["mha"] / KIB, showlegend=False))],
        height_px=230,
        facets={"geometry": name},
    )


def _layer_kinds(model: published.ModelCache) -> Text:
    """How many layers of each kind a model has, in words: 15 full, or 45 with a state."""
    texts = []
    for layer in model.plan.layers:
        window, stride, kind = getattr(layer, "window", None), getattr(layer, "every", None), layer.kind
        if kind == "compressed":
            kind = "window" if stride is None else kind
        elif window is not None and kind != "window":
            kind = f"{kind}_window"
        sizes = {"count": layer.count, "window": window or 0, "every": stride or 0}
        texts.append(say(f"cache.kind.{kind}", **{name: numbers.count(size) for name, size in sizes.items()}))
    return joined("list", texts)


def _tokens_that_fit(size_gb: int, model: published.ModelCache) -> Text:
    tokens = model.plan.longest_context(size_gb * 1e9)
    return say("cache.any") if tokens is None else numbers.count(tokens)


def _most_tokens_per_s(run: Run) -> float | None:
    return run.constant("most_tokens_per_s", "step")


def _devices(run: Run) -> str:
    count, device = run.axis("tp"), run.axis("hardware")
    return device if count in ("", "1") else f"{count} × {device}, {run.axis('parallel')}"


MODEL_COLUMNS: list[Column[published.ModelCache]] = [
    column("column.model", lambda model: model.name),
    column("column.variant", lambda model: variant_label(model.variant), facet="variant"),
    column("cache.per_token", lambda model: model.plan.growth_bytes, numbers.bytes_iec),
    column("cache.constant", lambda model: model.plan.fixed_bytes or None, numbers.bytes_iec),
    column("cache.long_context", lambda model: model.plan.cache_bytes(LONG_CONTEXT_TOKENS) / GIB, "{:,.2f}".format),
    column("cache.of_mha", lambda model: model.share_of_mha(LONG_CONTEXT_TOKENS), numbers.percent),
    *(column(say("cache.fits_in", size=gb), partial(_tokens_that_fit, gb), kind=Kind.NUMBER) for gb in MEMORY_GB),
    column("cache.family", lambda model: say(f"cache.family.{model.family}")),
    column("cache.layers", _layer_kinds),
]
CAPACITY_COLUMNS: list[Column[Run]] = [
    column("column.model", lambda run: run.axis("geometry")),
    column("signmap.device", _devices, kind=Kind.CODE),
    column("latency.context", lambda run: context_tokens(run.record), numbers.count),
    column("capacity.batch", lambda run: run.constant("largest_batch"), numbers.count),
    column("capacity.most", _most_tokens_per_s, numbers.count),
    column("capacity.expected", lambda run: run.constant("expected_tokens_per_s", "step"), numbers.count),
    column("capacity.weight_bytes", lambda run: run.constant("weight_bytes"), numbers.bytes_iec),
    column("capacity.sequence_bytes", lambda run: run.constant("sequence_bytes"), numbers.bytes_iec),
    column("capacity.weights", lambda run: run.axis("weights"), kind=Kind.CODE),
    column("capacity.why", lambda run: run.record.reason or "", kind=Kind.LONG, only_where_known=True),
]
