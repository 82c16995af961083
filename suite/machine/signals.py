"""Ctrl-C and a polite kill end the cases that run. They wait while a record is written: it would be lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

POLITE = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)


class Interruptions:
    """Turns these signals into KeyboardInterrupt. Use as a context manager; does nothing outside the main thread."""

    def __init__(self) -> None:
        self._is_deferred = False
        self.is_pending = False
        """True while a signal waits for the end of `deferred`."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruptions":
        if threading.current_thread() is threading.main_thread():
            for number in POLITE:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._is_deferred:
            raise KeyboardInterrupt
        self.is_pending = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold back signals that come within the block, and raise KeyboardInterrupt at its end if one came."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        if self.is_pending:
            self.is_pending = False
            raise KeyboardInterrupt
