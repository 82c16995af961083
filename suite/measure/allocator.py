"""Which operators really ran, and the most that the allocator held meanwhile.

Watching costs time, so this probe has a pass of its own. `ru_maxrss` cannot serve: it never falls within a process.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from suite.measure.meter import Seen

VIEWS = frozenset(
    (
        *("_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "empty", "empty_like"),
        *("empty_strided", "expand", "expand_as", "flatten", "new_empty", "new_zeros", "permute", "reshape"),
        *("result_type", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "to", "transpose"),
        *("unflatten", "unsqueeze", "view", "zeros"),
    )
)
"""Operators that move no data worth naming; what a reader wants to see are the others."""
WRAPPERS = frozenset(
    ("cat", "contiguous", "linear", "matmul", "rms_norm", "scaled_dot_product_attention", "softmax", "stack")
)
"""Operators that only hand on to the one that did the work, which is listed itself."""


COMPILED = "## Call CompiledFxGraph"
"""How the profiler calls what torch.compile made."""


class AllocatorProbe:
    """A probe that notes the peak of each span in its readings, and the operators of each in `operators`."""

    def __init__(self) -> None:
        self.operators: list[list[str]] = []

    def seen(self) -> Mapping[str, Sequence[Sequence[str]]]:
        return {"operators": self.operators}

    def __call__(self, span: str) -> Callable[[], Seen]:
        profiler = torch.autograd.profiler.profile(profile_memory=True)
        with quiet_standard_error():
            profiler.__enter__()

        def stop() -> Seen:
            with quiet_standard_error():
                profiler.__exit__(None, None, None)
            results = profiler.kineto_results
            assert results is not None
            events = results.events()
            self.operators.append(worth_naming(event.name() for event in events))
            # torch's stub of the event leaves nbytes out.
            memory: list[Any] = [event for event in events if event.name() == "[memory]"]
            changes = sorted((event.start_ns(), event.nbytes()) for event in memory)
            held = peak = 0
            for _, change in changes:
                held += change
                peak = max(peak, held)
            return [{"metric": "peak_bytes", "value": peak}]

        return stop


def worth_naming(names: Iterator[str]) -> list[str]:
    """Operators among the names of events, without views and without those that only hand on."""
    short = {_short(name) for name in names if name.startswith(("aten::", COMPILED))}
    return sorted(short - VIEWS - WRAPPERS)


def _short(name: str) -> str:
    """Without what differs from run to run: a compiled graph's name ends with a digest."""
    return name.removeprefix("aten::") if name.startswith("aten::") else "CompiledFxGraph"


@contextlib.contextmanager
def quiet_standard_error() -> Iterator[None]:
    """Some builds of torch print a line each time their profiler starts, from C++, past sys.stderr."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
