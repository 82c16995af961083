"""What the closed forms say of an attention case before anything is allocated.

The parent process, which holds no torch, refuses here what is wrong in itself; the worker takes its exact quantities
from the same object.
"""

from collections.abc import Mapping
from typing import Any

from suite.configuration import locate, one_of, whole_number
from suite.theory import shapes
from suite.theory.geometry import geometry_from
from suite.theory.roofline import MeasuredCeilings

ELEMENT_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2}
PHASES = ("prefill", "decode")
MATCHES = ("heads",)
SPANS = ("layer", "kernel")


class AttentionPlan:
    """Settings of one attention case, checked, with its closed forms. Raises ValueError for what is wrong in itself."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.phase: str = one_of(settings, "phase", PHASES)
        one_of(settings, "match", MATCHES)
        self.dtype: str = one_of(settings, "dtype", ELEMENT_BYTES)
        self.device: str = one_of(settings, "device", ("cpu", "cuda"))
        self.threads = whole_number(settings, "threads", at_least=1)
        self.seed = whole_number(settings, "seed", at_least=0)
        one_of(settings, "cache_dtype", (None,))
        tp = whole_number(settings, "tp", at_least=1)
        seq_len = whole_number(settings, "seq_len", at_least=1)
        query_len = seq_len if self.phase == "prefill" else whole_number(settings, "query_len", at_least=1)
        if query_len > seq_len:
            raise ValueError(
                f"query_len must be at most seq_len, which counts all tokens; got {query_len} and {seq_len}"
            )
        self.forward = shapes.Pass(
            batch=whole_number(settings, "batch", at_least=1),
            query_len=query_len,
            seq_len=seq_len,
            element_bytes=ELEMENT_BYTES[self.dtype],
        )
        geometry = geometry_from(settings["geometry"])
        attention = {key: value for key, value in settings["attention"].items() if key not in ("_target_", "shape")}
        self.shape: shapes.LayerShape = _built(settings["attention"]["shape"], geometry, tp=tp, **attention)
        self.mha_shape = shapes.grouped_shape(geometry, tp=tp, kv_heads="all")

    def constants(self) -> dict[str, dict[str, float]]:
        """Exact quantities by span: what a kernel or the layer must compute and move, and what is kept."""
        shape, forward = self.shape, self.forward
        return {
            "kernel": {
                "flops": shape.core_flops(forward),
                "traffic_bytes": shapes.kernel_bytes(shape, forward),
            },
            "layer": {
                "flops": shapes.layer_flops(shape, forward),
                "traffic_bytes": shapes.layer_bytes(shape, forward),
            },
            "case": {
                "cache_bytes": shapes.cache_bytes(shape, forward),
                "cache_bytes_mha": shapes.cache_bytes(self.mha_shape, forward),
                "parameter_count": shape.parameter_count,
            },
        }

    def predicted_step_s(self, measured: MeasuredCeilings) -> float:
        """Least time of one step, which runs every span once."""
        constants = self.constants()
        return sum(measured.at(constants[span]["traffic_bytes"]).bound_s(**constants[span]) for span in SPANS)


def _built(dotted: str, *args: Any, **kwargs: Any) -> shapes.LayerShape:
    """Call a variant's shape function; a setting that it does not know is a sentence, not a traceback."""
    build = locate(dotted)
    try:
        shape: shapes.LayerShape = build(*args, **kwargs)
    except TypeError as error:
        raise ValueError(f"the settings under attention do not fit {dotted} ({error})") from error
    return shape
