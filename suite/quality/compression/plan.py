"""The plan of a case of compression, from its settings, before anything is allocated. No torch."""

import math
from collections.abc import Mapping
from typing import Any

from suite.configuration.devices import device_kind
from suite.configuration.values import one_of, positive_number, whole_number
from suite.lm import shakespeare
from suite.lm.checkpoint.locate import describe_weights, missing
from suite.lm.checkpoint.sizes import read_sizes, shape_from
from suite.theory.layers.algebra import Pass
from suite.theory.layers.shapes import GroupedShape

FLOAT_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2}
NONE, SVD, ACTIVATION_SVD, BALANCED, INT8 = "none", "svd", "activation_svd", "activation_svd_balanced", "int8"
LOW_RANK = (SVD, ACTIVATION_SVD, BALANCED)
METHODS = (NONE, *LOW_RANK, INT8)
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
        self.rank = self.calibration_windows = 0
        if self.method in LOW_RANK:
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
        """The largest possible rank of a layer's keys and values together: no more than its input's width."""
        return min(self.layer.cache_elements_per_token, self.layer.hidden_size)

    @property
    def positions(self) -> int:
        """Tokens that the decoder must have room for: a window, or the timed decode."""
        return max(self.window, self.decode_len + 1)

    def facts(self) -> dict[str, Any]:
        """The layer's shape, the weights, the held-out plays and how windows are cut."""
        return {
            "shape": self.layer.describe(),
            "weights": f"{describe_weights(self.checkpoint)}, made {self.dtype}",
            "held_out_plays": list(shakespeare.HELD_OUT),
            "windows": f"{self.windows} of {self.window} tokens, evenly spread over the held-out plays, each of them "
            "cut from its beginning on; the first token of a window is given",
        }

    def constants(self) -> dict[str, dict[str, float]]:
        """Cache bytes per token if the model had MHA with a key-value head for each query head."""
        forward = Pass(batch=1, query_len=1, seq_len=1, element_bytes=FLOAT_BYTES[self.dtype])
        head_bytes = self.layer.cache_bytes_per_token(forward) // self.layer.kv_heads
        return {"case": {"cache_bytes_per_token_mha": self.shape.num_layers * self.layer.num_heads * head_bytes}}

    def least_bytes(self) -> float:
        """Bytes of the model's weights."""
        return FLOAT_BYTES[self.dtype] * self.shape.parameter_count
