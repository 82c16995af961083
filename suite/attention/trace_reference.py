"""Paged causal attention, sequence by sequence in float32: the reference of the definitions that `suite trace write`
makes. It stands in each of them as text, so it imports torch alone."""

import torch


@torch.no_grad()
def attend(q, keys, values, kv_indptr, kv_indices, sm_scale, kv_last_page_len=None, qo_indptr=None):  # type: ignore
    """Outputs [N, H, v] in the dtype of q [N, H, d], and the base-2 logarithms of the softmaxes' sums, [N, H].

    keys [pages, p, G, d], values [pages, p, G, v]. The pages of sequence b are kv_indices[kv_indptr[b] :
    kv_indptr[b + 1]], the last of which holds kv_last_page_len[b] tokens (by default p); its queries are q[qo_indptr[b]
    : qo_indptr[b + 1]] (by default q[b : b + 1]), the last tokens of the sequence.
    """
    groups, size = keys.shape[2], keys.shape[1]
    output = torch.zeros(*q.shape[:2], values.shape[-1], dtype=q.dtype, device=q.device)
    lse = torch.full(q.shape[:2], -torch.inf, dtype=torch.float32, device=q.device)
    for b in range(len(kv_indptr) - 1):
        pages = kv_indices[kv_indptr[b] : kv_indptr[b + 1]].long()
        queries = slice(b, b + 1) if qo_indptr is None else slice(int(qo_indptr[b]), int(qo_indptr[b + 1]))
        if not len(pages):
            continue
        length = len(pages) * size
        if kv_last_page_len is not None:
            length += int(kv_last_page_len[b]) - size
        keys_TGd, values_TGv = (x[pages].flatten(0, 1)[:length].float() for x in (keys, values))
        q_SGgd = q[queries].float().unflatten(1, (groups, -1))
        new = len(q_SGgd)
        scores_SGgT = torch.einsum("sgqd,tgd->sgqt", q_SGgd, keys_TGd) * sm_scale
        may_see_ST = torch.ones(new, length, dtype=torch.bool, device=q.device).tril(length - new)
        scores_SGgT.masked_fill_(~may_see_ST[:, None, None], -torch.inf)
        sums_SGg = scores_SGgT.logsumexp(-1, keepdim=True)
        output_SGgv = torch.einsum("sgqt,tgv->sgqv", (scores_SGgT - sums_SGg).exp(), values_TGv)
        output[queries] = output_SGgv.flatten(1, 2).to(q.dtype)
        lse[queries] = sums_SGg.flatten(1) / torch.log(torch.tensor(2.0))
    return output, lse
