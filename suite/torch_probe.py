"""What torch finds on this machine, and how fast one thread multiplies matrices in each dtype.

`suite doctor` runs this in a process of its own, as it imports no torch itself. Prints one JSON object. The rates are a
quick look, not the ceilings that a record carries.
"""

import json
import time
from typing import Any

from suite.configuration import choices, locate, read_choice

DTYPES = ("float32", "bfloat16", "float16")
SIZES = (256, 512, 1024)
SECONDS_A_DTYPE = 0.25
LONGEST_PRODUCT_S = 0.1
"""The next size is tried only if it will probably stay below this."""


def probe() -> dict[str, Any]:
    """Facts of torch, a matrix-product rate for each dtype, and why a backend or workload cannot be loaded."""
    import torch

    torch.set_num_threads(1)
    return {
        "version": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda_available": torch.cuda.is_available(),
        "cuda_built": torch.version.cuda,
        "matmul_flops_per_s": {dtype: _rate(getattr(torch, dtype)) for dtype in DTYPES},
        "backends": load_failures("backend"),
        "workloads": load_failures("workload"),
    }


def load_failures(group: str) -> dict[str, str | None]:
    """For each choice in a group, None if the code behind it loads, else why it does not."""
    found: dict[str, str | None] = {}
    for name in choices(group):
        try:
            locate(read_choice(group, name)["_target_"])
            found[name] = None
        except ValueError as error:
            found[name] = str(error)
    return found


def _rate(dtype: Any) -> float:
    """The best rate of one thread, in FLOP/s of its own CPU time, over the sizes that it manages."""
    import torch

    best, spent_s = 0.0, 0.0
    for size in SIZES:
        a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
        product_s = min(_product_s(a, b) for _ in range(2))
        best = max(best, 2 * size**3 / product_s)
        spent_s += 2 * product_s
        if 8 * product_s > LONGEST_PRODUCT_S:
            break
    while spent_s < SECONDS_A_DTYPE:
        product_s = _product_s(a, b)
        best = max(best, 2 * size**3 / product_s)
        spent_s += product_s
    return best


def _product_s(a: Any, b: Any) -> float:
    """Seconds of one product, from as many calls as the clock needs to see."""
    calls, start = 0, time.thread_time()
    while (elapsed_s := time.thread_time() - start) < 0.01:
        a @ b
        calls += 1
    return elapsed_s / calls


if __name__ == "__main__":
    print(json.dumps(probe()))
