"""What a cache still has of a token: which of the details that the token bundles a linear reader finds in the numbers
that are cached of it.

A decoder may fail to answer since the detail is not in the cache any more, or since it is never looked for: this tells
the two apart. The reader is ridge regression from the cached numbers of the first layer to each detail's values, one
against all, fitted on other tokens than it is tried on. Tokens are the first of a sequence, whose rotary angles are 0.

Shapes: N tokens, K ids of each, A details, E cached numbers, C classes of a detail.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder
from suite.measure.streams import numpy_stream
from suite.quality.answers import embedded
from suite.quality.tasks.task import HasDetails

FITTED_ON, TRIED_ON = 4096, 2048
RIDGE = 1e-3
"""Times the mean square of the cached numbers: small beside them, and enough where they are fewer than their width."""


@torch.no_grad()
def linear_probe_accuracy(model: Decoder, task: HasDetails) -> list[float]:
    """For each detail the share of tokens of which it is read rightly."""
    tokens, details = task.bundles(FITTED_ON + TRIED_ON, numpy_stream("cached", "bundles"))
    device = model.made.device
    cached_NE = _cached(model, torch.from_numpy(tokens).to(device)).double()
    details_NA = torch.from_numpy(details).to(device)
    return [_read(cached_NE, details_NA[:, place]) for place in range(details_NA.shape[1])]


def _cached(model: Decoder, tokens_NK: Tensor) -> Tensor:
    caches = model.new_caches(len(tokens_NK), 1)
    model.decode_through(embedded(model, tokens_NK[:, None]), caches, 0, None)
    return torch.cat([view.flatten(1) for view in caches[0].views()], dim=1)


def _read(cached_NE: Tensor, classes_N: Tensor) -> float:
    one_NE = F.pad(cached_NE, (0, 1), value=1.0)
    fitted_NE, tried_NE = one_NE[:FITTED_ON], one_NE[FITTED_ON:]
    wanted_NC = F.one_hot(classes_N[:FITTED_ON]).double()
    gram_EE = fitted_NE.T @ fitted_NE
    gram_EE += RIDGE * gram_EE.diagonal().mean() * torch.eye(len(gram_EE), dtype=gram_EE.dtype, device=gram_EE.device)
    weights_EC = torch.linalg.solve(gram_EE, fitted_NE.T @ wanted_NC)
    return float(((tried_NE @ weights_EC).argmax(dim=1) == classes_N[FITTED_ON:]).double().mean())
