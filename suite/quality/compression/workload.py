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

from suite.attention.grouped import GroupedAttention
from suite.lm import shakespeare
from suite.lm.checkpoint.load import load_decoder
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.checkpoint.tokenizer import load_tokenizer
from suite.measure.meter import Meter
from suite.measure.stateful import time_repeats
from suite.quality.compression.layers import Int8Attention, LowRankAttention
from suite.quality.compression.low_rank import low_rank_factors, shared_moments
from suite.quality.compression.plan import BALANCED, INT8, NONE, SVD, CompressionPlan
from suite.quality.compression.text import CLASSES, Frequencies, Window, evenly_spaced, read_windows, whole_windows
from suite.records.metrics import DECODE, TEXT, within
from suite.records.record import Reading, constant_readings

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
