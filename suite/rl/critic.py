"""PPO's critic: a decoder, and one more row that reads a value.

The decoder is one of its own, which begins as the base model, or the policy itself, whose trunk then serves both.
"""

import torch
from torch import Tensor

from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts
from suite.lm.scoring import hidden_states


class Critic(torch.nn.Module):
    """The row begins at 0, so every first value is 0."""

    def __init__(self, decoder: Decoder, *, shares_trunk: bool = False) -> None:
        """`shares_trunk`: the decoder is the policy. One of its own loses its head, which reads tokens."""
        super().__init__()
        self.decoder, self.shares_trunk = decoder, shares_trunk
        if not shares_trunk:
            decoder.head = None
        made, width = decoder.made, decoder.shape.hidden_size
        self.value_D = torch.nn.Parameter(torch.zeros(width, dtype=made.dtype, device=made.device))

    def rotary_tables(self) -> list[Tensor]:
        return self.decoder.rotary_tables()

    def forward(self, prompts: Prompts, tokens_NT: Tensor) -> Tensor:
        """Values values_NT: what is still to come before each token of a completion is written."""
        return self.values(hidden_states(self.decoder, prompts, tokens_NT))

    def values(self, h_NTD: Tensor) -> Tensor:
        return h_NTD @ self.value_D
