"""Passes under torch's profiler: which operators and kernels really ran, the peak of memory meanwhile, and a trace.

Watching costs time, so each has a pass of its own. `ru_maxrss` cannot tell a peak: it never falls within a process.
"""

import contextlib
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from suite.machine.temporary import temporary_folder
from suite.measure.meter import Meter, Seen

LONGEST_KERNEL_NAME = 120
# Operators that move no data worth naming; what a reader wants to see are the others.
VIEWS = frozenset(
    (
        *("_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "empty", "empty_like"),
        *("empty_strided", "expand", "expand_as", "flatten", "new_empty", "new_zeros", "permute", "reshape"),
        *("result_type", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "to", "transpose"),
        *("unflatten", "unsqueeze", "view", "zeros"),
    )
)
# Operators that only hand on to the one that did the work, which is listed itself.
WRAPPERS = frozenset(
    ("cat", "contiguous", "linear", "matmul", "rms_norm", "scaled_dot_product_attention", "softmax", "stack")
)
OURS, TORCHS = "suite::", "aten::"
# The profiler's name of whatever torch.compile made.
COMPILED = "## Call CompiledFxGraph"


class AllocatorProbe:
    """A probe that notes the `peak_bytes` of each span in its readings, and the operators of each in `operators`."""

    def __init__(self) -> None:
        self.operators: list[list[str]] = []

    def seen(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """{"operators": a list of names for each span so far}."""
        return {"operators": self.operators}

    def __call__(self, span: str) -> Callable[[], Seen]:
        stop_profiler = _start_profiler(profile_memory=True)

        def stop() -> Seen:
            events = stop_profiler()
            self.operators.append(worth_naming(event.name() for event in events))
            memory = [event for event in events if event.name() == "[memory]"]
            changes = sorted((event.start_ns(), event.nbytes()) for event in memory)
            live_bytes = peak = 0
            for _, change in changes:
                live_bytes += change
                peak = max(peak, live_bytes)
            return [{"metric": "peak_bytes", "value": peak}]

        return stop


class CudaWatcher(AllocatorProbe):
    """An AllocatorProbe for a CUDA device, by its allocator's own count, with the kernels of each span too."""

    def __init__(self) -> None:
        super().__init__()
        self._kernels: list[list[str]] = []

    def seen(self) -> Mapping[str, Sequence[Sequence[str]]]:
        return {"operators": self.operators, "kernels": self._kernels}

    def __call__(self, span: str) -> Callable[[], Seen]:
        stop_profiler = _start_profiler(use_device="cuda", use_kineto=True)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()

        def stop() -> Seen:
            torch.cuda.synchronize()
            peak_bytes = torch.cuda.max_memory_allocated() - before
            events = stop_profiler()
            self.operators.append(worth_naming(event.name() for event in events))
            on_device = {event.name() for event in events if event.device_type() == DeviceType.CUDA}
            self._kernels.append(sorted(set(map(short_kernel_name, on_device))))
            return [{"metric": "peak_bytes", "value": peak_bytes}]

        return stop


def _start_profiler(**options: Any) -> Callable[[], list[Any]]:
    """Start torch's profiler. Returns the function that stops it and gives its events."""
    profiler = torch.autograd.profiler.profile(**options)
    with quiet_standard_error():
        profiler.__enter__()

    def stop_and_list_events() -> list[Any]:
        with quiet_standard_error():
            profiler.__exit__(None, None, None)
        assert profiler.kineto_results is not None
        return profiler.kineto_results.events()

    return stop_and_list_events


def worth_naming(names: Iterator[str]) -> list[str]:
    """Sorted, distinct names of operators among the names of events, without views and mere wrappers of operators.

    The digest that ends a compiled graph's name is cut off, since it differs from run to run.
    """
    seen = [name for name in names if name.startswith((OURS, TORCHS, COMPILED))]
    short = {"CompiledFxGraph" if name.startswith(COMPILED) else name.partition("::")[2] for name in seen}
    return sorted(short - VIEWS - WRAPPERS)


def short_kernel_name(name: str) -> str:
    """A CUDA kernel's own name, without return type, template arguments and parameters, cut to LONGEST_KERNEL_NAME."""
    plain, depth = [], 0
    for letter in name.replace("(anonymous namespace)", "anonymous").removeprefix("void "):
        if letter == "(" and depth == 0:
            break
        depth += (letter == "<") - (letter == ">")
        if depth == 0 and letter != ">":
            plain.append(letter)
    return "".join(plain)[:LONGEST_KERNEL_NAME]


def record_trace(step: Callable[[Meter], None], device: str) -> bytes:
    """Run one step under torch's profiler: a timeline for chrome://tracing or Perfetto, as gzipped JSON.

    The host's name and the path that the profiler writes into it are taken out. Spans are ranges in it; on CUDA they
    are NVTX ranges in every pass, so that nsys shows them too.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with temporary_folder("trace") as folder:
        path = folder / "trace.json"
        with quiet_standard_error():
            with profile(activities=activities, record_shapes=True) as profiler:
                step(Meter(_named_range))
            profiler.export_chrome_trace(str(path))
        content = json.loads(path.read_text(encoding="utf-8"))
    for private in ("traceName", "host_name"):
        content.pop(private, None)
    return gzip.compress(json.dumps(content).encode())


def _named_range(span: str) -> Callable[[], Seen]:
    """Begin a range of this span's name in torch's trace. Returns the function that ends it and gives no readings."""
    named = record_function(f"span {span}")
    named.__enter__()

    def stop() -> Seen:
        named.__exit__(None, None, None)
        return ()

    return stop


@contextlib.contextmanager
def quiet_standard_error() -> Iterator[None]:
    """Discard standard error inside: some builds of torch print a line as their profiler starts, from C++."""
    sys.stderr.flush()
    original, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(nowhere)
