"""The CPU as everybody shares it: its frequency, the pressure on it, and what a hypervisor took away.

Pressure is Linux's: the share of time in which at least one runnable task had to wait.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from suite.machine.nvml import State
from suite.measure.telemetry.source import Seen, Source, Target

PRESSURE = Path("/proc/pressure")
RESOURCES = ("cpu", "memory", "io")
MICRO, MEGA = 1e-6, 1e6


class Machine(Source):
    name = "machine"

    def __init__(self, pressure: Path = PRESSURE) -> None:
        super().__init__()
        self._pressure = {name: pressure / name for name in RESOURCES if _is_readable(pressure / name)}
        if not self._pressure:
            self.state, self.why = State.NOT_HERE, "this system does not count pressure"
        self._has_steal = hasattr(psutil.cpu_times(), "steal")
        absent = {
            **{f"{name}_pressure_share": name not in self._pressure for name in RESOURCES},
            "steal_share": not self._has_steal,
            "frequency_hz": _frequency_hz() is None,
        }
        self._missing = {quantity: str(State.NOT_HERE) for quantity, is_absent in absent.items() if is_absent}
        self.begin()

    def begin(self) -> None:
        """Forget the last sample, since shares are of the time since then."""
        self._last: dict[str, float] | None = None

    def sample(self, target: Target, *, is_slow_tick: bool) -> Iterable[Seen]:
        # Seconds so far: of the clock, under each pressure, stolen, and of all CPUs in all modes.
        waited_s = {name: _waited_s(path) for name, path in self._pressure.items()}
        times = psutil.cpu_times()
        steal_s = getattr(times, "steal", 0.0)
        now = {"time_s": time.monotonic(), **waited_s, "steal_s": steal_s, "all_s": sum(times)}
        last, self._last = self._last, now
        if last is not None:
            grown = {name: now[name] - last[name] for name in now}
            for name in self._pressure:
                yield Seen("cpu", f"{name}_pressure_share", min(1.0, grown[name] / grown["time_s"]))
            if self._has_steal and grown["all_s"] > 0:
                yield Seen("cpu", "steal_share", grown["steal_s"] / grown["all_s"])
        if is_slow_tick and (frequency_hz := _frequency_hz()) is not None:
            yield Seen("cpu", "frequency_hz", frequency_hz)

    def facts(self, target: Target) -> Mapping[str, Any]:
        return {"cpu": {"missing": self._missing}}


def _frequency_hz() -> float | None:
    """Mean frequency of all CPUs, each of which is read in turn; None where the system does not give it."""
    try:
        frequency = psutil.cpu_freq()
    # A RuntimeError is that of a virtual macOS, and one of its kinds of a kernel that shows a CPU's folder without its
    # frequency; a SystemError that of a Mac from the M4 on.
    except (RuntimeError, SystemError, OSError):
        return None
    return frequency.current * MEGA if frequency and frequency.current else None


def _is_readable(path: Path) -> bool:
    """True if the file can be read and is not empty."""
    try:
        return bool(path.read_text())
    except OSError:
        return False


def _waited_s(path: Path) -> float:
    first = path.read_text().partition("\n")[0]
    return int(first.rpartition("total=")[2]) * MICRO
