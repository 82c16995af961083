"""The devices that cases ran on: which runs were disturbed, what the devices drew, and what could not be read of them.

Nothing is left out of the numbers for a disturbance: a reader has to see which of them to compare with care. Old
records have no telemetry, and a foreign one may say anything: what is of another type, or no number that a device could
give, is left out here.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.records import numbers
from suite.records.record import CorruptRecordError, Evidence, Record, Rows
from suite.records.stores.telemetry import Mark, TelemetrySample, read_series, telemetry_facts
from suite.report.blocks import Headline, Kind, Table, Text, dotted, joined, say, say_or
from suite.report.model.experiment import grouped
from suite.report.model.labels import ALGORITHM, VARIANT, case_facets, option_label, phase_name, variant_label
from suite.report.model.outcome import outcome_metric
from suite.report.model.results import Results, cached_by_results
from suite.report.model.run import Run, axis, clip_text, context_tokens, extras, mapping, share
from suite.report.table import Column, column, label_column, part_columns, table

POWER, AVERAGE_POWER, ENERGY, STEAL_SHARE = "power_instant_w", "power_average_w", "energy_j", "steal_share"
MOST_W, MOST_S, MOST_J = 1e6, 1e9, 1e15
CPU = "cpu"
TRAINING_AXES = (ALGORITHM, "task", "policy", "steps", "prompts_per_step", "num_generations", "seed")
DISTURBED = 0.05  # a run with a larger share of marked samples is to be compared with care
STOLEN = 0.01  # less stolen time moves no median
STEAL = "steal"
SOURCES = ("nvml", "rapl")  # those that give power
MEASURED = "measured"
MOST_REASONS, LONGEST_WHY, MOST_WAYS = 8, 200, 24
MOST_PROCESSES, MOST_TICKS = 1 << 20, 1 << 40
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Seconds since the case began, and watts or joules; in their order."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """What one device drew through a run."""

    quantity: str  # the source: one of the two powers, or the counter of joules
    mean_w: float  # weighted by time, since samples need not be evenly spaced
    peak_w: float
    joules: float | None  # None where the device has no counter, or one that ran backwards


@dataclass(frozen=True, kw_only=True, eq=False)
class TelemetryRun(Run):
    """A run with telemetry, or with the reason why it has none."""

    powers: Mapping[str, Power]  # by device
    marked: Mapping[tuple[str, str], float]
    """Share of a device's samples that carry a mark, by device and mark."""
    moments: int  # times at which the device with the most samples was sampled
    steal_share: float  # mean of the samples: time that the host gave to others
    is_unreadable: bool  # it has a series that could not be read

    @property
    def telemetry(self) -> Mapping[str, Any]:
        return telemetry_facts(self.record)

    @property
    def devices(self) -> Mapping[str, Any]:
        return mapping(self.telemetry, "devices")


def run_settings(run: Run) -> str:
    """What tells a run apart: dtype, backend, further settings, and of a training run its axes."""
    backend = str(run.record.provenance.get("backend") or run.axis("backend"))
    training = [f"{name}={value}" for name in TRAINING_AXES if (value := run.axis(name))]
    return ", ".join(filter(None, [run.axis("dtype"), backend, *extras(run.record), *training]))


def name_parts(record: Record) -> list[Text]:
    """Model, phase and context of a run; of a training run its task, algorithm and seed."""
    algorithm, tokens = axis(record, ALGORITHM), context_tokens(record)
    if algorithm:
        seed = axis(record, "seed") or numbers.NOTHING
        return [axis(record, "task"), say("rl.run", algorithm=option_label(ALGORITHM, algorithm), seed=seed)]
    context = "" if tokens is None else say("callstyle.tokens", tokens=numbers.count(tokens))
    return [axis(record, "geometry"), phase_name(axis(record, "phase")), context]


@dataclass(frozen=True, kw_only=True)
class DeviceSeries:
    """The samples of one device, those that it can have given."""

    rows: Mapping[str, NDArray[np.float64]]
    """The columns of all samples of the run, in the order of the file."""
    places: Mapping[tuple[str, str, str | None], NDArray[np.intp]]
    """Where in these the device's own lie, by phase, quantity and mark."""

    def count_moments(self, mark: str = "") -> float:
        """The number of times at which it was sampled, and marked so: its sources are asked together."""
        in_phase: dict[str, list[NDArray[np.intp]]] = defaultdict(list)
        for (phase, _, other), places in self.places.items():
            if mark in ("", clip_text(other)):
                in_phase[phase].append(places)
        count = 0.0
        for by_quantity in in_phase.values():
            times_s = self.rows["time_s"][np.concatenate(by_quantity)]
            count += max(len(np.unique(times_s)), *(self.rows["samples"][places].sum() for places in by_quantity))
        return count

    def of_quantity(self, quantity: str, most: float) -> dict[str, NDArray[np.float64]]:
        """The rows of a quantity, those from 0 to below `most`, by their times."""
        chosen = [places for (_, name, _), places in self.places.items() if name == quantity]
        places = np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.intp)
        places = places[np.argsort(self.rows["time_s"][places], kind="stable")]
        values = self.rows["value"][places]
        places = places[(values >= 0) & (values < most)]
        return {name: column[places] for name, column in self.rows.items()}

    def curve(self, quantity: str, most: float) -> Curve:
        """Times and values of a quantity: two points a row, its first and its last sample."""
        rows = self.of_quantity(quantity, most)
        first, last = ("least", "most") if quantity == ENERGY else ("value", "value")
        times_s = np.stack([rows["time_s"], rows["until_s"]], axis=1)
        return times_s.ravel(), np.stack([rows[first], rows[last]], axis=1).ravel()

    def power(self) -> Power | None:
        """What the device drew, by the best source with readings; None without. A counter that falls is not used."""
        counted_s, counted = self.curve(ENERGY, MOST_J)
        if (np.diff(counted) < 0).any():
            counted_s, counted = counted_s[:0], counted[:0]
        # Between two looks at the counter the mean power is known, and nothing finer.
        is_later = counted_s[1:] > counted_s[:-1]
        mean_w = np.diff(counted)[is_later] / np.diff(counted_s)[is_later]
        by_counter = ((counted_s[:-1] + counted_s[1:]) / 2)[is_later], mean_w
        for quantity in (POWER, AVERAGE_POWER, ENERGY):
            times_s, watts = by_counter if quantity == ENERGY else self.curve(quantity, MOST_W)
            if len(watts):
                peaks_w = watts if quantity == ENERGY else self.of_quantity(quantity, MOST_W)["most"]
                elapsed_s = float(times_s[-1] - times_s[0])
                area_j = sum((np.diff(times_s) * (watts[:-1] + watts[1:]) / 2).tolist())
                return Power(
                    quantity=quantity,
                    mean_w=area_j / elapsed_s if elapsed_s > 0 else fmean(watts.tolist()),
                    peak_w=float(peaks_w.max()),
                    joules=float(counted[-1] - counted[0]) if len(mean_w) else None,
                )
        return None


# A series is read from its file, and a headline and two tables ask for the runs of the same results.
@cached_by_results
def telemetry_runs(results: Results) -> Sequence[TelemetryRun]:
    """The runs with telemetry samples, with facts about their telemetry, or with a series that cannot be read."""
    runs = []
    for current in results.records:
        try:
            samples = read_series(current.record, current.folder)
        except (CorruptRecordError, OSError):
            samples = None
        if samples is not None and not samples and not telemetry_facts(current.record):
            continue
        series = _device_series(samples) if samples else {}
        steal = series[CPU].of_quantity(STEAL_SHARE, math.nextafter(1, 2)) if CPU in series else {"samples": ()}
        run = TelemetryRun(
            current=current,
            marked=_marked_shares(current.record, series),
            powers={device: power for device, of_device in series.items() if (power := of_device.power())},
            moments=int(max((of_device.count_moments() for of_device in series.values()), default=0)),
            steal_share=float(np.average(steal["value"], weights=steal["samples"])) if len(steal["samples"]) else 0.0,
            is_unreadable=samples is None,
        )
        runs.append(run)
    return runs


def _device_series(samples: Rows[TelemetrySample]) -> dict[str, DeviceSeries]:
    """Samples by device; those that no device could give are dropped."""
    rows = {name: samples.array(name) for name in ("time_s", "value")}
    rows["samples"] = samples.array("samples", empty=1.0)
    for name, of_one_sample in {"until_s": "time_s", "least": "value", "most": "value"}.items():
        column = samples.array(name)
        rows[name] = np.where(np.isnan(column), rows[of_one_sample], column)
    is_possible = (rows["time_s"] >= 0) & (rows["time_s"] < MOST_S) & np.isfinite(rows["value"])
    by_device: dict[str, dict[tuple[str, str, str | None], NDArray[np.intp]]] = defaultdict(dict)
    for (device, *kind), of_kind in samples.grouped("device", "phase", "quantity", "mark").items():
        places = np.asarray(of_kind.places)
        if len(places := places[is_possible[places]]):
            by_device[device][tuple(kind)] = places
    return {clip_text(device): DeviceSeries(rows=rows, places=places) for device, places in sorted(by_device.items())}


def _marked_shares(record: Record, series: Mapping[str, DeviceSeries]) -> dict[tuple[str, str], float]:
    """The share of samples with a mark, by device and mark: as the record says, else counted in its samples."""
    by_device = mapping(telemetry_facts(record), "marked_share")
    noted = [(device, mark, value) for device in by_device for mark, value in mapping(by_device, device).items()]
    if shares := {
        (clip_text(device), clip_text(mark)): portion for device, mark, value in noted if (portion := share(value))
    }:
        return shares
    marks = [(device, clip_text(mark)) for device in series for *_, mark in series[device].places if mark]
    return {
        (device, mark): series[device].count_moments(mark) / series[device].count_moments() for device, mark in marks
    }


Failure = tuple[Text, Text, Text]
"""What gave nothing, its state, and the record's own reason."""


@dataclass(frozen=True, kw_only=True)
class WatchedDevice:
    """One device that a run used and that was sampled, or was not left alone."""

    run: TelemetryRun
    device: str
    power: Power | None
    shares: Mapping[str, float]  # the share of marked samples by mark, and that of stolen time
    foreign_processes: int  # processes of others on the GPU

    @property
    def power_source(self) -> Text | None:
        """What its power comes from; of an average over how long, where that is known. None without power."""
        if self.power is None:
            return None
        averaged = clip_text(mapping(self.run.devices, self.device).get("power_usage_is"))
        over = f"({averaged.removeprefix('average ')})" if averaged and self.power.quantity == AVERAGE_POWER else ""
        return joined(" ", [say(f"trust.quantity.{self.power.quantity}"), over])

    @property
    def worst(self) -> float:
        return max(self.shares.values(), default=0.0)

    @property
    def reasons(self) -> str:
        """NVML's names of why it held clocks back with their shares, the most frequent first: `sw_power_cap 30%`."""
        shares = mapping(mapping(self.run.telemetry, "event_reasons_share"), self.device)
        reasons = {clip_text(name): value for name in shares if (value := share(shares[name]))}
        ranked = sorted(reasons, key=lambda name: -reasons[name])[:MOST_REASONS]
        return ", ".join(f"{name} {numbers.percent(reasons[name])}" for name in ranked)


def watched_devices(results: Results) -> list[WatchedDevice]:
    """The devices of measured runs, since nothing moves a projection. Runs whose result is a time, which a disturbance
    moves, come first; of either the most disturbed."""
    devices = []
    for run in (run for run in telemetry_runs(results) if run.is_measured):
        # The CPU and the GPUs that the run's case used, those that have a power, a mark or foreign processes.
        names = [CPU, *run.powers, *run.devices, *(name for name, _ in run.marked)]
        for device in map(clip_text, dict.fromkeys(names)):
            # What a GPU does that the case did not use says nothing of the case. A CPU runs every case.
            if mapping(run.devices, device).get("used") is False:
                continue
            shares = {mark: value for (name, mark), value in run.marked.items() if name == device}
            if device == CPU and run.steal_share > STOLEN:
                shares[STEAL] = run.steal_share
            power = run.powers.get(device)
            processes = _count_below(mapping(run.devices, device).get("other_processes"), MOST_PROCESSES)
            if power or shares or processes:
                row = WatchedDevice(run=run, device=device, power=power, shares=shares, foreign_processes=processes)
                devices.append(row)

    def place(row: WatchedDevice) -> tuple[bool, float, int]:
        return outcome_metric(row.run.record.case.workload) is not None, -row.worst, -row.foreign_processes

    return sorted(devices, key=place)


def disturbance(results: Results) -> Headline | None:
    """How many of the monitored runs were disturbed, what follows, which runs were not monitored, and what monitoring
    cost; None where nothing was sampled."""
    runs = [run for run in telemetry_runs(results) if run.is_measured]
    samples = sum(run.moments or _count_below(run.telemetry.get("ticks"), MOST_TICKS) for run in runs)
    if not samples:
        return None
    devices = watched_devices(results)
    disturbed = {device.run for device in devices if device.worst > DISTURBED}
    num_scored = sum(outcome_metric(run.record.case.workload) is not None for run in disturbed)
    moved = {"times": len(disturbed) - num_scored, "scores": num_scored}
    computed = sum(current.record.evidence is Evidence.PROJECTED for current in results.records)
    rest = {"computed": computed, "unmonitored": len(results.records) - len(runs) - computed}
    counts = {"count": len(disturbed), "runs": len(runs), "samples": samples, "cases": len(results.records)}
    fields = {name: numbers.count(count) for name, count in counts.items()}
    is_any = any(device.shares or device.foreign_processes for device in devices)
    outcome = "disturbed" if disturbed else "little" if is_any else "undisturbed"
    shares = [value for run in runs if (value := share(run.telemetry.get("sampler_cpu_share"))) is not None]
    others = [say(f"trust.rest.{kind}", count=numbers.count(count)) for kind, count in rest.items() if count]
    detail = [
        *(say(f"trust.moved.{kind}", count=numbers.count(count)) for kind, count in moved.items() if count),
        say("trust.rest", others=joined("and", others), **fields) if others else "",
        say("trust.cost", share=numbers.percent(median(shares))) if shares else "",
    ]
    text = say(f"trust.{outcome}", share=numbers.percent(DISTURBED), **fields)
    return Headline(text=text, detail=joined("sentence", detail))


def _count_below(value: Any, most: int) -> int:
    return int(value) if isinstance(value, int) and 0 < value < most else 0


def device_table(results: Results) -> Table:
    """The table of watched devices, a row for each of each run, the most disturbed first."""

    def share_column(mark: str) -> Column[WatchedDevice]:
        return column(f"trust.mark.{mark}", lambda row: row.shares.get(mark), numbers.percent, only_where_known=True)

    powers: list[Column[Power]] = [
        column("trust.mean_power", lambda power: power.mean_w, numbers.watts, only_where_known=True),
        column("trust.peak_power", lambda power: power.peak_w, numbers.watts, only_where_known=True),
        column("trust.joules", lambda power: power.joules, numbers.joules, only_where_known=True),
    ]
    columns: list[Column[WatchedDevice]] = [
        column("column.variant", lambda row: variant_label(row.run.axis(VARIANT)), facet="variant"),
        column("column.case", lambda row: dotted(*name_parts(row.run.record))),
        column("signmap.device", lambda row: row.device, kind=Kind.CODE),
        *map(share_column, (*Mark, STEAL)),
        *part_columns(lambda row: row.power, powers),
        *part_columns(lambda row: row.run, label_column(results.several)),
        column("trust.clock_reasons", lambda row: row.reasons, kind=Kind.CODE, only_where_known=True),
        column("trust.others", lambda row: row.foreign_processes or None, numbers.count, only_where_known=True),
        column("trust.power_from", lambda row: row.power_source, only_where_known=True),
        column("column.settings", lambda row: run_settings(row.run), kind=Kind.CODE),
    ]
    return table(
        say("trust.devices"),
        watched_devices(results),
        columns,
        note=say("trust.devices_note"),
        facets_of=lambda row: case_facets(row.run.record.case.axes),
    )


def missing_table(results: Results) -> Table:
    """The table of what gave no power or energy: a row for each source or device and state, with the number of runs."""
    failures = [failure for run in telemetry_runs(results) for failure in dict.fromkeys(_failures(run))]
    ways = grouped(failures, lambda failure: failure[:2]).values()
    columns: list[Column[Sequence[Failure]]] = [
        column("trust.what", lambda row: row[0][0]),
        column("trust.state", lambda row: row[0][1]),
        column("trust.why", lambda row: row[0][2], kind=Kind.LONG),
        column("column.runs", len, numbers.count),
    ]
    return table(say("trust.unread"), sorted(ways, key=lambda row: -len(row))[:MOST_WAYS], columns)


def _failures(run: TelemetryRun) -> Iterable[Failure]:
    """Yield what gave nothing in a run: series, sampling, sources, devices, their quantities, energy of steps."""
    if run.is_unreadable:
        yield say("trust.series"), say("trust.unreadable"), ""
    if failure := clip_text(run.telemetry.get("failure"), LONGEST_WHY):
        yield say("trust.sampling"), say("trust.stopped"), failure
    for source in SOURCES:
        yield from _failure(say(f"trust.source.{source}"), mapping(mapping(run.telemetry, "sources"), source))
    for device, facts in run.devices.items():
        name = dotted(clip_text(device), clip_text(mapping(run.devices, clip_text(device)).get("name")))
        yield from _failure(name, facts)
        for quantity, state in mapping(facts, "missing").items():
            if quantity in (POWER, AVERAGE_POWER):
                yield from _failure(dotted(name, say(f"trust.quantity.{quantity}")), {"state": state})
    yield from _failure(say("trust.step_energy"), run.record.provenance.get("energy"))


def _failure(what: Text, facts: Any) -> Iterable[Failure]:
    """Yield the failure that facts tell of, with its state and reason; nothing where the state is empty or MEASURED."""
    if isinstance(facts, Mapping):
        # A driver's own error stands behind the state: `failed: Unknown Error`.
        state, _, error = clip_text(facts.get("state"), LONGEST_WHY).partition(": ")
        if state and state != MEASURED:
            reason = clip_text(facts.get("why"), LONGEST_WHY) or error
            yield what, say_or(f"state.{state}", state), reason if reason != state else ""
