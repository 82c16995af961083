"""Benchmarks of a suite, timed launch after launch, one open at a time: pytest is in the middle of one test.

Each is opened on both sides, sampled by turns in random order, and closed, so that its own asserts judge its value.
The clock that judges it follows from what its calls were seen to do, and is the same for both sides: CPU time is one
that other processes do not move, but it counts this process alone, neither its children nor waiting.
"""

import itertools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

from suite.gate.rules.decision import AFTER, BEFORE, LEAST_LAUNCHES, LEAST_ROUNDS, Benchmark
from suite.gate.side_by_side.answers import UNEXPLAINED, checked_opening
from suite.gate.side_by_side.rounds import BrokenSampleError
from suite.gate.side_by_side.timing import TimingComparison
from suite.gate.side_by_side.worker_client import ANY_ERROR, SIDES, WorkerClient, ask_both
from suite.gate.workers.pytest_worker import LONG_CALL_S
from suite.gate.workers.worker_loop import LEAST_SAMPLE_S

Probe = Mapping[str, float]
UNEXPLAINED_TURN_S = 0.1
"""CPU time of a turn above what its calls explain: somebody's garbage, or a thread that looks after something."""
MOST_ELSEWHERE = 0.5
"""The share of wall time in child processes or in waiting from which wall time is the clock."""
NOTED_ELSEWHERE = 0.1
OTHER_THREADS = 0.05
"""The share of CPU time in other threads from which all threads count."""
LEAST_IN_THREADS_S = 2e-5
"""CPU time between two readings that other threads took. The readings themselves take a microsecond or two."""


@dataclass(kw_only=True)
class SuiteTiming(TimingComparison):
    """Times a pytest suite, where only one benchmark can be open at a time: each gets a turn in every launch."""

    def _build_undecided(self, workers: Sequence[WorkerClient]) -> None:
        """Do nothing: the workers collected the tests when they started, and each benchmark is opened in its turn."""

    def _take_rounds(self, workers: Sequence[WorkerClient], ends_s: float) -> None:
        order = self.rounds.order.sample(self.decisions.open, len(self.decisions.open))
        for place, (benchmark, following) in enumerate(itertools.zip_longest(order, order[1:])):
            seconds = max(0.0, ends_s - self.rounds.measured_s) / (len(order) - place)
            self._turn(workers, benchmark, following.case if following else None, seconds)

    def _turn(
        self, workers: Sequence[WorkerClient], benchmark: Benchmark, following: str | None, seconds: float
    ) -> None:
        """Open one benchmark on both sides, take its rounds of this launch for `seconds`, and close it. `following`:
        the benchmark of the next turn. Raises BrokenSampleError if it fails, or used CPU time outside its calls or
        threads that it did not use when it was examined."""
        first = len(self.rounds.samples)
        try:
            request = {"id": benchmark.case, "following": following, "examine": False}
            before, _ = ask_both(workers, "open", partial(checked_opening, examined=False), **request)
            self.rounds.begin_turn()
            self.rounds.counts_cpu = not before["is_set_up"]  # as the older revision says, which is not the candidate's
            begun_s = [worker.family_cpu_s() for worker in workers]
            with self._on_one_cpu(workers, benchmark):
                self.rounds.take(workers, [benchmark], seconds=seconds)
            spent_s = [worker.family_cpu_s() - cpu_s for worker, cpu_s in zip(workers, begun_s, strict=True)]
            ask_both(workers, "close")
        except ANY_ERROR as error:
            raise BrokenSampleError(benchmark.case, str(error)) from error
        calls_s = []
        for side, name in enumerate(SIDES):
            samples = [sample for sample in self.rounds.samples[first:] if sample.arm == side]
            calls_s.append(sum(getattr(sample, benchmark.column) * sample.calls for sample in samples))
            process_s = median(sample.process_cpu_s for sample in samples)
            threads_s = median(sample.process_cpu_s - sample.thread_cpu_s for sample in samples)
            if benchmark.clock == "thread_cpu" and threads_s > max(2 * OTHER_THREADS * process_s, LEAST_IN_THREADS_S):
                raise BrokenSampleError(
                    benchmark.case, f"{name}: it uses other threads now, but did not when it was examined"
                )
        times = [cpu_s / side_s for cpu_s, side_s in zip(spent_s, calls_s, strict=True)]
        # What the older revision uses beside its calls is nobody's cheat, so as large a share is the newer one's too.
        allowed_s = UNEXPLAINED * max(1.0, times[BEFORE]) * calls_s[AFTER] + UNEXPLAINED_TURN_S
        if self.rounds.counts_cpu and spent_s[AFTER] > allowed_s:
            reason = (
                f"after: its processes used {times[AFTER]:.3g} times the CPU time of its calls (before: "
                f"{times[BEFORE]:.3g} times), so work is done outside of the calls"
            )
            raise BrokenSampleError(benchmark.case, reason)

    @contextmanager
    def _on_one_cpu(self, workers: Sequence[WorkerClient], benchmark: Benchmark) -> Iterator[None]:
        """Within the block, keep both workers of a benchmark with one thread on the same CPU, chosen at random. On CPUs
        of their own they have neighbours of their own, on the other thread of a core or in a shared cache: the medians
        of a launch of identical code differed by up to half so on a busy machine, and by about 1% on one CPU."""
        if sys.platform == "linux" and benchmark.clock == "thread_cpu":
            cpus = os.sched_getaffinity(0)
            shared_cpu = self.rounds.order.choice(sorted(cpus))
            for worker in workers:
                worker.stay_on({shared_cpu})
            yield
            for worker in workers:
                worker.stay_on(cpus)
        else:
            yield


def least_s(calls_s: Sequence[float], launches: int = LEAST_LAUNCHES) -> float:
    """The seconds that a benchmark needs at least: LEAST_ROUNDS rounds of both sides in each of `launches` launches.
    `calls_s`: the seconds of a call on each side."""
    samples_s = sum(max(LEAST_SAMPLE_S, call_s) + min(call_s, LONG_CALL_S) for call_s in calls_s)
    return launches * LEAST_ROUNDS * samples_s


def choose_clock(sides: Sequence[Sequence[Probe]]) -> tuple[str, str]:
    """The name of the clock that judges a benchmark, and a note unless it is simply CPU time. Wall time if half of a
    call is waiting or in child processes, the CPU time of all threads if several work, else that of one thread. Of each
    side's probes the one that waited least counts: other programs only add to waiting."""
    calls = [min(probes, key=_waiting_share) for probes in sides]
    in_children = max(call["children_s"] / max(call["wall_s"], call["children_s"]) for call in calls)
    elsewhere = max(in_children, *map(_waiting_share, calls))
    where = "in child processes" if in_children >= NOTED_ELSEWHERE else "waiting"
    if elsewhere >= MOST_ELSEWHERE:
        return "wall", f"judged by wall time, because {elsewhere:.0%} of a call is spent {where}"
    unseen = f"; {elsewhere:.0%} of a call is spent {where}, unseen by CPU time" * (elsewhere >= NOTED_ELSEWHERE)
    for call in calls:
        threads_s = call["process_cpu_s"] - call["thread_cpu_s"]
        if threads_s > OTHER_THREADS * call["process_cpu_s"] and threads_s * call["calls"] > LEAST_IN_THREADS_S:
            return "process_cpu", f"judged by the CPU time of all threads, because it uses several{unseen}"
    return "thread_cpu", f"judged by CPU time{unseen}" if unseen else ""


def _waiting_share(probe: Probe) -> float:
    alone_s = probe["wall_s"] - probe["run_delay_s"]
    return max(0.0, 1 - probe["process_cpu_s"] / alone_s) if alone_s > 0 else 0.0
