"""Caches of published models, from closed forms."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import read_choice
from suite.theory.geometry import geometry_from, geometry_names
from suite.theory.latent_shapes import absorbed_shape
from suite.theory.shapes import grouped_shape

ELEMENT_BYTES = 2
"""bfloat16, which all of these models are served in."""


@dataclass(frozen=True, kw_only=True)
class ModelCache:
    """The cache of a token in one layer of a published model, and in all of them."""

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


@functools.cache
def published_caches() -> tuple[ModelCache, ...]:
    """Return every published geometry, the smallest cache first."""
    said = {name: read_choice("geometry", name) for name in geometry_names()}
    found = [_model(name, settings) for name, settings in said.items() if settings["family"] != "synthetic"]
    return tuple(sorted(found, key=lambda model: model.bytes_per_token))


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
