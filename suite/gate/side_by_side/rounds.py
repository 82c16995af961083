"""Rounds of samples, one from each side in random order, and the state of the machine meanwhile."""

import csv
import gzip
import io
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import psutil
import pynvml

from suite.gate.rules.decision import AFTER, BEFORE, LEAST_ROUNDS, Benchmark, Sample
from suite.gate.side_by_side.answers import UNEXPLAINED, BadAnswerError, checked_sample, unexplained
from suite.gate.side_by_side.revisions import SIDES, key_of
from suite.gate.side_by_side.worker_client import (
    ANY_ERROR,
    WorkerClient,
)
from suite.records.machine.nvml import ShownGpu, find_gpus

T = TypeVar("T")
PRESSURE = Path("/proc/pressure/cpu")
SAMPLES, SURROUNDINGS = "rounds.csv.gz", "surroundings.csv.gz"


class BrokenSampleError(Exception):
    """A case that can be sampled no more.

    `is_disbelieved`: by what its worker told, which lives on and may sample the others.
    """

    def __init__(self, case: str, reason: str, *, is_disbelieved: bool = False) -> None:
        super().__init__(reason)
        self.case, self.reason, self.is_disbelieved = case, reason, is_disbelieved


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """The machine at the end of a round; null where it does not say."""

    launch: int
    round: int
    measured_s: float
    """Measuring time so far, over all launches."""
    load_1min: float | None
    cpu_pressure: float | None
    """Share of the last ten seconds in which somebody waited for a CPU."""
    stolen_s: float | None
    """CPU time that the host gave to others, since it started."""
    gpu_clock_hz: float | None
    gpu_temperature_c: float | None
    gpu_event_reasons: int | None


def csv_table(row: type, rows: Sequence[Any]) -> bytes:
    """Write rows, instances of the dataclass `row`, as gzipped CSV: whoever only gates installs no Arrow.

    Numbers have all their digits, so that they come back as they were; an empty cell is a null.
    """
    text, columns = io.StringIO(newline=""), [column.name for column in fields(row)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(row, name) for name in columns] for row in rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)  # without the time, so that equal rows make equal files


@dataclass(kw_only=True)
class Rounds:
    """All samples, over all launches."""

    order: random.Random
    counts_cpu: bool = True
    """A worker's CPU time, as the kernel counted, must fit the calls that it tells of. Not where a request does more
    than what is timed, as the set-up of another project's benchmark."""
    least_s: Mapping[Benchmark, float] = field(default_factory=dict)
    """Times that no machine goes below, by the work that must be done."""
    samples: list[Sample] = field(default_factory=list)
    surroundings: list[Surroundings] = field(default_factory=list)
    measured_s: float = 0.0
    launches: int = 0
    _number: int = 0
    """The next round's number in its launch."""
    _least: int = LEAST_ROUNDS
    """The number of rounds that the launch has at least."""
    _unexplained: dict[tuple[Benchmark, int], list[float]] = field(default_factory=dict)
    """CPU time of each sample of this launch, or turn, beside that of its calls."""

    def take(self, workers: Sequence[WorkerClient], benchmarks: Sequence[Benchmark], *, seconds: float) -> None:
        """Take more rounds of the launch: each benchmark once a round and side, until the time is over.

        A launch has LEAST_ROUNDS at least. Raises BrokenSampleError; samples taken before are kept.
        """
        begun, before_s = time.monotonic(), self.measured_s
        reads_gpu = any(benchmark.clock == "device" for benchmark in benchmarks)
        while self._number < self._least or time.monotonic() - begun < seconds:
            for benchmark in self.order.sample(benchmarks, len(benchmarks)):
                # Both samples of a round or none.
                self.samples += [
                    self._sample(workers[side], benchmark, side, position)
                    for position, side in enumerate(self.order.sample((BEFORE, AFTER), 2))
                ]
            self.measured_s = before_s + time.monotonic() - begun
            self.surroundings.append(look_around(self.launches, self._number, self.measured_s, reads_gpu=reads_gpu))
            self._number += 1
        # Else a rest of the time that is too short for a round would be asked for without end.
        self.measured_s = before_s + time.monotonic() - begun
        self._check_cpu_time(benchmarks)

    def begin_launch(self) -> None:
        self.launches += 1
        self._number = 0
        self.begin_turn()

    def begin_turn(self) -> None:
        """Let the next rounds be at least LEAST_ROUNDS, as for each benchmark that is measured by itself."""
        self._least = self._number + LEAST_ROUNDS
        self._unexplained.clear()

    def _sample(self, worker: WorkerClient, benchmark: Benchmark, side: int, position: int) -> Sample:
        try:
            answer, spent = worker.ask_timed("sample", id=key_of(benchmark.case, side), span=benchmark.span)
            sample = checked_sample(answer, spent, benchmark.clock)
            if sample[benchmark.column] < self.least_s.get(benchmark, 0.0):
                raise BadAnswerError(
                    f"the worker tells {benchmark.column} of {sample[benchmark.column]:.3g}, and no machine does the "
                    f"work of {benchmark.span} in less than {self.least_s[benchmark]:.3g} s"
                )
        except ANY_ERROR as error:
            self._number += 1  # what it had of this round stays
            is_disbelieved = isinstance(error, BadAnswerError)
            raise BrokenSampleError(benchmark.case, f"{SIDES[side]}: {error}", is_disbelieved=is_disbelieved) from error
        if benchmark.clock != "device":  # where a call does every span of its case
            self._unexplained.setdefault((benchmark, side), []).append(unexplained(sample, spent))
        place = {"launch": self.launches, "round": self._number, "arm": side, "position": position}
        return Sample(case=benchmark.case, span=benchmark.span, **place, **sample)

    def _check_cpu_time(self, benchmarks: Sequence[Benchmark]) -> None:
        """Raise BrokenSampleError where a worker used far more CPU time than its samples of this launch tell.

        By the median: any one sample may hold a collection of garbage, or a compiler.
        """
        for (benchmark, side), shares in self._unexplained.items():
            if self.counts_cpu and benchmark in benchmarks and (share := median(shares)) > 1:
                reason = (
                    f"{SIDES[side]}: the kernel counted {share * UNEXPLAINED:.3g} times the CPU time that the worker "
                    f"tells of its calls of {benchmark.span}"
                )
                raise BrokenSampleError(benchmark.case, reason, is_disbelieved=True)


def look_around(launch: int, number: int, measured_s: float, *, reads_gpu: bool) -> Surroundings:
    """Read the state of the machine."""
    clock_hz, temperature_c, reasons = _gpu() if reads_gpu else (None, None, None)
    return Surroundings(
        launch=launch,
        round=number,
        measured_s=measured_s,
        load_1min=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        cpu_pressure=_pressure(),
        stolen_s=getattr(psutil.cpu_times(), "steal", None),
        gpu_clock_hz=clock_hz,
        gpu_temperature_c=temperature_c,
        gpu_event_reasons=reasons,
    )


def _pressure(path: Path = PRESSURE) -> float | None:
    with suppress(OSError, ValueError, IndexError):
        return float(path.read_text().split("avg10=")[1].split()[0]) / 100
    return None


def _gpu() -> tuple[float | None, float | None, int | None]:
    """Read the SM clock, temperature and event reasons of the first readable GPU; None for what it does not say."""
    readable = find_gpus().readable
    if not readable:
        return None, None, None
    return (
        _read(lambda gpu: 1e6 * pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM), readable[0]),
        _read(lambda gpu: float(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)), readable[0]),
        _read(lambda gpu: int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)), readable[0]),
    )


def _read(read: Callable[[Any], T], gpu: ShownGpu) -> T | None:
    try:
        return read(gpu.handle)
    except pynvml.NVMLError:
        return None
