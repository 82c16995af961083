"""The plan of a case of quality, from its settings, before anything is allocated. No torch."""

from collections.abc import Mapping
from typing import Any

from suite.configuration.devices import device_kind
from suite.configuration.values import one_of, positive_number, true_or_false, whole_number
from suite.measure.task_loader import NeedsPackageError
from suite.quality.tasks.task import make
from suite.records.metrics import EVALUATE, within
from suite.theory.layers.algebra import Pass
from suite.theory.layers.attention_plan import MATCHES, UnmatchedError
from suite.theory.layers.decoder_shape import decoder_shape
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.latent_shapes import FROZEN, TRAINED
from suite.theory.layers.shapes import LayerShape, grouped_shape

FLOAT_BYTES = {"float64": 8, "float32": 4}
ADAMW_TENSORS = 4  # tensors of a parameter's size: itself, its gradient and AdamW's two moments
ID_MULTIPLE = 64  # divisor of the vocabulary's size, as kernels like it; the ids above the task's are never used


class QualityPlan:
    """The settings of one case, checked. Raises ValueError for wrong ones."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.device: str = device_kind(settings)
        self.dtype: str = one_of(settings, "dtype", FLOAT_BYTES)
        self.threads = whole_number(settings, "threads", at_least=1)
        self.seed = whole_number(settings, "seed", at_least=0)
        self.updates = whole_number(settings, "updates", at_least=1)
        self.eval_every = whole_number(settings, "eval_every", at_least=1)
        if self.updates % self.eval_every:
            raise ValueError(f"updates must be a multiple of eval_every; got {self.updates} and {self.eval_every}")
        self.batch = whole_number(settings, "batch", at_least=1)
        self.lr = positive_number(settings, "lr")
        self.warmup_updates = whole_number(settings, "warmup_updates", at_least=0)
        self.max_grad_norm = positive_number(settings, "max_grad_norm")
        self.ablates_heads = true_or_false(settings, "ablate_heads")
        self.decode_len = whole_number(settings, "decode_len", at_least=1)
        self.checkpoint_seconds = positive_number(settings, "checkpoint_seconds")
        self.freezes_embeddings: bool = one_of(settings, "embeddings", (TRAINED, FROZEN)) == FROZEN
        match: str = one_of(settings, "match", MATCHES)
        self.refusal: str | None = None
        """The reason why a case that is right in itself cannot be laid out; it then has no task or no shape."""
        try:
            self.task = make(settings)
            vocab_size = -(-self.task.vocab_size // ID_MULTIPLE) * ID_MULTIPLE
            self.shape = decoder_shape(
                settings["geometry"], settings["attention"], vocab_size=vocab_size, where="geometry.", match=match
            )
        except (NeedsPackageError, UnmatchedError) as error:
            self.refusal = str(error)
            return
        self._mha = grouped_shape(geometry_from(settings["geometry"]), kv_heads="all")
        if self.shape.num_layers < self.task.least_layers:
            raise ValueError(
                f"geometry.num_layers must be at least {self.task.least_layers}, or no decoder can answer this task; "
                f"got {self.shape.num_layers}"
            )

    @property
    def steps(self) -> int:
        """Steps of the case, each of `eval_every` updates and one evaluation."""
        return self.updates // self.eval_every

    @property
    def positions(self) -> int:
        return max(self.task.longest, self.decode_len + 1)

    def facts(self) -> dict[str, Any]:
        """The layer's shape, how it was matched to a budget if so asked, and the task's own facts."""
        match = {} if self.shape.match_described is None else {"match": self.shape.match_described}
        task = {"groups": list(self.task.groups), **self.task.facts()}
        return {"shape": self.shape.layer.describe(), **match, "task": task}

    def constants(self) -> dict[str, dict[str, float]]:
        """Parameter counts, cache bytes per token (MHA's too) and chance level of each kind, by span."""
        shape, task = self.shape, self.task
        case: dict[str, float] = {
            "model_parameter_count": shape.parameter_count,
            "parameter_count": shape.layer.parameter_count,
            "cache_bytes_per_token": self._cache_bytes(shape.layer),
            "cache_bytes_per_token_mha": self._cache_bytes(self._mha),
        }
        if shape.match_residual is not None:
            case["match_residual"] = shape.match_residual
        chance_levels = {within(EVALUATE, kind): {"chance": task.chance} for kind in (*task.groups, *task.kinds)}
        return {"case": case, EVALUATE: {"chance": task.chance}, **chance_levels}

    def least_bytes(self) -> float:
        """Bytes of the decoder, of gradients and AdamW's moments of what is trained, and of the timed token's cache."""
        shape = self.shape
        embeddings = shape.vocab_size * shape.hidden_size if self.freezes_embeddings else 0
        frozen = shape.num_layers * shape.layer.frozen_parameters + embeddings
        weights = ADAMW_TENSORS * shape.parameter_count - (ADAMW_TENSORS - 1) * frozen
        return weights * FLOAT_BYTES[self.dtype] + self.decode_len * self._cache_bytes(shape.layer)

    def _cache_bytes(self, layer: LayerShape) -> int:
        token = Pass(batch=1, query_len=1, seq_len=1, element_bytes=FLOAT_BYTES[self.dtype])
        return self.shape.num_layers * layer.cache_bytes_per_token(token)
