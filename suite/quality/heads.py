"""A decoder without one of its heads: what it can then no longer answer, that head alone had found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from suite.lm.decoder import Decoder


def heads_of(model: Decoder) -> list[tuple[int, int]]:
    """Layer and head of each."""
    return [(layer, head) for layer in range(model.shape.num_layers) for head in range(model.shape.layer.num_heads)]


@contextmanager
def without_head(model: Decoder, layer: int, head: int) -> Iterator[None]:
    """Meanwhile nothing of this head's output reaches the residual stream: the columns that map it there are 0."""
    weight_DE = model.attention_of(layer).w_o
    assert isinstance(weight_DE, torch.nn.Parameter)
    width = weight_DE.shape[1] // model.shape.layer.num_heads
    columns = slice(head * width, (head + 1) * width)
    with torch.no_grad():
        kept = weight_DE[:, columns].clone()
        weight_DE[:, columns] = 0
        try:
            yield
        finally:
            weight_DE[:, columns] = kept
