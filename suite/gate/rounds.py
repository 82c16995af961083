"""Rounds of samples, one from each side in random order, and what else went on meanwhile."""

import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pyarrow as pa
import pynvml

from suite.gate.arm import Arm, ArmError, FailedError, UnsupportedHereError
from suite.records.nvml import ShownGpu, find_gpus
from suite.records.tables import TableFile, schema_of

T = TypeVar("T")
BEFORE, AFTER = 0, 1
LEAST_ROUNDS = 8
"""Of a launch. With four the spread is so badly known that p-values came out several times too small in simulation;
with eight they are near what they say."""
PRESSURE = Path("/proc/pressure/cpu")


class BrokenSampleError(Exception):
    """A case that can be sampled no more."""

    def __init__(self, case: str, reason: str) -> None:
        super().__init__(reason)
        self.case, self.reason = case, reason


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One span of one case: what is judged by time."""

    case: str
    span: str
    clock: str

    @property
    def column(self) -> str:
        """Of a sample, the clock that judges."""
        return f"{self.clock}_s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One arm's turn in a round. Times are medians of `calls` calls."""

    launch: int
    round: int
    case: str
    span: str
    arm: int
    position: int
    """0 for the arm that was first in its round."""
    wall_s: float
    thread_cpu_s: float
    process_cpu_s: float
    device_s: float | None
    involuntary_switches: int
    calls: int


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


SAMPLES = TableFile(
    name="rounds.parquet",
    rows="samples",
    columns=schema_of(
        ("launch", pa.int64()),
        ("round", pa.int64()),
        ("case", pa.string()),
        ("span", pa.string()),
        ("arm", pa.int64()),
        ("position", pa.int64()),
        ("wall_s", pa.float64()),
        ("thread_cpu_s", pa.float64()),
        ("process_cpu_s", pa.float64()),
        ("device_s", pa.float64()),
        ("involuntary_switches", pa.int64()),
        ("calls", pa.int64()),
    ),
    required=("launch", "round", "case", "span", "arm", "wall_s"),
)
SURROUNDINGS = TableFile(
    name="surroundings.parquet",
    rows="rounds",
    columns=schema_of(
        ("launch", pa.int64()),
        ("round", pa.int64()),
        ("measured_s", pa.float64()),
        ("load_1min", pa.float64()),
        ("cpu_pressure", pa.float64()),
        ("stolen_s", pa.float64()),
        ("gpu_clock_hz", pa.float64()),
        ("gpu_temperature_c", pa.float64()),
        ("gpu_event_reasons", pa.int64()),
    ),
    required=("launch", "round", "measured_s"),
)


@dataclass(kw_only=True)
class Rounds:
    """All that was sampled, over all launches."""

    order: random.Random
    samples: list[Sample] = field(default_factory=list)
    surroundings: list[Surroundings] = field(default_factory=list)
    measured_s: float = 0.0
    launches: int = 0
    _number: int = 0
    """Of the next round in its launch."""

    def take(
        self,
        arms: Sequence[Arm],
        benchmarks: Sequence[Benchmark],
        *,
        seconds: float,
        key_of: Callable[[str, int], str],
    ) -> None:
        """More rounds of the launch that was begun: each benchmark once a round and arm, until the time is over.

        A launch has LEAST_ROUNDS at least. `key_of`: what a case of an arm is called in its worker. Raises
        BrokenSampleError; what was taken before is kept.
        """
        begun, before_s = time.monotonic(), self.measured_s
        of_gpu = any(one.clock == "device" for one in benchmarks)
        while self._number < LEAST_ROUNDS or time.monotonic() - begun < seconds:
            for benchmark in self.order.sample(benchmarks, len(benchmarks)):
                self._pair(arms, benchmark, self._number, key_of)
            self.measured_s = before_s + time.monotonic() - begun
            self.surroundings.append(look_around(self.launches, self._number, self.measured_s, of_gpu=of_gpu))
            self._number += 1

    def begin_launch(self) -> None:
        self.launches += 1
        self._number = 0

    def _pair(self, arms: Sequence[Arm], benchmark: Benchmark, number: int, key_of: Callable[[str, int], str]) -> None:
        pair = []
        for position, arm in enumerate(self.order.sample((BEFORE, AFTER), 2)):
            try:
                answer = arms[arm].ask("sample", id=key_of(benchmark.case, arm), span=benchmark.span)
            except (ArmError, FailedError, UnsupportedHereError) as error:
                raise BrokenSampleError(benchmark.case, f"{('before', 'after')[arm]}: {error}") from error
            pair.append(
                Sample(
                    launch=self.launches,
                    round=number,
                    case=benchmark.case,
                    span=benchmark.span,
                    arm=arm,
                    position=position,
                    wall_s=answer["wall_s"],
                    thread_cpu_s=answer["thread_cpu_s"],
                    process_cpu_s=answer["process_cpu_s"],
                    device_s=answer.get("device_s"),
                    involuntary_switches=answer["involuntary_switches"],
                    calls=answer["calls"],
                )
            )
        self.samples += pair  # both or none


def look_around(launch: int, number: int, measured_s: float, *, of_gpu: bool) -> Surroundings:
    clock_hz, temperature_c, reasons = _gpu() if of_gpu else (None, None, None)
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
    """SM clock, temperature and event reasons of the first GPU that can be read; None for what it does not say."""
    readable = find_gpus().readable
    if not readable:
        return None, None, None
    return (
        _said(lambda gpu: 1e6 * pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM), readable[0]),
        _said(lambda gpu: float(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)), readable[0]),
        _said(lambda gpu: int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)), readable[0]),
    )


def _said(read: Callable[[Any], T], gpu: ShownGpu) -> T | None:
    try:
        return read(gpu.handle)
    except pynvml.NVMLError:
        return None
