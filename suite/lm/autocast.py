"""Mixed precision: weights, gradients and moments in float32, products in bfloat16."""

from collections.abc import Sequence

import torch
from torch import Tensor

from suite.attention.cache import Cache
from suite.attention.layer import AttentionLayer
from suite.lm.decoder import Decoder

COMPUTED_IN = torch.bfloat16


class AutocastDecoder(Decoder):
    """A decoder whose float32 weights compute in bfloat16, as torch.autocast has it: the mixed recipe on one device.

    Each pass makes a bfloat16 copy of every weight that is multiplied, which autograd keeps until the way back unless
    blocks are recomputed. The residual stream, norms and log-probabilities are float32.
    """

    def cached_in(self, layer: AttentionLayer) -> torch.dtype:
        return COMPUTED_IN

    def forward(self, tokens_BS: Tensor, mask_B1ST: Tensor | None = None, *, first: int = 0) -> Tensor:
        with self._autocast():
            return super().forward(tokens_BS, mask_B1ST, first=first)

    def decode(self, tokens_BS: Tensor, caches: Sequence[Cache], start: int, mask_B1ST: Tensor | None) -> Tensor:
        with self._autocast():
            return super().decode(tokens_BS, caches, start, mask_B1ST)

    def logits(self, h_BSD: Tensor) -> Tensor:
        with self._autocast():
            logits_BSV = super().logits(h_BSD)
        return logits_BSV.float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.made.device.type, dtype=COMPUTED_IN)
