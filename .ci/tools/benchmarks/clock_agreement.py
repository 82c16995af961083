"""Does our clock say what torch's own benchmark says? The same kernel, by both, in turns.

    OMP_NUM_THREADS=1 .ci/tool benchmarks.clock_agreement [rounds]

Both take thread CPU time. Prints the median ratio over rounds with its interval.
"""

import sys
import time

import torch
import torch.utils.benchmark
from torch.nn import functional as F

from suite.measure.meter import Meter, cpu_clock
from suite.statistics.intervals import median_interval
from tools.benchmarks.paired_ratio import paired_ratio_interval

CALLS_A_ROUND = 40


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    query, latent = torch.randn(1, 1, 16, 576), torch.randn(1, 1, 4096, 576)

    def kernel() -> torch.Tensor:
        return F.scaled_dot_product_attention(query, latent, latent, scale=192**-0.5)

    timer = torch.utils.benchmark.Timer("kernel()", globals={"kernel": kernel}, timer=time.thread_time)
    ours, theirs = [], []
    with torch.inference_mode():
        for round_number in range(rounds):
            turns = [lambda: ours.append(by_our_clock(kernel)), lambda: theirs.append(by_torch(timer))]
            for turn in turns if round_number % 2 else reversed(turns):
                turn()
    ratio = paired_ratio_interval(ours, theirs)
    print(
        f"ours   {median_interval(ours).median * 1e3:.3f} ms a call, torch.utils.benchmark "
        f"{median_interval(theirs).median * 1e3:.3f} ms, {rounds} rounds of {CALLS_A_ROUND} calls"
    )
    print(f"ratio  {ratio.median:.4f}, 95 % interval {ratio.low:.4f} to {ratio.high:.4f}")


def by_our_clock(kernel) -> float:
    meter = Meter(cpu_clock(threads=1))
    for _ in range(CALLS_A_ROUND):
        with meter.span("kernel"):
            kernel()
    return median_interval([reading.value for reading in meter.readings]).median


def by_torch(timer: torch.utils.benchmark.Timer) -> float:
    return timer.timeit(CALLS_A_ROUND).median


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
