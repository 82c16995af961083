"""Joules of one span, by the difference of a counter over a pass of its own.

A counter of energy changes in steps that a kernel of microseconds does not reach, so it has no reading of its own: the
span is repeated until the window holds many changes. The window begins and ends at a change, where the counter is up
to date; where one step is longer than the time between changes, that time bounds the error instead. Nothing flushes a
cache between the repeats: a working set that fits one is read from there, and costs less than it would cold.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from suite.measure.telemetry.counters import CounterLostError, EnergyCounter, NoCounter
from suite.records.case import Case
from suite.records.record import Reading, Record, Status

LEAST_CHANGES = 10
# Work between two looks at the counter: with less, its changes are seen better, and more of the window is looking.
CHUNK_S = 0.002
LONGEST_INTERVAL_S = 0.5
CHANGES_WATCHED = 4
MOST_WINDOWS = 5


@dataclass(frozen=True, kw_only=True)
class SpanWork:
    """The work of one span by itself."""

    work: Callable[[], object]
    runs: int = 1
    """Repetitions of the work within a call."""
    call_s: float
    """Approximate time of a call."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    step_j: float
    power_w: float
    window_s: float
    steps: int


def take_energy(
    parts: Mapping[str, SpanWork],
    counter: EnergyCounter | NoCounter,
    *,
    seconds: float,
    finish: Callable[[], None],
) -> tuple[list[Reading], dict[str, Any]]:
    """(readings of each span's joules, watts and window; the `energy` fact: `measured`, or why joules are missing)."""
    if isinstance(counter, NoCounter):
        return [], {"state": "no_counter", "why": counter.why}
    readings: list[Reading] = []
    too_coarse: list[str] = []
    for span, part in parts.items():
        try:
            energy = measure_energy(part, counter.read_j, finish, seconds=seconds)
        except CounterLostError as error:
            return readings, {"state": "lost", "source": counter.source, "why": f"the counter was lost: {error}"}
        if energy is None:
            too_coarse.append(span)
            continue
        values = {"energy_j": energy.step_j, "energy_power_w": energy.power_w, "energy_window_s": energy.window_s}
        readings += [Reading(step=0, span=span, metric=metric, value=value) for metric, value in values.items()]
    if too_coarse:
        why = f"the counter does not resolve {', '.join(too_coarse)}"
        return readings, {"state": "too_coarse", "source": counter.source, "why": why}
    return readings, {"state": "measured", "source": counter.source}


def update_interval_s(read_j: Callable[[], float]) -> float | None:
    """Longest seconds between a few changes of a counter, watched without pause; None if it hardly changes."""
    changes_s: list[float] = []
    last_j, seen_s = read_j(), time.perf_counter()
    while len(changes_s) < CHANGES_WATCHED:
        now_j, now_s = read_j(), time.perf_counter()
        if now_s - seen_s > LONGEST_INTERVAL_S:
            return None
        if now_j != last_j:
            changes_s.append(now_s)
            last_j, seen_s = now_j, now_s
    return max(after - before for before, after in itertools.pairwise(changes_s))


def measure_energy(
    part: SpanWork, read_j: Callable[[], float], finish: Callable[[], None], *, seconds: float
) -> Energy | None:
    """The energy of one run of a span, repeated for `seconds` at least; None where the counter is too coarse.

    `finish` waits until everything that was begun is done.
    """
    interval_s = update_interval_s(read_j)
    if interval_s is None:
        return None
    needed_s = max(seconds, LEAST_CHANGES * interval_s)
    calls = max(1, int(CHUNK_S / part.call_s))
    is_long = calls * part.call_s > interval_s
    give_up_s = time.perf_counter() + MOST_WINDOWS * (needed_s + part.call_s)

    def chunk() -> float:
        for _ in range(calls):
            part.work()
        finish()
        return read_j()

    begin_j = last_j = read_j() if is_long else chunk()
    while not is_long and begin_j == last_j and time.perf_counter() < give_up_s:
        begin_j = chunk()
    begun_s, last_j, steps = time.perf_counter(), begin_j, 0
    while True:
        now_j, now_s = chunk(), time.perf_counter()
        steps += calls * part.runs
        if now_s - begun_s >= needed_s and (is_long or now_j != last_j):
            break
        if now_s > give_up_s:
            return None
        last_j = now_j
    joules, window_s = now_j - begin_j, now_s - begun_s
    if joules <= 0:
        return None
    return Energy(step_j=joules / steps, power_w=joules / window_s, window_s=window_s, steps=steps)


class EnergySchedule:
    """The cases of a sweep that have their energy measured: a pass of a second or more, so by default one a variant.

    A variant is a case without its backend.
    """

    def __init__(self) -> None:
        self._measured: set[tuple[Any, ...]] = set()

    def is_due(self, case: Case, telemetry: Mapping[str, Any]) -> bool:
        """True if the settings ask for every case's energy, or for one backend's and this variant has none yet."""
        energy = telemetry["energy"]
        return energy == "every" or (energy == "one_backend" and _variant(case) not in self._measured)

    def note(self, record: Record) -> None:
        """Mark the record's variant as measured if the record has joules."""
        energy = record.provenance.get("energy")
        state = energy.get("state") if isinstance(energy, Mapping) else None
        if record.status is Status.OK and state == "measured":
            self._measured.add(_variant(record.case))


def _variant(case: Case) -> tuple[Any, ...]:
    named = {**case.axes, **case.extras}
    settings = sorted((name, value) for name, value in named.items() if name.partition(".")[0] != "backend")
    return (case.workload, *settings)
