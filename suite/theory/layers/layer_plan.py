"""The plan of a model's layers, over which its cache and its work are sums, and its parameters in total.

A cache is no number of bytes a token but a constant and a slope, since windows fill and states do not grow:

    cache(S) = sum over layers of elements * min(S, cap) // every, and the states' bytes

A geometry says its layers under `layers` (conf/geometry/README.md). Without them it is as many layers of its own
attention as it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from suite.configuration.files import read_choice
from suite.configuration.values import one_of, whole_number
from suite.theory.layers.algebra import NO_WORK, SERVED_BYTES, Indexer, Layer, Pass, Work
from suite.theory.layers.geometry import Geometry, geometry_from
from suite.theory.layers.latent_shapes import LATENT_SIZES, absorbed_shape
from suite.theory.layers.model_layers import CELLS, CompressedLayer, MlpLayer, StateLayer
from suite.theory.layers.shapes import GroupedShape, LayerShape

KINDS = ("full", "window", "latent", "compressed", "shared", "state", "mlp")


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """All layers of a model, over which cache and work are sums."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def matrix_parameters(self) -> int:
        """Parameters of all layers that a token is multiplied by, without MLPs."""
        return sum(layer.count * layer.matrix_parameters for layer in self.layers)

    @property
    def parameter_count(self) -> int:
        """Parameters of all layers but for their MLPs and the norms before them."""
        return sum(layer.count * layer.parameter_count for layer in self.layers)

    @property
    def growth_bytes(self) -> float:
        """Bytes that a token adds to an unquantised cache of all layers, once windows are full."""
        return self.token_bytes()

    def token_bytes(self, cache_dtype: str | None = None) -> float:
        """Bytes that a token adds to the cache of all layers once windows are full. `cache_dtype`: as a Pass has it."""
        return sum(layer.count * layer.token_bytes(cache_dtype) for layer in self.layers)

    @property
    def state_bytes(self) -> int:
        """Bytes of recurrent states, of one sequence of any length."""
        return sum(layer.count * layer.state_bytes for layer in self.layers)

    @property
    def fixed_bytes(self) -> int:
        """Bytes that do not grow: states, full windows, and rows that wait to be compressed."""
        capped = sum(
            layer.count * rows.bytes_at(rows.at_most)
            for layer in self.layers
            for rows in layer.cache_rows
            if rows.at_most is not None
        )
        return self.state_bytes + capped

    def cache_bytes(self, tokens: int, cache_dtype: str | None = None) -> int:
        """The bytes that one sequence of so many tokens keeps. `cache_dtype`: as that of a Pass."""
        return sum(layer.count * layer.cache_bytes(tokens, cache_dtype) for layer in self.layers)

    def longest_context(self, size_bytes: float) -> int | None:
        """The most tokens of one sequence whose cache fits into `size_bytes`; None where any number does. By bisection,
        since windows bend the line."""
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
        """Whether all layers are plain attention with the same weights, as those of this suite's decoder are."""
        plain = all(
            isinstance(layer, LayerShape) and not layer.indexer and not layer.output_gate for layer in self.layers
        )
        return plain and len({layer.matrix_parameters for layer in self.layers}) == 1

    @property
    def growth_elements_per_layer(self) -> float:
        """Elements that a token adds to the cache, averaged over all layers but blocks of an MLP alone."""
        mixing = sum(layer.count for layer in self.layers if not isinstance(layer, MlpLayer))
        return self.growth_bytes / SERVED_BYTES / mixing

    @property
    def mha_growth_bytes(self) -> int:
        """Bytes that a token would add if every attention layer were MHA over all tokens, with its own heads."""
        return SERVED_BYTES * sum(layer.count * layer.mha_elements for layer in self.layers)

    def kernel(self, forward: Pass) -> Work:
        """The work between the projections, over all layers."""
        return sum((layer.kernel(forward) * layer.count for layer in self.layers), NO_WORK)

    def attention(self, forward: Pass) -> Work:
        """The work of all layers with their projections: all but MLPs, embeddings and norms."""
        return sum((layer.layer(forward) * layer.count for layer in self.layers), NO_WORK)


def load_plan(name: str) -> LayerPlan:
    """The plan of a published geometry. Raises ValueError, naming the choices, for an unknown one."""
    return plan_from(read_choice("geometry", name))


def plan_from(settings: Mapping[str, Any], where: str = "geometry.") -> LayerPlan:
    """The plan of a geometry's `layers`; without any, as many of the model's own attention as it has layers.

    A layer's sizes are the geometry's own where it does not say others. Raises ValueError for wrong ones.
    """
    geometry = geometry_from(settings, where)
    uniform = [{"kind": "latent" if geometry.is_latent else "full", "count": geometry.num_layers}]
    layers = []
    for place, entry in enumerate(settings.get("layers") or uniform):
        inside = f"{where}layers[{place}]."
        kind = one_of({"kind": None, **entry}, "kind", KINDS, where=inside)
        count = whole_number(entry, "count", at_least=1, where=inside)
        try:
            layers.append(replace(_layer_from_entry(kind, settings, geometry, dict(entry)), count=count))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{inside.rstrip('.')} does not fit a layer of kind {kind} ({error})") from error
    counted = sum(layer.count for layer in layers)
    if counted != geometry.num_layers:
        raise ValueError(f"{where}layers must add up to the {geometry.num_layers} of num_layers; got {counted}")
    return LayerPlan(name=geometry.name, layers=tuple(layers))


def _layer_from_entry(kind: str, settings: Mapping[str, Any], geometry: Geometry, entry: dict[str, Any]) -> Layer:
    """The layer that an entry of `layers` describes; sizes that it does not say are the geometry's. Empties `entry`.
    Raises KeyError or TypeError for sizes that its kind does not have."""
    del entry["kind"], entry["count"]
    if (indexer := entry.pop("indexer", None)) is not None:
        entry["indexer"] = Indexer(**indexer)
    if kind == "mlp":
        return MlpLayer(hidden_size=geometry.hidden_size, **entry)
    if kind == "state":
        one_of(entry, "cell", CELLS, where="a state layer's ")
        return StateLayer(hidden_size=geometry.hidden_size, **entry)
    if kind == "compressed":
        sizes = {name: entry.pop(name, settings.get(name)) for name in ("num_heads", "head_dim", "q_lora_rank")}
        return CompressedLayer(hidden_size=geometry.hidden_size, **sizes, **entry)
    extras = ("sinks", "output_gate") if kind == "latent" else ("sinks", "output_gate", "qk_norm", "qkv_bias", "o_bias")
    entry = {name: settings[name] for name in extras if settings.get(name)} | entry
    if kind == "latent":
        sizes = {**settings, **{name: entry.pop(name) for name in ("num_heads", *LATENT_SIZES) if name in entry}}
        geometry = geometry_from({**sizes, "attention": "mla", "num_kv_heads": None})
        return replace(absorbed_shape(geometry), **entry)
    if kind != "shared" and (kind == "window") != ("window" in entry):
        raise TypeError(f"{'it needs' if kind == 'window' else 'it has no'} 'window'")
    if kind == "window":
        entry["is_chunked"] = entry.pop("chunked", False)
    heads = entry.pop("num_heads", settings["num_heads"])
    return GroupedShape(
        hidden_size=geometry.hidden_size,
        num_heads=heads,
        kv_heads=entry.pop("num_kv_heads", settings.get("num_kv_heads")) or heads,
        head_dim=entry.pop("head_dim", settings.get("head_dim")),
        value_dim=entry.pop("v_head_dim", None),
        is_shared=kind == "shared",
        **entry,
    )


GATED, UNGATED = 3, 2
"""Matrices of an MLP with a gate (SwiGLU) and without."""


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Counts of a model's parameters by part; `idle` are those of experts that a token is not routed to.

    A mixture of experts keeps all its experts and passes a token through a few. Its weights in memory follow from the
    total, its arithmetic and the traffic of a small batch from the active ones, so both are counted.

    Active parameters leave out the experts that a token is not routed to and the table of embeddings, of which one row
    is read; a head that is the embeddings is counted, since a token is multiplied by all of it. Layers for predicting
    several tokens, towers for images and sound, and buffers that no token meets are in neither.
    """

    embeddings: int
    attention: int
    mlps: int
    norms: int
    head: int
    """0 where the head is the embeddings."""
    other: int
    """Parameters that a geometry names by themselves, such as hyper-connections."""
    idle: int
    blocks: int
    """MLPs, whether with experts or without."""
    expert_layers: int

    @property
    def total(self) -> int:
        return self.embeddings + self.attention + self.mlps + self.norms + self.head + self.other

    @property
    def active(self) -> int:
        """Parameters that a token meets: without idle experts and, if the head is its own matrix, the embeddings."""
        table = self.embeddings if self.head else 0
        return self.total - self.idle - table


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The MLPs with experts of a model; see conf/geometry/README.md for their sizes."""

    n_routed: int
    top_k: int
    moe_intermediate: int
    n_shared: int = 0
    first_dense: int = 0
    """MLPs without experts before them."""
    n_layers: int | None = None
    """MLPs with experts, where they are not all others."""
    router_bias: bool = False
    expert_bias: bool = False
    shared_intermediate: int | None = None
    shared_gate: bool = False
    routed_hidden: int | None = None
    routed_norms: int = 0
    unrouted: int = 0

    def expert_parameters(self, hidden_size: int, matrices: int) -> int:
        """Parameters of one routed expert, an MLP of `matrices` matrices (GATED or UNGATED)."""
        width = self.routed_hidden or hidden_size
        biases = (matrices - 1) * self.moe_intermediate + width if self.expert_bias else 0
        return matrices * width * self.moe_intermediate + biases

    def layer_parameters(self, hidden_size: int, matrices: int) -> int:
        """Parameters of one MLP with all its experts, shared ones and the router included."""
        choices = self.n_routed + self.unrouted
        router = choices * hidden_size + (choices if self.router_bias else 0)
        shared_width = self.shared_intermediate or self.n_shared * self.moe_intermediate
        shared = matrices * hidden_size * shared_width if self.n_shared else 0
        gate = hidden_size if self.shared_gate else 0
        latent = self.routed_hidden * (2 * hidden_size + self.routed_norms) if self.routed_hidden else 0
        return self.n_routed * self.expert_parameters(hidden_size, matrices) + router + shared + gate + latent


def parameters_from(settings: Mapping[str, Any]) -> Parameters:
    """Count the parameters of a geometry. Raises ValueError for wrong sizes."""
    where = "geometry."
    plan = plan_from(settings, where)
    hidden, vocab = (whole_number(settings, name, at_least=1, where=where) for name in ("hidden_size", "vocab_size"))
    layers = sum(layer.count for layer in plan.layers)
    blocks = sum(layer.count for layer in plan.layers if layer.kind == "mlp") or layers
    mlps, idle, expert_layers = _count_mlps(settings, blocks, hidden, where)
    tied = one_of(settings, "tie_embeddings", (True, False), where=where)
    return Parameters(
        embeddings=vocab * hidden,
        attention=plan.parameter_count,
        mlps=mlps,
        norms=(settings.get("norms_per_layer", 2) * layers + 1) * hidden,
        head=0 if tied else vocab * hidden,
        other=sum(settings.get("other_parameters", {}).values()),
        idle=idle,
        blocks=blocks,
        expert_layers=expert_layers,
    )


def _count_mlps(settings: Mapping[str, Any], blocks: int, hidden: int, where: str) -> tuple[int, int, int]:
    """The parameters of all MLPs, those of experts that a token is not routed to, and how many MLPs have experts."""
    matrices = GATED if one_of({"gated_mlp": True, **settings}, "gated_mlp", (True, False)) else UNGATED
    dense = matrices * hidden * whole_number(settings, "intermediate_size", at_least=1, where=where)
    sizes, inside = settings.get("moe"), f"{where}moe."
    if sizes is None:
        return blocks * dense, 0, 0
    names = [field.name for field in fields(Experts)]
    if unknown := sorted(set(sizes) - set(names)):
        raise ValueError(f"{inside}{unknown[0]} is no size of experts; the sizes are {', '.join(names)}")
    experts = Experts(**sizes)
    first = whole_number(vars(experts), "first_dense", at_least=0, where=inside)
    count = experts.n_layers if experts.n_layers is not None else blocks - first
    whole_number({"n_layers": count}, "n_layers", at_least=1, where=inside)
    idle = count * (experts.n_routed - experts.top_k) * experts.expert_parameters(hidden, matrices)
    return first * dense + count * experts.layer_parameters(hidden, matrices), idle, count
