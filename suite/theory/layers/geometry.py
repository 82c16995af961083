"""The published sizes of a model's attention, over which a variant is laid."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import choices, read_choice
from suite.configuration.values import one_of, whole_number
from suite.theory.layers.rope import Rope, rope_from

UNGROUPED_KINDS = ("mha", "mla")
"""Kinds with as many key-value heads as query heads: they follow when the query heads are set."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes of one published model, in elements. Sources stand in its YAML file."""

    name: str
    attention: str
    """The published model's own variant."""
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    rope: Rope
    head_dim: int | None = None
    """Width of a head. None for MLA models, whose query, key and value widths differ."""
    q_lora_rank: int | None = None
    kv_lora_rank: int | None = None
    qk_nope_head_dim: int | None = None
    qk_rope_head_dim: int | None = None
    v_head_dim: int | None = None
    index_heads: int | None = None
    """This and the two that follow: the indexer of the model's own latent layers, where they have one."""
    index_head_dim: int | None = None
    top_k: int | None = None

    @property
    def is_latent(self) -> bool:
        return self.attention == "mla"


def geometry_from(settings: Mapping[str, Any], where: str = "geometry.") -> Geometry:
    """Check the sizes of a model, by default the `geometry` part of the settings.

    `where`: the part's name and a dot. Raises ValueError for sizes that are wrong in themselves.
    """
    kind = one_of(settings, "attention", ("mha", "gqa", "mqa", "mla"), where=where)
    names = ["hidden_size", "num_layers", "num_heads"]
    names += ["kv_lora_rank", "qk_nope_head_dim", "v_head_dim"] if kind == "mla" else ["head_dim"]
    names += [] if kind in UNGROUPED_KINDS else ["num_kv_heads"]
    sizes = {name: whole_number(settings, name, at_least=1, where=where) for name in names}
    if kind == "mla":  # 0 where nothing is rotated
        sizes["qk_rope_head_dim"] = whole_number(settings, "qk_rope_head_dim", at_least=0, where=where)
    if settings.get("q_lora_rank") is not None:
        sizes["q_lora_rank"] = whole_number(settings, "q_lora_rank", at_least=1, where=where)
    heads, kv_heads = sizes["num_heads"], settings.get("num_kv_heads")
    if kind in UNGROUPED_KINDS and kv_heads not in (None, heads):
        raise ValueError(
            f"{where}num_kv_heads must be null or the {heads} of {where}num_heads, since this model is {kind}; "
            f"got {kv_heads!r}; to lay GQA over it, set attention.kv_heads"
        )
    kv_heads = sizes.setdefault("num_kv_heads", heads)
    # The first indexer among the latent layers, unless it pools its keys.
    for layer in settings.get("layers") or ():
        indexer = layer.get("indexer") or {}
        if layer.get("kind") == "latent" and indexer.keys() == {"heads", "head_dim", "top_k"}:
            sizes |= {"index_heads": indexer["heads"], "index_head_dim": indexer["head_dim"], "top_k": indexer["top_k"]}
            break
    if not isinstance(name := settings.get("name"), str):
        raise ValueError(f"{where}name must be the model's name, as its file is called; got {name!r}")
    geometry = Geometry(name=name, attention=kind, rope=rope_from(settings, where), **sizes)
    if heads % kv_heads:
        raise ValueError(f"{where}num_heads must be a multiple of {where}num_kv_heads; got {heads} and {kv_heads}")
    return geometry


@functools.cache
def load_geometry(name: str) -> Geometry:
    """A published geometry by its file's name. Raises ValueError, naming the choices, for an unknown one."""
    return geometry_from(read_choice("geometry", name))


def geometry_names() -> tuple[str, ...]:
    """The names of all published geometries, those of conf/geometry."""
    return choices("geometry")
