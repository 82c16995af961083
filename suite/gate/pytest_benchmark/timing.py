"""Benchmarks of a suite, timed launch after launch, one open at a time: pytest is in the middle of one test.

Each is opened on both sides, sampled by turns in random order, and closed, so that its own asserts judge its value.
"""

import itertools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from suite.gate.pytest_benchmark.answers import checked_opening
from suite.gate.pytest_benchmark.clock import is_unseen
from suite.gate.pytest_benchmark.worker import LEAST_SAMPLE_S, LONG_CALL_S
from suite.gate.rules.decision import AFTER, BEFORE, LEAST_LAUNCHES, LEAST_ROUNDS, Benchmark
from suite.gate.side_by_side.answers import UNEXPLAINED, BadAnswerError
from suite.gate.side_by_side.revisions import SIDES
from suite.gate.side_by_side.rounds import BrokenSampleError
from suite.gate.side_by_side.timing import Say, TimingComparison, first_side
from suite.gate.side_by_side.worker_client import FailedError, UnsupportedHereError, WorkerClient, WorkerError

UNEXPLAINED_TURN_S = 0.1
"""CPU time of a turn above what its calls explain: somebody's garbage, or a thread that looks after something."""


@dataclass(kw_only=True)
class SuiteTiming(TimingComparison):
    """The timing of a suite's benchmarks and its verdicts."""

    def launch(self, workers: Sequence[WorkerClient], say: Say = lambda text: None) -> None:
        """Take a turn of each benchmark that is open, in random order, and analyse them all."""
        ends_s = self.rounds.measured_s + self.launch_s
        self.rounds.begin_launch()
        order = self.rounds.order.sample(self.decisions.open, len(self.decisions.open))
        for left, (benchmark, following) in zip(
            range(len(order), 0, -1), itertools.zip_longest(order, order[1:]), strict=True
        ):
            seconds = max(0.0, ends_s - self.rounds.measured_s) / left
            try:
                self._turn(workers, benchmark, following.case if following else None, seconds)
            except BrokenSampleError as broken:
                self._leave_out(broken)
                return
        self.decisions.interim_analysis(self.rounds.samples, self.rounds.measured_s)
        self._say_progress(say)

    def _build(self, workers: Sequence[WorkerClient]) -> None:
        """Collect the tests. A benchmark is opened in its turn."""
        first = first_side(self.rounds.launches)
        for side in (first, 1 - first):
            try:
                workers[side].ask("collect")
            except (WorkerError, FailedError) as error:
                raise WorkerError(f"pytest cannot collect {SIDES[side]} again: {error}") from error

    def _turn(
        self, workers: Sequence[WorkerClient], benchmark: Benchmark, following: str | None, seconds: float
    ) -> None:
        """Take the rounds of one benchmark in this launch. Raises BrokenSampleError."""
        opened = self._ask(workers, benchmark, "open", id=benchmark.case, following=following, examine=False)
        try:
            before, _ = (checked_opening(answer, examined=False) for answer in opened)
        except BadAnswerError as error:
            raise BrokenSampleError(benchmark.case, str(error)) from error
        first = len(self.rounds.samples)
        self.rounds.begin_turn()
        self.rounds.counts_cpu = not before["is_set_up"]  # as the older revision says, which is not the candidate's
        begun_s = [worker.family_cpu_s() for worker in workers]
        with self._on_one_cpu(workers, benchmark):
            self.rounds.take(workers, [benchmark], seconds=seconds)
        spent_s = [worker.family_cpu_s() - cpu_s for worker, cpu_s in zip(workers, begun_s, strict=True)]
        self._ask(workers, benchmark, "close")
        told_s = []
        for side, name in enumerate(SIDES):
            taken = [sample for sample in self.rounds.samples[first:] if sample.arm == side]
            told_s.append(sum(getattr(sample, benchmark.column) * sample.calls for sample in taken))
            process_s = median(sample.process_cpu_s for sample in taken)
            others_s = median(sample.process_cpu_s - sample.thread_cpu_s for sample in taken)
            if is_unseen(benchmark.clock, thread_cpu_s=process_s - others_s, process_cpu_s=process_s):
                raise BrokenSampleError(benchmark.case, f"{name}: it uses other threads now, as it did not at first")
        times = [cpu_s / calls_s for cpu_s, calls_s in zip(spent_s, told_s, strict=True)]
        allowed_s = UNEXPLAINED * max(1.0, times[BEFORE]) * told_s[AFTER] + UNEXPLAINED_TURN_S
        if self.rounds.counts_cpu and spent_s[AFTER] > allowed_s:
            reason = (
                f"after: its processes used {times[AFTER]:.3g} times the CPU time that its calls tell of, and before "
                f"{times[BEFORE]:.3g} times: work is left to be done outside of the calls"
            )
            raise BrokenSampleError(benchmark.case, reason)

    @contextmanager
    def _on_one_cpu(self, workers: Sequence[WorkerClient], benchmark: Benchmark) -> Iterator[None]:
        """Let both sides of a single-threaded benchmark take turns on one CPU, drawn anew each time.

        On CPUs of their own they have neighbours of their own, on the other thread of a core or in a shared cache: the
        medians of a launch of identical code differed by up to half so on a busy machine, and by about 1 % on one CPU.
        """
        if benchmark.clock == "thread_cpu" and sys.platform == "linux":
            every = os.sched_getaffinity(0)
            one = self.rounds.order.choice(sorted(every))
            for worker in workers:
                worker.stay_on({one})
            yield
            for worker in workers:
                worker.stay_on(every)
        else:
            yield

    def _ask(
        self, workers: Sequence[WorkerClient], benchmark: Benchmark, do: str, **arguments: object
    ) -> list[Mapping[str, Any]]:
        """Ask both sides at once for what is not timed. Raises BrokenSampleError."""
        answers = []
        for request in (lambda worker: worker.begin(do, **arguments), WorkerClient.answer):
            for side, worker in zip(SIDES, workers, strict=True):
                try:
                    answers.append(request(worker))
                except (WorkerError, FailedError, UnsupportedHereError) as error:
                    raise BrokenSampleError(benchmark.case, f"{side}: {error}") from error
        return answers[len(SIDES) :]


def least_s(calls_s: Sequence[float], launches: int = LEAST_LAUNCHES) -> float:
    """Return the time that a benchmark needs at least: the fewest rounds in so many launches, on both sides."""
    samples_s = sum(max(LEAST_SAMPLE_S, call_s) + min(call_s, LONG_CALL_S) for call_s in calls_s)
    return launches * LEAST_ROUNDS * samples_s
