"""LoRA (arXiv 2106.09685): the weights stay as they are, and a small product beside each is learnt.

One `up` begins at 0, so that an adapted decoder begins as the one it was. The scale alpha / rank is 1: it is a
matter of the learning rate. Gate and up projections, one matrix here, share an adapter.
"""

import math

import torch

from suite.attention.linear import NAME, Adapter
from suite.lm.decoder import Decoder


def adapt(decoder: Decoder, rank: int, *, dtype: torch.dtype | None = None) -> None:
    """Freeze all weights and add a LoRA adapter to each linear map of the blocks, in `dtype` or the weights' own."""
    decoder.requires_grad_(False)
    factory, adapters = decoder.factory, torch.nn.ModuleList()
    # Linear maps have two dimensions: gains and biases have one, MLA's weights of single heads three.
    for weight in [parameter for parameter in decoder.blocks.parameters() if parameter.dim() == 2]:
        size_o, size_i = weight.shape
        down_RI = torch.empty(rank, size_i, dtype=dtype or factory.dtype, device=factory.device)
        down_RI.normal_(std=1 / math.sqrt(size_i), generator=factory.generator)
        adapter = Adapter(down_RI, torch.zeros(size_o, rank, dtype=dtype or factory.dtype, device=factory.device))
        adapters.append(adapter)
        setattr(weight, NAME, adapter)
    decoder.adapters = adapters


def unadapted(decoder: Decoder, base: Decoder) -> Decoder:
    """Replace the weights of `base`, of equal shape, by the decoder's without its adapters. Returns `base`.

    The weights are shared, not copied, and `base` is frozen.
    """
    names = base.state_dict().keys()
    base.load_state_dict({name: weight for name, weight in decoder.state_dict().items() if name in names}, assign=True)
    base.requires_grad_(False)
    return base
