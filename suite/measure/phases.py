"""How a worker tells its parent what it is doing, and for how long."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Send = Callable[..., None]
"""Sends a message to the parent: each keyword is a part of it."""


@contextmanager
def timed(send: Send, phase: str) -> Iterator[None]:
    """Says that a phase of a case begins, and at its end how long it took."""
    send(phase=phase)
    start = time.perf_counter()
    try:
        yield
    finally:
        send(durations_s={phase: time.perf_counter() - start})
