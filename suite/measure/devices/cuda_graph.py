"""Short spans as CUDA graphs: below SHORT_S the device would otherwise wait for Python, and that would be timed.

A span that the workload can run on several sets of inputs is captured once for each set, all in one graph, which is
timed whole and divided by the number of runs; see suite.measure.rotation. Others are captured alone and replayed with a
flush before each replay. What a graph computes is compared with the same work outside it: a kernel that was launched
past the capture would leave a graph that does nothing, fast.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from suite.measure.devices.cuda_clock import FLUSH_OVER_L2, l2_bytes
from suite.measure.meter import Meter
from suite.measure.rotation import Turns
from suite.measure.workload import Workload, WorkloadInTurns
from suite.theory.roofline import MeasuredCeilings

SHORT_S = 100e-6
"""Predicted time below which a span is captured: chosen, not measured: launching from Python may take longer."""
REPLAY_ERROR = 0.05
"""Relative difference above which a graph did not do the work. Whether that is right was checked before."""
_FAILED: list[torch.cuda.CUDAGraph] = []
"""Kept: where a capture cannot be ended, torch's allocator goes on asking its graph (CUDAGraph.cpp, capture_end)."""
NOT_SHORT, NOT_OFFERED = "not short", "not offered by the workload"


@dataclass(frozen=True, kw_only=True)
class TimedTurns:
    step: Callable[[Meter], None]
    works: Mapping[str, Callable[[], object]]
    """By span, what `step` does in it."""
    facts: Mapping[str, Any]
    """By span, how it was captured, or why not."""
    runs: Mapping[str, int]
    """How often a span of `step` does its work, where more than once."""
    warnings: Sequence[str] = ()


@dataclass(kw_only=True)
class _Span:
    work: Callable[[], object]
    fact: Mapping[str, Any] | str
    runs: int = 1
    keeps: list[object] = field(default_factory=list)
    """What a replay needs and nothing else refers to."""


def timed_turns(workload: Workload, ceilings: MeasuredCeilings) -> TimedTurns:
    """The workload's step with its short spans captured."""
    short = short_spans(workload.plan.constants(), ceilings)
    if not isinstance(workload, WorkloadInTurns) or not any(short.values()):
        facts = {span: NOT_OFFERED if is_short else NOT_SHORT for span, is_short in short.items()}
        return TimedTurns(step=workload.step, works=workload.parts(), facts=facts, runs={})
    spans: dict[str, _Span] = {}
    for span, is_short in short.items():
        turns = _turns_of(workload, span) if is_short else NOT_SHORT
        spans[span] = _captured(turns) if isinstance(turns, Turns) else _Span(work=workload.parts()[span], fact=turns)
    return TimedTurns(
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
    """For each timed span, whether the device should need less than SHORT_S for it."""
    return {
        span: ceilings.at(one["traffic_bytes"]).bound_s(flops=one["flops"], traffic_bytes=one["traffic_bytes"])
        < SHORT_S
        for span, one in constants.items()
        if "traffic_bytes" in one
    }


def agrees(replayed: Tensor, expected: Tensor) -> bool:
    """Whether both are the same but for rounding; written so that a NaN is not."""
    difference = (replayed.double() - expected.double()).norm()
    return bool(difference <= REPLAY_ERROR * expected.double().norm())


def _step(spans: Mapping[str, _Span], meter: Meter) -> None:
    for name, span in spans.items():
        with meter.span(name):
            span.work()


def _turns_of(workload: WorkloadInTurns, span: str) -> Turns | str:
    """What can be captured of a span, or why nothing can."""
    try:
        return workload.turns(span, FLUSH_OVER_L2 * l2_bytes()) or NOT_OFFERED
    except torch.OutOfMemoryError:
        return "cannot be captured (no memory for copies of its inputs)"


def _captured(turns: Turns) -> _Span:
    """The span as a graph; as it was, with the reason, where it cannot be one."""
    try:
        graph, outputs = _capture(turns.runs)
        graph.replay()
        is_same = all(agrees(outputs[index], _output(turns.runs[index])) for index in (0, -1))
        torch.cuda.synchronize()
    except RuntimeError as error:
        torch.cuda.synchronize()  # raises where the failure has made the device unusable
        return _Span(work=turns.runs[0], fact=f"cannot be captured ({str(error).splitlines()[0]})")
    if not is_same:
        return _Span(work=turns.runs[0], fact="captured, but the graph does not compute what the work does")
    fact = {"turns": len(turns.runs), "rotated_bytes": turns.rotated_bytes}
    return _Span(work=graph.replay, runs=len(turns.runs), fact=fact, keeps=[turns, outputs])


def _capture(runs: Sequence[Callable[[], object]]) -> tuple[torch.cuda.CUDAGraph, Sequence[Tensor]]:
    """All runs, one after another, in one graph, and what they return, emptied."""
    stream, graph = _capture_stream(), torch.cuda.CUDAGraph()
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
def _capture_stream() -> torch.cuda.Stream:
    """One for all captures: cuBLAS keeps a workspace for every stream."""
    return torch.cuda.Stream()
