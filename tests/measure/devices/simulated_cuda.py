"""A CUDA device that is not there: `torch.cuda` with clocks and an L2 that are computed, its tensors on the CPU.

What runs is real: every operator computes on the CPU, and the suite's code runs as it does on a GPU. What is computed
is time: each operator is a kernel that the host launches and the device executes in order; it reads and writes whole
lines through an L2 that forgets the least recently used, and waits for what it misses and for what it writes back.
Under capture nothing is executed, and what a kernel would have made is not a number until the graph is replayed.
"""

import contextlib
import functools
import itertools
from collections import OrderedDict
from types import SimpleNamespace

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from suite.measure.devices import cuda_clock

BYTES_PER_S = 2.5e9
LINE_BYTES = 1024
L2_BYTES = 1 << 17
LAUNCH_S, EVENT_S, GRAPH_LAUNCH_S = 6e-6, 1e-6, 8e-6
"""Of the host's time."""
START_S, NODE_START_S, GRAPH_START_S = 2e-6, 1e-6, 6e-6
"""Of the device's time, before a kernel, a kernel in a graph, and a graph."""
SLEEP_HZ = 1.5e9
ALLOCATING = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_"}
NO_KERNELS = ALLOCATING | {"detach", "lift_fresh"}
SYNCHRONISING = {"item", "_local_scalar_dense", "is_nonzero", "nonzero", "equal"}


class Chip:
    """A device with one queue: its clock, the host's, and its L2."""

    def __init__(self, l2_bytes):
        self.l2_bytes, self.launch_s = l2_bytes, LAUNCH_S
        self.host_s = self.device_s = 0.0
        self.capturing = None
        self.ranges = []
        self._lines = OrderedDict()

    def launch(self, reads, writes, *, host_s=None, start_s=START_S):
        self.host_s += self.launch_s if host_s is None else host_s
        self.device_s = max(self.device_s, self.host_s) + start_s + self._traffic_bytes(reads, writes) / BYTES_PER_S

    def mark(self):
        """Return when the device passes this place in its queue."""
        self.host_s += EVENT_S
        self.device_s = max(self.device_s, self.host_s)
        return self.device_s

    def synchronise(self):
        if self.capturing is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.host_s = max(self.host_s, self.device_s)

    def _traffic_bytes(self, reads, writes):
        lines = 0
        for tensors, is_written in ((reads, False), (writes, True)):
            for line in itertools.chain.from_iterable(map(_lines_of, tensors)):
                if line not in self._lines and not is_written:
                    lines += 1
                self._lines[line] = self._lines.pop(line, False) or is_written
                while len(self._lines) > self.l2_bytes // LINE_BYTES:
                    _, is_dirty = self._lines.popitem(last=False)
                    lines += is_dirty
        return lines * LINE_BYTES


def _lines_of(tensor):
    if not tensor.numel():
        return range(0)
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)) + 1
    first = tensor.data_ptr()
    return range(first // LINE_BYTES, (first + reach * tensor.element_size() - 1) // LINE_BYTES + 1)


class Kernels(TorchDispatchMode):
    """Every operator is a kernel, executed, or kept for a graph."""

    def __init__(self, chip):
        super().__init__()
        self.chip = chip

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # OnTheCpu has seen what is asked; each look at a tensor here would pass it once more.
        with torch._C.DisableTorchFunction():
            return self._launched(func, args, kwargs or {})

    def _launched(self, func, args, kwargs):
        name = func._schema.name.partition("::")[2]
        if name in SYNCHRONISING:
            self.chip.synchronise()
            return func(*args, **kwargs)
        if name in NO_KERNELS:
            return func(*args, **kwargs)
        if _writes(func):
            if self.chip.capturing is None:
                return run(self.chip, func, args, kwargs)
            self.chip.capturing.append((functools.partial(run, self.chip, func, args, kwargs), None))
            made = _written(func, args, kwargs)
            return made[0] if len(made) == 1 else made
        made = func(*args, **kwargs)
        read = {tensor.untyped_storage().data_ptr() for tensor in tensors_in((args, kwargs))}
        if any(tensor.untyped_storage().data_ptr() in read for tensor in tensors_in(made)):
            return made  # a view
        if self.chip.capturing is None:
            self.chip.launch(tensors_in((args, kwargs)), tensors_in(made))
            return made
        for tensor in tensors_in(made):
            if tensor.is_floating_point():
                tensor.fill_(torch.nan)
        self.chip.capturing.append((functools.partial(run, self.chip, func, args, kwargs), made))
        return made


def run(chip, func, args, kwargs, **times_s):
    made = func(*args, **kwargs)
    written = _written(func, args, kwargs) if _writes(func) else tensors_in(made)
    addresses = {tensor.data_ptr() for tensor in written}
    read = [tensor for tensor in tensors_in((args, kwargs)) if tensor.data_ptr() not in addresses]
    chip.launch(read, written, **times_s)
    return made


def replayable(chip, call):
    """Return a call that is one kernel, whatever it does on the CPU: it waits for a graph's replay under capture."""

    def kernel(args, kwargs, **times_s):
        with _disable_current_modes():
            call(*args, **kwargs)
        chip.launch(tensors_in((args, kwargs)), [], **times_s)

    def called(*args, **kwargs):
        if chip.capturing is None:
            kernel(args, kwargs)
        else:
            chip.capturing.append((functools.partial(kernel, args, kwargs), None))

    return called


def tensors_in(values):
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


def _writes(func):
    return any(one.alias_info is not None and one.alias_info.is_write for one in func._schema.arguments)


def _written(func, args, kwargs):
    given = dict(zip((one.name for one in func._schema.arguments), args, strict=False)) | kwargs
    names = [one.name for one in func._schema.arguments if one.alias_info is not None and one.alias_info.is_write]
    return tensors_in([given.get(name) for name in names])


class OnTheCpu(TorchFunctionMode):
    """Tensors for the device lie on the CPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.device:
            return func(*args, **(kwargs or {}))
        # A device is never within a list of arguments: looking into those would cost more than what the suite does.
        return func(*map(on_the_cpu, args), **{name: on_the_cpu(value) for name, value in (kwargs or {}).items()})


def on_the_cpu(value):
    is_cuda = isinstance(value, torch.device) and value.type == "cuda"
    return torch.device("cpu") if is_cuda or (isinstance(value, str) and value.startswith("cuda")) else value


@contextlib.contextmanager
def simulated_cuda(monkeypatch, *, l2_bytes=L2_BYTES):
    """Give the Chip that `torch.cuda` speaks of meanwhile."""
    chip = Chip(l2_bytes)

    class Event:
        def __init__(self, *, enable_timing=False):
            assert enable_timing

        def record(self):
            self.at_s = chip.mark()

        def query(self):
            return self.at_s <= chip.host_s

        def synchronize(self):
            chip.host_s = max(chip.host_s, self.at_s)

        def elapsed_time(self, end):
            assert max(self.at_s, end.at_s) <= chip.host_s, "CUDA error: device not ready"
            return (end.at_s - self.at_s) * 1e3

    class CUDAGraph:
        def capture_begin(self):
            chip.capturing = self.kernels = []

        def capture_end(self):
            chip.capturing = None

        def replay(self):
            chip.host_s += GRAPH_LAUNCH_S
            chip.device_s = max(chip.device_s, chip.host_s) + GRAPH_START_S
            with torch.inference_mode(), _disable_current_modes(), torch._C.DisableTorchFunction():
                for kernel, made in self.kernels:
                    again = kernel(host_s=0.0, start_s=NODE_START_S)
                    for old, new in zip(tensors_in(made), tensors_in(again), strict=made is not None):
                        old.copy_(new)

    class Generator(torch.Generator):
        def __new__(cls, device="cpu"):
            return super().__new__(cls, on_the_cpu(device))

    class Profile(torch.autograd.profiler.profile):
        def __init__(self, *args, use_device=None, use_kineto=True, **options):
            super().__init__(*args, **options)

    sizes = {"total_memory": 80 << 30, "L2_cache_size": l2_bytes, "shared_memory_per_block_optin": 227 << 10}
    bus = {"uuid": "00000000-0000-0000-0000-000000000000", "pci_domain_id": 0, "pci_bus_id": 1, "pci_device_id": 0}
    properties = SimpleNamespace(name="Simulated", major=9, minor=0, multi_processor_count=4, **sizes, **bus)
    there = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": lambda: None,
        "set_device": lambda index: None,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda *device: properties,
        "get_device_capability": lambda *device: (properties.major, properties.minor),
        "get_device_name": lambda *device: properties.name,
        "mem_get_info": lambda *device: (64 << 30, properties.total_memory),
        "memory_allocated": lambda *device: 0,
        "max_memory_allocated": lambda *device: 0,
        "max_memory_reserved": lambda *device: 0,
        "reset_peak_memory_stats": lambda *device: None,
        "empty_cache": lambda: None,
        "synchronize": lambda *device: chip.synchronise(),
        "_sleep": lambda cycles: chip.launch([], [], start_s=cycles / SLEEP_HZ),
        "is_current_stream_capturing": lambda: chip.capturing is not None,
        "Event": Event,
        "CUDAGraph": CUDAGraph,
        "Stream": lambda *device: None,
        "stream": contextlib.nullcontext,
    }
    with monkeypatch.context() as changed:
        for name, value in there.items():
            changed.setattr(torch.cuda, name, value)
        changed.setattr(torch.cuda.nvtx, "range_push", chip.ranges.append)
        changed.setattr(torch.cuda.nvtx, "range_pop", lambda: chip.ranges.append("end"))
        changed.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None, raising=False)
        changed.setattr(torch.version, "cuda", "13.0")
        stream = SimpleNamespace(is_capturing=there["is_current_stream_capturing"])
        changed.setattr(
            torch.accelerator, "current_stream", lambda *device: stream
        )  # torch.optim asks it, from 2.15 on
        hosts = dict.fromkeys(("perf_counter", "process_time", "thread_time"), lambda: chip.host_s)
        changed.setattr(cuda_clock, "time", SimpleNamespace(**hosts))
        changed.setattr(torch, "Generator", Generator)
        load = torch.load
        changed.setattr(torch, "load", lambda *given, **named: load(*given, **{**named, "map_location": "cpu"}))
        changed.setattr(torch.autograd.profiler, "profile", Profile)
        with OnTheCpu(), Kernels(chip):
            yield chip
