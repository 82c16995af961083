"""Which samples were taken while a device was held back, and by what."""

from collections.abc import Iterator, Mapping

from suite.records.telemetry import Mark

THROTTLES = {
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sw_thermal_slowdown": 0x20,
    "hw_thermal_slowdown": 0x40,
    "hw_power_brake_slowdown": 0x80,
}
"""NVML's event reasons that slow a busy GPU down."""
OTHER_REASONS = {
    "gpu_idle": 0x1,
    "applications_clocks_setting": 0x2,
    "sync_boost": 0x10,
    "display_clock_setting": 0x100,
}
PRESSED_ABOVE = 0.1
STOLEN_ABOVE = 0.05
"""Shares of the time between two samples, chosen: of 1,199 samples of one-thread cases on an idle machine with two
CPUs, 1.8 % lay above the first and 1.5 % above the second."""


def mark_of(seen: Mapping[str, float]) -> Mark | None:
    """What held a device back, given all its quantities at one time."""
    if any(int(seen.get("event_reasons", 0)) & bit for bit in THROTTLES.values()):
        return Mark.THROTTLED
    if seen.get("cpu_pressure_share", 0) > PRESSED_ABOVE or seen.get("steal_share", 0) > STOLEN_ABOVE:
        return Mark.PRESSURED
    return None


def reasons_of(bits: float) -> Iterator[str]:
    """Names of the event reasons that are set."""
    return (name for name, bit in {**THROTTLES, **OTHER_REASONS}.items() if int(bits) & bit)
