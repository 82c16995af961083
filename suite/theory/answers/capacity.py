"""The largest batch of one model beside its weights on a few devices, and the tokens a second that it gives at most.

A server's throughput is set by memory twice: what the weights leave bounds the batch, and each step reads all of the
batch's cache. So a smaller cache pays by a larger batch, and a layer's speed at one batch says nothing of that.

Counted: all parameters, at one width; the cache, whole pages of it where an engine keeps pages; a step's
arithmetic and traffic, of a mixture of experts those weights that a batch is expected to touch when routing is even.
Not counted: activations and workspaces (`memory_share` leaves room for them), traffic between devices, scheduling.

Devices share a model by `parallel`: under tp and dcp all weights by heads, rows and experts. Under dp a dense model is
whole on each device; of one with experts or MLA each has attention and embeddings, and the rest is shared.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from suite.configuration.values import one_of, positive_number, whole_number
from suite.theory.devices.calibration import (
    DTYPE,
    EXPERTS,
    GQA,
    MATRICES,
    MLA,
    PRODUCTS_AROUND,
    Calibration,
    Expected,
    add_times,
)
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.hardware import hardware_from, hardware_names
from suite.theory.layers.algebra import SERVED_BYTES, Pass, Work
from suite.theory.layers.layer_plan import LayerPlan, parameters_from, plan_from
from suite.theory.layers.parallel import WAYS, Layout, layouts
from suite.theory.layers.shapes import LayerShape

WEIGHT_BYTES = {"bfloat16": 2.0, "fp8": 1.0, "int4": 0.5}
"""Bytes of a parameter. Scales of narrow types are left out."""


class CapacityPlan:
    """The settings of workload=capacity, checked, with what follows from them. Raises ValueError for wrong ones."""

    dtype = DTYPE
    device = "cpu"
    threads = 1

    def __init__(self, settings: Mapping[str, Any]) -> None:
        if settings.get("hardware") is None:
            raise ValueError(f"hardware must be one of {', '.join(hardware_names())}; got none")
        hardware, geometry = hardware_from(settings["hardware"]), settings["geometry"]
        devices = whole_number(settings, "tp", at_least=1)
        way: str = one_of(settings, "parallel", WAYS)
        self.seq_len, self.query_len = (whole_number(settings, name, at_least=1) for name in ("seq_len", "query_len"))
        if self.query_len > self.seq_len:
            raise ValueError(
                f"query_len must be at most seq_len, which counts all tokens; got {self.query_len} and {self.seq_len}"
            )
        page = 1 if settings["page"] is None else whole_number(settings, "page", at_least=1)
        share = positive_number(settings, "memory_share")
        if share > 1:
            raise ValueError(f"memory_share must be at most 1; got {share}")
        weights: str = one_of(settings, "weights", WEIGHT_BYTES)
        self.refusal: str | None = None
        ceilings = hardware.ceilings(DTYPE)
        if ceilings is None:
            self.refusal = f"{hardware.name} has no published {DTYPE} peak"
            return
        self.ceilings, self.calibration = ceilings, load_calibration(hardware.name)
        (layout,) = layouts(devices, (way, devices), shares_mlps=can_share_mlps(geometry))
        self.model = SharedModel(geometry, layout=layout, weights=weights)
        self.cache_bytes = self.model.cache_bytes(-(-self.seq_len // page) * page)
        self.batch = self.model.largest_batch(hardware.memory_bytes * share, self.cache_bytes)
        if not self.batch:
            self.refusal = no_room(self.model.weight_bytes, self.cache_bytes, hardware.memory_bytes, share)

    def constants(self) -> dict[str, dict[str, float]]:
        """Sizes on one device, the largest batch of all, and the least and the expected time of its step."""
        work = asdict(self.model.step(self.batch, self.query_len, self.seq_len))
        bound_s, tokens = self.ceilings.bound_s(**work), self.batch * self.query_len
        step = {
            **work,
            "ceiling_flops_per_s": self.ceilings.flops_per_s,
            "ceiling_bytes_per_s": self.ceilings.bytes_per_s,
            "bound_s": bound_s,
            "most_tokens_per_s": tokens / bound_s,
        }
        if isinstance(expected := self._expected(), Expected):
            step |= {"expected_s": expected.seconds, "expected_tokens_per_s": tokens / expected.seconds}
        sizes = {"weight_bytes": self.model.weight_bytes, "sequence_bytes": self.cache_bytes}
        return {"case": {**sizes, "largest_batch": self.batch, "tokens": tokens}, "step": step}

    def facts(self) -> dict[str, Any]:
        """The model's parameters, total and active, in words; where no time is expected, also the reason."""
        counted, expected = self.model.parameters, self._expected()
        shape = f"{counted.total / 1e9:,.4g}B parameters, {counted.active / 1e9:,.4g}B of them for a token"
        return {"shape": shape, **({"expected_by": f"nothing: {expected}"} if isinstance(expected, str) else {})}

    def _expected(self) -> Expected | str:
        return self.model.expected(self.calibration, self.batch, self.query_len, self.seq_len)


def can_share_mlps(settings: Mapping[str, Any]) -> bool:
    """Whether servers offer attention dp for such a model: one with experts, or with MLA."""
    is_latent = any(layer.kind == "latent" for layer in plan_from(settings).layers)
    return bool((settings.get("moe") or {}).get("n_routed")) or is_latent


class SharedModel:
    """A published model as one of several devices holds it. Raises ValueError where it cannot be shared so.

    `cache_dtype`: as that of a Pass.
    """

    def __init__(
        self, settings: Mapping[str, Any], *, layout: Layout, weights: str, cache_dtype: str | None = None
    ) -> None:
        self._layout, self._weights, self._cache_dtype = layout, weights, cache_dtype
        self._weight_bytes = WEIGHT_BYTES[weights]
        self.parameters = parameters_from(settings)
        self._whole = plan_from(settings)
        self._vocabulary = settings["vocab_size"] * settings["hidden_size"]
        for layer in self._whole.layers if layout.shares_context else ():
            if layer.kind not in ("full", "latent", "mlp") or getattr(layer, "indexer", None):
                raise ValueError(
                    f"parallel must be tp or dp for layers of kind {layer.kind}, or with an indexer; got 'dcp'"
                )
        by_heads = tuple(layer.on_rank(layout.tp) for layer in self._whole.layers)
        self._of_weights = LayerPlan(name="", layers=by_heads)
        """Layers whose weights lie here."""
        self._of_kernels = self._whole if layout.shares_context else self._of_weights
        """Layers whose kernels run here, under dcp over a share of the context."""
        self._mlp_devices = layout.tp * (layout.groups if layout.shares_mlps else 1)
        experts, idle = settings.get("moe") or {}, self.parameters.idle
        self._unrouted = 1 - experts["top_k"] / experts["n_routed"] if experts.get("n_routed") else 0.0
        """The share of routed experts that a token does not meet."""
        self._experts = idle / self._unrouted if idle else 0.0
        """Parameters of all routed experts; 0 where a token meets each of them, as it meets any other MLP."""

    @property
    def weight_bytes(self) -> float:
        """Bytes of the weights on one device."""
        counted, attention = self.parameters, self._of_weights.parameter_count
        shared = counted.total - counted.attention - counted.norms
        # Under attention dp each group looks up its own sequences, in a table that its tp devices share.
        table = counted.embeddings * (1 / self._layout.tp - 1 / self._mlp_devices)
        return self._weight_bytes * (attention + counted.norms + table + shared / self._mlp_devices)

    def cache_bytes(self, tokens: int) -> int:
        """Bytes that one sequence keeps on one device that holds it."""
        here = -(-tokens // self._layout.tp) if self._layout.shares_context else tokens
        return self._of_kernels.cache_bytes(here, self._cache_dtype)

    @property
    def token_bytes(self) -> float:
        """Bytes that a token adds in the long run to the cache of the whole model, however it is shared."""
        return self._whole.token_bytes(self._cache_dtype)

    def largest_batch(self, memory_bytes: float, sequence_bytes: int) -> int:
        """The most sequences over all devices, of `memory_bytes` each, if each sequence keeps `sequence_bytes`."""
        room = memory_bytes - self.weight_bytes
        on_one = int(room // sequence_bytes) if room > 0 else 0
        return on_one * self._layout.groups

    def batches_of_rows(self, rows: int, query_len: int) -> tuple[int, int]:
        """The smallest batch whose step multiplies matrices by `rows` tokens: by those of one group, and by all."""
        sequences = -(-rows // query_len)
        return (sequences - 1) * self._layout.groups + 1, sequences

    def step(self, batch: int, query_len: int, seq_len: int) -> Work:
        """FLOPs and traffic of one device in a step of `query_len` new tokens for each of `batch` sequences in all."""
        kernels = self._of_kernels.kernel(self._pass(batch, query_len, seq_len))
        return sum((work for *_, work in self._products(batch, query_len, seq_len)), kernels)

    def attention_bytes(self, batch: int, query_len: int, seq_len: int) -> float:
        """Bytes of a step's traffic that attention moves on one device: its weights and, in its kernels, the cache."""
        kernels = self._of_kernels.kernel(self._pass(batch, query_len, seq_len))
        return kernels.traffic_bytes + self._weight_bytes * self._of_weights.parameter_count

    def _products(self, batch: int, query_len: int, seq_len: int) -> list[tuple[str, int, int, Work]]:
        """The matrix products of one device's step, of attention, of MLPs and head, and of experts: their kind,
        rows and number, and the work of all together."""
        here = self._pass(batch, query_len, seq_len).tokens
        tokens = batch * query_len if self._layout.shares_mlps else here
        layers, counted, experts = self._of_weights.layers, self.parameters, self._experts
        count = sum(layer.count * PRODUCTS_AROUND[MLA if layer.kind == "latent" else GQA] for layer in layers)
        dense = (counted.mlps - experts + self._vocabulary) / self._mlp_devices
        met = (experts - counted.idle) / self._mlp_devices
        # Of a small batch, under uniform routing.
        touched = (experts - experts * self._unrouted**tokens) / self._mlp_devices

        def work(rows: int, multiplied: float, read: float) -> Work:
            return Work(flops=round(2 * rows * multiplied), traffic_bytes=round(self._weight_bytes * read))

        attention = work(here, self._of_weights.matrix_parameters, self._of_weights.parameter_count)
        products = [(MATRICES, here, count, attention)]
        products.append((MATRICES, tokens, 2 * counted.blocks + 1, work(tokens, dense, dense)))
        return products + [(EXPERTS, tokens, counted.expert_layers, work(tokens, met, touched))] * bool(experts)

    def expected(self, calibration: Calibration | None, batch: int, query_len: int, seq_len: int) -> Expected | str:
        """The expected time of a step, whose kernels run one after the other; else the reason why there is none."""
        if calibration is None:
            return "the device has no calibration"
        times, forward = [], self._pass(batch, query_len, seq_len)
        for layer in self._of_kernels.layers:
            if layer.kind == "mlp":
                continue
            # A window's kernel is that of as short a context.
            shape = replace(layer, window=None) if isinstance(layer, LayerShape) else None
            if shape is None or not shape.is_plain:
                indexed = " with an indexer" if getattr(layer, "indexer", None) else ""
                return f"no calibration knows layers of kind {layer.kind}{indexed}"
            window = getattr(layer, "window", None)
            seen = forward if window is None else replace(forward, seq_len=min(seq_len, window + query_len - 1))
            if (kernel := calibration.expected(shape, seen, DTYPE)) is None:
                return str(calibration.unknown(shape, seen, DTYPE))
            times += [kernel] * layer.count
        for kind, rows, count, work in self._products(batch, query_len, seq_len):
            product = calibration.multiplied(kind, self._weights, rows=rows, count=count, **asdict(work))
            if product is None:
                return f"its calibration has no products of {kind} in {self._weights}"
            times.append(product)
        return add_times(times, "; ".join(dict.fromkeys(time.family for time in times)))

    def _pass(self, batch: int, query_len: int, seq_len: int) -> Pass:
        """One device's part of a step: its group's sequences and, under dcp, its share of the context."""
        return Pass(
            batch=-(-batch // self._layout.groups),
            query_len=query_len,
            seq_len=-(-seq_len // self._layout.tp) if self._layout.shares_context else seq_len,
            element_bytes=SERVED_BYTES,
            cache_dtype=self._cache_dtype,
        )


def no_room(weight_bytes: float, sequence_bytes: int, memory_bytes: int, share: float) -> str:
    """The sentence why not a single sequence fits beside the weights."""
    room = memory_bytes * share - weight_bytes
    weights = f"on each device the weights take {_gib(weight_bytes)}"
    usable = f"{share:.0%} of a device's {_gib(memory_bytes)}"
    if room > 0:
        return f"{weights} and leave {_gib(room)} of {usable}, but one sequence needs {_gib(sequence_bytes)}"
    return f"{weights}, more than {usable}; one sequence needs another {_gib(sequence_bytes)}"


def _gib(size: float) -> str:
    gib = size / 2**30
    return f"{gib:,.0f} GiB" if gib >= 1000 else f"{gib:.3g} GiB"
