"""Questions to torch: its devices, the backends that it can set up, and the speed of one thread in each dtype.

`suite doctor` runs this in a process of its own, as it imports no torch itself. Prints torch's own facts as one JSON
object, and all of them as a second: what another package's library does to the process cannot take the first away. The
rates are a quick look, not the ceilings that a record carries.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from suite.configuration.files import choices, locate, read_choice

DTYPES = ("float32", "bfloat16", "float16")
SIZES = (256, 512, 1024)
SECONDS_A_DTYPE = 0.25
# The next size is tried only if it will probably stay below this.
LONGEST_PRODUCT_S = 0.1


def torch_facts() -> dict[str, Any]:
    """Facts of torch, among them whether it finds a GPU, and a matrix-product rate for each dtype."""
    import torch

    from suite.measure.devices.cuda import why_not_usable

    torch.set_num_threads(1)  # a rate of several would be one of whoever else runs here
    return {
        "version": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "why_no_cuda": why_not_usable(),
        "matmul_flops_per_s": {dtype: _rate(getattr(torch, dtype)) for dtype in DTYPES},
    }


def _failures(group: str, load: Callable[[Mapping[str, Any]], object]) -> dict[str, str | None]:
    """For each choice in a group None if the code behind it can be used here, else why it cannot.

    Behind some stand other packages, which may raise anything: one that is broken is a reason, and no end of the probe.
    """
    from suite.attention.backends.needs import in_a_line
    from suite.measure.workload import UnsupportedError

    failures: dict[str, str | None] = {}
    for name in choices(group):
        try:
            load(read_choice(group, name))
            failures[name] = None
        except (ValueError, UnsupportedError) as error:
            failures[name] = str(error)
        except Exception as error:
            failures[name] = in_a_line(error)
    return failures


def _load_workload(content: Mapping[str, Any]) -> object:
    workload = content.get("workload", content)  # a file that chooses among other groups names its own
    return locate(workload.get("_target_", workload["plan"]))


def _build_backend(content: Mapping[str, Any]) -> None:
    """Set a backend up for a problem that it computes; if there is none, raise what it lacks here, such as a device."""
    from suite.attention.backends.needs import AbsentError
    from suite.measure.workload import UnsupportedError

    build, refusals = locate(content["_target_"]), []
    for problem in _simple_problems():
        try:
            build(problem)
            return
        except UnsupportedError as error:
            refusals.append(error)
    raise next((error for error in refusals if isinstance(error, AbsentError)), refusals[0])


def _simple_problems() -> Iterable[Any]:
    """The simplest problem, the same with an 8-bit cache, and two that CUDA kernels are made for: GQA, absorbed MLA."""
    import torch

    from suite.attention.problem import Problem, ValueLayout

    simplest = Problem(
        batch=1,
        heads=1,
        kv_heads=1,
        query_len=1,
        seq_len=16,
        qk_dim=16,
        v_dim=16,
        value_layout=ValueLayout.SEPARATE,
        scale=0.25,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    served = replace(simplest, seq_len=64, dtype=torch.bfloat16, device=torch.device("cuda"))
    grouped = replace(served, heads=8, qk_dim=128, v_dim=128)
    latent = replace(grouped, qk_dim=576, v_dim=512, value_layout=ValueLayout.PREFIX_OF_KEY)
    return simplest, replace(simplest, cache_dtype=torch.int8), grouped, latent


def _rate(dtype: Any) -> float:
    """The best rate of a matrix product in a dtype by one thread, in FLOP per second of its CPU time. Larger sizes are
    left out if they would take too long."""
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
    facts = torch_facts()
    print(json.dumps(facts), flush=True)
    packages = {"backends": _failures("backend", _build_backend), "workloads": _failures("workload", _load_workload)}
    print(json.dumps({**facts, **packages}))
