"""Keys and values of a token as one short vector: the one that loses least.

A grouped layer's keys before their rotary embedding and its values are one linear map of its input, y = W x with
W = [W_k; W_v]. A product of lower rank, U D, keeps D x in place of y. By the Eckart-Young theorem the U that loses
least of E |W x - U D x|^2 are the first eigenvectors of W C W^T, C being the second moments E x x^T of the inputs, and
D = U^T W: `activation_svd`, with C from text. With C = 1, as if inputs were white, it is the truncated singular value
decomposition of the weights: `svd`.

Keys are larger than values, in SmolLM2-135M's first layer thirty times, so that one error bound for both spends most of
the rank on keys. `activation_svd_balanced` scales the values up to the keys' size before the cut and down again behind
it, as the balanced KV PCA of TransMLA (arXiv 2502.07864).

Keys keep their rotary embedding, which depends on the position and is done when the cache is read: every token's keys
and values are expanded anew at every step. MLA avoids that by a rotary part of its own that training puts there.

The second moments are those of the model as it is published: each layer is fitted to inputs that the layers before it
have not disturbed. So they are the same for every rank and method of a sweep, and its first case leaves them beside the
runs for the others.

Shapes: D hidden width, E keys and values of a token, r the rank.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from suite.lm.decoder import Block, Decoder
from suite.measure.sealed import cached_artifact
from suite.records.machine.code import code_digest

FOLDER = "calibrations"


@dataclass(frozen=True, kw_only=True)
class Factors:
    down_rD: Tensor
    up_Er: Tensor
    retained_variance: float
    """Share of the squared norm of keys and values that is kept where inputs have the moments it is measured by."""


def low_rank_factors(
    weight_ED: Tensor, *, rank: int, fitted_to_DD: Tensor | None, balances: bool, moments_DD: Tensor
) -> Factors:
    """The product of this rank that loses least, in float64.

    `weight_ED`: keys' rows, then as many of values. `fitted_to_DD`: the inputs' second moments that it is chosen by;
    None: white inputs. `balances`: values count as if they were as large as keys. `moments_DD`: the inputs by which
    `retained_variance` is measured.
    """
    weight_ED = weight_ED.double()
    outputs_EE = weight_ED @ weight_ED.T if fitted_to_DD is None else weight_ED @ fitted_to_DD @ weight_ED.T
    scale_E1 = torch.ones_like(outputs_EE[:, :1])
    if balances:
        keys, values = outputs_EE.diagonal().chunk(2)
        scale_E1[len(keys) :] = (keys.sum() / values.sum()).sqrt()
    _, vectors_EE = torch.linalg.eigh(scale_E1 * outputs_EE * scale_E1.T)  # eigenvalues ascend
    first_Er = vectors_EE[:, -rank:]
    down_rD, up_Er = first_Er.T @ (scale_E1 * weight_ED), first_Er / scale_E1
    lost_ED = weight_ED - up_Er @ down_rD
    explained_energy = 1 - float(_energy(lost_ED, moments_DD) / _energy(weight_ED, moments_DD))
    return Factors(down_rD=down_rD, up_Er=up_Er, retained_variance=explained_energy)


def _energy(map_ED: Tensor, moments_DD: Tensor) -> Tensor:
    """E |M x|² of inputs x with these second moments, M being the map: the mean squared length of its output."""
    return ((map_ED @ moments_DD) * map_ED).sum()


def shared_moments(decoder: Decoder, windows: Sequence[Sequence[int]], *, weights_digest: str, shared: Path) -> Tensor:
    """`second_moments`, read from the shared folder, or computed here and left there for other cases."""
    factory = decoder.made
    named = [str(factory.dtype), str(factory.device), torch.get_num_threads(), torch.__version__, weights_digest]
    code = code_digest({"calibration": f"{__name__}.second_moments"})
    key = hashlib.sha256(json.dumps([named, code, [list(window) for window in windows]]).encode()).hexdigest()
    device = str(factory.device)
    artifact = cached_artifact(
        shared / FOLDER, key, device=device, make=lambda: {"moments": second_moments(decoder, windows)}
    )
    moments_LDD: Tensor = artifact["moments"]
    return moments_LDD


@torch.no_grad()
def second_moments(decoder: Decoder, windows: Sequence[Sequence[int]]) -> Tensor:
    """E x x^T of each layer's input over all tokens of the windows, [layers, D, D] in float64."""
    hidden, device = decoder.shape.hidden_size, decoder.made.device
    sums_LDD = torch.zeros(decoder.shape.num_layers, hidden, hidden, dtype=torch.float64, device=device)

    def add(sums_DD: Tensor, block: torch.nn.Module, arguments: tuple[Tensor, Tensor | None]) -> None:
        """A hook before a block: add x^T x of its attention's input, over all tokens, to the sums in place."""
        assert isinstance(block, Block)
        x_ND = block.attention_input(arguments[0]).flatten(0, 1).double()
        sums_DD.addmm_(x_ND.T, x_ND)

    hooks = [functools.partial(add, sums_DD) for sums_DD in sums_LDD]
    handles = [block.register_forward_pre_hook(hook) for block, hook in zip(decoder.blocks, hooks, strict=True)]
    try:
        for window in windows:
            decoder(torch.tensor([window], device=device))
    finally:
        for handle in handles:
            handle.remove()
    return sums_LDD / sum(map(len, windows))
