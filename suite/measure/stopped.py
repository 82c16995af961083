"""A watch for stopped workers: one that SIGSTOP or a debugger's detach left so would be waited for without end.

A message comes after a while, and the worker is given up later. One that computes, sleeps or waits is left alone
however long it takes: only a process that was seen stopped at every look, and took no CPU time in between, was stopped
all the time. Looks are counted rather than seconds, so that the time for which this process was stopped too, as by
Ctrl-Z, is none of it.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil

LOOK_EVERY_S = 1.0
SAID_AFTER_S, GIVEN_UP_AFTER_S = 60.0, 600.0
_SAID: set[int] = set()  # processes with a message, by whichever of several watches looked first


class StoppedWatch:
    """A thread that looks at processes while a task runs, and ends one that is given up. Use as a context manager."""

    def __init__(
        self, processes: Callable[[], Mapping[int, str]], say: Callable[[str], None], hurry: threading.Event
    ) -> None:
        """`processes`: names by number. `say`: told of a stopped one. `hurry`: once set, those are killed at once."""
        self.given_up: dict[int, str] = {}  # the reason, by process
        self._processes, self._say, self._hurry = processes, say, hurry
        # By process: the looks in a row that found it stopped, and its CPU time, in seconds.
        self._stopped: dict[int, tuple[int, float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stopped", daemon=True)

    def __enter__(self) -> "StoppedWatch":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        """Look at each process every LOOK_EVERY_S seconds, until the watch is closed."""
        while not self._over.wait(LOOK_EVERY_S):
            for number, name in self._processes().items():
                with suppress(psutil.Error):  # it has ended
                    self._look(psutil.Process(number), name)

    def _look(self, process: psutil.Process, name: str) -> None:
        """Tell the user of a process stopped for SAID_AFTER_S; kill it after GIVEN_UP_AFTER_S or in a hurry."""
        number = process.pid
        if process.status() != psutil.STATUS_STOPPED:
            self._stopped.pop(number, None)
            _SAID.discard(number)
            return
        times = process.cpu_times()
        cpu_s = times.user + times.system
        looks, cpu_before_s = self._stopped.get(number, (0, cpu_s))
        looks = looks + 1 if cpu_before_s == cpu_s else 1
        self._stopped[number] = looks, cpu_s
        if looks * LOOK_EVERY_S >= SAID_AFTER_S and number not in _SAID:
            _SAID.add(number)
            self._say(
                f"{name}, process {number}, has been stopped for {SAID_AFTER_S:g} s: kill -CONT {number} wakes it; "
                f"after {GIVEN_UP_AFTER_S:g} s it is given up"
            )
        if looks * LOOK_EVERY_S >= GIVEN_UP_AFTER_S or self._hurry.is_set():
            self.given_up[number] = f"{name} was stopped for {looks * LOOK_EVERY_S:g} s and given up"
            process.kill()
            _SAID.discard(number)
