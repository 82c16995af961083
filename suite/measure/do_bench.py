"""Does our clock of a GPU say what Triton's own benchmark says? The same kernels by both, one after the other.

    python -m suite.measure.do_bench [--out FILE]

Kernels of a millisecond or so, on which both should agree within TOLERANCE: shorter ones are captured in graphs here,
and do_bench times their launch too. Prints a line a kernel; ends with 1 where one is off, and with 3 where there is no
GPU or no Triton.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional as F

from suite.measure.bias import AGREES, CANNOT_SAY, IS_OFF, TOLERANCE, by_our_meter, run_by_hand, write_findings

STEPS = 100


def main(out: Path | None) -> int:
    """Time the kernels by both clocks, print them and write them to `out` as JSON. Returns the exit code."""
    if not torch.cuda.is_available():
        print("do_bench: needs a GPU that torch finds; there is none here")
        return CANNOT_SAY
    try:
        from triton.testing import do_bench
    except ImportError:
        print("do_bench: needs Triton, which is not installed here")
        return CANNOT_SAY
    times: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        for name, kernel in _kernels().items():
            ours_s = median(by_our_meter(kernel, "latency_s", steps=STEPS))
            theirs_s = do_bench(kernel, return_mode="median") / 1e3
            times[name] = {"ours_s": ours_s, "do_bench_s": theirs_s, "ratio": ours_s / theirs_s}
    for name, figures in times.items():
        ours, theirs = figures["ours_s"] * 1e3, figures["do_bench_s"] * 1e3
        print(f"do_bench: {name} ours {ours:.4f} ms, theirs {theirs:.4f} ms, ratio {figures['ratio']:.3f}")
    write_findings(out, kernels=times)
    return AGREES if all(abs(figures["ratio"] - 1) <= TOLERANCE for figures in times.values()) else IS_OFF


def _kernels() -> Mapping[str, Callable[[], object]]:
    """A matrix product, a read of memory and torch's attention, by name."""

    def random_tensor(*size: int) -> torch.Tensor:
        return torch.randn(*size, device="cuda", dtype=torch.bfloat16)

    a, b, values = random_tensor(4096, 4096), random_tensor(4096, 4096), random_tensor(1 << 29)
    q, k, v = (random_tensor(1, 32, 4096, 128) for _ in range(3))
    return {
        "product": lambda: torch.mm(a, b),
        "read": values.sum,
        "attention": lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    }


if __name__ == "__main__":
    run_by_hand(main)
