"""That the rivals of .ci/tools/benchmarks/rl_rivals.py do the same work: one set of weights, one function."""

import pytest
import torch

from tests.lm.decoders import decoder, tokens
from tests.parity.their_decoder import largest_difference, llama_of

THETA = 10_000


@pytest.mark.parametrize("sizes", [{}, {"num_layers": 3, "head_dim": 8}])
@pytest.mark.parametrize("variant", ["mha", "gqa", "mqa"])
def test_a_llama_with_the_weights_of_a_decoder_gives_its_logits(variant, sizes):
    ours = decoder(variant, **sizes)
    with torch.no_grad():  # gains drawn as ones would hide a norm in the wrong place
        for name, parameter in ours.named_parameters():
            if name.endswith("norm"):
                parameter.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    assert largest_difference(ours, llama_of(ours, rope_theta=THETA), tokens(3, 40)) < 2e-5
