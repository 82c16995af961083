"""Two looks into a trained decoder: a linear probe of its cache, and an ablation of each of its heads.

A decoder may fail to answer since the detail is not in the cache any more, or since it is never looked for: the linear
probe tells the two apart. It is ridge regression from the cached numbers of the first layer to each detail's values,
one against all, fitted on other tokens than it is tried on. Tokens are the first of a sequence, whose rotary angles
are 0. Without a head, the questions that go unanswered are those that this head alone had found.

Shapes: N tokens, K ids of each, A details, E cached numbers, C classes of a detail.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder
from suite.measure.rng import numpy_rng
from suite.quality.answers import embed
from suite.quality.tasks.task import HasDetails

FITTED_ON, TRIED_ON = 4096, 2048
RIDGE = 1e-3
"""Penalty as a share of the cached numbers' mean square: small beside them, and enough where they are fewer than their
width."""


@torch.no_grad()
def linear_probe_accuracies(model: Decoder, task: HasDetails) -> list[float]:
    """For each detail, the share of tokens whose value a linear probe reads rightly from the first layer's cache. The
    probe is fitted on FITTED_ON tokens and tried on TRIED_ON others."""
    bundles = task.bundles(FITTED_ON + TRIED_ON, numpy_rng("cached", "bundles"))
    tokens_NK, details_NA = (torch.from_numpy(array).to(model.made.device) for array in bundles)
    caches = model.new_caches(len(tokens_NK), 1)
    model.decode_through(embed(model, tokens_NK[:, None]), caches, 0, None)
    cached_NE = torch.cat([view.flatten(1) for view in caches[0].views()], dim=1).double()
    return [_probe_accuracy(cached_NE, classes_N) for classes_N in details_NA.unbind(dim=1)]


def _probe_accuracy(cached_NE: Tensor, classes_N: Tensor) -> float:
    """Fit ridge regression to the first FITTED_ON tokens, one class against all; its accuracy on the other tokens."""
    biased_NE = F.pad(cached_NE, (0, 1), value=1.0)  # a constant column, whose weights are the intercepts
    fitted_NE, tried_NE = biased_NE[:FITTED_ON], biased_NE[FITTED_ON:]
    wanted_NC = F.one_hot(classes_N[:FITTED_ON]).double()
    gram_EE = fitted_NE.T @ fitted_NE
    gram_EE += RIDGE * gram_EE.diagonal().mean() * torch.eye(len(gram_EE), dtype=gram_EE.dtype, device=gram_EE.device)
    weights_EC = torch.linalg.solve(gram_EE, fitted_NE.T @ wanted_NC)
    return float(((tried_NE @ weights_EC).argmax(dim=1) == classes_N[FITTED_ON:]).double().mean())


def all_heads(model: Decoder) -> list[tuple[int, int]]:
    """All heads of the decoder as (layer, head)."""
    return [(layer, head) for layer in range(model.shape.num_layers) for head in range(model.shape.layer.num_heads)]


@contextmanager
def ablated_head(model: Decoder, layer: int, head: int) -> Iterator[None]:
    """Silence a head within the context: its columns of the output projection are 0, and are put back at the end."""
    weight_DE = model.attention_layer(layer).w_o
    assert isinstance(weight_DE, torch.nn.Parameter)
    width = weight_DE.shape[1] // model.shape.layer.num_heads
    columns = slice(head * width, (head + 1) * width)
    with torch.no_grad():
        original_DE = weight_DE[:, columns].clone()
        weight_DE[:, columns] = 0
        try:
            yield
        finally:
            weight_DE[:, columns] = original_DE
