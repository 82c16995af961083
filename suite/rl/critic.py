"""PPO's critic: a decoder of its own, which begins as the base model, and one more row that reads a value."""

import torch
from torch import Tensor

from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts
from suite.lm.scoring import hidden_states


class Critic(torch.nn.Module):
    """The row begins at 0, so every first value is 0."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder
        made, width = decoder.made, decoder.shape.hidden_size
        self.value_D = torch.nn.Parameter(torch.zeros(width, dtype=made.dtype, device=made.device))

    def rotary_tables(self) -> list[Tensor]:
        return self.decoder.rotary_tables()

    def forward(self, prompts: Prompts, tokens_NT: Tensor) -> Tensor:
        """Values values_NT: what is still to come before each token of a completion is written."""
        return hidden_states(self.decoder, prompts, tokens_NT) @ self.value_D
