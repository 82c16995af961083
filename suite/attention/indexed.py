"""MLA over the tokens that an indexer chooses: DeepSeek's sparse attention, DSA, absorbed, in decoding.

DeepSeek-V3.2-Exp's report, section 2.1. The indexer makes H_i queries a new token from the query's own input, one key
a token, which it caches, and a weight a head from the hidden state. The score of a cached token is
Σ_h w_h · ReLU(q_h · k), and the top_k best are attended to. As in transformers 5.24 (models/deepseek_v32,
DeepseekV32Indexer): the key goes through a LayerNorm with a bias; the first d_r columns of query and key are turned, in
halves as Llama's are, unlike MLA's own; and the weights take the factors H_i^-0.5 and d_i^-0.5. DeepSeek's own kernel
scores in 8 bits behind a Hadamard transform, which changes no product; neither is done here.

Several new tokens choose each for itself, so each becomes a sequence of its own for the kernel, with one query: the
problem that a backend sees is plain attention over top_k keys, which any backend computes. The chosen rows are gathered
into a buffer first, where a kernel that is made for it reads them in place.

Shapes beside those of problem.py: N index heads, i their width, K chosen tokens, J = S · K.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.cache import Cache
from suite.attention.definition import IndexedDefinition
from suite.attention.latent import INNER_NORM_EPS, AbsorbedLatentAttention
from suite.attention.linear import linear
from suite.attention.problem import Problem, visible_keys
from suite.attention.rotary import rotate_halves
from suite.theory.layers.algebra import Pass
from suite.theory.layers.indexed_shapes import IndexedShape

KEY_BLOCK = 4096


class IndexedLatentAttention(AbsorbedLatentAttention):
    """A layer that chooses which tokens its kernel attends to. It projects queries, keys and values, and behind them
    what the choice is made from; its problem is the one over the chosen tokens."""

    shape: IndexedShape
    definition = IndexedDefinition

    def __init__(self, shape: IndexedShape, **making: Any) -> None:
        super().__init__(shape, **making)
        heads, width = shape.indexer.heads, shape.indexer.head_dim
        self.w_iq = self.init_weight(heads * width, shape.q_lora_rank or shape.hidden_size)
        self.w_ik = self.init_weight(width, shape.hidden_size)
        self.w_iw = self.init_weight(heads, shape.hidden_size)
        self.index_norm, self.index_norm_bias = self.ones(width), self.zeros(width)

    @property
    def cache_widths(self) -> tuple[int, ...]:
        return (*super().cache_widths, self.shape.indexer.head_dim)

    def project_beside(
        self, x_BSD: Tensor, query_in: Tensor, cache: Cache | None, start: int, angles: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, ...]:
        """The indexer's queries and head weights of the new tokens, and its keys of all, after caching the new ones."""
        shape = self.shape
        iq_BSE = linear(query_in, self.w_iq)
        iq_BNSi = iq_BSE.view(*iq_BSE.shape[:2], shape.indexer.heads, -1).transpose(1, 2)
        iw_BNS1 = linear(x_BSD, self.w_iw).mT[..., None] * (shape.indexer.heads * shape.indexer.head_dim) ** -0.5
        ik_BSi = linear(x_BSD, self.w_ik)
        ik_BSi = F.layer_norm(ik_BSi, (shape.indexer.head_dim,), self.index_norm, self.index_norm_bias, INNER_NORM_EPS)
        ik_B1Ti = self._turn(ik_BSi, angles)[:, None]
        if cache is not None:
            cache.tensors[1][:, :, start : start + x_BSD.shape[1]] = ik_B1Ti
            ik_B1Ti = cache.views()[1]
        return self._turn(iq_BNSi, angles), iw_BNS1, ik_B1Ti

    def _turn(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Rotate the first qk_rope_head_dim columns of the indexer's queries or keys; the others stay as they are."""
        width = self.shape.qk_rope_head_dim
        if not width:
            return x
        return torch.cat((rotate_halves(x[..., :width], *angles), x[..., width:]), dim=-1)

    def select(self, *scored: Tensor) -> Tensor:
        """Indices of the top_k tokens with the highest index scores for each new one, unordered: chosen_BSK."""
        scores_BST = index_scores(*scored)
        new, tokens = scores_BST.shape[1:]
        if new > 1:
            scores_BST = scores_BST.masked_fill(~visible_keys(new, tokens, scores_BST.device), float("-inf"))
        return scores_BST.topk(min(tokens, self.shape.indexer.top_k), dim=-1, sorted=False).indices

    def gather(self, q_BHSd: Tensor, k_B1Td: Tensor, chosen_BSK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The kernel's inputs, chosen rows copied to a buffer; each new token becomes a sequence, see `unfold`."""
        batch, new, count = chosen_BSK.shape
        rows_BJd = k_B1Td.new_empty(batch, new * count, k_B1Td.shape[-1])
        for rows_Jd, k_Td, chosen_SK in zip(rows_BJd, k_B1Td[:, 0], chosen_BSK, strict=True):
            torch.index_select(k_Td, 0, chosen_SK.flatten(), out=rows_Jd)
        k_N1Kd = rows_BJd.view(batch * new, 1, count, -1)
        q_NH1d = q_BHSd.transpose(1, 2).flatten(0, 1)[:, :, None]
        return q_NH1d, k_N1Kd, k_N1Kd[..., : self.shape.kv_lora_rank]

    def unfold(self, o: Tensor, new: int) -> Tensor:
        """Undo `gather` on the kernel's output, a sequence for each token: o_BHSv with `new` tokens in a sequence."""
        o_BSHv = o[:, :, 0].view(-1, new, *o.shape[1::2])
        return o_BSHv.transpose(1, 2)

    def problem(self, forward: Pass) -> Problem:
        """The kernel's problem: a sequence for each new token, with one query and the keys that its indexer chose."""
        tokens, element_bytes = self.shape.chosen(forward), forward.element_bytes
        return super().problem(Pass(batch=forward.tokens, query_len=1, seq_len=tokens, element_bytes=element_bytes))


def index_scores(iq_BNSi: Tensor, iw_BNS1: Tensor, ik_B1Ti: Tensor) -> Tensor:
    """Scores of all T tokens for each of S new ones, scores_BST: Σ_h w_h · ReLU(q_h · k), unmasked.

    On a CPU a sequence and a block of keys at a time, whose products stay in its cache. One thread, 64 heads of width
    128, 65,536 keys: 16 ms in place of 19 in float32, 14 of 82 in bfloat16, which torch batches badly.
    """
    if not iq_BNSi.is_cpu:
        products_BNST = torch.einsum("bnsi,bti->bnst", iq_BNSi, ik_B1Ti[:, 0]).relu_()
        return torch.einsum("bns,bnst->bst", iw_BNS1[..., 0], products_BNST)
    _, heads, new, width = iq_BNSi.shape
    scores_BST = iq_BNSi.new_empty(len(iq_BNSi), new, ik_B1Ti.shape[2])
    for scores_ST, iq_NSi, iw_NS1, ik_Ti in zip(scores_BST, iq_BNSi, iw_BNS1, ik_B1Ti[:, 0], strict=True):
        iq_Ri = iq_NSi.reshape(heads * new, width)
        for block_ST, ik_Ki in zip(scores_ST.split(KEY_BLOCK, dim=1), ik_Ti.split(KEY_BLOCK), strict=True):
            products_NSK = torch.mm(iq_Ri, ik_Ki.mT).relu_().view(heads, new, -1)
            block_ST.copy_(torch.einsum("ns,nsk->sk", iw_NS1[..., 0], products_NSK))
    return scores_BST
