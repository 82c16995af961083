"""The clock that judges a benchmark, by what its calls were seen to do; the same for both sides.

CPU time is the clock that other processes do not move, but it counts this process alone: neither its children nor
waiting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Probe = Mapping[str, float]
MOST_ELSEWHERE = 0.5
"""The share of wall time in child processes or in waiting from which wall time is the clock."""
NOTED_ELSEWHERE = 0.1
OTHER_THREADS = 0.05
"""The share of CPU time in other threads from which all threads count."""
LEAST_IN_THREADS_S = 2e-5
"""CPU time between two readings that other threads took. The readings themselves take a microsecond or two."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A clock by the name that `Benchmark` has, and a sentence where it is not the usual one."""

    name: str
    note: str = ""


def clock_of(sides: Sequence[Sequence[Probe]]) -> Clock:
    """Return the clock for the calls of both sides.

    Of each side's probes the one that waited least counts: what others on the machine do only adds to waiting.
    """
    calls = [min(probes, key=_waited) for probes in sides]
    elsewhere = max(max(_waited(call), _in_children(call)) for call in calls)
    in_children = max(map(_in_children, calls))
    what = "in child processes" if in_children >= NOTED_ELSEWHERE else "waiting"
    if elsewhere >= MOST_ELSEWHERE:
        return Clock(name="wall", note=f"judged by wall time, since {elsewhere:.0%} of a call is spent {what}")
    unseen = f"; {elsewhere:.0%} of a call is spent {what}, which it does not see" * (elsewhere >= NOTED_ELSEWHERE)
    if any(map(_uses_threads, calls)):
        return Clock(name="process_cpu", note=f"judged by the CPU time of all threads, since it uses several{unseen}")
    return Clock(name="thread_cpu", note=f"judged by CPU time{unseen}" if unseen else "")


def is_unseen(clock: str, *, thread_cpu_s: float, process_cpu_s: float) -> bool:
    """Return whether a call uses threads that its clock does not see."""
    others_s = process_cpu_s - thread_cpu_s
    return clock == "thread_cpu" and others_s > max(2 * OTHER_THREADS * process_cpu_s, LEAST_IN_THREADS_S)


def _waited(probe: Probe) -> float:
    """The share of wall time without CPU time; waiting for a CPU, which others cause, is in neither."""
    alone_s = probe["wall_s"] - probe["run_delay_s"]
    return max(0.0, 1 - probe["process_cpu_s"] / alone_s) if alone_s > 0 else 0.0


def _in_children(probe: Probe) -> float:
    return probe["children_s"] / max(probe["wall_s"], probe["children_s"])


def _uses_threads(probe: Probe) -> bool:
    others_s = probe["process_cpu_s"] - probe["thread_cpu_s"]
    return others_s > OTHER_THREADS * probe["process_cpu_s"] and others_s * probe["calls"] > LEAST_IN_THREADS_S
