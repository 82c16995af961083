"""A timeline of one step for chrome://tracing or Perfetto, taken in a pass of its own.

Spans are ranges in it. On CUDA they are NVTX ranges in every pass, so that nsys shows them too.
"""

import gzip
import json
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile, record_function

from suite.measure.allocator import quiet_standard_error
from suite.measure.meter import Meter, Seen
from suite.records.record import TRACE as TRACE
from suite.records.temporary import temporary_folder


def trace_of(step: Callable[[Meter], None], device: str) -> bytes:
    """The compressed trace of one step, without the host's name and the path that the profiler writes into it."""
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
    named = record_function(f"span {span}")
    named.__enter__()

    def stop() -> Seen:
        named.__exit__(None, None, None)
        return ()

    return stop
