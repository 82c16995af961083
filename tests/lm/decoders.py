"""Small decoders of every attention variant, for the tests of this folder and of RL."""

import torch

from suite.configuration.files import read_choice
from suite.lm.decoder import Decoder, FactoryKwargs
from suite.theory.layers.decoder_shape import decoder_shape

VARIANTS = {
    "mha": {},
    "gqa": {"kv_heads": 2},
    "mqa": {},
    "mla": {"kv_lora_rank": 32},
    "mla_latent": {"q_lora_rank": 24},
    "mla_expanded": {},
    "gta": {"kv_heads": 2},
    "gla": {"kv_lora_rank": 32},
}
VOCABULARY = 64


def decoder(variant="mha", *, dtype=torch.float32, seed=0, of_attention=None, **sizes):
    attention = {**read_choice("attention", variant), **VARIANTS[variant], **(of_attention or {})}
    shape = decoder_shape(
        {**read_choice("policy", "small"), **sizes}, attention, vocab_size=VOCABULARY, where="policy."
    )
    factory = FactoryKwargs(dtype=dtype, device=torch.device("cpu"), generator=torch.Generator().manual_seed(seed))
    return Decoder(shape, attention, positions=64, factory=factory)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tokens(rows, length, seed=0):
    return torch.randint(2, VOCABULARY, (rows, length), generator=generator(seed))
