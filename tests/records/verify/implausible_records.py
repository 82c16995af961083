"""Bad records: each is a good one in which one thing was changed, as an inventor or a broken disk would.

Digests are written anew, so that nothing but the rule that a plant is named for can find it.
"""

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from suite.records.record import Reading, Record
from suite.records.stores.store import read_record
from suite.records.stores.telemetry import TelemetrySample, read_series
from tests.records.factory import REFERENCE, build, committed

MEASURED = REFERENCE / "cpu_variants" / "variants"
H100 = "NVIDIA H100 80GB HBM3"
BEGUN_UNIX_S = 1772359200.0
"""The factory's started_at."""
CLOCKS = ("value", "wall_s", "thread_cpu_s", "process_cpu_s")


@dataclass(frozen=True, kw_only=True)
class Given:
    """A run as it is written: its record, and its telemetry."""

    record: Record
    series: Sequence[TelemetrySample]

    def with_readings(self, change: Callable[[list[Reading]], object]) -> "Given":
        """Return the run with its readings changed in place."""
        readings = list(self.record.readings)
        change(readings)
        return replace(self, record=replace(self.record, readings=readings))

    def with_row(self, row: int, **fields: float | None) -> "Given":
        return self.with_readings(lambda found: found.__setitem__(row, replace(found[row], **fields)))

    def with_facts(self, **facts: object) -> "Given":
        return replace(self, record=replace(self.record, provenance={**self.record.provenance, **facts}))

    def with_sample(self, place: int, **fields: float) -> "Given":
        series = list(self.series)
        series[place] = replace(series[place], **fields)
        return replace(self, series=series)

    def rows(self, span: str = "layer", launch: int | None = 0, metric: str = "latency_s") -> list[int]:
        """Return the rows of a series."""
        wanted = span, launch, metric
        found = [(one.span, one.launch, one.metric) for one in self.record.readings]
        return [row for row, one in enumerate(found) if one == wanted]

    def samples(self, quantity: str) -> list[int]:
        return [place for place, sample in enumerate(self.series) if sample.quantity == quantity]


@functools.cache
def on_a_cpu() -> Given:
    """A committed run of several launches, on one thread, with telemetry; the one with the most timings a launch."""
    runs = [Given(record=read_record(folder), series=()) for folder, _ in committed(MEASURED)]
    best = max(range(len(runs)), key=lambda number: len(runs[number].rows()))
    folder = [folder for folder, _ in committed(MEASURED)][best]
    return replace(runs[best], series=read_series(runs[best].record, folder))


@functools.cache
def on_a_gpu() -> Given:
    """A run of an H100, as one writes it, with its joules and its power."""
    chance = random.Random(0)
    record = build(
        latencies_s=tuple(1e-3 * chance.uniform(0.98, 1.02) for _ in range(24)),
        device="cuda",
        environment={"gpus": [H100], "logical_cpus": 16},
        provenance={
            "clock": "cuda_events",
            "duration_s": 12.0,
            "device": {"name": H100, "memory_bytes": 85_000_000_000},
            "telemetry": {"elapsed_s": 11.0, "devices": {"gpu0": {"name": H100, "used": True, "state": "measured"}}},
        },
    )
    noisy = [
        replace(one, value=one.value * chance.uniform(0.99, 1.01), wall_s=2 * one.wall_s) if one.wall_s else one
        for one in record.readings
    ]
    joules = {"energy_j": 0.5, "energy_power_w": 550.0, "energy_window_s": 1.0, "peak_bytes": 3e9}
    noisy += [Reading(step=0, span="layer", metric=metric, value=value) for metric, value in joules.items()]
    values = {"power_instant_w": lambda at_s: 520.0 + 9 * at_s, "energy_j": lambda at_s: 4e5 + 550 * at_s}
    series = [
        TelemetrySample(
            time_s=0.1 * tick,
            unix_s=BEGUN_UNIX_S + 0.1 * tick,
            phase="measure",
            device="gpu0",
            quantity=quantity,
            value=value(0.1 * tick),
        )
        for tick in range(100)
        for quantity, value in values.items()
    ]
    return Given(record=replace(record, readings=noisy), series=series)


def scaled(reading: Reading, factor: float, **fields: object) -> Reading:
    """Return a timing with all of its clocks times one factor."""
    found = {name: value * factor for name in CLOCKS if (value := getattr(reading, name)) is not None}
    return replace(reading, **found, **fields)


def constant(given: Given) -> Given:
    """Return the run with the first timing of a launch in the place of all of them."""

    def change(readings: list[Reading]) -> None:
        first, *others = given.rows()
        for row in others:
            readings[row] = replace(readings[first], step=readings[row].step)

    return given.with_readings(change)


def without_rows(given: Given, rows: Sequence[int]) -> Given:
    kept = [one for row, one in enumerate(given.record.readings) if row not in set(rows)]
    return replace(given, record=replace(given.record, readings=kept))


def doubled(given: Given) -> Given:
    row = given.rows()[3]
    other = scaled(given.record.readings[row], 1.003)
    return given.with_readings(lambda readings: readings.insert(row + 1, other))


def noted(given: Given, **values: float) -> Given:
    return given.with_readings(
        lambda readings: readings.extend(
            Reading(step=0, span="case", metric=metric, value=value) for metric, value in values.items()
        )
    )


def busier_than_the_wall(given: Given) -> Given:
    row = given.rows()[5]
    late = (given.record.readings[row].wall_s or 0.0) + 0.05
    return given.with_row(row, value=late, thread_cpu_s=late, process_cpu_s=late)


def busy_on_all_cpus(given: Given, share: float) -> Given:
    """Let the process of one timing take this share of the most that all CPUs can give it, 1% and 16 ms of rounding
    for each of them included."""
    row, cpus = given.rows()[4], given.record.environment["logical_cpus"]
    most_s = (given.record.readings[row].wall_s or 0.0) * 1.01 + 16e-3
    return given.with_row(row, process_cpu_s=share * cpus * most_s)


def faster_than_memory(given: Given) -> Given:
    return given.with_readings(
        lambda readings: readings.__setitem__(
            slice(None),
            [scaled(one, 1e-4) if (one.span, one.metric) == ("kernel", "latency_s") else one for one in readings],
        )
    )


Plant = Callable[[Given], Given]
ON_A_CPU: dict[str, tuple[Plant, str]] = {
    "a time below zero": (
        lambda run: run.with_row(run.rows()[2], value=-1e-3, thread_cpu_s=-1e-3),
        r"samples.parquet row \d+ \(layer latency_s, launch 0, step 2\): its value is -0.001, and a time is ",
    ),
    "a time without end": (
        lambda run: run.with_row(run.rows()[2], value=float("inf"), thread_cpu_s=float("inf"), wall_s=float("inf")),
        r"row \d+ .*: its value is inf, and a time is ",
    ),
    "a time that is no number": (
        lambda run: run.with_row(run.rows()[2], value=float("nan")),
        r"row \d+ .*: its value is nan, and a time is ",
    ),
    "a value that its clock does not have": (
        lambda run: run.with_row(run.rows()[4], value=0.6 * run.record.readings[run.rows()[4]].value),
        r"row \d+ .*: its value is .* and thread_cpu_s, the clock that the record names, ",
    ),
    "a thread busier than the wall": (busier_than_the_wall, r"row \d+ .*: its value is .* s on the wall's clock"),
    "a thread busier than the wall beside another clock": (
        lambda run: run.with_row(run.rows()[2], thread_cpu_s=0.9).with_facts(clock="cuda_events"),
        r"row \d+ .*: one thread was busy for 0.9 s within ",
    ),
    "more CPU time than CPUs": (
        lambda run: busy_on_all_cpus(run, 1.01),
        r"row \d+ .*: each of \d+ CPUs was busy for [\d.]+ s within ",
    ),
    "a step that is missing": (
        lambda run: without_rows(run, run.rows()[7:8]),
        r"row \d+ .*step 8\): step 8 stands where step 7 of the launch was due",
    ),
    "a step twice": (doubled, r"row \d+ .*step 3\): step 3 stands where step 4 of the launch was due"),
    "a launch that is missing": (
        lambda run: without_rows(run, [*run.rows("layer", 1), *run.rows("kernel", 1)]),
        r"row \d+ .*: its span has timings of the launches 0, 2.*, and the record says \d",
    ),
    "a series that never varies": (constant, r"row \d+ .*: the \d+ timings from here on have one value"),
    "timings longer than their run": (
        lambda run: run.with_facts(duration_s=0.01),
        r"row \d+ .*: wall_s of its span adds up to .* s, in a run of 0.01 s",
    ),
    "more memory than the machine has": (
        lambda run: noted(run, peak_bytes=1e15),
        r"row \d+ \(case peak_bytes, step 0\): its value is 1e\+15, and the machine has .* GiB",
    ),
    "bytes below zero": (lambda run: noted(run, cache_bytes=-8.0), r"row \d+ .*: its value is -8, and an amount is "),
    "a share above one": (
        lambda run: noted(run, heldout_accuracy=1.2),
        r"row \d+ .*: its value is 1.2, and a share lies ",
    ),
    "faster than memory is read": (faster_than_memory, r"row \d+: kernel: .* times as fast as the roofline"),
    "telemetry that runs backwards": (
        lambda run: run.with_sample(len(run.series) - 1, time_s=run.series[0].time_s),
        r"telemetry.parquet row \d+: time_s is .*, which is before the sample above it",
    ),
    "telemetry from after the end": (
        lambda run: run.with_sample(len(run.series) - 1, time_s=1e5),
        r"telemetry.parquet row \d+: time_s is 100000, and lies between the run's begin and its end",
    ),
    "telemetry of another day": (
        lambda run: run.with_sample(0, unix_s=run.series[0].unix_s - 86_400),
        r"telemetry.parquet row 0: unix_s is \d+, which is -\d+,\d+ s from when the record says it began",
    ),
    "more of a CPU than all of it": (
        lambda run: run.with_sample(run.samples("steal_share")[2], value=1.5),
        r"telemetry.parquet row \d+: cpu steal_share is 1.5, and a share lies between 0 and 1",
    ),
    "a worker larger than its machine": (
        lambda run: run.with_sample(run.samples("rss_bytes")[1], value=1e15),
        r"telemetry.parquet row \d+: worker rss_bytes is 1e\+15, and the machine has .* GiB",
    ),
    "a start in the future": (
        lambda run: replace(run, series=()).with_facts(started_at="2199-01-01T00:00:00+00:00"),
        r"started_at is no time between 2020 and now",
    ),
}
ON_A_GPU: dict[str, tuple[Plant, str]] = {
    "power that no H100 draws": (
        lambda run: run.with_row(run.rows(launch=None, metric="energy_power_w")[0], value=1_400.0),
        r"row \d+ \(layer energy_power_w, step 0\): its value is 1400, and h100-sxm5-80gb draws at most 945 W",
    ),
    "a step that took more than its window": (
        lambda run: run.with_row(run.rows(launch=None, metric="energy_j")[0], value=700.0),
        r"row \d+ .*: 700 J of one step are more than its window of 1 s at 550 W took",
    ),
    "a step that took more than its short window": (
        lambda run: run.with_row(run.rows(launch=None, metric="energy_j")[0], value=300.0).with_row(
            run.rows(launch=None, metric="energy_window_s")[0], value=0.5
        ),
        r"row \d+ .*: 300 J of one step are more than its window of 0.5 s at 550 W took",
    ),
    "more than the card holds": (
        lambda run: run.with_row(run.rows(launch=None, metric="peak_bytes")[0], value=9e10),
        r"row \d+ .*: its value is 9e\+10, and h100-sxm5-80gb has 79.2 GiB",
    ),
    "a sample above every transient": (
        lambda run: run.with_sample(run.samples("power_instant_w")[9], value=2_500.0),
        r"telemetry.parquet row 18: gpu0 power_instant_w is 2500, and a transient of this card is 1,890 W at most",
    ),
    "a counter that falls": (
        lambda run: run.with_sample(run.samples("energy_j")[9], value=4e5 + 1.0),
        r"telemetry.parquet row 19: gpu0 energy_j is 400001 J, below the sample before it",
    ),
    "joules faster than the limit": (
        lambda run: run.with_sample(run.samples("energy_j")[-1], value=4e5 + 20_000),
        r"telemetry.parquet row 199: gpu0 energy_j is 20,000 J above the first after 9.9 s",
    ),
}
