"""Short spans as CUDA graphs: below SHORT_S the device would otherwise wait for Python, and that would be timed.

A span that the workload can run on several sets of inputs is captured once for each set, all in one graph, which is
timed whole and divided by the number of runs; see suite.measure.rotated_buffers. Others are captured alone and
replayed with a flush before each replay. What a graph computes is compared with the same work outside it: a kernel that
was launched past the capture would leave a graph that does nothing, fast.

In a rotated graph a kernel that is launched early (programmatic dependent launch) may begin while its neighbour still
runs, as it would in a server's graph. The record says how many runs stood side by side.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from suite.measure.devices.cuda_clock import l2_bytes
from suite.measure.devices.device import TimedWorkload
from suite.measure.meter import Meter
from suite.measure.rotated_buffers import RotatedRuns
from suite.measure.workload import GraphableWorkload, Workload
from suite.theory.layers.roofline import MeasuredCeilings

# Predicted time below which a span is captured: chosen, not measured. The prediction is of the roofline, which knows
# nothing of launches: a layer has fifteen to twenty, of which each may take Python 20 µs and more.
SHORT_S = 2e-3
ROOM = 0.5  # share of the free memory that copies of a span's inputs may take
# Relative difference above which a graph did not do the work. Whether that is right was checked before.
REPLAY_ERROR = 0.05
# Kept: where a capture cannot be ended, torch's allocator goes on asking its graph (CUDAGraph.cpp, capture_end).
_FAILED: list[torch.cuda.CUDAGraph] = []
NOT_SHORT, NOT_OFFERED = "not short", "not offered by the workload"


@dataclass(kw_only=True)
class _Span:
    work: Callable[[], object]
    fact: Mapping[str, Any] | str
    runs: int = 1
    keeps: list[object] = field(default_factory=list)
    """Objects that a replay needs and nothing else refers to."""


def captured_step(workload: Workload, ceilings: MeasuredCeilings) -> TimedWorkload:
    """The workload's step with its short spans captured as CUDA graphs, without probes.

    The facts say for each span how it was captured, or why it was not. A short span whose capture fails is launched
    from Python, with a warning.
    """
    short = short_spans(workload.plan.constants(), ceilings)
    if not isinstance(workload, GraphableWorkload) or not any(short.values()):
        facts = {span: NOT_OFFERED if is_short else NOT_SHORT for span, is_short in short.items()}
        return TimedWorkload(step=workload.step, works=workload.parts(), facts=facts)
    spans: dict[str, _Span] = {}
    for span, is_short in short.items():
        rotated = _rotated_runs(workload, span) if is_short else NOT_SHORT
        spans[span] = (
            _capture_span(rotated)
            if isinstance(rotated, RotatedRuns)
            else _Span(work=workload.parts()[span], fact=rotated)
        )
    return TimedWorkload(
        step=functools.partial(_step, spans),
        works={name: span.work for name, span in spans.items()},
        facts={name: span.fact for name, span in spans.items()},
        runs={name: span.runs for name, span in spans.items()},
        warnings=[
            f"{name}: {span.fact}; it is launched from Python in each run"
            for name, span in spans.items()
            if isinstance(span.fact, str) and span.fact not in (NOT_SHORT, NOT_OFFERED)
        ],
    )


def short_spans(constants: Mapping[str, Mapping[str, float]], ceilings: MeasuredCeilings) -> dict[str, bool]:
    """For each timed span, whether the roofline predicts less than SHORT_S on the device."""
    is_short = {}
    for span, costs in constants.items():
        if "traffic_bytes" in costs:
            nbytes = costs["traffic_bytes"]
            least_s = ceilings.at(nbytes).bound_s(flops=costs["flops"], traffic_bytes=nbytes)
            is_short[span] = least_s < SHORT_S
    return is_short


def agrees(replayed: Tensor, expected: Tensor) -> bool:
    """True if the norm of the difference is at most REPLAY_ERROR of the expected norm; False for NaN."""
    difference = (replayed.double() - expected.double()).norm()
    return bool(difference <= REPLAY_ERROR * expected.double().norm())


def _step(spans: Mapping[str, _Span], meter: Meter) -> None:
    for name, span in spans.items():
        with meter.span(name):
            span.work()


def _rotated_runs(workload: GraphableWorkload, span: str) -> RotatedRuns | str:
    """The runs of a span to capture in a graph, or a phrase on why there are none."""
    try:
        room_bytes = int(ROOM * torch.cuda.mem_get_info()[0])
        return workload.rotated_runs(span, l2_bytes(), room_bytes) or NOT_OFFERED
    except torch.OutOfMemoryError:
        return "cannot be captured (no memory for copies of its inputs)"


def _capture_span(rotated: RotatedRuns) -> _Span:
    """The span as a graph of its runs, or launched from Python, with the reason, if capture or comparison fails."""
    try:
        graph, outputs = captured(rotated.runs)
        graph.replay()
        # Copied, since work that keeps one output for all its runs would be compared with itself.
        replayed = {index: outputs[index].clone() for index in (0, -1)}
        is_same = all(agrees(output, _output(rotated.runs[index])) for index, output in replayed.items())
        torch.cuda.synchronize()
    except RuntimeError as error:
        torch.cuda.synchronize()  # raises where the failure has made the device unusable
        return _Span(work=rotated.runs[0], fact=f"cannot be captured ({str(error).splitlines()[0]})")
    if not is_same:
        return _Span(work=rotated.runs[0], fact="captured, but the graph does not compute what the work does")
    fact = {"turns": len(rotated.runs), "copies": rotated.copies, "rotated_bytes": rotated.rotated_bytes}
    return _Span(work=graph.replay, runs=len(rotated.runs), fact=fact, keeps=[rotated, outputs])


def captured(runs: Sequence[Callable[[], object]]) -> tuple[torch.cuda.CUDAGraph, Sequence[Tensor]]:
    """Capture all runs, one after another, in one graph. Returns the graph and the runs' outputs, set to zero."""
    stream, graph = _capture_stream(torch.cuda.current_device()), torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.inference_mode(), torch.cuda.stream(stream):
        for run in runs:
            run()  # libraries set themselves up for each stream, which must not be captured
        torch.cuda.synchronize()
        graph.capture_begin()
        _FAILED.append(graph)
        try:
            outputs = [_output(run) for run in runs]
        finally:
            graph.capture_end()
        _FAILED.remove(graph)
        for output in outputs:
            output.zero_()
    torch.cuda.synchronize()
    return graph, outputs


def _output(run: Callable[[], object]) -> Tensor:
    output = run()
    assert isinstance(output, Tensor)
    return output


@functools.cache
def _capture_stream(device: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
