"""Limits of the device that a record ran on: its memory and its power, by the record's own facts or a specification."""

from collections.abc import Mapping
from typing import Any

from suite.records.record import Record
from suite.records.telemetry import gpus_of
from suite.theory.devices.hardware import Hardware, hardware_reported_as, load_hardware

RAISED = 1.35
"""Times the specified power: cards for players let their limit be raised by a third (an RTX 4090's 450 W to 600 W)."""
GIB_OVER_GB = 1.1
"""Times the specified memory: a card that is sold with 80 GB shows 85.5 billion bytes."""


def number_of(facts: Mapping[str, Any], name: str) -> float | None:
    """Return a fact that is a number above zero; None for anything else, since a record may be anybody's."""
    value = facts.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 < value < float("inf") else None


def is_on_gpu(record: Record) -> bool:
    """Return whether a case ran on a GPU."""
    return str(record.case.axes.get("device")).startswith("cuda")


def specification_of(name: object) -> Hardware | None:
    """Return the known device that a driver reports by this name; None for any other."""
    known = hardware_reported_as(name) if isinstance(name, str) else None
    return None if known is None else load_hardware(known)


def used_card(record: Record) -> Hardware | None:
    """Return the known GPU that a case ran on; None for a CPU's case and an unknown card."""
    used, gpus = record.provenance.get("device"), record.environment.get("gpus")
    first = gpus[0] if isinstance(gpus, list) and gpus else None
    name = used.get("name") if isinstance(used, Mapping) else None
    return specification_of(name or first) if is_on_gpu(record) else None


def power_limit_w(card: Hardware | None) -> float | None:
    """Return the most that a card may draw for a second and longer; None where nobody specified it."""
    return None if card is None or card.tdp_w is None else RAISED * card.tdp_w


def power_limits_w(record: Record) -> dict[str, float]:
    """Return the same for each GPU that NVML showed, by its label in the telemetry: the limit that the driver enforced
    where it gave one, and never more than the specification lets it be raised."""
    found = {}
    for label, gpu in gpus_of(record).items():
        enforced, most = number_of(gpu, "power_limit_w"), power_limit_w(specification_of(gpu.get("name")))
        limits = [limit for limit in (enforced, most) if limit is not None]
        if limits:
            found[label] = min(limits)
    return found


def memory_limit_bytes(record: Record) -> tuple[float, str] | None:
    """Return the memory of the device that a case ran on, and what says so; None where nothing does."""
    if not is_on_gpu(record):
        found = number_of(record.environment, "memory_bytes")
        return None if found is None else (found, "the machine")
    device = record.provenance.get("device")
    found = number_of(device, "memory_bytes") if isinstance(device, Mapping) else None
    card = used_card(record)
    if card is not None and (found is None or found > GIB_OVER_GB * card.memory_bytes):
        return GIB_OVER_GB * card.memory_bytes, f"the specification of {card.name}"
    return None if found is None else (found, "the device")
