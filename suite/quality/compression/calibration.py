"""The second moments of what each attention layer is given, on text that is not evaluated on.

Of the model as it is published: each layer is fitted to inputs that the layers before it have not disturbed. So they
are the same for every rank and method of a sweep, and its first case leaves them beside the runs for the others.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from suite.lm.decoder import Block, Decoder
from suite.measure.artifact_cache import cached_artifact
from suite.records.code import code_digest

FOLDER = "calibrations"


def shared_moments(decoder: Decoder, windows: Sequence[Sequence[int]], *, weights_digest: str, shared: Path) -> Tensor:
    """`second_moments`, computed here or read from the shared folder."""
    made = decoder.made
    named = [str(made.dtype), str(made.device), torch.get_num_threads(), torch.__version__, weights_digest]
    code = code_digest({"calibration": f"{__name__}.second_moments"})
    key = hashlib.sha256(json.dumps([named, code, [list(window) for window in windows]]).encode()).hexdigest()
    found = cached_artifact(
        shared / FOLDER,
        key,
        device=str(made.device),
        make=lambda: {"moments": second_moments(decoder, windows)},
    )
    moments_LDD: Tensor = found["moments"]
    return moments_LDD


@torch.no_grad()
def second_moments(decoder: Decoder, windows: Sequence[Sequence[int]]) -> Tensor:
    """E x x^T of each layer's input over all tokens of the windows, [layers, D, D] in float64."""
    hidden, device = decoder.shape.hidden_size, decoder.made.device
    sums_LDD = torch.zeros(decoder.shape.num_layers, hidden, hidden, dtype=torch.float64, device=device)
    with _watched(decoder, lambda layer, x_ND: sums_LDD[layer].addmm_(x_ND.T, x_ND)):
        for window in windows:
            decoder(torch.tensor([window], device=device))
    return sums_LDD / sum(map(len, windows))


@contextmanager
def _watched(decoder: Decoder, see: Callable[[int, Tensor], object]) -> Iterator[None]:
    """Meanwhile `see` is called with each layer's number and its inputs x_ND, in float64."""

    def seen_as(layer: int) -> Callable[[torch.nn.Module, tuple[Tensor, Tensor | None]], None]:
        def hook(block: torch.nn.Module, given: tuple[Tensor, Tensor | None]) -> None:
            assert isinstance(block, Block)
            see(layer, block.attention_input(given[0]).flatten(0, 1).double())

        return hook

    handles = [block.register_forward_pre_hook(seen_as(layer)) for layer, block in enumerate(decoder.blocks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
