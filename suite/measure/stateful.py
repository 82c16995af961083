"""Stateful workloads: steps follow from one another, as training's do; each is run and timed once, none is repeated.

Readings go to the parent as they come. A checkpoint is written now and then, so that a run that was killed goes on
from it and ends as the unbroken one; it holds what was read so far, too, and is removed when the run is done.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from suite.configuration.files import locate
from suite.measure.devices import device_for
from suite.measure.meter import Meter
from suite.measure.precision import set_matmul_precision
from suite.measure.runner import Send, timed
from suite.measure.sealed import read_or_warn, warnings_sent, write_sealed
from suite.measure.telemetry.counters import CounterLostError, NoCounter, energy_counter
from suite.measure.workload import DescribedWorkload, IncorrectError, StatefulPlan, UnsupportedError
from suite.records.record import STEP, Reading, Status


class WorkloadFailedError(Exception):
    """The workload cannot go on, and the message is the whole reason: a loss that is no number."""


class StatefulWorkload(DescribedWorkload, Protocol):
    """Constructed with the resolved settings; allocates in `prepare`."""

    plan: StatefulPlan
    steps: int
    checkpoint_seconds: float

    def prepare(self, shared: Path) -> None:
        """Allocate; may raise UnsupportedError. `shared`: a folder for files that several cases of a sweep need, such
        as a base model; other processes may be using it."""

    def step(self, meter: Meter) -> None:
        """Run the step of the meter's index; work that closes the run may follow the last step."""

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as tensors and plain data, for `restore`."""

    def restore(self, state: Mapping[str, Any]) -> None: ...


def run_stateful(
    send: Send, *, settings: Mapping[str, Any], shared: Path, checkpoint: Path, run_key: str, no_energy: str | None
) -> tuple[Status, str | None]:
    """Run one case from its beginning, or from its checkpoint if there is one. Returns status and reason. Sends what
    measure_case sends.

    `run_key`: a checkpoint of another key is not used. `no_energy`: the named state that keeps the joules from
    being taken; None takes them where there is a counter.
    """
    workload: StatefulWorkload = locate(settings["workload"]["_target_"])(settings)
    device = device_for(settings["device"], workload.plan.threads)
    device.require()
    precision = set_matmul_precision(settings.get("matmul_precision"))
    if (identity := device.identity()) is not None:
        send(cuda_device=identity, facts=device.facts())
    clock, probe = device.stateful_clock()
    meter, energy = Meter(probe), StepEnergy(identity, no_energy, device.finish)
    checkpoint_file = Checkpoint(checkpoint, run_key)
    try:
        with timed(send, "prepare"), warnings_sent(send):
            workload.prepare(shared)
        send(readings=list(workload.constants()))
        facts = {**workload.plan.facts(), **workload.facts()}
        send(facts={**facts, "clock": clock, "float32_matmul": precision})
        with timed(send, "measure"):
            with warnings_sent(send):
                meter.step = checkpoint_file.resume(send, workload)
            while meter.step < workload.steps:
                with energy.charged(meter):
                    workload.step(meter)
                meter.step += 1
                send(readings=meter.readings)
                checkpoint_file.save_if_due(workload, meter)
                meter.readings = []
    except UnsupportedError as error:
        return Status.UNSUPPORTED, str(error)
    except IncorrectError as error:
        send(readings=[*meter.readings, *error.readings])
        return Status.INCORRECT, error.reason
    except WorkloadFailedError as error:
        send(readings=meter.readings)
        return Status.FAILED, str(error)
    finally:
        send(facts={"energy": energy.fact})
    checkpoint_file.remove()
    return Status.OK, None


def time_repeats(meter: Meter, span: str, work: Callable[[], object], *, warm: int, timed: int) -> None:
    """Do the work `warm` times untimed, then `timed` times, each inside a span of the meter."""
    for _ in range(warm):
        work()
    for _ in range(timed):
        with meter.span(span):
            work()


class Checkpoint:
    """The file from which a killed run goes on. Written whole or not at all, and never unpickled into objects."""

    def __init__(self, path: Path, run_key: str) -> None:
        self._path, self._run_key = path, run_key
        self._readings: list[Reading] = []
        self._resumed_at: list[int] = []
        self._saved_at_s = time.perf_counter()

    def resume(self, send: Send, workload: StatefulWorkload) -> int:
        """Restore the workload and send the unfinished run's readings; the step to begin with (0 without a file)."""
        saved = read_or_warn(self._path, self._run_key)
        if saved is None:
            return 0
        workload.restore(saved["state"])
        self._readings = [Reading(**row) for row in saved["readings"]]
        self._resumed_at = [*saved["resumed_at_steps"], saved["step"]]
        send(readings=self._readings, facts={"resumed_at_steps": self._resumed_at})
        return int(saved["step"])

    def save_if_due(self, workload: StatefulWorkload, meter: Meter) -> None:
        """Keep the readings; save all if `checkpoint_seconds` have passed, but not behind the last step."""
        self._readings += meter.readings
        if time.perf_counter() - self._saved_at_s < workload.checkpoint_seconds or meter.step == workload.steps:
            return
        content = {
            "step": meter.step,
            "state": workload.state(),
            "readings": [asdict(reading) for reading in self._readings],
            "resumed_at_steps": self._resumed_at,
        }
        self._path.parent.mkdir(exist_ok=True)
        write_sealed(self._path, self._run_key, content)
        self._saved_at_s = time.perf_counter()

    def remove(self) -> None:
        """Remove the file, and its folder if that is empty then."""
        self._path.unlink(missing_ok=True)
        with suppress(OSError):  # another case's checkpoint lies there, or none ever did
            self._path.parent.rmdir()


class StepEnergy:
    """Joules of each step, by the difference of a counter; a step is long beside the time between its changes."""

    def __init__(self, identity: Mapping[str, Any] | None, state: str | None, finish: Callable[[], None]) -> None:
        self.fact: dict[str, Any] = {"state": state}
        self._read_j: Callable[[], float] | None = None
        self._finish = finish
        if state is not None:
            return
        counter = energy_counter(identity)
        if isinstance(counter, NoCounter):
            self.fact = {"state": "no_counter", "why": counter.why}
        else:
            self.fact = {"state": "measured", "source": counter.source}
            self._read_j = counter.read_j

    @contextmanager
    def charged(self, meter: Meter) -> Iterator[None]:
        """Add a reading of the joules of what runs inside to the meter, where there is a counter."""
        begun_j = self._now_j()
        yield
        ended_j = self._now_j()
        if begun_j is not None and ended_j is not None:
            meter.note(STEP, energy_j=ended_j - begun_j)

    def _now_j(self) -> float | None:
        """Read the counter once the device is idle; None without one, or once it is lost, as `fact` says."""
        if self._read_j is None:
            return None
        self._finish()
        try:
            return self._read_j()
        except CounterLostError as error:
            self.fact = {**self.fact, "state": "lost", "why": f"the counter was lost: {error}"}
            self._read_j = None
            return None
