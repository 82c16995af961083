"""One thread of the parent that reads every source at a steady pace while a case runs in the worker.

In the parent, so that it takes nothing from the case's own process, and so that what it saw outlives that process.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from suite.configuration.files import locate
from suite.configuration.values import clipped, one_of, positive_number
from suite.machine.nvml import State
from suite.measure.telemetry.source import Source, Target
from suite.records import numbers
from suite.records.stores.telemetry import Mark, TelemetrySample

SLOW_EVERY_TICKS = 10
# After so many the period doubles, so that a run of three days still has a table that is read (2 million rows).
SLOWER_EVERY_SAMPLES = 250_000
SHORTEST_PERIOD_S = 0.02  # at 10 to 20 ms a sampling thread begins to slow its process down
ENERGY = ("one_backend", "every", "none")
WORTH_A_WARNING = 0.1  # share of a GPU's samples under a throttle reason that is held against a record
# NVML's event reasons that slow a busy GPU down.
THROTTLES = {
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sw_thermal_slowdown": 0x20,
    "hw_thermal_slowdown": 0x40,
    "hw_power_brake_slowdown": 0x80,
}
OTHER_REASONS = {
    "gpu_idle": 0x1,
    "applications_clocks_setting": 0x2,
    "sync_boost": 0x10,
    "display_clock_setting": 0x100,
}
# Memory of a GPU that was held before; a container hides whose it is. Chosen: less than another's CUDA context takes,
# which are 300 MB and more.
HELD_BY_OTHERS_BYTES = 200 << 20
PRESSED_ABOVE = 0.1
# Shares of the time between two samples, chosen: of 1,199 samples of one-thread cases on an idle machine with two CPUs,
# 1.8% lay above the first and 1.5% above the second.
STOLEN_ABOVE = 0.05

HELD_AGAINST = {
    State.LOST: "was lost while the case ran: its telemetry ends there",
    State.MIG: "is split by MIG: its power and energy are the whole card's",
}


def checked(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings under `telemetry`, checked with `price_per_device_hour`. Raises ValueError, in one sentence."""
    telemetry: Mapping[str, Any] = settings["telemetry"]
    if positive_number(telemetry, "period_s", where="telemetry.") < SHORTEST_PERIOD_S:
        raise ValueError(
            f"telemetry.period_s must be at least {SHORTEST_PERIOD_S}, as faster sampling slows the measured case; "
            f"got {telemetry['period_s']!r}"
        )
    positive_number(telemetry, "energy_seconds", where="telemetry.")
    one_of(telemetry, "energy", ENERGY, where="telemetry.")
    sources = telemetry.get("sources")
    if not isinstance(sources, list) or not all(isinstance(dotted, str) for dotted in sources):
        raise ValueError(f"telemetry.sources must be a list of names, such as [module.Source]; got {sources!r}")
    for dotted in sources:
        kind = locate(dotted)
        if not (isinstance(kind, type) and issubclass(kind, Source)):
            raise ValueError(
                f"telemetry.sources must name subclasses of {Source.__module__}.Source; got {clipped(dotted)}"
            )
    if settings["price_per_device_hour"] is not None:
        positive_number(settings, "price_per_device_hour")
    return telemetry


class Telemetry:
    """The sources of a sweep, opened once."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.period_s = float(settings["period_s"])
        self._sources: list[Source] = [locate(dotted)() for dotted in settings["sources"]]

    def watch(self) -> "TelemetryWatch":
        """A context manager that samples the sources while one case runs."""
        return TelemetryWatch(self._sources, self.period_s)


class TelemetryWatch:
    """A context manager that samples from entering to leaving; `on_message` takes the messages of the case."""

    def __init__(self, sources: Sequence[Source], period_s: float) -> None:
        self.samples: list[TelemetrySample] = []
        self._sources, self._period_s = sources, period_s
        self._target, self._phase = Target(), ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._ticks = 0
        self._sampler_cpu_s = self._elapsed_s = 0.0
        self._failure = ""

    def __enter__(self) -> "TelemetryWatch":
        if self._sources:
            for source in self._sources:
                source.begin()
            self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        if self._sources:
            self._thread.join()

    def on_message(self, message: Mapping[str, Any]) -> None:
        """Note process id, phase and CUDA device from a message that the case's process sent."""
        self._target.pid = message.get("pid", self._target.pid)
        self._phase = message.get("phase", self._phase)
        self._target.cuda_devices += [message["cuda_device"]] if "cuda_device" in message else []

    def facts(self) -> dict[str, Any]:
        """Facts for the record: the sampler's times, sources' states, shares of marks; empty without sources."""
        if not self._sources:
            return {}
        facts: dict[str, Any] = {
            "period_s": self._period_s,
            "ticks": self._ticks,
            "elapsed_s": self._elapsed_s,
            "sampler_cpu_s": self._sampler_cpu_s,
            "sampler_cpu_share": self._sampler_cpu_s / self._elapsed_s if self._elapsed_s > 0 else None,
            "sources": {
                source.name: {"state": str(source.state), **({"why": source.why} if source.why else {})}
                for source in self._sources
            },
            "marked_share": marked_shares(self.samples),
            "event_reasons_share": event_reason_shares(self.samples),
        }
        if self._period_now_s > self._period_s:
            facts["last_period_s"] = self._period_now_s
        if self._failure:
            facts["failure"] = self._failure
        for source in self._sources:
            facts |= source.facts(self._target)
        return facts

    def warnings(self) -> list[str]:
        """Sentences that make a reader doubt the case."""
        warnings = [f"telemetry stopped early: {self._failure}"] if self._failure else []
        facts = self.facts()
        for label, gpu in facts.get("devices", {}).items():
            if not gpu["used"]:
                continue
            share = facts["marked_share"].get(label, {}).get(Mark.THROTTLED, 0.0)
            if share > WORTH_A_WARNING:
                reasons = facts["event_reasons_share"].get(label, {})
                named = ", ".join(name for name in reasons if name != "gpu_idle")
                warnings.append(f"{label} was throttled in {share:.0%} of the samples ({named})")
            if count := gpu.get("other_processes"):
                warnings.append(
                    f"{count} other {'process was' if count == 1 else 'processes were'} computing on {label}"
                )
            if gpu.get("mps_processes"):
                warnings.append(f"{label} is shared by MPS: its power, memory and clocks are those of all its clients")
            if gpu.get("graphics_processes"):
                warnings.append(f"{label} also draws: a graphics process holds memory and time of it")
            if (bytes_before := gpu.get("held_before_bytes", 0)) > HELD_BY_OTHERS_BYTES:
                warnings.append(
                    f"{numbers.bytes_iec(bytes_before)} of {label}'s memory were held before anything ran here"
                )
            if gpu["state"] in HELD_AGAINST:
                warnings.append(f"{label} {HELD_AGAINST[gpu['state']]}")
        return warnings

    @property
    def _period_now_s(self) -> float:
        return float(self._period_s * 2 ** (len(self.samples) // SLOWER_EVERY_SAMPLES))

    def _run(self) -> None:
        """Sample at each period until the watch is closed; an error ends the sampling and is kept in `_failure`."""
        begun = time.monotonic()
        try:
            while True:
                self._tick(begun)
                period_s = self._period_now_s
                due_s = (int((time.monotonic() - begun) / period_s) + 1) * period_s
                if self._stop.wait(begun + due_s - time.monotonic()):
                    break
            self._tick(begun)  # so that the counters' differences cover the whole case
        except Exception as error:  # a thread has no caller to raise to; the record says it instead
            self._failure = f"{type(error).__name__}: {error}"
        self._elapsed_s = time.monotonic() - begun
        self._sampler_cpu_s = time.thread_time()

    def _tick(self, begun: float) -> None:
        """Add a sample of every source to `samples`. `begun`: the monotonic time of the first tick."""
        is_slow = self._ticks % SLOW_EVERY_TICKS == 0
        for source in self._sources:
            now: dict[str, Any] = {"time_s": time.monotonic() - begun, "unix_s": time.time(), "phase": self._phase}
            by_device: dict[str, dict[str, float]] = defaultdict(dict)
            for device, quantity, value in source.sample(self._target, is_slow_tick=is_slow):
                by_device[device][quantity] = value
            for device, quantities in by_device.items():
                mark = disturbance(quantities)
                self.samples += [
                    TelemetrySample(**now, device=device, quantity=quantity, value=value, mark=mark)
                    for quantity, value in quantities.items()
                ]
        self._ticks += 1


def disturbance(quantities: Mapping[str, float]) -> Mark | None:
    """THROTTLED or PRESSURED if a device was slowed down, given all its quantities at one time; else None."""
    if any(int(quantities.get("event_reasons", 0)) & bit for bit in THROTTLES.values()):
        return Mark.THROTTLED
    if quantities.get("cpu_pressure_share", 0) > PRESSED_ABOVE or quantities.get("steal_share", 0) > STOLEN_ABOVE:
        return Mark.PRESSURED
    return None


def marked_shares(samples: Sequence[TelemetrySample]) -> dict[str, dict[str, float]]:
    """For each device with marked samples, the share of its sampled times under each mark."""
    times: dict[str, set[float]] = defaultdict(set)
    marked: dict[str, dict[str, set[float]]] = defaultdict(lambda: defaultdict(set))
    for sample in samples:
        times[sample.device].add(sample.time_s)
        if sample.mark is not None:
            marked[sample.device][sample.mark].add(sample.time_s)
    return {
        device: {mark: len(at) / len(times[device]) for mark, at in marks.items()} for device, marks in marked.items()
    }


def event_reason_shares(samples: Sequence[TelemetrySample]) -> dict[str, dict[str, float]]:
    """For each GPU that gave any event reason, the share of its samples under each."""
    total: Counter[str] = Counter()
    named: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        if sample.quantity == "event_reasons":
            total[sample.device] += 1
            reasons = (THROTTLES | OTHER_REASONS).items()
            named[sample.device].update(name for name, bit in reasons if int(sample.value) & bit)
    return {
        device: {name: count / total[device] for name, count in sorted(counts.items())}
        for device, counts in named.items()
        if counts
    }
