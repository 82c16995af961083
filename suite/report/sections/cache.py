"""What published models keep a token, from closed forms: the reason why MLA and grouped heads exist."""

from dataclasses import dataclass
from typing import Any

from suite.configuration import read_choice
from suite.records import numbers
from suite.report.blocks import Column, Figure, Kind, Section, Table, View, say
from suite.report.charts import layout
from suite.report.facets import trace_facets
from suite.report.palette import rank, shown, style_of
from suite.report.results import Results
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

    def tokens_in(self, memory_bytes: float) -> int:
        """Whole tokens of context whose cache fits."""
        return int(memory_bytes // self.bytes_per_token)

    @property
    def marked_name(self) -> str:
        return self.name + (" †" if self.sliding_window else "")


def build(results: Results) -> Section | None:
    models = published_caches()
    return Section(
        id="cache",
        title=say("cache.title"),
        explanation=say("cache.explanation"),
        figures=[
            Figure(
                title=say("cache.figure"),
                caption=say("cache.caption"),
                views=[View(title="", figure=_bars(models))],
                height_px=90 + 19 * len(models),
                wide=True,
            )
        ],
        tables=[_table(models), _fits_table(models)],
    )


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
    traces = []
    for variant in sorted({model.variant for model in models}, key=rank):
        own = [model for model in models if model.variant == variant]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": shown(variant),
                "y": [model.marked_name for model in own],
                "x": [model.bytes_per_token / 1024 for model in own],
                "text": [numbers.bytes_iec(model.bytes_per_token) for model in own],
                "textposition": "outside",
                "cliponaxis": False,
                "hovertemplate": "%{y}: %{text}<extra>%{fullData.name}</extra>",
                "marker": {"color": style_of(variant).colour},
                **trace_facets(variant=shown(variant)),
            }
        )
    order = [model.marked_name for model in models]
    return {
        "data": traces,
        "layout": layout(
            bargap=0.3,
            xaxis={"title": {"text": say("cache.axis"), "standoff": 10}, "automargin": True, "rangemode": "tozero"},
            yaxis={
                "categoryorder": "array",
                "categoryarray": order,
                "autorange": "reversed",
                "automargin": True,
                "tickfont": {"size": 11},
                "dtick": 1,
                "showgrid": False,
            },
            margin={"l": 8, "r": 64, "t": 8, "b": 8, "pad": 4},
        ),
    }


def _table(models: list[ModelCache]) -> Table:
    number_columns = ("elements", "layers", "per_token", "long_context", "mha_long_context", "of_mha")
    return Table(
        title=say("cache.table"),
        columns=[
            Column(title=say("column.model")),
            Column(title=say("column.variant"), facet="variant"),
            *(Column(title=say(f"cache.{name}"), kind=Kind.NUMBER) for name in number_columns),
        ],
        rows=[_row(model) for model in models],
        note=say("cache.note"),
        folded=True,
    )


def _row(model: ModelCache) -> list[str]:
    gib = model.bytes_per_token * LONG_CONTEXT_TOKENS / 1024**3
    share = model.elements / model.elements_mha
    return [
        model.marked_name,
        shown(model.variant),
        numbers.count(model.elements),
        numbers.count(model.layers),
        numbers.bytes_iec(model.bytes_per_token),
        f"{gib:,.2f}",
        f"{gib / share:,.2f}",
        numbers.percent(share),
    ]


def _fits_table(models: list[ModelCache]) -> Table:
    return Table(
        title=say("cache.fits"),
        columns=[
            Column(title=say("column.model")),
            Column(title=say("column.variant"), facet="variant"),
            *(Column(title=say("cache.fits_in", size=size), kind=Kind.NUMBER) for size in MEMORY_GB),
        ],
        rows=[
            [
                model.marked_name,
                shown(model.variant),
                *(numbers.count(model.tokens_in(size * 1e9)) for size in MEMORY_GB),
            ]
            for model in models
        ],
        note=say("cache.fits_note"),
        folded=True,
    )
