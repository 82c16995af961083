"""Does our clock of a GPU say what Triton's own benchmark says? The same kernels by both, one after the other.

    python -m suite.measure.do_bench [--out FILE]

Kernels of a millisecond or so, on which both should agree within TOLERANCE: shorter ones are captured in graphs here,
and do_bench times their launch too. Prints a line a kernel; ends with 1 where one is off, and with 3 where there is no
GPU or no Triton.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn import functional as F

from suite.measure.devices.cuda_clock import CudaFlush, event_clock, l2_bytes
from suite.measure.meter import Meter
from suite.process.streams import ended
from suite.records.stores.store import write_named

TOLERANCE = 0.03
STEPS = 100
AGREES, IS_OFF, CANNOT_SAY = 0, 1, 3


def main(out: Path | None) -> int:
    """Compare, print and write; the exit code."""
    if not torch.cuda.is_available():
        print("do_bench: needs a GPU that torch finds; there is none here")
        return CANNOT_SAY
    try:
        from triton.testing import do_bench
    except ImportError:
        print("do_bench: needs Triton, which is not installed here")
        return CANNOT_SAY
    with torch.inference_mode():
        compared = {name: _compare(kernel, do_bench) for name, kernel in _kernels().items()}
    for name, times in compared.items():
        ours, theirs = times["ours_s"] * 1e3, times["do_bench_s"] * 1e3
        print(f"do_bench: {name} ours {ours:.4f} ms, theirs {theirs:.4f} ms, ratio {times['ratio']:.3f}")
    if out is not None:
        content = {"schema": 1, "gpu": torch.cuda.get_device_name(), "tolerance": TOLERANCE, "kernels": compared}
        write_named(out, (json.dumps(content, indent=1) + "\n").encode())
    return AGREES if all(abs(times["ratio"] - 1) <= TOLERANCE for times in compared.values()) else IS_OFF


def _kernels() -> Mapping[str, Callable[[], object]]:
    def random_tensor(*size: int) -> torch.Tensor:
        return torch.randn(*size, device="cuda", dtype=torch.bfloat16)

    a, b, values = random_tensor(4096, 4096), random_tensor(4096, 4096), random_tensor(1 << 29)
    q, k, v = (random_tensor(1, 32, 4096, 128) for _ in range(3))
    return {
        "product": lambda: torch.mm(a, b),
        "read": values.sum,
        "attention": lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    }


def _compare(kernel: Callable[[], object], do_bench: Callable[..., Any]) -> dict[str, float]:
    kernel()
    meter = Meter(CudaFlush(l2_bytes()), event_clock({}))
    for _ in range(STEPS):
        with meter.span("kernel"):
            kernel()
    ours_s = median(reading.value for reading in meter.readings if reading.metric == "latency_s")
    theirs_s = do_bench(kernel, return_mode="median") / 1e3
    return {"ours_s": ours_s, "do_bench_s": theirs_s, "ratio": ours_s / theirs_s}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    sys.exit(ended(lambda: main(parser.parse_args().out)))
