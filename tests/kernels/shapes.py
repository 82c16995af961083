"""The problems that decode kernels are held to, and their inputs as a layer's cache would hold them."""

from dataclasses import replace

import torch

from suite.attention.problem import Problem, ValueLayout

GQA_8 = Problem(
    batch=2,
    heads=16,
    kv_heads=2,
    query_len=1,
    seq_len=100,
    qk_dim=128,
    v_dim=128,
    value_layout=ValueLayout.SEPARATE,
    scale=0.09,
    dtype=torch.float32,
    device=torch.device("cpu"),
)
ABSORBED = replace(GQA_8, kv_heads=1, qk_dim=576, v_dim=512, value_layout=ValueLayout.PREFIX_OF_KEY, batch=1)
SHAPES = {
    "MHA": replace(GQA_8, heads=3, kv_heads=3, qk_dim=64, v_dim=64),
    "GQA-8": GQA_8,
    "MLA absorbed": ABSORBED,
    "MLA expanded": replace(GQA_8, heads=3, kv_heads=3, qk_dim=192, value_layout=ValueLayout.SUFFIX_OF_BUFFER),
    "a narrow value behind a key of no power of two": replace(
        GQA_8, heads=4, kv_heads=2, qk_dim=40, v_dim=24, value_layout=ValueLayout.SUFFIX_OF_BUFFER
    ),
    "a value wider than its key": replace(GQA_8, heads=4, kv_heads=2, qk_dim=24, v_dim=40),
    "odd sizes in the key": replace(ABSORBED, heads=5, qk_dim=30, v_dim=21),
    "the value is the key": replace(ABSORBED, heads=4, qk_dim=32, v_dim=32),
    "two latents around a rotary key": replace(
        GQA_8, kv_heads=2, qk_dim=80, v_dim=64, value_layout=ValueLayout.ENDS_OF_KEY
    ),
    "eight columns": replace(GQA_8, heads=4, kv_heads=2, qk_dim=8, v_dim=8),
}
LARGE_BLOCKS = {
    "MQA in three blocks of 64 rows, the last not full": replace(
        GQA_8, batch=1, heads=136, kv_heads=1, qk_dim=64, v_dim=64
    ),
    "MLA absorbed in a block of 64 rows": replace(ABSORBED, heads=50),
    "MLA absorbed in two, with a cut": replace(ABSORBED, heads=24, query_len=3, seq_len=65),
    "keys of 256 in a block of 64 rows": replace(GQA_8, batch=1, heads=40, kv_heads=1, qk_dim=256, v_dim=200),
}


def drawn(problem, *, spare=3, behind=float("nan")):
    """Inputs as a layer's cache holds them: slots behind the context hold what nobody may read."""
    torch.manual_seed(problem.seq_len)
    has_one_row = problem.value_layout is ValueLayout.ENDS_OF_KEY
    size = (problem.batch, 1 if has_one_row else problem.kv_heads, problem.seq_len + spare)
    widths = {
        ValueLayout.PREFIX_OF_KEY: [problem.qk_dim],
        ValueLayout.SUFFIX_OF_BUFFER: [problem.qk_dim + problem.v_dim],
        ValueLayout.SEPARATE: [problem.qk_dim, problem.v_dim],
        ValueLayout.ENDS_OF_KEY: [problem.qk_dim + problem.v_dim],
    }
    kept = [torch.randn(*size, width, device=problem.device) for width in widths[problem.value_layout]]
    for tensor in kept:
        tensor[:, :, problem.seq_len :] = behind
    views = [tensor.to(problem.dtype)[:, :, : problem.seq_len] for tensor in kept]
    size = (problem.batch, problem.query_len, problem.heads, problem.qk_dim)
    q = torch.randn(*size, device=problem.device).to(problem.dtype).transpose(1, 2)
    if problem.value_layout is ValueLayout.SEPARATE:
        return q, *views
    (kept,) = views
    if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
        return q, kept, kept[..., : problem.v_dim]
    if has_one_row:
        steps = ((problem.qk_dim, problem.v_dim), (problem.v_dim, problem.qk_dim))
        return q, *(kept[:, 0].unfold(-1, width, step).transpose(1, 2) for width, step in steps)
    return q, kept[..., : problem.qk_dim], kept[..., problem.qk_dim :]
