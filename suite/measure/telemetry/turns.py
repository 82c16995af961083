"""Whose turn it is to have its energy measured: a pass of a second or more, so by default once a variant."""

from collections.abc import Mapping
from typing import Any

from suite.records.case import Case
from suite.records.record import Record, Status


class EnergyTurns:
    """Over the cases of a sweep. A variant is a case without its backend."""

    def __init__(self) -> None:
        self._had: set[tuple[Any, ...]] = set()

    def is_due(self, case: Case, telemetry: Mapping[str, Any]) -> bool:
        energy = telemetry["energy"]
        return energy == "every" or (energy == "one_backend" and _variant(case) not in self._had)

    def took(self, record: Record) -> None:
        """A case has been recorded, now or before."""
        energy = record.provenance.get("energy")
        state = energy.get("state") if isinstance(energy, Mapping) else None
        if record.status is Status.OK and state == "measured":
            self._had.add(_variant(record.case))


def _variant(case: Case) -> tuple[Any, ...]:
    named = {**case.axes, **case.extras}
    return (case.workload, *((name, value) for name, value in sorted(named.items()) if not _is_backend(name)))


def _is_backend(name: str) -> bool:
    return name.partition(".")[0] == "backend"
