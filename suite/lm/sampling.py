"""Completions of many prompts at once, with a cache.

What makes it fast at small sizes: the prompt of a group is read once and its cache copied, rows that have ended are
taken out of the batch, and all noise is drawn before the loop. Large models have a copy of their weights beside, see
suite/lm/packed.py, and noise for some tokens at a time. Every row has noise of its own: whether a neighbour has ended
changes nothing.

Shapes: P prompts, S their tokens (padded on the left), N = P x copies completions, T their tokens, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.attend import prompt_mask
from suite.lm.decoder import Decoder, scored_in
from suite.lm.packed import PackedDecoder, rollout_engine
from suite.lm.tokenizer import END, PAD
from suite.measure.memory_tracker import BackwardScope, attribute_to
from suite.records.holdings import EXPERIENCE, KV_CACHE, LOGITS, NOBODY

COMPACTED_BELOW = 0.75
"""Share of the rows in the batch: copying the caches of those that go on pays only where a good part has ended."""

ROOM = 16
"""Tokens that the caches can take before they are copied to larger ones. Room for a whole completion would lay each
row's few tokens on memory pages of their own, and all of them are read at every token: on a CPU 5 to 10% slower.
A large model's token fills much of a page by itself, and copying its caches is dear: their room doubles."""
NOISE_ELEMENTS = 1 << 22
"""Drawn at once, 16 MiB in float32: a whole rollout's where it is no more, so that a small one makes one call. What is
drawn depends on how it is cut, so this is part of what a seed means."""


Noise = torch.Generator | Sequence[torch.Generator] | None


@dataclass(frozen=True, kw_only=True)
class Prompts:
    tokens_PS: Tensor
    valid_PS: Tensor | None = None  # True on a prompt's own tokens; None where all are equally long

    def rows(self, chosen: Tensor) -> "Prompts":
        """The prompts at these indices, or where a mask is True."""
        valid = None if self.valid_PS is None else self.valid_PS[chosen]
        return Prompts(tokens_PS=self.tokens_PS[chosen], valid_PS=valid)

    def repeated(self, copies: int) -> "Prompts":
        """Each prompt `copies` times, copies of one prompt next to each other."""
        valid = None if self.valid_PS is None else self.valid_PS.repeat_interleave(copies, dim=0)
        return Prompts(tokens_PS=self.tokens_PS.repeat_interleave(copies, dim=0), valid_PS=valid)


@dataclass(frozen=True, kw_only=True)
class Samples:
    tokens_NT: Tensor  # PAD behind the end. T is the longest completion's length.
    mask_NT: Tensor  # 1.0 on a completion's tokens, its end token included
    log_probs_NT: Tensor  # log-probabilities of the sampled tokens at the sampling temperature; 0 on padding
    entropy_NT: Tensor | None  # entropies of the distributions that were sampled from, in nats; 0 on padding
    is_truncated_N: Tensor  # True for completions that were cut at the limit, without an end token

    @property
    def lengths(self) -> Tensor:
        """Tokens of each completion, the end token included, as floats."""
        return self.mask_NT.sum(dim=1)


def prompts_from(ids: Sequence[Sequence[int]], device: torch.device) -> Prompts:
    """Prompts as tensors on the device from their token ids, padded on the left if their lengths differ."""
    longest = max(map(len, ids))
    tokens_PS = torch.tensor([[PAD] * (longest - len(prompt)) + list(prompt) for prompt in ids], device=device)
    if all(len(prompt) == longest for prompt in ids):
        return Prompts(tokens_PS=tokens_PS)
    lengths_P1 = torch.tensor([[len(prompt)] for prompt in ids], device=device)
    return Prompts(tokens_PS=tokens_PS, valid_PS=torch.arange(longest, device=device) >= longest - lengths_P1)


def sample(
    model: Decoder,
    prompts: Prompts,
    *,
    copies: int = 1,
    longest: int,
    end: int = END,
    temperature: float = 1.0,
    generator: Noise,
    with_entropy: bool = False,
) -> Samples:
    """Sample `copies` completions of each prompt, next to each other. `generator`: None takes the likeliest token; of a
    list each is one copy's, so that completions do not depend on how many copies are sampled at once.

    `longest`: tokens of a completion at most, the end token included. `end`: the id of that token.
    """
    rollout = Rollout(rollout_engine(model), prompts, copies=copies, longest=longest, end=end)
    return rollout.run(temperature, generator, with_entropy=with_entropy)


def minus_entropy(log_p_NV: Tensor) -> Tensor:
    """Σ p log p of each distribution, [N], in nats: minus its entropy."""
    with attribute_to(kind=LOGITS):
        terms_NV = log_p_NV.exp() * log_p_NV
    return BackwardScope(LOGITS).enters(terms_NV.sum(dim=-1))


def tempered(logits_NV: Tensor, temperature: float) -> Tensor:
    """The logits divided by the temperature."""
    return logits_NV if temperature == 1.0 else logits_NV / temperature


class Rollout:
    """One rollout: the tokens so far, the rows that go on, and their caches. B: rows in the batch."""

    def __init__(
        self, model: Decoder | PackedDecoder, prompts: Prompts, *, copies: int, longest: int, end: int
    ) -> None:
        self._model, self._prompts, self._copies, self._longest, self._end = model, prompts, copies, longest, end
        device, dtype, rows = model.factory.device, scored_in(model.factory.dtype), len(prompts.tokens_PS) * copies
        self.taken = 0  # tokens of each completion so far
        with attribute_to(NOBODY, EXPERIENCE):
            self.tokens_TN = torch.full((longest, rows), PAD, device=device)
            self.log_probs_TN = torch.zeros(longest, rows, dtype=dtype, device=device)
            self.entropy_TN = torch.zeros_like(self.log_probs_TN)
        self._filled = 0  # tokens of each row in the caches
        self._going_B: Tensor | None = None  # indices of the rows in the batch; None while all are
        self._ended_B = torch.zeros(rows, dtype=torch.bool, device=device)
        self._seen_BT: Tensor | None = None  # tokens that a new one sees, where prompts are padded

    def run(self, temperature: float, generator: Noise, *, with_entropy: bool) -> Samples:
        """Sample token after token until all rows have ended or are full. `generator`: as in `sample`."""
        with torch.inference_mode():
            self._sample(temperature, generator, with_entropy=with_entropy)
        # Copied out of inference mode, whose tensors autograd refuses.
        with attribute_to(NOBODY, EXPERIENCE):
            tokens_NT = self.tokens_TN[: self.taken].T.clone()
            ends_NT = tokens_NT == self._end
            before_end_NT = ends_NT.cumsum(dim=1) - ends_NT.long() == 0
            mask_NT = before_end_NT.to(self.log_probs_TN.dtype)
            return Samples(
                tokens_NT=tokens_NT.where(before_end_NT, PAD),
                mask_NT=mask_NT,
                log_probs_NT=self.log_probs_TN[: self.taken].T * mask_NT,
                entropy_NT=self.entropy_TN[: self.taken].T * mask_NT if with_entropy else None,
                is_truncated_N=~ends_NT.any(dim=1),
            )

    def _sample(self, temperature: float, generator: Noise, *, with_entropy: bool) -> None:
        """Sample token after token into `tokens_TN`, with log-probabilities."""
        noise = self._noise(generator)
        h_BD = self._prefill()
        while True:
            with attribute_to(kind=LOGITS):
                log_p_BV = F.log_softmax(tempered(self._model.logits(h_BD), temperature), dim=-1)
                noisy_BV = log_p_BV if noise is None else log_p_BV - self._rows_in_batch(next(noise))
            chosen_B1 = noisy_BV.argmax(dim=-1, keepdim=True)
            del noisy_BV
            self._store(self.tokens_TN, chosen_B1[:, 0])
            self._store(self.log_probs_TN, log_p_BV.gather(1, chosen_B1)[:, 0])
            if with_entropy:
                self._store(self.entropy_TN, -minus_entropy(log_p_BV))
            self.taken += 1
            going_B1 = self._drop_ended(chosen_B1)
            if going_B1 is None or self.taken == self._longest:
                return
            if self._filled == self._caches[0].tensors[0].shape[2]:
                self._copy_cache_rows(_row_numbers(going_B1))
            mask = None if self._seen_BT is None else self._seen_BT[:, None, None, : self._filled + 1]
            h_BD = self._model.decode(going_B1, self._caches, self._filled, mask)[:, 0]
            self._filled += 1

    def _noise(self, generator: Noise) -> Iterator[Tensor] | None:
        """Yield noise_NV for one token after another; None without a generator, where the likeliest token is taken.

        argmax(log p - log E) with E from Exp(1) samples from p (the Gumbel-max trick).
        """
        if generator is None:
            return None
        generators = [generator] if isinstance(generator, torch.Generator) else generator
        rows, vocab_size = self.tokens_TN.shape[1] // len(generators), self._model.shape.vocab_size
        tokens = min(self._longest, max(1, NOISE_ELEMENTS // (rows * vocab_size)))
        size = (tokens, rows, vocab_size)
        with attribute_to(kind=LOGITS):
            noises = [self.log_probs_TN.new_empty(size) for _ in generators]

        def draw() -> Tensor:
            """Noise of the next tokens; copies of one prompt are next to each other."""
            parts = [
                noise.exponential_(generator=generator).log_()
                for noise, generator in zip(noises, generators, strict=True)
            ]
            return parts[0] if len(parts) == 1 else torch.stack(parts, dim=2).flatten(1, 2)

        return (noise_NV for _ in count() for noise_NV in draw())

    def _prefill(self) -> Tensor:
        """Fill caches with each prompt, once, and copy them. Returns hidden states of the rows' last prompt tokens."""
        count, self._filled = self._prompts.tokens_PS.shape
        valid_PS, mask = self._prompts.valid_PS, None
        if valid_PS is not None:
            mask = prompt_mask(valid_PS, self._filled)
            self._seen_BT = F.pad(valid_PS, (0, self._longest), value=True).repeat_interleave(self._copies, dim=0)
        with attribute_to(kind=KV_CACHE):
            self._caches = self._model.new_caches(count, self._filled)
        h_PD = self._model.decode(self._prompts.tokens_PS, self._caches, 0, mask)[:, -1]
        if self._copies == 1:
            return h_PD
        self._copy_cache_rows(_row_numbers(h_PD).repeat_interleave(self._copies))
        return h_PD.repeat_interleave(self._copies, dim=0)

    def _rows_in_batch(self, x_NV: Tensor) -> Tensor:
        with attribute_to(kind=LOGITS):
            return x_NV if self._going_B is None else x_NV.index_select(0, self._going_B)

    def _store(self, into_TN: Tensor, values_B: Tensor) -> None:
        """Write the batch's values at the present token of their rows."""
        if self._going_B is None:
            into_TN[self.taken] = values_B
        else:
            into_TN[self.taken].index_copy_(0, self._going_B, values_B.to(into_TN.dtype))

    def _drop_ended(self, chosen_B1: Tensor) -> Tensor | None:
        """Take ended rows out of the batch once they are a quarter. Returns the others' tokens; None if all ended."""
        self._ended_B = self._ended_B | (chosen_B1[:, 0] == self._end)
        rows_B = (~self._ended_B).nonzero()[:, 0]
        if len(rows_B) == 0:
            return None
        if len(rows_B) > COMPACTED_BELOW * len(self._ended_B):
            return chosen_B1
        self._going_B = rows_B if self._going_B is None else self._going_B[rows_B]
        self._ended_B = self._ended_B[rows_B]
        if self._seen_BT is not None:
            self._seen_BT = self._seen_BT[rows_B]
        self._copy_cache_rows(rows_B)
        return chosen_B1[rows_B]

    def _copy_cache_rows(self, rows_B: Tensor) -> None:
        """Replace the caches by copies of these rows, as far as they are filled, with room for more tokens."""
        room = ROOM
        if isinstance(self._model, PackedDecoder):
            room = min(max(ROOM, self._filled), self._longest - self.taken)
        with attribute_to(kind=KV_CACHE):
            for cache in self._caches:
                for place, tensor in enumerate(cache.tensors):  # one by one: no more than one is there twice
                    cache.tensors[place] = _copy_rows(tensor, rows_B, self._filled, room)


def _row_numbers(x_BD: Tensor) -> Tensor:
    return torch.arange(len(x_BD), device=x_BD.device)


def _copy_rows(tensor: Tensor, rows_B: Tensor, filled: int, room: int) -> Tensor:
    """Copy the first `filled` tokens of these rows of a cached tensor, with `room` unset tokens behind them."""
    _, heads, _, width = tensor.shape
    chosen = tensor.new_empty(len(rows_B), heads, filled + room, width)
    torch.index_select(tensor[:, :, :filled], 0, rows_B, out=chosen[:, :, :filled])
    return chosen
