"""Keys and values of a token as one short vector: which one loses least.

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

Shapes: D hidden width, E keys and values of a token, r the rank.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Factors:
    down_rD: Tensor
    up_Er: Tensor
    retained_variance: float
    """Share of the squared norm of keys and values that is kept where inputs have the moments it is measured by."""


def factors_of(
    weight_ED: Tensor, *, rank: int, fitted_to_DD: Tensor | None, balances: bool, moments_DD: Tensor
) -> Factors:
    """The product of this rank that loses least, in float64.

    `weight_ED`: keys' rows, then as many of values. `fitted_to_DD`: the inputs' second moments that it is chosen by;
    None: white inputs. `balances`: values count as if they were as large as keys. `moments_DD`: the inputs by which
    `retained_variance` is measured.
    """
    weight_ED = weight_ED.double()
    outputs_EE = weight_ED @ weight_ED.T if fitted_to_DD is None else weight_ED @ fitted_to_DD @ weight_ED.T
    scale_E1 = _balance(outputs_EE) if balances else torch.ones_like(outputs_EE[:, :1])
    _, vectors_EE = torch.linalg.eigh(scale_E1 * outputs_EE * scale_E1.T)  # eigenvalues ascend
    first_Er = vectors_EE[:, -rank:]
    down_rD, up_Er = first_Er.T @ (scale_E1 * weight_ED), first_Er / scale_E1
    lost_ED = weight_ED - up_Er @ down_rD
    kept = 1 - float(_energy(lost_ED, moments_DD) / _energy(weight_ED, moments_DD))
    return Factors(down_rD=down_rD, up_Er=up_Er, retained_variance=kept)


def _balance(outputs_EE: Tensor) -> Tensor:
    """1 for each key, and for each value what makes all values as large as all keys, [E, 1]."""
    sizes_E = outputs_EE.diagonal()
    keys, values = sizes_E.chunk(2)
    scale_E = torch.ones_like(sizes_E)
    scale_E[len(keys) :] = (keys.sum() / values.sum()).sqrt()
    return scale_E[:, None]


def _energy(map_ED: Tensor, moments_DD: Tensor) -> Tensor:
    """E |M x|^2."""
    return ((map_ED @ moments_DD) * map_ED).sum()
