"""The plan of a model's layers, over which its cache and its work are sums.

A cache is no number of bytes a token but a constant and a slope, since windows fill and states do not grow:

    cache(S) = sum over layers of elements * min(S, cap) // every, and the states' bytes

A geometry says its layers under `layers` (conf/geometry/README.md). Without them it is as many layers of its own
attention as it has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import read_choice
from suite.configuration.values import one_of, whole_number
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.indexer import Indexer
from suite.theory.layers.latent_shapes import LATENT_SIZES
from suite.theory.layers.layer_kinds import (
    CompressedLayers,
    FullLayers,
    LatentLayers,
    LayerKind,
    MlpLayers,
    SharedLayers,
    StateLayers,
    WindowLayers,
)
from suite.theory.layers.layer_work import SERVED_BYTES
from suite.theory.layers.shapes import NO_WORK, Pass, Work

KINDS = ("full", "window", "latent", "compressed", "shared", "state", "mlp")
CELLS = ("gated_delta", "kda", "mamba2")


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """All layers of a model, over which cache and work are sums."""

    name: str
    layers: tuple[LayerKind, ...]

    @property
    def growth_bytes(self) -> float:
        """Bytes that a token adds, once windows are full."""
        return self.token_bytes()

    def token_bytes(self, cache_dtype: str | None = None) -> float:
        """Return the same for a cache of another type."""
        return sum(layer.count * layer.token_bytes(cache_dtype) for layer in self.layers)

    @property
    def state_bytes(self) -> int:
        """Bytes of recurrent states, of one sequence of any length."""
        return sum(layer.count * layer.state_bytes for layer in self.layers)

    @property
    def fixed_bytes(self) -> int:
        """Bytes that do not grow: states, full windows, and rows that wait to be compressed."""
        capped = sum(
            layer.count * kept.bytes_at(kept.at_most)
            for layer in self.layers
            for kept in layer.kept
            if kept.at_most is not None
        )
        return self.state_bytes + capped

    def cache_bytes(self, tokens: int, cache_dtype: str | None = None) -> int:
        """Return the bytes that one sequence of so many tokens keeps. `cache_dtype`: as that of a Pass."""
        return sum(layer.count * layer.cache_bytes(tokens, cache_dtype) for layer in self.layers)

    def tokens_in(self, size_bytes: float) -> int | None:
        """Return the longest context whose cache fits, by bisection, since windows bend the line; None for any."""
        if not self.growth_bytes and self.fixed_bytes <= size_bytes:
            return None
        fits, beyond = 0, 1
        while self.cache_bytes(beyond) <= size_bytes:
            fits, beyond = beyond, 2 * beyond
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            fits, beyond = (middle, beyond) if self.cache_bytes(middle) <= size_bytes else (fits, middle)
        return fits

    @property
    def is_uniform(self) -> bool:
        """True if all layers are plain attention with the same weights, as those of this suite's decoder are."""
        plain = all(
            isinstance(layer, FullLayers | LatentLayers) and not layer.indexer and not layer.output_gate
            for layer in self.layers
        )
        return plain and len({layer.matrix_parameters for layer in self.layers}) == 1

    @property
    def growth_elements_per_layer(self) -> float:
        """Elements that a token adds, averaged over the layers that mix tokens."""
        mixing = sum(layer.count for layer in self.layers if not isinstance(layer, MlpLayers))
        return self.growth_bytes / SERVED_BYTES / mixing

    @property
    def mha_growth_bytes(self) -> int:
        """Bytes that a token would add if every attention layer were MHA over all tokens, with its own heads."""
        return SERVED_BYTES * sum(layer.count * layer.mha_elements for layer in self.layers)

    def kernel(self, forward: Pass) -> Work:
        """Return the work between the projections, over all layers."""
        return self._sum(lambda layer: layer.kernel(forward))

    def attention(self, forward: Pass) -> Work:
        """Return the same with the projections: all but MLPs, embeddings and norms."""
        return self._sum(lambda layer: layer.layer(forward))

    def _sum(self, of: Callable[[LayerKind], Work]) -> Work:
        return sum((of(layer) * layer.count for layer in self.layers), NO_WORK)


def load_plan(name: str) -> LayerPlan:
    """Return the plan of a published geometry. Raises ValueError, naming the choices, for an unknown one."""
    return plan_from(read_choice("geometry", name))


def plan_from(settings: Mapping[str, Any], where: str = "geometry.") -> LayerPlan:
    """Return the plan of a geometry's `layers`; without any, as many of the model's own attention as it has layers.

    A layer's sizes are the geometry's own where it does not say others. Raises ValueError for wrong ones.
    """
    geometry = geometry_from(settings, where)
    kind = "latent" if geometry.is_latent else "full"
    listed = settings.get("layers") or [{"kind": kind, "count": geometry.num_layers}]
    layers = []
    for place, entry in enumerate(listed):
        inside = f"{where}layers[{place}]."
        kind = one_of({"kind": None, **entry}, "kind", KINDS, where=inside)
        sizes = {name: value for name, value in entry.items() if name not in ("kind", "count")}
        shared: dict[str, Any] = {
            "count": whole_number(entry, "count", at_least=1, where=inside),
            "hidden_size": geometry.hidden_size,
        }
        try:
            layers.append(BUILDERS[kind](settings, sizes, shared))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{inside.rstrip('.')} does not fit a layer of kind {kind} ({error})") from error
    counted = sum(layer.count for layer in layers)
    if counted != geometry.num_layers:
        raise ValueError(f"{where}layers must add up to the {geometry.num_layers} of num_layers; got {counted}")
    return LayerPlan(name=geometry.name, layers=tuple(layers))


def _common(settings: Mapping[str, Any], sizes: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Take the named extras from a layer's sizes, else from the geometry."""
    return {name: sizes.pop(name, settings.get(name)) for name in names if name in sizes or settings.get(name)}


def _indexer(sizes: dict[str, Any]) -> Indexer | None:
    given = sizes.pop("indexer", None)
    return None if given is None else Indexer(**given)


def _full(settings: Mapping[str, Any], sizes: dict[str, Any], shared: dict[str, Any]) -> LayerKind:
    return FullLayers(**_grouped(settings, sizes), **shared)


def _grouped(settings: Mapping[str, Any], sizes: dict[str, Any]) -> dict[str, Any]:
    """The sizes of layers with key-value heads."""
    head_dim = sizes.pop("head_dim", settings.get("head_dim"))
    heads = sizes.pop("num_heads", settings["num_heads"])
    return {
        "num_heads": heads,
        "num_kv_heads": sizes.pop("num_kv_heads", settings.get("num_kv_heads")) or heads,
        "head_dim": head_dim,
        "v_head_dim": sizes.pop("v_head_dim", head_dim),
        "indexer": _indexer(sizes),
        **_common(settings, sizes, ("qk_norm", "qkv_bias", "o_bias", "sinks", "output_gate")),
        **sizes,
    }


def _window(settings: Mapping[str, Any], sizes: dict[str, Any], shared: dict[str, Any]) -> LayerKind:
    return WindowLayers(**_grouped(settings, sizes), **shared)


def _shared(settings: Mapping[str, Any], sizes: dict[str, Any], shared: dict[str, Any]) -> LayerKind:
    return SharedLayers(**_grouped(settings, sizes), **shared)


def _latent(settings: Mapping[str, Any], sizes: dict[str, Any], shared: dict[str, Any]) -> LayerKind:
    own = {name: sizes.pop(name) for name in ("num_heads", *LATENT_SIZES) if name in sizes}
    return LatentLayers(
        geometry=geometry_from({**settings, **own, "attention": "mla", "num_kv_heads": None}),
        indexer=_indexer(sizes),
        **_common(settings, sizes, ("sinks", "output_gate")),
        **sizes,
        **shared,
    )


def _compressed(settings: Mapping[str, Any], sizes: dict[str, Any], shared: dict[str, Any]) -> LayerKind:
    own = {name: sizes.pop(name, settings.get(name)) for name in ("num_heads", "head_dim", "q_lora_rank")}
    return CompressedLayers(indexer=_indexer(sizes), **own, **sizes, **shared)


def _state(settings: Mapping[str, Any], sizes: dict[str, Any], shared: dict[str, Any]) -> LayerKind:
    one_of(sizes, "cell", CELLS, where="a state layer's ")
    return StateLayers(**sizes, **shared)


def _mlp(settings: Mapping[str, Any], sizes: dict[str, Any], shared: dict[str, Any]) -> LayerKind:
    return MlpLayers(**sizes, **shared)


BUILDERS: Mapping[str, Callable[[Mapping[str, Any], dict[str, Any], dict[str, Any]], LayerKind]] = {
    "full": _full,
    "window": _window,
    "latent": _latent,
    "compressed": _compressed,
    "shared": _shared,
    "state": _state,
    "mlp": _mlp,
}
