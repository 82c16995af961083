"""Keys and values of a token as one short vector: the one that loses least.

A grouped layer's keys before their rotary embedding and its values are one linear map of its input, y = W x with
W = [W_k; W_v]. A product of lower rank, U D, keeps D x in place of y. By the Eckart-Young theorem the U that loses
least of E |W x - U D x|^2 are the first eigenvectors of W C W^T, C being the second moments E x x^T of the inputs, and
D = U^T W: `activation_svd`, with C from text. With C = 1, as if inputs were white, it is the truncated singular value
decomposition of the weights: `svd`.

Keys are larger than values, in SmolLM2-135M's first layer thirty times, so that one error bound for both spends most of
the rank on keys. `activation_svd_balanced` scales the values up to the keys' size before the cut and down again behind
it, as the balanced KV PCA of TransMLA (arXiv 2502.07864).

A whole key's rotary embedding depends on the position and is done when the cache is read: every token's keys and
values are then expanded anew at every step. MLA avoids that by a rotary part of its own. Here that is a few of each
head's pairs, which are cached beside the latent; the others lose their rotation.

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
from suite.machine.code import code_digest
from suite.measure.sealed import cached_artifact
from suite.theory.layers.shapes import GroupedShape

FOLDER = "calibrations"


@dataclass(frozen=True, kw_only=True)
class Factors:
    down_rD: Tensor
    up_Er: Tensor
    retained_variance: float
    """Share of the squared norm of keys and values that is kept where inputs have the moments it is measured by."""


def low_rank_factors(
    weight_ED: Tensor,
    *,
    rank: int,
    fitted_to_DD: Tensor | None,
    balances: bool,
    moments_DD: Tensor,
    keys: int | None = None,
) -> Factors:
    """The product of this rank that loses least, in float64.

    `weight_ED`: the rows of `keys` elements of keys (None: half of all), then those of values. `fitted_to_DD`: the
    inputs' second moments that it is chosen by; None: white inputs. `balances`: values count as if they were as large
    as keys. `moments_DD`: the inputs by which `retained_variance` is measured.
    """
    weight_ED = weight_ED.double()
    scale_E1, _, vectors_EE = _spectrum(weight_ED, fitted_to_DD, balances, keys)
    first_Er = vectors_EE[:, -rank:]
    down_rD, up_Er = first_Er.T @ (scale_E1 * weight_ED), first_Er / scale_E1
    lost_ED = weight_ED - up_Er @ down_rD
    explained_energy = 1 - float(_energy(lost_ED, moments_DD) / _energy(weight_ED, moments_DD))
    return Factors(down_rD=down_rD, up_Er=up_Er, retained_variance=explained_energy)


def _spectrum(
    weight_ED: Tensor, fitted_to_DD: Tensor | None, balances: bool, keys: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Each row's scale, and the eigenvalues and eigenvectors of the outputs' second moments in ascending order."""
    outputs_EE = weight_ED @ weight_ED.T if fitted_to_DD is None else weight_ED @ fitted_to_DD @ weight_ED.T
    keys = len(weight_ED) // 2 if keys is None else keys
    scale_E1 = torch.ones_like(outputs_EE[:, :1])
    if balances and keys:
        energies_E = outputs_EE.diagonal()
        scale_E1[keys:] = (energies_E[:keys].sum() / energies_E[keys:].sum()).sqrt()
    return scale_E1, *torch.linalg.eigh(scale_E1 * outputs_EE * scale_E1.T)


def ranks_by_spectrum(
    weights: Sequence[Tensor], *, rank: int, fitted_to: Sequence[Tensor | None], balances: bool, keys: int | None = None
) -> list[int]:
    """A rank for each layer, at least 1 and `rank` on average: those that keep the largest sum, over layers, of the
    share of a layer's own squared norm. The rest is as of `low_rank_factors`, of each layer."""
    spectra = [
        _spectrum(w_ED.double(), fitted, balances, keys)[1] for w_ED, fitted in zip(weights, fitted_to, strict=True)
    ]
    # No rank above the input's width keeps anything.
    shares_LE = torch.stack([(energies_E / energies_E.sum()).flip(0) for energies_E in spectra])[
        :, : weights[0].shape[1]
    ]
    shares_LE[:, 0] = torch.inf
    layers, width = shares_LE.shape
    chosen = shares_LE.flatten().argsort(descending=True, stable=True)[: layers * rank]
    return torch.bincount(chosen // width, minlength=layers).tolist()


def rotary_pairs(w_q: Tensor, w_k: Tensor, *, shape: GroupedShape, count: int, moments_DD: Tensor) -> Tensor:
    """The rotary pairs that each of the G key-value heads keeps, ascending: [G, count].

    MHA2MLA's rule (arXiv 2502.14837): the pairs with the largest norm of the query's part times the key's, which bounds
    what they add to a score. Its mean is here that of squares, which the inputs' second moments give, and a group's
    query heads count together.
    """
    squares = []
    for weight_ED in (w_q.double(), w_k.double()):
        elements_E = ((weight_ED @ moments_DD) * weight_ED).sum(dim=1)
        squares.append(elements_E.view(shape.kv_heads, -1, 2, shape.head_dim // 2).sum(dim=(1, 2)))
    return (squares[0] * squares[1]).topk(count, dim=1).indices.sort(dim=1).values


def _energy(map_ED: Tensor, moments_DD: Tensor) -> Tensor:
    return ((map_ED @ moments_DD) * map_ED).sum()


def shared_moments(decoder: Decoder, windows: Sequence[Sequence[int]], *, weights_digest: str, shared: Path) -> Tensor:
    """`second_moments`, read from the shared folder, or computed here and left there for other cases."""
    factory = decoder.factory
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
    hidden, device = decoder.shape.hidden_size, decoder.factory.device
    sums_LDD = torch.zeros(decoder.shape.num_layers, hidden, hidden, dtype=torch.float64, device=device)

    def add(sums_DD: Tensor, block: torch.nn.Module, arguments: tuple[Tensor, Tensor | None]) -> None:
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
