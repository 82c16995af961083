"""The process that does the work, seen from outside: its memory and its share of the CPUs."""

import time
from collections.abc import Iterable

import psutil

from suite.measure.telemetry.source import Seen, Source, Target


class WorkerProcess(Source):
    name = "worker"

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        self._process: psutil.Process | None = None
        self._last: tuple[float, float] | None = None

    def sample(self, target: Target, *, is_slow_tick: bool) -> Iterable[Seen]:
        """Yield the process's resident bytes and its share of CPU time since the last sample; nothing once it ended."""
        if target.pid is None:
            return
        try:
            if self._process is None or self._process.pid != target.pid:
                self._process, self._last = psutil.Process(target.pid), None
            yield Seen("worker", "rss_bytes", float(self._process.memory_info().rss))
            times, last = self._process.cpu_times(), self._last
            now_s, cpu_s = self._last = time.monotonic(), times.user + times.system
            if last is not None:
                yield Seen("worker", "cpu_share", (cpu_s - last[1]) / (now_s - last[0]))
        except psutil.Error:  # it has ended, which its record says
            return
