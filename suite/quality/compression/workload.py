"""A published model with a smaller cache reads plays that are held out: a step is one window of text.

Readings are sums over a window, of all its tokens and of those of frequent, common and rare words, so that
perplexity, loss a word and their intervals are taken on reading, paired with method=none on the same windows.

The model has read much of the internet, and most likely these plays: its knowledge of them by heart counts on both
sides of a comparison. It is not trained again after it is cut, but for `distill_updates` that teach the compressed
projections what the model as it is says of other plays.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.cache import DTYPES
from suite.attention.grouped import GroupedAttention
from suite.lm import shakespeare
from suite.lm.checkpoint.load import load_decoder
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.checkpoint.tokenizer import load_tokenizer
from suite.lm.decoder import Decoder
from suite.measure.meter import Meter
from suite.measure.stateful import time_repeats
from suite.quality.compression.distill import distil, divergence
from suite.quality.compression.layers import (
    LowRankAttention,
    PartialRopeAttention,
    latent_rows,
)
from suite.quality.compression.low_rank import low_rank_factors, ranks_by_spectrum, rotary_pairs, shared_moments
from suite.quality.compression.plan import BALANCED, BY_SPECTRUM, INT8, NONE, SVD, CompressionPlan
from suite.quality.compression.tasks import CONTINUATION, make_tasks
from suite.quality.compression.text import CLASSES, Frequencies, evenly_spaced, read_windows, whole_windows
from suite.records.metrics import DECODE, DISTILL, TASK, TEXT, within
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
        self.decoder = self._published()
        self._changes: dict[str, dict[str, float]] = {}
        self._ranks: list[int] = []
        if plan.method != NONE:
            published_SV = self._logits(self._windows[0].ids)
            if plan.method != INT8:
                self._use_low_rank(shared)
            if plan.distill_updates:
                self._distil()
            if plan.cache_dtype is not None:  # last: rounding has no gradient
                self.decoder.cache_rounding = DTYPES[plan.cache_dtype]
            change = (self._logits(self._windows[0].ids) - published_SV).norm() / published_SV.norm()
            self._changes["case"] = {"logits_change": float(change)}

    def constants(self) -> Iterable[Reading]:
        """Readings of cache bytes per token, parameter count, and what the compression changed."""
        token_bytes = self.plan.cache_bytes(self._ranks)
        if self.plan.cache_dtype is None:  # else rows are rounded, and not packed
            assert token_bytes == sum(cache.counted_bytes() for cache in self.decoder.new_caches(1, 1))
        model = {"cache_bytes_per_token": token_bytes, "model_parameter_count": self.decoder.parameter_count()}
        for quantities in (self.plan.constants(), {"case": model}, self._changes):
            yield from constant_readings(quantities)

    def facts(self) -> Mapping[str, Any]:
        """How attention runs, and the number of plays whose words gave the frequencies."""
        return {"attention_modes": self.decoder.modes(), "other_plays": len(self._other_plays)}

    @torch.no_grad()
    def step(self, meter: Meter) -> None:
        """Note loss in nats, tokens and words of one window, by word class too, and right answers of each
        task; the last step times decoding."""
        window = self._windows[meter.step]
        with meter.span(TEXT):
            logits_SV = self._logits(window.ids)
            losses_S = F.cross_entropy(logits_SV[:-1], self._batch(window.ids)[0, 1:], reduction="none")
        losses = losses_S.double().tolist()
        meter.note(TEXT, text_loss=sum(losses), text_tokens=len(losses), text_words=sum(window.words.values()))
        for name in CLASSES:
            part = [loss for loss, word_class in zip(losses, window.classes, strict=True) if word_class == name]
            meter.note(within(TEXT, name), text_loss=sum(part), text_tokens=len(part), text_words=window.words[name])
        for name, choices in make_tasks(window.ids, meter.step).items():
            # The next tokens of the text are asked by the logits that its loss is of.
            right = choices.right_answers(logits_SV if name == CONTINUATION else self._logits(choices.tokens_S))
            answers, guessed = len(choices.places_Q), len(choices.places_Q) / len(choices.candidates_QC[0])
            meter.note(within(TASK, name), task_right=right, task_answers=answers, task_guessed=guessed)
        if meter.step + 1 == self.steps:
            self._time_decode(meter)

    def state(self) -> dict[str, Any]:
        """Empty: a window does not depend on those before it."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore nothing; the state must be empty."""
        assert not state

    def _use_low_rank(self, shared: Path) -> None:
        """Make every layer one with a latent, and note the share of keys and values that is kept, and its rank."""
        plan, digest = self.plan, locate_checkpoint(self.plan.checkpoint).digest()
        calibration = evenly_spaced(self._other_windows, plan.calibration_windows, "calibration_windows")
        moments_LDD = shared_moments(self.decoder, calibration, weights_digest=digest, shared=shared)
        layers = [self._grouped_layer(number) for number in range(plan.shape.num_layers)]
        pairs_LGp: list[Tensor | None] = [None] * len(layers)
        if plan.rope_width is not None:
            rotary: dict[str, Any] = {"shape": plan.layer, "count": plan.rope_width // 2}
            each = zip(layers, moments_LDD, strict=True)
            pairs_LGp = [rotary_pairs(layer.w_q, layer.w_k, moments_DD=moments, **rotary) for layer, moments in each]
        weights = [latent_rows(layer, pairs) for layer, pairs in zip(layers, pairs_LGp, strict=True)]
        fitted_to = [None if plan.method == SVD else moments_DD for moments_DD in moments_LDD]
        cut: dict[str, Any] = {"balances": plan.method == BALANCED, "keys": len(weights[0]) - len(layers[0].w_v)}
        self._ranks = [plan.rank] * len(layers)
        if plan.ranks == BY_SPECTRUM:
            self._ranks = ranks_by_spectrum(weights, rank=plan.rank, fitted_to=fitted_to, **cut)
        for number, (layer, pairs) in enumerate(zip(layers, pairs_LGp, strict=True)):
            rank = self._ranks[number]
            cut |= {"fitted_to_DD": fitted_to[number], "moments_DD": moments_LDD[number]}
            factors = low_rank_factors(weights[number], rank=rank, **cut)
            self.decoder.replace_attention(
                number,
                LowRankAttention(layer, factors) if pairs is None else PartialRopeAttention(layer, pairs, factors),
            )
            self._changes[f"layer {number}"] = {"retained_variance": factors.retained_variance, "latent_rank": rank}

    def _distil(self) -> None:
        """Train the compressed projections alone, and note the divergence on the first window before and after."""
        plan = self.plan
        windows = evenly_spaced(self._other_windows, plan.distill_updates, "distill_updates")
        teacher = self._published()
        for number in range(plan.shape.num_layers):
            layer = self.decoder.attention_layer(number)
            assert isinstance(layer, LowRankAttention | PartialRopeAttention)
            for name in layer.compressed:
                getattr(layer, name).requires_grad_(True)
        for moment in ("before", "after"):
            if moment == "after":
                distil(self.decoder, teacher, windows, learning_rate=plan.learning_rate)
            loss = float(divergence(self.decoder, teacher, self._windows[0].ids))
            self._changes[within(DISTILL, moment)] = {"distillation_loss": loss}
        self.decoder.requires_grad_(False)

    def _published(self) -> Decoder:
        making = {"dtype": getattr(torch, self.plan.dtype), "device": torch.device(self.plan.device)}
        return load_decoder(self.plan.checkpoint, positions=self.plan.positions, **making).requires_grad_(False)

    @functools.cached_property
    def _other_windows(self) -> list[Sequence[int]]:
        texts = (self._tokens.encode(play.text) for play in self._other_plays)
        return [window for ids in texts for window in whole_windows(ids, self.plan.window)]

    def _grouped_layer(self, number: int) -> GroupedAttention:
        layer = self.decoder.attention_layer(number)
        assert isinstance(layer, GroupedAttention)
        return layer

    def _batch(self, ids: Sequence[int]) -> Tensor:
        """The token ids as a batch of one sequence on the model's device, [1, S]."""
        return torch.tensor([ids], device=self.decoder.factory.device)

    def _logits(self, ids: Sequence[int]) -> Tensor:
        """Logits after each token, [S, V], in float32 at least."""
        decoder, tokens_BS = self.decoder, self._batch(ids)
        if decoder.cache_rounding is None:
            h_BSD = decoder(tokens_BS)
        else:  # rows are rounded where they are cached; a rotary key, of 16 bits by the closed form, stays as it is
            h_BSD = decoder.decode(tokens_BS, decoder.new_caches(1, len(ids)), 0, None)
        logits_SV = decoder.logits(h_BSD)[0]
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
