"""What a call form is worth: one kernel called in two ways, in turns, on one thread.

    OMP_NUM_THREADS=1 python tests/benchmarks/call_forms.py [rounds]

Prints for each pair the ratio of the medians of paired rounds with its interval, and how near the better form comes to
the roofline that this process measures first. On a CPU that has no bfloat16 instructions, and on any Intel one under
MKL_ENABLE_INSTRUCTIONS=AVX512, the last line shows what passing MHA's single query row twice is worth.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from suite.attention.backends.sdpa import Sdpa
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Problem, ValueLayout
from suite.measure.devices.ceilings import measure_ceilings
from suite.statistics.intervals import median_interval, paired_ratio_interval
from suite.theory.geometry import load_geometry
from suite.theory.latent_shapes import absorbed_shape
from suite.theory.roofline import MeasuredCeilings
from suite.theory.shapes import GroupedShape, LayerShape, Pass, grouped_shape, kernel_bytes, kernel_flops

SPARE_SLOTS = 16
LONGEST_ROUND_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Duel:
    title: str
    shape: LayerShape
    seq_len: int
    dtype: torch.dtype


def duels() -> list[Duel]:
    lite, llama = load_geometry("deepseek-v2-lite"), load_geometry("llama-3.1-8b")
    f32 = torch.float32
    return [
        *(
            Duel(title="absorbed MLA, 16 heads", shape=absorbed_shape(lite), seq_len=length, dtype=f32)
            for length in (4096, 16384)
        ),
        Duel(title="GQA, 32 heads, 8 key-value heads of 128", shape=grouped_shape(llama), seq_len=16384, dtype=f32),
        Duel(title="MHA, 16 heads", shape=grouped_shape(lite, kv_heads="all"), seq_len=4096, dtype=torch.bfloat16),
    ]


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    ceilings = {dtype: measure_ceilings(dtype, 1) for dtype in (torch.float32, torch.bfloat16)}
    for duel in duels():
        fight(duel, rounds, ceilings[duel.dtype])


def fight(duel: Duel, rounds: int, measured: MeasuredCeilings) -> None:
    problem, inputs = drawn(duel)
    folded, plain = SdpaFolded(problem), Sdpa(problem)
    ours, theirs = [], []
    with torch.inference_mode():
        for round_number in range(rounds):
            turns = [lambda: ours.append(seconds(folded, inputs)), lambda: theirs.append(seconds(plain, inputs))]
            for turn in turns if round_number % 2 else reversed(turns):
                turn()
    ratio = paired_ratio_interval(theirs, ours)
    forward = Pass(batch=1, query_len=1, seq_len=duel.seq_len, element_bytes=duel.dtype.itemsize)
    flops, traffic_bytes = kernel_flops(duel.shape, forward), kernel_bytes(duel.shape, forward)
    bound_s = measured.at(traffic_bytes).bound_s(flops=flops, traffic_bytes=traffic_bytes)
    print(
        f"{duel.title}, {duel.seq_len:,} tokens, {str(duel.dtype).removeprefix('torch.')}: plain sdpa "
        f"{median_interval(theirs).median * 1e3:.3f} ms, folded {median_interval(ours).median * 1e3:.3f} ms"
    )
    print(
        f"    plain / folded {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}, {rounds} rounds); folded at "
        f"{bound_s / min(ours):.2f} of the roofline in its best round" + (f"; {folded.form}" if folded.form else "")
    )


def drawn(duel: Duel) -> tuple[Problem, tuple[torch.Tensor, ...]]:
    """The problem as the suite's layers give it: a cache with spare slots, cut to its length."""
    shape = duel.shape
    grouped = isinstance(shape, GroupedShape)
    problem = Problem(
        batch=1,
        heads=shape.num_heads,
        kv_heads=shape.kv_heads if grouped else 1,
        query_len=1,
        seq_len=duel.seq_len,
        qk_dim=shape.qk_dim,
        v_dim=shape.v_dim,
        value_layout=ValueLayout.SEPARATE if grouped else ValueLayout.PREFIX_OF_KEY,
        scale=shape.qk_dim**-0.5,
        dtype=duel.dtype,
        device=torch.device("cpu"),
    )

    def cached() -> torch.Tensor:
        size = (1, problem.kv_heads, duel.seq_len + SPARE_SLOTS, problem.qk_dim)
        return torch.randn(size).to(duel.dtype)[:, :, : duel.seq_len]

    k = cached()
    v = cached() if grouped else k[..., : problem.v_dim]
    return problem, (torch.randn(1, problem.heads, 1, problem.qk_dim).to(duel.dtype), k, v)


def seconds(backend: Callable[..., torch.Tensor], inputs: tuple[torch.Tensor, ...]) -> float:
    """Median thread CPU time of a call, over as many calls as fit into a round, three at least."""
    times, begun = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - begun < LONGEST_ROUND_S and len(times) < 100):
        start = time.thread_time()
        backend(*inputs)
        times.append(time.thread_time() - start)
    return median_interval(times).median


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
