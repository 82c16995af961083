"""What really ran on a CUDA device, and the most that torch's allocator held there meanwhile, in a pass of its own."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch._C._autograd import DeviceType

from suite.measure.allocator import quiet_standard_error, worth_naming
from suite.measure.meter import Seen

LONGEST_KERNEL_NAME = 120


class CudaWatcher:
    """A probe that notes the peak of each span in its readings, and keeps the operators and kernels of each."""

    def __init__(self) -> None:
        self._operators: list[Sequence[str]] = []
        self._kernels: list[Sequence[str]] = []

    def seen(self) -> Mapping[str, Sequence[Sequence[str]]]:
        return {"operators": self._operators, "kernels": self._kernels}

    def __call__(self, span: str) -> Callable[[], Seen]:
        profiler = torch.autograd.profiler.profile(use_device="cuda", use_kineto=True)
        with quiet_standard_error():
            profiler.__enter__()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()

        def stop() -> Seen:
            torch.cuda.synchronize()
            peak_bytes = torch.cuda.max_memory_allocated() - before
            with quiet_standard_error():
                profiler.__exit__(None, None, None)
            results = profiler.kineto_results
            assert results is not None
            events = results.events()
            self._operators.append(worth_naming(event.name() for event in events))
            on_device = {event.name() for event in events if event.device_type() == DeviceType.CUDA}
            self._kernels.append(sorted(set(map(short_kernel_name, on_device))))
            return [{"metric": "peak_bytes", "value": peak_bytes}]

        return stop


def short_kernel_name(name: str) -> str:
    """A kernel's own name, without its return type, template arguments and parameters, which can fill a page."""
    plain, depth = [], 0
    for letter in name.replace("(anonymous namespace)", "anonymous").removeprefix("void "):
        if letter == "(" and depth == 0:
            break
        depth += (letter == "<") - (letter == ">")
        if depth == 0 and letter != ">":
            plain.append(letter)
    return "".join(plain)[:LONGEST_KERNEL_NAME]
