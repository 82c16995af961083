"""Attention over a cache in eight bits, which is widened a block of keys at a time and never whole.

A block stays in the CPU's cache between its conversion and its two products; a running maximum joins blocks, as in
flash attention. The elements are widened without their scales, which is exact in every dtype: a scale that all columns
of a product share is a factor on the score, or on the weight, so that what is rounded is what eager rounds.

torch converts float8 on a CPU one by one. Shifted into the place of another float's exponent and mantissa its bits are
the number times a power of two, subnormals included, and integers are shifted by the vector: 8.4 million elements took
39 ms by torch's conversion and 3 ms by bits (one thread, Xeon with AMX).

Tried and left, at the same elements as one product of 16 queries: `torch._int_mm` takes as long as widening and a
float32 product, and needs queries and weights in eight bits, which err more than the check allows;
`torch._scaled_mm` in float8 takes 7.5 s on a CPU, `torch._weight_int8pack_mm` 153 ms in float32 and 9 ms in bfloat16.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.problem import Backend, Problem, visible_keys
from suite.measure.workload import UnsupportedError
from suite.theory.layers.algebra import SCALED_ELEMENTS

BLOCK_ELEMENTS = 1 << 19  # elements of a block of keys: 2 MiB in float32
LEAST_KEYS = 128
# The float in whose place the bits are put, how far they are shifted, and the factor that makes them the number.
FLOAT8_BITS = {torch.bfloat16: (torch.bfloat16, 4, 2.0**120)}
FLOAT8_BITS_ELSE = (torch.float16, 7, 2.0**8)


class Dequantising(Backend):
    name = "dequantising"
    computes = frozenset({"quantised_cache"})

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._pairs, device = problem.batch * problem.kv_heads, problem.device
        self._keys = min(problem.seq_len, max(LEAST_KEYS, BLOCK_ELEMENTS // (self._pairs * problem.qk_dim)))
        self.form = f"{self._keys:,} keys at a time, widened to {str(problem.dtype).removeprefix('torch.')}"
        # Kept: memory that is new at each block would cost more than its products, since its pages fault.
        widest = -(-max(problem.qk_dim, problem.v_dim) // SCALED_ELEMENTS) * SCALED_ELEMENTS
        size = self._pairs * self._keys * widest
        self._wide = torch.zeros(size, dtype=problem.dtype, device=device)
        self._wide_rotary = torch.empty(size, dtype=problem.dtype, device=device)
        self._bits = torch.empty(size, dtype=torch.int16, device=device)
        visible_ST = visible_keys(problem.query_len, problem.seq_len, device)
        self._hidden_TS = ~visible_ST.mT if problem.needs_mask else None

    def check(self, problem: Problem) -> None:
        if problem.cache_dtype is None:
            raise UnsupportedError("dequantising needs a quantised cache: cache_dtype=int8 or fp8; got null")
        if problem.needs_gradient:
            raise UnsupportedError("dequantising has no backward pass, which phase=train needs")

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, *more: Tensor) -> Tensor:
        """Further inputs: scales of keys and of values, and the rotary key where it stands apart."""
        problem = self.problem
        k_scales_BGTn, v_scales_BGTn, *rotary = more
        wide_dtype = torch.promote_types(problem.dtype, torch.float32)
        q_NRd = q_BHSd.reshape(self._pairs, -1, problem.qk_dim)
        width = k_BGTd.shape[-1]
        # Blocks of as many columns as share a scale; the last is filled up with zeros.
        columns = min(width, SCALED_ELEMENTS)
        q_NRni = F.pad(q_NRd[..., :width], (0, -width % columns)).reshape(*q_NRd.shape[:2], -1, columns)
        q_nNiR, q_NrR = q_NRni.permute(2, 0, 3, 1).contiguous(), q_NRd[..., width:].mT.contiguous()
        peak_N1R = q_NRd.new_full((self._pairs, 1, q_NRd.shape[1]), torch.finfo(wide_dtype).min, dtype=wide_dtype)
        total_N1R = torch.zeros_like(peak_N1R)
        o_nNRi = torch.zeros((), dtype=wide_dtype, device=q_NRd.device)
        value_is_key = v_BGTv.data_ptr() == k_BGTd.data_ptr()
        for start in range(0, problem.seq_len, self._keys):
            block = slice(start, start + self._keys)
            k_nNKi, k_scales_nNK1 = self._widened(k_BGTd[:, :, block], k_scales_BGTn[:, :, block])
            scores_NKR = (products(k_nNKi, q_nNiR) * (k_scales_nNK1.to(wide_dtype) * problem.scale)).sum(dim=0)
            for rotary_BGTr in rotary:
                rotary_NKr = rotary_BGTr[:, :, block].flatten(0, 1)
                wide_NKr = self._wide_rotary[: rotary_NKr.numel()].view(rotary_NKr.shape).copy_(rotary_NKr)
                scores_NKR.add_(torch.bmm(wide_NKr, q_NrR), alpha=problem.scale)
            if self._hidden_TS is not None:
                hidden_K1S = self._hidden_TS[block, None]
                scores_NKR.unflatten(2, (-1, problem.query_len)).masked_fill_(hidden_K1S, -torch.inf)
            new_peak_N1R = torch.maximum(peak_N1R, scores_NKR.amax(dim=1, keepdim=True))
            weights_NKR, decay_N1R = scores_NKR.sub_(new_peak_N1R).exp_(), (peak_N1R - new_peak_N1R).exp_()
            total_N1R = total_N1R * decay_N1R + weights_NKR.sum(dim=1, keepdim=True)
            v_nNKi, v_scales_nNK1 = k_nNKi, k_scales_nNK1
            if not value_is_key:
                v_nNKi, v_scales_nNK1 = self._widened(v_BGTv[:, :, block], v_scales_BGTn[:, :, block])
            weights_nNKR = (weights_NKR * v_scales_nNK1.to(wide_dtype)).to(problem.dtype)
            o_nNRi = o_nNRi * decay_N1R.mT + products(weights_nNKR.mT, v_nNKi)
            peak_N1R = new_peak_N1R
        o_NRv = (o_nNRi / total_N1R.mT).permute(1, 2, 0, 3).flatten(2)[..., : problem.v_dim]
        return o_NRv.to(problem.dtype).reshape(problem.batch, problem.heads, problem.query_len, problem.v_dim)

    def _widened(self, elements_BGKd: Tensor, scales_BGKn: Tensor) -> tuple[Tensor, Tensor]:
        """A block's elements, unscaled, [n, pairs, keys, 128], padded with zeros; their scales, [n, pairs, keys, 1]."""
        elements_NKd, scales_NKn = elements_BGKd.flatten(0, 1), scales_BGKn.flatten(0, 1)
        pairs, keys, width = elements_NKd.shape
        blocks, columns = scales_NKn.shape[2], min(width, SCALED_ELEMENTS)
        wide_nNKi = self._wide[: blocks * pairs * keys * columns].view(blocks, pairs, keys, columns)
        scales_nNK1 = scales_NKn.permute(2, 0, 1)[..., None]
        if width % columns:
            wide_nNKi[-1].zero_()
        if elements_NKd.dtype is torch.float8_e4m3fn and elements_NKd.is_cpu:
            bits_NKd = self._bits[: elements_NKd.numel()].view(elements_NKd.shape)
            kind, shift, factor = FLOAT8_BITS.get(self.problem.dtype, FLOAT8_BITS_ELSE)
            bits_NKd.copy_(elements_NKd.view(torch.int8)).bitwise_left_shift_(shift)
            # The sign was carried into all places between its own and the number's seven bits.
            elements_NKd = bits_NKd.bitwise_and_(~0x7FFF | 0x7F << shift).view(kind).mul_(factor)
        for wide_NKi, part_NKi in zip(wide_nNKi, elements_NKd.split(columns, dim=2), strict=True):
            wide_NKi[..., : part_NKi.shape[2]].copy_(part_NKi)
        return wide_nNKi, scales_nNK1


def products(a_nNij: Tensor, b_nNjk: Tensor) -> Tensor:
    """Matrix products over the last two dimensions, one for each block n and pair N, as one batch."""
    out = torch.bmm(a_nNij.flatten(0, 1), b_nNjk.flatten(0, 1))
    return out.view(*a_nNij.shape[:2], *out.shape[1:])
