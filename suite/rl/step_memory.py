"""The memory that each owner holds in each phase of a step that really runs: readings of a run with track_memory=true.

A step's own tensors are seen and whatever its learner keeps; evaluations are left out, since they are no part of an
algorithm's cost. Watching every operator takes time, so that the times of such a run are not comparable.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from suite.measure.devices.device import Device
from suite.measure.memory_tracker import MemoryTracker, OwnedTensors
from suite.measure.meter import Meter, Seen
from suite.records.holdings import ALLOCATOR_PEAK, PARAMETERS, held_readings
from suite.records.metrics import EVALUATE, PHASES


class TrackedMemory:
    """Tracks the memory peaks of a step's phases. `owned_tensors` lists what lives from step to step."""

    def __init__(self, owned_tensors: Callable[[], Iterable[OwnedTensors]], device: Device) -> None:
        self._owned_tensors, self._device = owned_tensors, device
        self._holdings = MemoryTracker()
        self._allocator_peaks: dict[str, int] = {}

    def facts(self) -> Mapping[str, Any]:
        """Says that memory was tracked, and that the run's times are therefore not comparable."""
        return {"memory": {"tracked": True, "times": "not comparable: every operator was watched"}}

    @contextmanager
    def track_step(self, meter: Meter) -> Iterator[None]:
        """Watch the step in this context, then note each phase's memory peak by owner and kind."""
        holdings, handles = self._holdings, []
        for tensors, owner, kind in self._owned_tensors():
            holdings.label(tensors, owner, kind)
            if kind == PARAMETERS:
                handles += holdings.label_gradients(tensors, owner)
        try:
            with holdings, meter.watched(self._probe):
                yield
        finally:
            for handle in handles:
                handle.remove()
        for tensors, owner, kind in self._owned_tensors():  # an optimiser makes its moments in its first update
            holdings.label(tensors, owner, kind)
        for phase, peak in holdings.peaks().items():
            meter.readings += held_readings(meter.step, phase, peak.held)
        for phase, peak_bytes in self._allocator_peaks.items():
            meter.note(phase, **{ALLOCATOR_PEAK: peak_bytes})
        self._allocator_peaks.clear()
        holdings.restart()

    def _probe(self, span: str) -> Callable[[], Seen]:
        """Begin to watch a span: a phase is measured, an evaluation is left out. The function returned ends that."""
        stack = ExitStack()
        if span in PHASES:
            stack.enter_context(self._holdings.phase(span))
            self._device.forget_peak()
        elif span == EVALUATE:
            stack.enter_context(self._holdings.away())

        def end_span() -> Seen:
            """End the watch, and keep the allocator's highest peak in a phase; no readings."""
            if span in PHASES and (peak_bytes := self._device.peak_bytes()) is not None:
                self._allocator_peaks[span] = max(peak_bytes, self._allocator_peaks.get(span, 0))
            stack.close()
            return ()

        return end_span
