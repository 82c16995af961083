"""The memory of each phase of a step that really runs: in every run on a GPU what torch's allocator held and reserved
and what NVML counts; and with track_memory=true what each owner holds.

A step's own tensors are seen and whatever its learner keeps; evaluations are left out, since they are no part of an
algorithm's cost. Watching every operator takes time, so that the times of such a run are not comparable.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from suite.measure.devices.device import Device
from suite.measure.memory_tracker import MemoryTracker, OwnedTensors
from suite.measure.meter import Meter, Seen
from suite.records.holdings import IN_USE, PARAMETERS, held_readings
from suite.records.metrics import EVALUATE, PHASES


@contextmanager
def device_peaks(device: Device, used_bytes: Callable[[], int | None], meter: Meter) -> Iterator[None]:
    """Note the highest peaks of the device's allocator in each phase of a step, which is made inside, and the most that
    `used_bytes` says where one ended."""
    highest: dict[str, dict[str, int]] = {}

    def probe(span: str) -> Callable[[], Seen]:
        """Begin to watch a span; the function returned keeps a phase's peaks. No readings."""
        if span in PHASES:
            device.forget_peaks()

        def end_span() -> Seen:
            for metric, nbytes in {**device.peak_bytes(), IN_USE: used_bytes()}.items() if span in PHASES else ():
                if nbytes is not None:
                    of_phase = highest.setdefault(span, {})
                    of_phase[metric] = max(nbytes, of_phase.get(metric, 0))
            return ()

        return end_span

    with meter.watched(probe):
        yield
    for phase, peaks in highest.items():
        meter.note(phase, **peaks)


class TrackedMemory:
    """Tracks the memory peaks of a step's phases. `owned_tensors` lists what lives from step to step."""

    def __init__(self, owned_tensors: Callable[[], Iterable[OwnedTensors]]) -> None:
        self._owned_tensors = owned_tensors
        self._holdings = MemoryTracker()

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
        holdings.restart()

    def _probe(self, span: str) -> Callable[[], Seen]:
        """Begin to watch a span: a phase is measured, an evaluation is left out. The function returned ends that."""
        stack = ExitStack()
        if span in PHASES:
            stack.enter_context(self._holdings.phase(span))
        elif span == EVALUATE:
            stack.enter_context(self._holdings.away())

        def end_span() -> Seen:
            stack.close()
            return ()

        return end_span
