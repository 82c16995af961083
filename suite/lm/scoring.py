"""Log-probabilities of given completions, at the temperature that they were sampled with.

Shapes: N completions, S tokens of a prompt (padded on the left), T of a completion (padded on the right).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.attend import prompt_mask
from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts
from suite.measure.holdings import WayBack, held_as
from suite.records.holdings import LOGITS


def hidden_states(model: Decoder, prompts: Prompts, tokens_NT: Tensor) -> Tensor:
    """The states h_NTD from which each token of a completion was, or would have been, sampled."""
    whole_NS = torch.cat((prompts.tokens_PS, tokens_NT[:, :-1]), dim=1)
    mask = None if prompts.valid_PS is None else prompt_mask(prompts.valid_PS, whole_NS.shape[1])
    h_NSD: Tensor = model(whole_NS, mask)
    return h_NSD[:, prompts.tokens_PS.shape[1] - 1 :]


def log_probs(model: Decoder, h_NTD: Tensor, tokens_NT: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Of each token, and of the whole vocabulary: [N, T] and [N, T, V]. Padding's are as any token's; mask them."""
    way_back = WayBack(LOGITS)
    with held_as(kind=LOGITS):
        # No name for the logits, which would keep them.
        log_p_NTV = way_back.enters(F.log_softmax(way_back.leaves(model.logits(h_NTD)) / temperature, dim=-1))
    return way_back.enters(log_p_NTV.gather(2, tokens_NT[..., None]))[..., 0], log_p_NTV
