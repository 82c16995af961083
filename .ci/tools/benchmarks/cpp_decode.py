"""The C++ decode kernel beside torch's best form of each variant, and beside what the CPU allows.

    OMP_NUM_THREADS=1 .ci/tool benchmarks.cpp_decode [tokens of context] [rounds]
    OMP_NUM_THREADS=2 .ci/tool benchmarks.cpp_decode    # and what several threads take of one's time

One new token; forms take turns, each one's least time of all rounds counts: thread CPU time with one thread, wall time
with more. The share is of the roofline of this very run's ceilings, of which the memory's is that of as many bytes.
Last, the CPU's row of the sign map: the time of GQA over absorbed MLA's, by torch's best forms, cpp, the roofline.
"""

import sys
import time
from pathlib import Path

import torch

from suite.attention.backends.cpp import Cpp
from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Problem, ValueLayout
from suite.machine.environment import commit, cpu_model
from suite.measure.devices.ceilings import measure_ceilings

PRESSURE = Path("/proc/pressure/cpu")
VARIANTS = {
    "MHA, 16 heads": (16, 16, 128, 128, ValueLayout.SEPARATE),
    "GQA, 32 heads on 8": (32, 8, 128, 128, ValueLayout.SEPARATE),
    "GQA, 16 heads on 2": (16, 2, 128, 128, ValueLayout.SEPARATE),
    "MQA, 16 heads": (16, 1, 128, 128, ValueLayout.SEPARATE),
    "MLA, 16 heads": (16, 1, 576, 512, ValueLayout.PREFIX_OF_KEY),
    "MLA, full keys and values": (16, 16, 192, 128, ValueLayout.SUFFIX_OF_BUFFER),
}


def main(seq_len, rounds):
    """Print a line a variant and dtype, then the sign row."""
    threads = torch.get_num_threads()
    where = f"{cpu_model()}, torch {torch.__version__}, {str(commit().get('commit'))[:7]}"
    print(f"{where}: {seq_len:,} tokens, {threads} thread(s), the best of {rounds} rounds, ms")
    for dtype in (torch.float32, torch.bfloat16):
        ceilings = measure_ceilings(dtype, threads)
        shares = {}
        for name, sizes in VARIANTS.items():
            problem, inputs = draw_case(*sizes, seq_len=seq_len, dtype=dtype)
            backends = make_backends(problem, inputs)
            fastest_s = fastest_times_s(backends, inputs, rounds, clock())
            shares[name] = bound_s(problem, ceilings) / fastest_s["cpp"]
            torch_s = torch_best_s(fastest_s)
            torch_share = bound_s(problem, ceilings) / torch_s
            times = ", ".join(f"{form} {seconds * 1e3:.2f}" for form, seconds in fastest_s.items())
            thread_note = (
                f"; one thread takes {one_thread_s(problem, inputs, rounds) / fastest_s['cpp']:.2f} times as long"
                if threads > 1
                else ""
            )
            print(
                f"{str(dtype).removeprefix('torch.')}, {name}: {times}; torch's best takes "
                f"{torch_s / fastest_s['cpp']:.2f} "
                f"times cpp's; share of the roofline {shares[name]:.2f}, torch's {torch_share:.2f}; "
                f"{backends['cpp'].form}{thread_note}",
                flush=True,
            )
        print(f"shares of the roofline: {min(shares.values()):.2f} to {max(shares.values()):.2f}")
    signs(seq_len, rounds, ceilings)
    print(f"pressure on the CPU: {PRESSURE.read_text().splitlines()[0] if PRESSURE.exists() else 'not known'}")


def signs(seq_len, rounds, ceilings):
    """Print the row for bfloat16: DeepSeek-V3's latent against 8 key-value heads, of 128 heads in as many parts."""
    for parts in (1, 2, 4, 8):
        heads = 128 // parts
        pair = (heads, 8 // parts, 128, 128, ValueLayout.SEPARATE), (heads, 1, 576, 512, ValueLayout.PREFIX_OF_KEY)
        for query_len in (1, 2, 4):
            times_s = []
            for sizes in pair:
                problem, inputs = draw_case(*sizes, seq_len=seq_len, dtype=torch.bfloat16, query_len=query_len)
                fastest_s = fastest_times_s(make_backends(problem, inputs), inputs, rounds, clock())
                times_s.append((torch_best_s(fastest_s), fastest_s["cpp"], bound_s(problem, ceilings)))
            torch_ratio, cpp_ratio, bound_ratio = (gqa / mla for gqa, mla in zip(*times_s, strict=True))
            print(
                f"bfloat16, {heads} heads, {8 // parts} key-value heads, {query_len} new token(s): GQA over MLA "
                f"{torch_ratio:.2f} by torch's best forms, {cpp_ratio:.2f} by cpp, {bound_ratio:.2f} by the roofline",
                flush=True,
            )


def make_backends(problem, inputs):
    """Our kernel, tuned for these inputs, and torch's two best forms, by name."""
    return {backend.name: backend for backend in (Cpp(problem).autotuned(*inputs), SdpaFolded(problem), Eager(problem))}


def clock():
    """Thread CPU time for one thread, wall time for several."""
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def torch_best_s(fastest_s):
    """The time of torch's faster form."""
    return min(fastest_s["sdpa_folded"], fastest_s["eager"])


def draw_case(heads, kv_heads, qk_dim, v_dim, value_layout, *, seq_len, dtype, query_len=1):
    """A random problem of these sizes and its inputs, with the value laid out in or beside the cache."""
    problem = Problem(
        batch=1,
        heads=heads,
        kv_heads=kv_heads,
        query_len=query_len,
        seq_len=seq_len,
        qk_dim=qk_dim,
        v_dim=v_dim,
        value_layout=value_layout,
        scale=qk_dim**-0.5,
        dtype=dtype,
        device=torch.device("cpu"),
    )
    q = torch.randn(1, heads, query_len, qk_dim).to(dtype)
    behind = v_dim if value_layout is ValueLayout.SUFFIX_OF_BUFFER else 0
    cache = torch.randn(1, kv_heads, seq_len, qk_dim + behind).to(dtype)
    if value_layout is ValueLayout.SEPARATE:
        return problem, (q, cache, torch.randn(1, kv_heads, seq_len, v_dim).to(dtype))
    return problem, (q, cache[..., :qk_dim], cache[..., -v_dim:] if behind else cache[..., :v_dim])


def bound_s(problem, ceilings):
    """The roofline's time: of the products, or of the cache's bytes, whichever is longer."""
    width = problem.qk_dim + (0 if problem.value_layout is ValueLayout.PREFIX_OF_KEY else problem.v_dim)
    nbytes = problem.kv_heads * problem.seq_len * width * problem.dtype.itemsize
    flops = 2 * problem.heads * problem.query_len * problem.seq_len * (problem.qk_dim + problem.v_dim)
    return ceilings.at(nbytes).bound_s(flops=flops, traffic_bytes=nbytes)


def one_thread_s(problem, inputs, rounds):
    """Our kernel's least time in seconds with one thread, on the wall's clock."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    fastest_s = fastest_times_s({"cpp": Cpp(problem).autotuned(*inputs)}, inputs, rounds, time.perf_counter)
    torch.set_num_threads(threads)
    return fastest_s["cpp"]


def fastest_times_s(backends, inputs, rounds, clock):
    """The least time of each backend in seconds over all rounds, in turns, each after a call that is not timed."""
    fastest_s = dict.fromkeys(backends, float("inf"))
    for _ in range(rounds):
        for name, backend in backends.items():
            backend(*inputs)
            start = clock()
            backend(*inputs)
            fastest_s[name] = min(fastest_s[name], clock() - start)
    return fastest_s


if __name__ == "__main__":
    with torch.inference_mode():
        main(*(int(given) for given in (*sys.argv[1:], *("16384", "5")[len(sys.argv) - 1 :])))
