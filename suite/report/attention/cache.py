"""What published models keep a token, from closed forms: the reason why MLA and grouped heads exist."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from suite.configuration import read_choice
from suite.records import numbers
from suite.report.blocks import Figure, Section, Table, View, say, section
from suite.report.model.labels import VARIANT, rank, shown, style_of
from suite.report.model.results import Results
from suite.report.plot.marks import Point
from suite.report.plot.plots import plot
from suite.report.plot.rows import bars
from suite.report.plot.scales import categories, linear
from suite.report.table import Column, column, table
from suite.theory.geometry import geometry_from, geometry_names
from suite.theory.latent_shapes import absorbed_shape
from suite.theory.shapes import grouped_shape

ELEMENT_BYTES = 2
"""bfloat16, which all of these models are served in."""
LONG_CONTEXT_TOKENS = 131_072
MEMORY_GB = (24, 40, 80, 141)
"""Decimal, as devices are sold: an RTX 4090, an A100, an H100, an H200."""


@dataclass(frozen=True, kw_only=True)
class ModelCache:
    name: str
    variant: str
    elements: int
    """A token and layer."""
    elements_mha: int
    layers: int
    sliding_window: bool
    """Some layers keep only a window, so the figure is an upper bound."""

    @property
    def bytes_per_token(self) -> int:
        return self.elements * self.layers * ELEMENT_BYTES

    @property
    def share_of_mha(self) -> float:
        return self.elements / self.elements_mha

    @property
    def long_context_gib(self) -> float:
        return self.bytes_per_token * LONG_CONTEXT_TOKENS / 1024**3

    def tokens_in(self, memory_bytes: float) -> int:
        """Whole tokens of context whose cache fits."""
        return int(memory_bytes // self.bytes_per_token)

    @property
    def marked_name(self) -> str:
        return self.name + (" †" if self.sliding_window else "")


def build(results: Results) -> Section:
    """Build it from the models' published geometries; no record is needed."""
    models = published_caches()
    figure = Figure(
        title=say("cache.figure"),
        caption=say("cache.caption"),
        views=[View(title="", figure=_bars(models))],
        height_px=90 + 19 * len(models),
        wide=True,
    )
    return section("cache", figures=[figure], tables=[_table(models), _fits_table(models)])


def published_caches() -> list[ModelCache]:
    """Every published geometry, the smallest cache first."""
    return sorted(filter(None, map(_model, geometry_names())), key=lambda model: model.bytes_per_token)


def _model(name: str) -> ModelCache | None:
    settings = read_choice("geometry", name)
    if settings["family"] == "synthetic":
        return None
    geometry = geometry_from(settings)
    shape = absorbed_shape(geometry) if geometry.is_latent else grouped_shape(geometry, kv_heads=geometry.num_kv_heads)
    return ModelCache(
        name=name,
        variant=geometry.attention,
        elements=shape.cache_elements_per_token,
        elements_mha=grouped_shape(geometry, kv_heads="all").cache_elements_per_token,
        layers=geometry.num_layers,
        sliding_window=settings.get("sliding_window") is not None,
    )


def _bars(models: list[ModelCache]) -> dict[str, Any]:
    drawn = {
        variant: [
            Point(
                x=model.bytes_per_token / 1024,
                y=model.marked_name,
                text=(size := numbers.bytes_iec(model.bytes_per_token)),
                hover=f"{model.marked_name}: {size}",
            )
            for model in models
            if model.variant == variant
        ]
        for variant in sorted({model.variant for model in models}, key=rank)
    }
    return plot(
        [
            bars(
                shown(variant),
                points,
                colour=style_of(VARIANT, variant).colour,
                facets={"variant": shown(variant)},
                textposition="outside",
                cliponaxis=False,
            )
            for variant, points in drawn.items()
        ],
        xaxis=linear(say("cache.axis"), rangemode="tozero"),
        yaxis=categories([model.marked_name for model in models], showgrid=False),
        bargap=0.3,
        margin={"l": 8, "r": 64, "t": 8, "b": 8, "pad": 4},
    )


MODEL_COLUMNS: list[Column[ModelCache]] = [
    column("column.model", lambda model: model.marked_name),
    column("column.variant", lambda model: shown(model.variant), facet="variant"),
]


def _table(models: list[ModelCache]) -> Table:
    return table(
        say("cache.table"),
        models,
        [
            *MODEL_COLUMNS,
            column("cache.elements", lambda model: model.elements, numbers.count),
            column("cache.layers", lambda model: model.layers, numbers.count),
            column("cache.per_token", lambda model: model.bytes_per_token, numbers.bytes_iec),
            column("cache.long_context", lambda model: model.long_context_gib, _gib),
            column("cache.mha_long_context", lambda model: model.long_context_gib / model.share_of_mha, _gib),
            column("cache.of_mha", lambda model: model.share_of_mha, numbers.percent),
        ],
        note=say("cache.note"),
        folded=True,
    )


def _gib(size: float) -> str:
    return f"{size:,.2f}"


def _fits_table(models: list[ModelCache]) -> Table:
    fits = [column(say("cache.fits_in", size=gb), partial(_tokens_in, gb), numbers.count) for gb in MEMORY_GB]
    return table(say("cache.fits"), models, [*MODEL_COLUMNS, *fits], note=say("cache.fits_note"), folded=True)


def _tokens_in(size_gb: int, model: ModelCache) -> int:
    return model.tokens_in(size_gb * 1e9)
