"""Rounds of samples, one from each side in random order."""

import csv
import gzip
import io
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from statistics import median
from typing import Any

from suite.gate.rules.decision import AFTER, BEFORE, LEAST_ROUNDS, Benchmark, Sample
from suite.gate.side_by_side.answers import UNEXPLAINED, BadAnswerError, checked_sample, unexplained_share
from suite.gate.side_by_side.worker_client import ANY_ERROR, SIDES, WorkerClient

SAMPLES = "rounds.csv.gz"


class BrokenSampleError(Exception):
    """A case that cannot be sampled any more.

    `is_disbelieved`: its worker is alive but its answer cannot be true, so it may go on with the other cases.
    """

    def __init__(self, case: str, reason: str, *, is_disbelieved: bool = False) -> None:
        super().__init__(reason)
        self.case, self.reason, self.is_disbelieved = case, reason, is_disbelieved


def csv_table(row: type, rows: Sequence[Any]) -> bytes:
    """Write rows, instances of the dataclass `row`, as gzipped CSV: whoever only gates installs no Arrow. Numbers have
    all their digits, so that they come back as they were; an empty cell is a null."""
    text, columns = io.StringIO(newline=""), [column.name for column in fields(row)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(row, name) for name in columns] for row in rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)  # without the time, so that equal rows make equal files


@dataclass(kw_only=True)
class Rounds:
    """Takes samples of both sides by turns, and keeps those of all launches."""

    order: random.Random
    counts_cpu: bool = True
    """True if a worker's CPU time by the kernel's count must fit the calls that it reports. False where a request does
    more than is timed, as a benchmark's set-up."""
    least_s: Mapping[Benchmark, float] = field(default_factory=dict)
    """Times that no machine goes below, by the work that must be done."""
    samples: list[Sample] = field(default_factory=list)
    measured_s: float = 0.0
    launches: int = 0
    _number: int = 0
    _least: int = LEAST_ROUNDS
    _unexplained: dict[tuple[Benchmark, int], list[float]] = field(default_factory=dict)
    """By benchmark and side: CPU time of each sample of this launch, or turn, as a share of what its calls explain."""

    def take(self, workers: Sequence[WorkerClient], benchmarks: Sequence[Benchmark], *, seconds: float) -> None:
        """Take rounds for `seconds`, and until the launch or turn has LEAST_ROUNDS: a sample of each benchmark and
        side. Benchmarks and sides are in random order. Adds to `samples` and `measured_s`. Raises
        BrokenSampleError, also if a worker used far more CPU time than it reports; samples taken before are kept."""
        begun, before_s = time.monotonic(), self.measured_s
        while self._number < self._least or time.monotonic() - begun < seconds:
            for benchmark in self.order.sample(benchmarks, len(benchmarks)):
                # Both samples of a round or none: where the second raises, the first is not kept.
                self.samples += [
                    self._sample(workers[side], benchmark, side, position)
                    for position, side in enumerate(self.order.sample((BEFORE, AFTER), 2))
                ]
            self.measured_s = before_s + time.monotonic() - begun
            self._number += 1
        # Also where no round fitted: else a rest of the time that is too short would be asked for without end.
        self.measured_s = before_s + time.monotonic() - begun
        self._check_cpu_time(benchmarks)

    def begin_launch(self) -> None:
        """Count a new launch, whose rounds are numbered from 0."""
        self.launches += 1
        self._number = 0
        self.begin_turn()

    def begin_turn(self) -> None:
        """Let the next `take` have at least LEAST_ROUNDS rounds, and check the CPU time of its samples alone."""
        self._least = self._number + LEAST_ROUNDS
        self._unexplained.clear()

    def _sample(self, worker: WorkerClient, benchmark: Benchmark, side: int, position: int) -> Sample:
        """Ask a worker for a sample and check it. `position`: 0 if its side is first in the round. Raises
        BrokenSampleError if the worker fails, or reports less time than any machine needs."""
        try:
            answer, spent = worker.ask_timed("sample", id=benchmark.case, span=benchmark.span)
            sample = checked_sample(answer, spent, benchmark.clock)
            if sample[benchmark.column] < self.least_s.get(benchmark, 0.0):
                raise BadAnswerError(
                    f"the worker reports {benchmark.column} of {sample[benchmark.column]:.3g}, but no machine does the "
                    f"work of {benchmark.span} in less than {self.least_s[benchmark]:.3g} s"
                )
        except ANY_ERROR as error:
            self._number += 1  # what it had of this round stays
            is_disbelieved = isinstance(error, BadAnswerError)
            raise BrokenSampleError(benchmark.case, f"{SIDES[side]}: {error}", is_disbelieved=is_disbelieved) from error
        if benchmark.clock != "device":  # where a call does every span of its case
            self._unexplained.setdefault((benchmark, side), []).append(unexplained_share(sample, spent))
        place = {"launch": self.launches, "round": self._number, "arm": side, "position": position}
        return Sample(case=benchmark.case, span=benchmark.span, **place, **sample)

    def _check_cpu_time(self, benchmarks: Sequence[Benchmark]) -> None:
        """Raise BrokenSampleError where a worker used far more CPU time than its samples of this launch report. By the
        median: any one sample may hold a collection of garbage, or a compiler."""
        for (benchmark, side), shares in self._unexplained.items():
            if self.counts_cpu and benchmark in benchmarks and (share := median(shares)) > 1:
                reason = (
                    f"{SIDES[side]}: the kernel counted {share * UNEXPLAINED:.3g} times the CPU time that the worker "
                    f"reports for its calls of {benchmark.span}"
                )
                raise BrokenSampleError(benchmark.case, reason, is_disbelieved=True)
