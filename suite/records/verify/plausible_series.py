"""Telemetry that no run can have taken: time that runs backwards, samples from after its end, power above the card's.

Samples are looked at as arrays: a long run has tens of thousands.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.records.derived import started_at
from suite.records.record import TELEMETRY, Record
from suite.records.stores.telemetry import gpus_of, series_batches, telemetry_of
from suite.records.verify.cards import GIB_OVER_GB, number_of, power_limits_w, specification_of
from suite.records.verify.plausible import ROUNDING, Found, and_more

if TYPE_CHECKING:
    import pyarrow as pa

AFTER_THE_END_S = 1.0
"""The last sample is taken when a case has ended, and the sources are asked one after the other."""
BEGINNINGS_DIFFER_S = 3600.0
"""The first sample is taken as a run begins; a clock may be set meanwhile."""
TRANSIENT = 2.0
"""Times the power limit: a sample of a few milliseconds may lie above what a card holds for a second."""
COUNTER_LAG_S = 0.5
"""A card's counter of joules is brought up to date ten times a second and more."""
POWERS = ("power_instant_w", "power_average_w")
UNIT_SHARES = ("utilisation_share", "cpu_pressure_share", "memory_pressure_share", "io_pressure_share", "steal_share")


def implausible_series(record: Record, folder: Path) -> Iterator[str]:
    """Yield a sentence for each rule that samples break: the first row, the value, and how many more things do. Raises
    CorruptRecordError for a file that is not the record's own."""
    import pyarrow as pa

    batches = list(series_batches(record, folder))
    if not any(batch.num_rows for batch in batches):
        return
    samples = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    limits, by_rule = _Limits.of(record), defaultdict[str, list[Found]](list)
    for rule, found in _faults_of_time(samples, limits):
        by_rule[rule].append(found)
    time_s, value = _column(samples, "time_s"), _column(samples, "value")
    for device, quantity, rows in _by_quantity(samples):
        for rule, (at, wrong) in _faults_of_quantity(device, quantity, time_s[rows], value[rows], limits):
            by_rule[rule].append((int(rows[at]), f"{device} {quantity} is {wrong}"))
    for each in by_rule.values():
        row, wrong = min(each)
        yield f"{TELEMETRY} row {row}: {wrong}{and_more(each)}"


@dataclass(frozen=True, kw_only=True)
class _Limits:
    """Limits of one record's samples; infinite where nothing says one."""

    end_s: float
    begun_unix_s: float | None
    power_w: Mapping[str, float]
    memory_bytes: Mapping[str, float]

    @classmethod
    def of(cls, record: Record) -> "_Limits":
        ends = [number_of(telemetry_of(record), "elapsed_s"), number_of(record.provenance, "duration_s")]
        begun, machine = started_at(record), number_of(record.environment, "memory_bytes")
        cards = {label: specification_of(gpu.get("name")) for label, gpu in gpus_of(record).items()}
        memory = {label: GIB_OVER_GB * card.memory_bytes for label, card in cards.items() if card is not None}
        return cls(
            end_s=max((end for end in ends if end is not None), default=float("inf")),
            begun_unix_s=datetime.fromisoformat(begun).timestamp() if begun else None,
            power_w=power_limits_w(record),
            memory_bytes=memory | ({} if machine is None else {"worker": machine}),
        )


def _faults_of_time(samples: "pa.Table", limits: _Limits) -> Iterator[tuple[str, Found]]:
    """Yield a rule's name and the first sample whose time breaks it."""
    time_s, unix_s = _column(samples, "time_s"), _column(samples, "unix_s")
    for is_wrong, why in (
        (~((time_s >= 0) & (time_s < float("inf"))), "no time since the run began"),
        (time_s < _before(time_s), "before the sample above it"),
        (time_s > limits.end_s + AFTER_THE_END_S, f"after the run's end, {limits.end_s:.4g} s"),
    ):
        if (at := _first(is_wrong)) is not None:
            yield why, (at, f"time_s is {time_s[at]:.6g} s, which is {why}")
    if limits.begun_unix_s is not None and not abs(apart_s := unix_s[0] - limits.begun_unix_s) <= BEGINNINGS_DIFFER_S:
        begun = f"{apart_s:,.0f} s from when the record says it began"
        yield "begun", (0, f"unix_s is {unix_s[0]:.0f}, which is {begun}")


def _faults_of_quantity(
    device: str, quantity: str, time_s: Any, value: Any, limits: _Limits
) -> Iterator[tuple[str, Found]]:
    """Yield what is wrong with the samples of one quantity of one device, by their place among them."""
    most, why = float("inf"), ""
    if quantity in POWERS and device in limits.power_w:
        most, why = TRANSIENT * limits.power_w[device], "more than the card's limit lets a transient be"
    elif quantity in ("memory_used_bytes", "rss_bytes") and device in limits.memory_bytes:
        most, why = limits.memory_bytes[device], "more than there is"
    elif quantity in UNIT_SHARES:
        most, why = 1 + ROUNDING, "no share, which lies between 0 and 1"
    if (at := _first(~((value >= 0) & (value < float("inf"))))) is not None:
        yield "no amount", (at, f"{value[at]:.6g}, and must be finite and not below zero")
    elif (at := _first(value > most)) is not None:
        yield why, (at, f"{value[at]:.6g}, which is {why}")
    if quantity != "energy_j":
        return
    if (at := _first(value < _before(value))) is not None:
        yield "counter", (at, f"{value[at]:.6g} J, below the sample before it, and a counter only grows")
    limit_w = limits.power_w.get(device)
    allowed_j = float("inf") if limit_w is None else limit_w * (time_s - time_s[0] + COUNTER_LAG_S)
    if (at := _first(value - value[0] > allowed_j)) is not None:
        took = f"{value[at] - value[0]:,.0f} J above the first after {time_s[at] - time_s[0]:.4g} s"
        yield "joules", (at, f"{took}, more than the card's power limit allows")


def _by_quantity(samples: "pa.Table") -> Iterator[tuple[str, str, Any]]:
    """Yield each device and quantity, and its rows."""
    import numpy as np

    devices, quantities = (samples.column(name).chunk(0) for name in ("device", "quantity"))
    both = devices.indices.to_numpy().astype("int64") * len(quantities.dictionary) + quantities.indices.to_numpy()
    ordered = np.argsort(both, kind="stable")
    for rows in np.split(ordered, np.flatnonzero(np.diff(both[ordered])) + 1):
        yield devices[int(rows[0])].as_py(), quantities[int(rows[0])].as_py(), rows


def _column(samples: "pa.Table", name: str) -> Any:
    return samples.column(name).to_numpy()


def _before(values: Any) -> Any:
    """The value before each; the first has none that is larger."""
    import numpy as np

    return np.concatenate([[-np.inf], values[:-1]])


def _first(is_wrong: Any) -> int | None:
    """The first place that is true; None where none is."""
    return int(is_wrong.argmax()) if is_wrong.any() else None
