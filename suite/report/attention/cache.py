"""What published models keep a token, from closed forms: the reason why MLA and grouped heads exist."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from suite.configuration import read_choice
from suite.records import numbers
from suite.report.blocks import Figure, Section, View, say, section
from suite.report.model.experiment import grouped
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
    """What one layer keeps of a token, and all layers together."""

    name: str
    variant: str
    elements: int
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
    kept = table(say("cache.table"), models, [*NAMED, *KEPT], note=say("cache.note"), folded=True)
    fits = table(say("cache.fits"), models, [*NAMED, *FITS], note=say("cache.fits_note"), folded=True)
    return section("cache", figures=[figure], tables=[kept, fits])


def published_caches() -> list[ModelCache]:
    """Return every published geometry, the smallest cache first."""
    said = {name: read_choice("geometry", name) for name in geometry_names()}
    found = [_model(name, settings) for name, settings in said.items() if settings["family"] != "synthetic"]
    return sorted(found, key=lambda model: model.bytes_per_token)


def _model(name: str, settings: Mapping[str, Any]) -> ModelCache:
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
    of_variants = grouped(sorted(models, key=lambda model: rank(model.variant)), lambda model: model.variant)
    drawn = [
        bars(
            shown(variant),
            list(map(_point, of_variant)),
            colour=style_of(VARIANT, variant).colour,
            facets={"variant": shown(variant)},
            textposition="outside",
            cliponaxis=False,
        )
        for variant, of_variant in of_variants.items()
    ]
    return plot(
        drawn,
        xaxis=linear(say("cache.axis"), rangemode="tozero"),
        yaxis=categories([model.marked_name for model in models], showgrid=False),
        bargap=0.3,
        margin={"l": 8, "r": 64, "t": 8, "b": 8, "pad": 4},
    )


def _point(model: ModelCache) -> Point:
    size, name = numbers.bytes_iec(model.bytes_per_token), model.marked_name
    return Point(x=model.bytes_per_token / 1024, y=name, text=size, hover=f"{name}: {size}")


def _gib(size: float) -> str:
    return f"{size:,.2f}"


def _tokens_in(size_gb: int, model: ModelCache) -> int:
    """Return whole tokens of context whose cache fits."""
    return int(size_gb * 1e9 // model.bytes_per_token)


NAMED: list[Column[ModelCache]] = [
    column("column.model", lambda model: model.marked_name),
    column("column.variant", lambda model: shown(model.variant), facet="variant"),
]
KEPT: list[Column[ModelCache]] = [
    column("cache.elements", lambda model: model.elements, numbers.count),
    column("cache.layers", lambda model: model.layers, numbers.count),
    column("cache.per_token", lambda model: model.bytes_per_token, numbers.bytes_iec),
    column("cache.long_context", lambda model: model.long_context_gib, _gib),
    column("cache.mha_long_context", lambda model: model.long_context_gib / model.share_of_mha, _gib),
    column("cache.of_mha", lambda model: model.share_of_mha, numbers.percent),
]
FITS = [column(say("cache.fits_in", size=gb), partial(_tokens_in, gb), numbers.count) for gb in MEMORY_GB]
