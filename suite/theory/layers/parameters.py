"""Parameters of published models, in total and of one token: embeddings, layers by their plan, MLPs, experts, head.

A mixture of experts keeps all its experts and passes a token through a few. Its weights in memory follow from the
total, its arithmetic and the traffic of a small batch from the active ones, so both are counted.

Active parameters leave out the experts that a token is not routed to and the table of embeddings, of which one row is
read; a head that is the embeddings is counted, since a token is multiplied by all of it. Layers for predicting several
tokens, towers for images and sound, and buffers that no token meets are in neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from suite.configuration.values import one_of, whole_number
from suite.theory.layers.layer_plan import plan_from

GATED, UNGATED = 3, 2
"""Matrices of an MLP with a gate (SwiGLU) and without."""


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Counts of a model's parameters by part; `idle` are those of experts that a token is not routed to."""

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
