"""The plan of one decode step of a whole dense model, by closed forms."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from suite.configuration.values import optional_whole_number
from suite.theory.layers.algebra import Work
from suite.theory.layers.attention_plan import ELEMENT_BYTES, AttentionPlan
from suite.theory.layers.decoder_shape import decoder_shape
from suite.theory.layers.shapes import cache_bytes, kernel_work, layer_work

STEP, ATTENTION, MLP, HEAD, KERNEL = SPANS = ("step", "attention", "mlp", "head", "kernel")
"""The whole step; its three parts, which come to the step; and of attention the kernel alone."""


class DecodePlan(AttentionPlan):
    """The settings of a case, checked, with its closed forms. Raises ValueError for wrong ones.

    A model is a published geometry with Llama's blocks: attention, an MLP with a gate, two norms. `layers` of them are
    run, by default all. The attention variant is laid over every layer.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(ChainMap({"phase": "decode", "tp": 1, "cache_dtype": None}, settings))  # type: ignore[arg-type]
        self.checkpoint: str | None = settings["checkpoint"]
        layers, sizes = optional_whole_number(settings, "layers"), settings["geometry"]
        if layers is not None and self.checkpoint is not None:
            raise ValueError(f"layers must be null for a checkpoint, which has its own; got {layers}")
        if self.refusal is None:
            sizes = sizes if layers is None else {**sizes, "num_layers": layers}
            whole = {"vocab_size": sizes["vocab_size"], "where": "geometry.", "match": settings["match"]}
            self.decoder = decoder_shape(sizes, settings["attention"], **whole)

    @property
    def spans(self) -> tuple[str, ...]:
        return SPANS

    def constants(self) -> dict[str, dict[str, float]]:
        """FLOPs and traffic of every span, each weight read once; in `case` the parameters and one layer's cache."""
        decoder, forward, depth = self.decoder, self.forward, self.decoder.num_layers
        mlp = 3 * decoder.hidden_size * decoder.intermediate_size
        vocabulary = decoder.vocab_size * decoder.hidden_size

        def product(parameters: int) -> Work:
            return Work(flops=2 * forward.tokens * parameters, traffic_bytes=parameters * forward.element_bytes)

        works = {
            ATTENTION: layer_work(self.shape, forward) * depth,
            MLP: product(mlp) * depth,
            HEAD: product(vocabulary),
            KERNEL: kernel_work(self.shape, forward) * depth,
        }
        works[STEP] = works[ATTENTION] + works[MLP] + works[HEAD]
        case = {
            "parameter_count": decoder.parameter_count,
            "tokens": forward.tokens,
            "cache_bytes": cache_bytes(self.shape, forward),
            "cache_bytes_mha": cache_bytes(self.mha_shape, forward),
        }
        return {**{span: asdict(work) for span, work in works.items()}, "case": case}

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "layers": self.decoder.num_layers}

    def least_bytes(self) -> float:
        weights = self.decoder.parameter_count * ELEMENT_BYTES[self.dtype]
        return weights + self.decoder.num_layers * cache_bytes(self.shape, self.forward)
