"""Parameters of published models, in total and of one token: embeddings, layers by their plan, MLPs, experts, head.

A mixture of experts keeps all its experts and passes a token through a few. Its weights in memory follow from the
total, its arithmetic and the traffic of a small batch from the active ones, so both are counted.

Active parameters leave out the experts that a token is not routed to and the table of embeddings, of which one row is
read; a head that is the embeddings is counted, since a token is multiplied by all of it. Layers for predicting several
tokens, towers for images and sound, and buffers that no token meets are in neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import one_of, whole_number
from suite.theory.layers.layer_plan import plan_from
from suite.theory.layers.model_layers import MlpLayer

GATED, UNGATED = 3, 2
"""Matrices of an MLP with a gate (SwiGLU) and without."""
EXPERT_SIZES = (
    "n_routed",
    "n_shared",
    "top_k",
    "moe_intermediate",
    "first_dense",
    "n_layers",
    "router_bias",
    "expert_bias",
    "shared_intermediate",
    "shared_gate",
    "routed_hidden",
    "routed_norms",
    "unrouted",
)


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
        table = self.embeddings if self.head else 0
        return self.total - self.idle - table


@dataclass(frozen=True, kw_only=True)
class Experts:
    """One MLP with experts; see conf/geometry/README.md for its sizes."""

    hidden_size: int
    matrices: int
    n_routed: int
    top_k: int
    moe_intermediate: int
    n_shared: int = 0
    router_bias: bool = False
    expert_bias: bool = False
    shared_intermediate: int | None = None
    shared_gate: bool = False
    routed_hidden: int | None = None
    routed_norms: int = 0
    unrouted: int = 0

    @property
    def of_one(self) -> int:
        """Parameters of one routed expert."""
        width = self.routed_hidden or self.hidden_size
        biases = (self.matrices - 1) * self.moe_intermediate + width if self.expert_bias else 0
        return self.matrices * width * self.moe_intermediate + biases

    @property
    def idle(self) -> int:
        return (self.n_routed - self.top_k) * self.of_one

    @property
    def count(self) -> int:
        choices = self.n_routed + self.unrouted
        router = choices * self.hidden_size + (choices if self.router_bias else 0)
        shared_width = self.shared_intermediate or self.n_shared * self.moe_intermediate
        shared = self.matrices * self.hidden_size * shared_width if self.n_shared else 0
        gate = self.hidden_size if self.shared_gate else 0
        latent = 0
        if self.routed_hidden is not None:
            latent = 2 * self.hidden_size * self.routed_hidden + self.routed_norms * self.routed_hidden
        return self.n_routed * self.of_one + router + shared + gate + latent


def parameters_from(settings: Mapping[str, Any]) -> Parameters:
    """Count the parameters of a geometry. Raises ValueError for wrong sizes."""
    where = "geometry."
    plan = plan_from(settings, where)
    hidden = whole_number(settings, "hidden_size", at_least=1, where=where)
    vocab = whole_number(settings, "vocab_size", at_least=1, where=where)
    blocks = [layer.count for layer in plan.layers if isinstance(layer, MlpLayer)]
    count = sum(blocks) or sum(layer.count for layer in plan.layers)
    mlps, idle, expert_layers = _mlps(settings, count, hidden, where)
    norms_per_layer = settings.get("norms_per_layer", 2)
    tied = one_of(settings, "tie_embeddings", (True, False), where=where)
    return Parameters(
        embeddings=vocab * hidden,
        attention=plan.parameter_count,
        mlps=mlps,
        norms=(norms_per_layer * sum(layer.count for layer in plan.layers) + 1) * hidden,
        head=0 if tied else vocab * hidden,
        other=sum(settings.get("other_parameters", {}).values()),
        idle=idle,
        blocks=count,
        expert_layers=expert_layers,
    )


def _mlps(settings: Mapping[str, Any], count: int, hidden: int, where: str) -> tuple[int, int, int]:
    """The parameters of all MLPs, those of them that a token does not meet, and the MLPs with experts."""
    matrices = GATED if one_of({"gated_mlp": True, **settings}, "gated_mlp", (True, False)) else UNGATED
    moe = settings.get("moe")
    wide = whole_number(settings, "intermediate_size", at_least=1, where=where)
    if moe is None:
        return count * matrices * hidden * wide, 0, 0
    inside = f"{where}moe."
    unknown = sorted(set(moe) - set(EXPERT_SIZES))
    if unknown:
        raise ValueError(f"{inside}{unknown[0]} is no size of experts; the sizes are {', '.join(EXPERT_SIZES)}")
    dense = whole_number({"first_dense": 0, **moe}, "first_dense", at_least=0, where=inside)
    with_experts = whole_number({"n_layers": count - dense, **moe}, "n_layers", at_least=1, where=inside)
    sizes = {name: value for name, value in moe.items() if name not in ("first_dense", "n_layers")}
    experts = Experts(hidden_size=hidden, matrices=matrices, **sizes)
    parameters = dense * matrices * hidden * wide + with_experts * experts.count
    return parameters, with_experts * experts.idle, with_experts
