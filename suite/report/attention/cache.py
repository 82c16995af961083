"""The cache of a token in published models, from closed forms: the reason why MLA and grouped heads exist."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Section, View, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import rank, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.plot.marks import Point
from suite.report.plot.plots import plot
from suite.report.plot.rows import bars
from suite.report.plot.scales import categories, linear
from suite.report.table import Column, column, table
from suite.theory.published import ModelCache, published_caches

LONG_CONTEXT_TOKENS = 131_072
MEMORY_GB = (24, 40, 80, 141)
"""Decimal, as devices are sold: an RTX 4090, an A100, an H100, an H200."""


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


def _bars(models: Sequence[ModelCache]) -> dict[str, Any]:
    of_variants = grouped(sorted(models, key=lambda model: rank(model.variant)), lambda model: model.variant)
    drawn = [
        bars(
            variant_label(variant),
            list(map(_point, of_variant)),
            colour=variant_style(variant).colour,
            facets={"variant": variant_label(variant)},
            textposition="outside",
            cliponaxis=False,
        )
        for variant, of_variant in of_variants.items()
    ]
    return plot(
        drawn,
        xaxis=linear(say("cache.axis"), rangemode="tozero"),
        yaxis=categories([marked_name(model) for model in models], showgrid=False),
        bargap=0.3,
        margin={"l": 8, "r": 64, "t": 8, "b": 8, "pad": 4},
    )


def _point(model: ModelCache) -> Point:
    size, name = numbers.bytes_iec(model.bytes_per_token), marked_name(model)
    return Point(x=model.bytes_per_token / 1024, y=name, text=size, hover=f"{name}: {size}")


def marked_name(model: ModelCache) -> str:
    """Return a model's name, marked where its cache is an upper bound."""
    return model.name + (" †" if model.sliding_window else "")


def _long_context_bytes(model: ModelCache) -> float:
    return model.bytes_per_token * LONG_CONTEXT_TOKENS


def _gib(size: float) -> str:
    return f"{size / 1024**3:,.2f}"


def _tokens_in(size_gb: int, model: ModelCache) -> int:
    """Return whole tokens of context whose cache fits."""
    return int(size_gb * 1e9 // model.bytes_per_token)


NAMED: list[Column[ModelCache]] = [
    column("column.model", marked_name),
    column("column.variant", lambda model: variant_label(model.variant), facet="variant"),
]
KEPT: list[Column[ModelCache]] = [
    column("cache.elements", lambda model: model.elements, numbers.count),
    column("cache.layers", lambda model: model.layers, numbers.count),
    column("cache.per_token", lambda model: model.bytes_per_token, numbers.bytes_iec),
    column("cache.long_context", _long_context_bytes, _gib),
    column("cache.mha_long_context", lambda model: _long_context_bytes(model) / model.share_of_mha, _gib),
    column("cache.of_mha", lambda model: model.share_of_mha, numbers.percent),
]
FITS = [column(say("cache.fits_in", size=gb), partial(_tokens_in, gb), numbers.count) for gb in MEMORY_GB]
