"""Clocks of a CPU run, and the rule by which one of them judges.

On a shared machine wall time holds other people's work; the thread's own CPU time does not. It fits work on one thread.
Several threads have no single CPU time that is a latency, so wall time judges there. Every clock is kept in every
reading.
"""

import sys
import time
from collections.abc import Callable

from suite.measure.meter import Probe, Seen


def judging_clock(threads: int) -> str:
    """The clock that a reading's `value` is of: `thread_cpu` or `wall`."""
    # Windows counts CPU time in ticks of 15.6 ms, though it claims a resolution of 100 ns.
    return "thread_cpu" if threads == 1 and sys.platform != "win32" else "wall"


def cpu_clock(threads: int, metric: str = "latency_s") -> Probe:
    """A probe for wall, thread and process CPU time and for the times that the scheduler took the CPU away."""
    judge = judging_clock(threads)

    def start(span: str) -> Callable[[], Seen]:
        switches = involuntary_switches()
        process, thread, wall = time.process_time(), time.thread_time(), time.perf_counter()

        def stop() -> Seen:
            wall_s = time.perf_counter() - wall
            thread_cpu_s = time.thread_time() - thread
            process_cpu_s = time.process_time() - process
            now = involuntary_switches()
            return [
                {
                    "metric": metric,
                    "value": thread_cpu_s if judge == "thread_cpu" else wall_s,
                    "wall_s": wall_s,
                    "thread_cpu_s": thread_cpu_s,
                    "process_cpu_s": process_cpu_s,
                    "involuntary_switches": None if now is None or switches is None else now - switches,
                }
            ]

        return stop

    return start


try:
    import resource
except ImportError:  # Windows has no such count

    def involuntary_switches() -> int | None:
        return None

else:
    _WHO = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)

    def involuntary_switches() -> int | None:
        """Count involuntary context switches of this thread (of the process on macOS); None where nobody counts."""
        return resource.getrusage(_WHO).ru_nivcsw
