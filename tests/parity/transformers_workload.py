"""What a user of transformers gets today: its own attention layer as a workload, beside ours.

One step decodes one token at the end of a random context. The context lies in a DynamicCache, which grows by
concatenation: every step copies the whole cache, and that copy is timed, as its user pays for it. Angles and mask are
made outside the span, since a model of theirs makes them once for all its layers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import DynamicCache
from transformers.masking_utils import create_causal_mask

from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa import Sdpa
from suite.attention.cache import Cache
from suite.attention.check import relative_error
from suite.attention.grouped import GroupedAttention
from suite.attention.latent import ReexpandingLatentAttention
from suite.attention.layer import AttentionLayer
from suite.attention.workload import DTYPES, MATH_PATH
from suite.configuration.files import locate
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError, UnsupportedError
from suite.records.record import Reading, constant_readings
from suite.theory.layers.attention_plan import AttentionPlan
from tests.parity.their_layers import TheirLayer, deepseek_v3_layer, evens_then_odds, llama_layer

IMPLEMENTATIONS = {Eager: "eager", Sdpa: "sdpa"}
LARGEST_ERROR = {"float64": 1e-6, "float32": 1e-4, "bfloat16": 3e-2, "float16": 5e-3}
"""Relative Frobenius error of their output against our layer's, with the same weights and inputs, at position 0."""
ANGLE_ERROR = 2**-24
"""Their frequencies are float32, so an angle is off by this share of it at most: more the farther the position."""


class TransformersWorkload:
    """See suite.measure.workload.Workload. Times the whole layer only."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = AttentionPlan(settings)
        self._settings = settings

    def prepare(self) -> None:
        plan, settings = self.plan, self._settings
        self._implementation = _implementation(plan, settings)
        self._generator = torch.Generator().manual_seed(plan.seed)
        self._ours: AttentionLayer = locate(settings["attention"]["_target_"])(
            plan.shape,
            positions=plan.forward.seq_len,
            dtype=DTYPES[plan.dtype],
            device=torch.device(plan.device),
            generator=self._generator,
        )
        self._theirs = _their_layer(self._ours, settings["geometry"], self._implementation)
        self._last = plan.forward.seq_len - 1
        self._our_cache = self._ours.new_cache(plan.forward)
        self._draw()

    def constants(self) -> Iterable[Reading]:
        quantities = self.plan.constants()
        yield from constant_readings({span: quantities[span] for span in ("layer", "case")})
        self._decode()
        kept = self._cache.layers[0]
        counted = kept.keys.nbytes + kept.values.nbytes
        yield Reading(step=0, span="case", metric="cache_bytes_counted", value=counted)

    def facts(self) -> Mapping[str, Any]:
        return {
            "backend": f"transformers {transformers.__version__} {self._implementation}",
            "their_layer": type(self._theirs.attention).__name__,
            "their_cache": "DynamicCache, whose copy at every step is timed",
            "checked_against": "the suite's own layer with the same weights",
            **self.plan.facts(),
        }

    def warnings(self, operators: Mapping[str, Sequence[str]]) -> Iterable[str]:
        if MATH_PATH in operators["layer"]:
            yield f"layer: {self._implementation} fell to torch's math path, which is no fused kernel"

    def check(self) -> Iterable[Reading]:
        self._draw()
        ours = self._ours
        with torch.inference_mode():
            backend = Eager(ours.problem(self.plan.forward))
            wanted = ours.output(backend(*ours.project(self._x_BSD, self._our_cache, self._last)))
        error = relative_error(self._decode(), wanted.double())
        allowed = LARGEST_ERROR[self.plan.dtype] + ANGLE_ERROR * self._last
        readings = [
            Reading(step=0, span="layer", metric="relative_error", value=error),
            Reading(step=0, span="layer", metric="allowed_error", value=allowed),
        ]
        if not error <= allowed:
            raise IncorrectError(f"relative error {error:.3g} against our layer is above {allowed:.3g}", readings)
        return readings

    def step(self, meter: Meter) -> None:
        self._rewind()
        with torch.inference_mode(), meter.span("layer"):
            self._attend()

    def parts(self) -> Mapping[str, Callable[[], object]]:
        return {"layer": self._decode}

    def _decode(self) -> Tensor:
        self._rewind()
        with torch.inference_mode():
            return self._attend()

    def _attend(self) -> Tensor:
        return self._theirs.attend(self._x_BSD, self._angles, self._cache, self._mask)

    def _rewind(self) -> None:
        """Take the last step's token away: its concatenation left the context as it was."""
        kept = self._cache.layers[0]
        kept.keys, kept.values = self._context

    def _draw(self) -> None:
        """A fresh token and a fresh context, the same for both layers, and what their model hands to every layer."""
        forward, width = self.plan.forward, self.plan.shape.hidden_size
        with torch.inference_mode():
            self._our_cache.fill(self._generator)
            self._x_BSD = torch.empty(forward.batch, 1, width, dtype=self._ours.dtype).normal_(
                generator=self._generator
            )
            self._context = _their_context(self._ours, self._our_cache, self._last)
            self._cache = DynamicCache([self._context])
            position = torch.tensor([[self._last]])
            self._angles = self._theirs.rotary(self._x_BSD, position)
            self._mask = create_causal_mask(
                self._theirs.config, self._x_BSD, attention_mask=None, cache=self._cache, position_ids=position
            )


def _implementation(plan: AttentionPlan, settings: Mapping[str, Any]) -> str:
    """transformers' name for a backend. Raises UnsupportedError for a case that this workload does not run."""
    if plan.phase != "decode" or plan.forward.query_len != 1:
        raise UnsupportedError("transformers' layers are timed in decoding one token only: phase=decode query_len=1")
    if plan.device != "cpu" or plan.forward.cache_dtype is not None:
        raise UnsupportedError("transformers' layers are timed on a CPU only, with a cache of the dtype")
    implementation = IMPLEMENTATIONS.get(locate(settings["backend"]["_target_"]))
    if implementation is None:
        raise UnsupportedError(f"transformers' layers run with backend={' or '.join(IMPLEMENTATIONS.values())} only")
    return implementation


def _their_layer(ours: AttentionLayer, geometry: Mapping[str, Any], implementation: str) -> TheirLayer:
    if type(ours) is ReexpandingLatentAttention:
        if not (ours.shape.latent_norm and ours.shape.qk_rope_head_dim):
            raise UnsupportedError("transformers' MLA has a rotary part and norms its latent")
        return deepseek_v3_layer(ours, geometry, implementation)
    if type(ours) is GroupedAttention:
        theirs = llama_layer(ours, geometry, implementation)
        theirs.attention.scaling = ours.scale  # Llama has no factor on its scores; grouped heads over MLA's sizes may
        return theirs
    raise UnsupportedError("transformers has the layers of attention=mla_latent, mha, gqa and mqa only")


def _their_context(ours: AttentionLayer, cache: Cache, length: int) -> tuple[Tensor, Tensor]:
    """The first tokens of our cache as their layer keeps them: keys and values, or the latent and the rotary key."""
    views = [view[:, :, :length] for view in cache.views()]
    if isinstance(ours, ReexpandingLatentAttention):
        latent, k_r = views[0].split((ours.shape.kv_lora_rank, ours.shape.qk_rope_head_dim), dim=-1)
        views = [latent, evens_then_odds(k_r)]
    keys, values = (view.contiguous() for view in views)
    return keys, values
