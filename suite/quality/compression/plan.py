"""The plan of a case of compression, from its settings, before anything is allocated. No torch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from suite.configuration.devices import device_kind
from suite.configuration.values import one_of, positive_number, whole_number
from suite.lm import shakespeare
from suite.lm.checkpoint.locate import describe_weights, missing
from suite.lm.checkpoint.sizes import read_sizes, shape_from
from suite.theory.layers.algebra import Pass
from suite.theory.layers.latent_shapes import AbsorbedShape
from suite.theory.layers.shapes import GroupedShape, LayerShape

FLOAT_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2}
NONE, SVD, ACTIVATION_SVD, BALANCED, INT8 = "none", "svd", "activation_svd", "activation_svd_balanced", "int8"
LOW_RANK = (SVD, ACTIVATION_SVD, BALANCED)
METHODS = (NONE, *LOW_RANK, INT8)
EQUAL, BY_SPECTRUM = "equal", "spectrum"
SHORTEST_WINDOW = 2  # two tokens, of which the first is given


class CompressionPlan:
    """The settings of one case, checked. Raises ValueError for wrong ones."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.device: str = device_kind(settings)
        self.dtype: str = one_of(settings, "dtype", FLOAT_BYTES)
        self.threads = whole_number(settings, "threads", at_least=1)
        self.checkpoint = str(settings["checkpoint"])
        sizes = read_sizes(self.checkpoint, "checkpoint")
        self.shape, _ = shape_from(sizes, "checkpoint")
        assert isinstance(self.shape.layer, GroupedShape)
        self.layer = self.shape.layer
        longest: int = sizes["max_position"]
        self.window = whole_number(settings, "window", at_least=SHORTEST_WINDOW, at_most=longest)
        self.method: str = one_of(settings, "method", METHODS)
        self.rank = self.calibration_windows = self.distill_updates = 0
        self.rope_width: int | None = None
        self.cache_dtype = INT8 if self.method == INT8 else None
        if self.method in LOW_RANK:
            if settings["rope_width"] is not None:
                self.rope_width = whole_number(settings, "rope_width", at_least=0, at_most=self.layer.head_dim)
                width = f"; got {self.rope_width}"
                if self.rope_width % 2:
                    raise ValueError(f"rope_width must be even, since rotary embedding turns pairs{width}")
                if self.shape.qkv_bias:
                    raise ValueError(f"rope_width must be null for a checkpoint with biases, as Qwen2's{width}")
            self.cache_dtype = one_of(settings, "latent_dtype", (None, INT8))
            self.ranks: str = one_of(settings, "ranks", (EQUAL, BY_SPECTRUM))
            self.distill_updates = whole_number(settings, "distill_updates", at_least=0)
            self.learning_rate = positive_number(settings, "distill_learning_rate")
            self.rank = whole_number(settings, "rank", at_least=1, at_most=self.full_rank)
            # As many tokens as a layer's input has elements: directions that fewer do not show would be cut for
            # nothing.
            fewest = math.ceil(self.layer.hidden_size / self.window)
            self.calibration_windows = whole_number(settings, "calibration_windows", at_least=fewest)
        self.windows = whole_number(settings, "windows", at_least=1)
        self.decode_len = whole_number(settings, "decode_len", at_least=1, at_most=longest - 1)
        self.checkpoint_seconds = positive_number(settings, "checkpoint_seconds")
        self.refusal = missing(self.checkpoint) or shakespeare.missing()

    @property
    def full_rank(self) -> int:
        """The largest possible rank of what a latent keeps of a layer's keys and values: no more than its input's
        width."""
        rotary = self.layer.kv_heads * (self.rope_width or 0)
        return min(self.layer.cache_elements_per_token - rotary, self.layer.hidden_size)

    @property
    def positions(self) -> int:
        """Tokens that the decoder must have room for: a window, or the timed decode."""
        return max(self.window, self.decode_len + 1)

    def cache_bytes(self, ranks: Sequence[int]) -> int:
        """Bytes that a token leaves in the cache of all layers; `ranks`: of each layer, where there is a latent."""
        latents = [absorbed_form(self.layer, rank=rank, rope_width=self.rope_width or 0) for rank in ranks]
        shapes: Sequence[LayerShape] = latents or [self.layer] * self.shape.num_layers
        return sum(shape.cache_bytes_per_token(self._forward(self.cache_dtype)) for shape in shapes)

    def decode_settings(self) -> dict[str, Any] | None:
        """Settings of workload=attention that measure a step of such a layer, of mean rank where ranks differ; None for
        a latent whose keys are rotated when it is read, which the suite has no kernel for."""
        settings: dict[str, Any] = {"attention": "mha" if self.layer.kv_heads == self.layer.num_heads else "gqa"}
        if self.method in LOW_RANK:
            if self.rope_width is None:
                return None
            form = absorbed_form(self.layer, rank=self.rank, rope_width=self.rope_width)
            sizes = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "latent_norm")
            settings = {"attention": "mla", "attention.q_lora_rank": 0}
            settings |= {f"attention.{name}": getattr(form, name) for name in sizes}
        for name in ("hidden_size", "num_heads", "head_dim"):
            settings[f"geometry.{name}"] = getattr(self.layer, name)
        return settings | {"geometry.num_kv_heads": self.layer.kv_heads, "cache_dtype": self.cache_dtype}

    def facts(self) -> dict[str, Any]:
        """The layer's shape, the weights, the held-out plays and how windows are cut."""
        return {
            "shape": self.layer.describe(),
            "decode_settings": self.decode_settings(),
            "weights": f"{describe_weights(self.checkpoint)}, made {self.dtype}",
            "held_out_plays": list(shakespeare.HELD_OUT),
            "windows": f"{self.windows} of {self.window} tokens, evenly spread over the held-out plays, each of them "
            "cut from its beginning on; the first token of a window is given",
        }

    def constants(self) -> dict[str, dict[str, float]]:
        """Cache bytes per token if the model had MHA with a key-value head for each query head."""
        head_bytes = self.layer.cache_bytes_per_token(self._forward(None)) // self.layer.kv_heads
        return {"case": {"cache_bytes_per_token_mha": self.shape.num_layers * self.layer.num_heads * head_bytes}}

    def _forward(self, cache_dtype: str | None) -> Pass:
        element_bytes = FLOAT_BYTES[self.dtype]
        return Pass(batch=1, query_len=1, seq_len=1, element_bytes=element_bytes, cache_dtype=cache_dtype)

    def least_bytes(self) -> float:
        """Bytes of the model's weights."""
        return FLOAT_BYTES[self.dtype] * self.shape.parameter_count


def absorbed_form(layer: GroupedShape, *, rank: int, rope_width: int) -> AbsorbedShape:
    """MLA's shape of a grouped layer with a latent of this rank, whose key heads keep `rope_width` rotary columns each:
    side by side they are MLA's one rotary key."""
    return AbsorbedShape(
        hidden_size=layer.hidden_size,
        num_heads=layer.num_heads,
        rope=layer.rope,
        rule="of a grouped layer",
        q_lora_rank=None,
        kv_lora_rank=rank,
        qk_nope_head_dim=layer.head_dim - rope_width,
        qk_rope_head_dim=layer.kv_heads * rope_width,
        v_head_dim=layer.head_dim,
        latent_norm=False,
    )
