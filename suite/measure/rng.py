"""Random generators: one for each step and purpose, named and not counted.

So nothing depends on earlier draws: arms that are compared meet the same prompts and the same noise at a step, and a
run goes on from a checkpoint by the number of its step alone.
"""

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import torch


def seed_of(*names: object) -> int:
    """A seed of 63 bits from a hash of the names; equal names give equal seeds on every machine."""
    text = "/".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def python_rng(*names: object) -> random.Random:
    return random.Random(seed_of(*names))


def numpy_rng(*names: object) -> "numpy.random.Generator":
    import numpy  # here, as torch below: most callers need neither

    return numpy.random.default_rng(seed_of(*names))


def torch_rng(device: "torch.device", *names: object) -> "torch.Generator":
    import torch  # here, since the parent draws trials and holds no torch

    return torch.Generator(device).manual_seed(seed_of(*names))
