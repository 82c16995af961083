"""A published model with a smaller cache reads plays that are held out: a step is one window of text.

Readings are sums over a window, of all its tokens and of those of frequent, common and rare words, so that
perplexity, loss a word and their intervals are taken on reading, paired with method=none on the same windows.

The model has read much of the internet, and most likely these plays: its knowledge of them by heart counts on both
sides of a comparison. It is not trained again after it is cut, which would win back much of what is lost.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.cache import Cache, quantised
from suite.attention.cache import restored as dequantised
from suite.attention.grouped import GroupedAttention
from suite.attention.linear import linear
from suite.lm import shakespeare
from suite.lm.checkpoint.load import load_decoder
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.checkpoint.tokenizer import load_tokenizer
from suite.measure.meter import Meter
from suite.measure.stateful import time_repeats
from suite.quality.compression.low_rank import Factors, low_rank_factors, shared_moments
from suite.quality.compression.plan import BALANCED, INT8, NONE, SVD, CompressionPlan
from suite.quality.compression.text import CLASSES, Frequencies, Window, evenly_spaced, read_windows, whole_windows
from suite.records.metrics import DECODE, TEXT, within
from suite.records.record import Reading, constant_readings
from suite.theory.layers.algebra import SCALE_BYTES, SCALED_ELEMENTS


class CompressedAttention(GroupedAttention):
    """Attention with the queries, biases and output of another layer; subclasses cache less than keys and values are.

    These are real layers: later tokens have no more of a token than its part of the cache, whether a window is read at
    once or token by token. Shapes as in suite/attention/problem.py; r: the latent's elements.
    """

    def __init__(self, layer: GroupedAttention) -> None:
        # Not GroupedAttention's own, which would draw weights.
        super(GroupedAttention, self).__init__(dtype=layer.dtype, device=layer.device, generator=layer._generator)
        for name in ("shape", "scale", "cos_Sr", "sin_Sr", "w_q", "w_o", "b_q", "b_k", "b_v"):
            setattr(self, name, getattr(layer, name))


class LowRankAttention(CompressedAttention):
    """Caches one latent of r elements a token, for all heads, and expands and rotates it when it is read."""

    def __init__(self, layer: GroupedAttention, factors: Factors) -> None:
        super().__init__(layer)
        self.w_down, self.w_up_k, self.w_up_v = (
            torch.nn.Parameter(weight.to(layer.dtype), requires_grad=False)
            for weight in (factors.down_rD, *factors.up_Er.chunk(2))
        )

    @property
    def cache_heads(self) -> int:
        """1, since all heads share the latent."""
        return 1

    @property
    def cache_widths(self) -> tuple[int, ...]:
        """Elements of each cached tensor a token: the latent's rank."""
        return (len(self.w_down),)

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cache the new latents; new queries, and the keys and values of all cached tokens, expanded."""
        assert cache is None or positions_S is None, "cached keys are rotated by where they stand in the cache"
        angles = self.angles_at(x_BSD, start, positions_S)
        (latent_B1Tr,) = self.append_to_cache(cache, start, linear(x_BSD, self.w_down)[:, None])
        latent_BTr = latent_B1Tr[:, 0]
        key_angles = angles if cache is None else self.angles_at(latent_BTr, 0, None)
        k_BGTd = self.apply_rope(self.heads(latent_BTr, self.w_up_k, self.b_k), key_angles)
        q_BHSd = self.apply_rope(self.heads(x_BSD, self.w_q, self.b_q), angles)
        return q_BHSd, k_BGTd, self.heads(latent_BTr, self.w_up_v, self.b_v)


class Int8Attention(CompressedAttention):
    """Caches keys, as they are scored, and values in eight bits, with a float32 scale for every 128 elements of a row:
    CacheRows in suite.theory.layers.algebra has that rule, FlashMLA's. The scale's bytes stand behind the row's."""

    def __init__(self, layer: GroupedAttention) -> None:
        super().__init__(layer)
        self.w_k, self.w_v = layer.w_k, layer.w_v

    @property
    def cache_dtype(self) -> torch.dtype:
        return torch.int8

    @property
    def cache_widths(self) -> tuple[int, ...]:
        """Bytes of a key row and of a value row, each with its scales."""
        width = self.shape.head_dim
        row = width + SCALE_BYTES * -(-width // SCALED_ELEMENTS)
        return (row, row)

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cache the new keys and values as int8; new queries, and the keys and values of all cached tokens."""
        angles = self.angles_at(x_BSD, start, positions_S)
        new = (rounded(row_BGSd) for row_BGSd in self.new_rows(x_BSD, angles))
        k_BGTd, v_BGTd = (restored(rows, self.dtype) for rows in self.append_to_cache(cache, start, *new))
        return self.apply_rope(self.heads(x_BSD, self.w_q, self.b_q), angles), k_BGTd, v_BGTd


def rounded(rows: Tensor) -> Tensor:
    """Quantise each row to int8, with the bytes of its float32 scales behind the elements."""
    elements, scales = quantised(rows, torch.int8)
    return torch.cat((elements, scales.view(torch.int8)), dim=-1)


def restored(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Undo `rounded`: rows of numbers in this dtype."""
    count = -(-rows.shape[-1] // (SCALED_ELEMENTS + SCALE_BYTES))
    whole, scale_bytes = rows.split((rows.shape[-1] - SCALE_BYTES * count, SCALE_BYTES * count), dim=-1)
    return dequantised(whole, scale_bytes.contiguous().view(torch.float32), dtype)


WARM_DECODES, TIMED_DECODES = 2, 12


class CompressionWorkload:
    """See suite.measure.stateful.StatefulWorkload. Constructing it allocates nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = CompressionPlan(settings)
        self.steps, self.checkpoint_seconds = self.plan.windows, self.plan.checkpoint_seconds

    @torch.no_grad()
    def prepare(self, shared: Path) -> None:
        """Load the model, cut the held-out plays into windows, and replace the attention layers as `method` says. Notes
        how far the first window's logits move, relative to the published model's."""
        plan = self.plan
        self._tokens = load_tokenizer(locate_checkpoint(plan.checkpoint), vocab_size=plan.shape.vocab_size)
        self._other_plays = shakespeare.other_plays()
        frequencies = Frequencies.in_texts(play.text for play in self._other_plays)
        windows = read_windows(shakespeare.held_out_plays(), self._tokens, frequencies, plan.window)
        self._windows = evenly_spaced(windows, plan.windows, "windows")
        dtype, device = getattr(torch, plan.dtype), torch.device(plan.device)
        self.decoder = load_decoder(plan.checkpoint, positions=plan.positions, dtype=dtype, device=device)
        self.decoder.requires_grad_(False)
        self._changes: dict[str, dict[str, float]] = {}
        if plan.method != NONE:
            published_SV = self._logits(self._windows[0])
            if plan.method == INT8:
                for number in range(self.plan.shape.num_layers):
                    self.decoder.replace_attention(number, Int8Attention(self._grouped_layer(number)))
            else:
                self._use_low_rank(shared)
            change = (self._logits(self._windows[0]) - published_SV).norm() / published_SV.norm()
            self._changes["case"] = {"logits_change": float(change)}

    def constants(self) -> Iterable[Reading]:
        """Readings of cache bytes per token, parameter count, and what the compression changed."""
        token_bytes = sum(cache.counted_bytes() for cache in self.decoder.new_caches(1, 1))
        model = {"cache_bytes_per_token": token_bytes, "model_parameter_count": self.decoder.parameter_count()}
        for quantities in (self.plan.constants(), {"case": model}, self._changes):
            yield from constant_readings(quantities)

    def facts(self) -> Mapping[str, Any]:
        """How attention runs, and the number of plays whose words gave the frequencies."""
        return {"attention_modes": self.decoder.modes(), "other_plays": len(self._other_plays)}

    @torch.no_grad()
    def step(self, meter: Meter) -> None:
        """Note loss in nats, tokens and words of one window, by word class too; the last step times decoding."""
        window = self._windows[meter.step]
        with meter.span(TEXT):
            losses_S = F.cross_entropy(self._logits(window)[:-1], self._batch(window.ids)[0, 1:], reduction="none")
        losses = losses_S.double().tolist()
        meter.note(TEXT, text_loss=sum(losses), text_tokens=len(losses), text_words=sum(window.words.values()))
        for name in CLASSES:
            part = [loss for loss, word_class in zip(losses, window.classes, strict=True) if word_class == name]
            meter.note(within(TEXT, name), text_loss=sum(part), text_tokens=len(part), text_words=window.words[name])
        if meter.step + 1 == self.steps:
            self._time_decode(meter)

    def state(self) -> dict[str, Any]:
        """Empty: a window does not depend on those before it."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore nothing; the state must be empty."""
        assert not state

    def _use_low_rank(self, shared: Path) -> None:
        """Make every layer a LowRankAttention, and note the share of keys and values that is kept."""
        plan, digest = self.plan, locate_checkpoint(self.plan.checkpoint).digest()
        texts = (self._tokens.encode(play.text) for play in self._other_plays)
        windows = [window for ids in texts for window in whole_windows(ids, plan.window)]
        calibration = evenly_spaced(windows, plan.calibration_windows, "calibration_windows")
        moments_LDD = shared_moments(self.decoder, calibration, weights_digest=digest, shared=shared)
        for number, moments_DD in enumerate(moments_LDD):
            layer = self._grouped_layer(number)
            factors = low_rank_factors(
                torch.cat((layer.w_k, layer.w_v)),
                rank=plan.rank,
                fitted_to_DD=None if plan.method == SVD else moments_DD,
                balances=plan.method == BALANCED,
                moments_DD=moments_DD,
            )
            self.decoder.replace_attention(number, LowRankAttention(layer, factors))
            self._changes[f"layer {number}"] = {"retained_variance": factors.retained_variance}

    def _grouped_layer(self, number: int) -> GroupedAttention:
        layer = self.decoder.attention_layer(number)
        assert isinstance(layer, GroupedAttention)
        return layer

    def _batch(self, ids: Sequence[int]) -> Tensor:
        """The token ids as a batch of one sequence on the model's device, [1, S]."""
        return torch.tensor([ids], device=self.decoder.made.device)

    def _logits(self, window: Window) -> Tensor:
        """Logits after each token of the window, [S, V], in float32 at least."""
        logits_SV = self.decoder.logits(self.decoder(self._batch(window.ids)))[0]
        return logits_SV if logits_SV.dtype == torch.float64 else logits_SV.float()

    def _time_decode(self, meter: Meter) -> None:
        """Time one new token of one sequence with its logits, behind `decode_len` tokens of the held-out text."""
        length, decoder = self.plan.decode_len, self.decoder
        ids = [token for window in self._windows for token in window.ids]
        before = (ids * math.ceil(length / len(ids)))[:length]
        caches = decoder.new_caches(1, length + 1)
        decoder.decode(self._batch(before), caches, 0, None)
        token_B1 = self._batch(before[-1:])

        def decode() -> None:
            decoder.logits(decoder.decode(token_B1, caches, length, None))

        time_repeats(meter, DECODE, decode, warm=WARM_DECODES, timed=TIMED_DECODES)
