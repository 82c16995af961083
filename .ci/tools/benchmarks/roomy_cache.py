"""What room for more tokens costs a batched product: one decode step's eager attention over a full and a roomy cache.

    OMP_NUM_THREADS=1 .ci/tool benchmarks.roomy_cache [rounds]

Prints, for each dtype, thread CPU time of all groups in one batched product and of each group alone, in turns.
"""

import sys
import time

import torch

from suite.attention.backends import eager
from suite.statistics.intervals import median_interval

GROUPS, KEYS, WIDTH, SPARE = 16, 16384, 128, 16


def main(rounds):
    torch.set_num_threads(1)
    decide = eager._batches_badly
    for dtype in (torch.bfloat16, torch.float32):
        for spare in (0, SPARE):
            q, k, v = (torch.randn(1, GROUPS, n, WIDTH).to(dtype) for n in (1, KEYS + spare, KEYS + spare))
            k, v = k[:, :, :KEYS], v[:, :, :KEYS]
            times = {"batched": [], "one by one": []}
            for _ in range(rounds):
                for way, alone in (("batched", False), ("one by one", True)):
                    eager._batches_badly = lambda *matrices, alone=alone: alone
                    times[way].append(seconds(q, k, v))
            medians = ", ".join(f"{way} {1e3 * median_interval(s).median:.1f} ms" for way, s in times.items())
            name = str(dtype).removeprefix("torch.")
            print(f"{name}, {GROUPS} groups of {KEYS:,} keys, room for {spare} more: {medians}")
    eager._batches_badly = decide


@torch.inference_mode()
def seconds(q, k, v):
    """Thread CPU seconds of one attention, after a call that is not timed."""
    eager.attend(q, k, v, scale=WIDTH**-0.5, hidden_ST=None)
    start = time.thread_time()
    eager.attend(q, k, v, scale=WIDTH**-0.5, hidden_ST=None)
    return time.thread_time() - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
