"""Log-probabilities of given completions, at the temperature that they were sampled with.

Shapes: N completions, S tokens of a prompt (padded on the left), T of a completion (padded on the right).
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from suite.lm.attend import prompt_mask
from suite.lm.decoder import Decoder, scored_in
from suite.lm.sampling import Prompts, tempered
from suite.measure.memory_tracker import BackwardScope, attribute_to
from suite.records.holdings import LOGITS


def hidden_states(model: Decoder, prompts: Prompts, tokens_NT: Tensor) -> Tensor:
    """The decoder's hidden states h_NTD from which each token of the completions is predicted."""
    whole_NS = torch.cat((prompts.tokens_PS, tokens_NT[:, :-1]), dim=1)
    mask = None if prompts.valid_PS is None else prompt_mask(prompts.valid_PS, whole_NS.shape[1])
    h_NTD: Tensor = model(whole_NS, mask, first=prompts.tokens_PS.shape[1] - 1)
    return h_NTD


def log_probs(model: Decoder, h_NTD: Tensor, tokens_NT: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the tokens [N, T] and of the vocabulary [N, T, V]; padding's are meaningless."""
    scope = BackwardScope(LOGITS)
    with attribute_to(kind=LOGITS):
        # No name for the logits, which would keep them.
        log_p_NTV = F.log_softmax(tempered(scope.leaves(model.logits(h_NTD)), temperature), dim=-1)
    log_p_NT = scope.enters(log_p_NTV.gather(2, tokens_NT[..., None]))[..., 0]
    return log_p_NT.to(scored_in(log_p_NT.dtype)), log_p_NTV


def token_log_probs(
    model: Decoder, h_NTD: Tensor, tokens_NT: Tensor, temperature: float, *, chunk: int | None = None
) -> Tensor:
    """Log-probabilities of each completion's tokens, [N, T].

    `chunk`: so many tokens of each completion at once, whose tensors over the vocabulary are dropped and computed again
    on the way back: of [N, T, V], often the largest tensor of all, only [N, chunk, V] is ever held. None: all at once.
    """
    if chunk is None:
        return log_probs(model, h_NTD, tokens_NT, temperature)[0]
    parts = [
        checkpoint(token_log_probs, model, h, tokens, temperature, use_reentrant=False, preserve_rng_state=False)
        for h, tokens in zip(h_NTD.split(chunk, dim=1), tokens_NT.split(chunk, dim=1), strict=True)
    ]
    return torch.cat(parts, dim=1)
