"""Telemetry of each run, read once for all sections: its series, and what its provenance says of it.

Old records have none, and a foreign one may say anything: what is of another type, or no number that a device could
give, is left out here.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.records.record import CorruptRecordError, Record
from suite.records.stores.telemetry import Sample, read_series, telemetry_of
from suite.report.blocks import Kind, Text, dotted, say
from suite.report.model.labels import ALGORITHM, VARIANT, label_of, phase_name, rank, variant_label
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import Run, axis, clip_text, extras, mapping, share, tokens_of
from suite.report.table import Column, column, label_column

POWER, AVERAGE_POWER, ENERGY, STEAL = "power_instant_w", "power_average_w", "energy_j", "steal_share"
MOST_W, MOST_S, MOST_J = 1e6, 1e9, 1e15
CPU = "cpu"
OF_TRAINING = (ALGORITHM, "task", "policy", "steps", "prompts_per_step", "num_generations", "seed")


@dataclass(frozen=True, kw_only=True)
class Power:
    """One device's power through a run."""

    samples: Sequence[Sample]
    """Watts by one of the two powers, or by the counter of joules, as the samples' quantity says."""
    counter: Sequence[Sample]
    """Joules; empty where the device has no counter, or one that ran backwards."""

    @property
    def device(self) -> str:
        return self.samples[0].device

    @property
    def quantity(self) -> str:
        return self.samples[0].quantity

    @property
    def joules(self) -> float | None:
        return self.counter[-1].value - self.counter[0].value if len(self.counter) > 1 else None

    @property
    def elapsed_s(self) -> float:
        return self.samples[-1].time_s - self.samples[0].time_s

    @property
    def peak_w(self) -> float:
        return max(sample.value for sample in self.samples)

    @property
    def mean_w(self) -> float:
        """Return the mean weighted by time, since samples need not be evenly spaced."""
        pairs = pairwise(self.samples)
        area = sum((last.time_s - first.time_s) * (first.value + last.value) / 2 for first, last in pairs)
        return area / self.elapsed_s if self.elapsed_s > 0 else fmean(sample.value for sample in self.samples)

    @property
    def marked_share(self) -> float:
        return fmean(bool(sample.mark) for sample in self.samples)


@dataclass(frozen=True, kw_only=True, eq=False)
class TelemetryRun(Run):
    """A run with telemetry, or with the reason why it has none."""

    powers: Sequence[Power]
    phases: Sequence[tuple[str, float, float]]
    """Name, begin and end in seconds, in their order."""
    marked: Mapping[tuple[str, str], float]
    """Share of a device's samples that carry a mark, by device and mark."""
    moments: int
    """Times at which the device with the most samples was sampled."""
    steal_share: float | None
    """Mean of the samples: time that the host gave to others."""
    is_unreadable: bool
    """It has a series that could not be read."""

    @property
    def telemetry(self) -> Mapping[str, Any]:
        return telemetry_of(self.record)

    @property
    def devices(self) -> Mapping[str, Any]:
        return mapping(self.telemetry, "devices")

    @property
    def elapsed_s(self) -> float:
        return self.phases[-1][2] - self.phases[0][1] if self.phases else 0.0

    def is_used(self, device: str) -> bool | None:
        """Return whether the case ran on a device; None where the record does not say. A CPU runs every case."""
        used = mapping(self.devices, device).get("used")
        return used if isinstance(used, bool) else True if device == CPU else None

    def device_name(self, device: str) -> Text:
        """Return a device with its own name, where the record has it: gpu0 · NVIDIA H100."""
        cpu = clip_text(self.record.environment.get("cpu")) if device == CPU else ""
        return dotted(device, clip_text(mapping(self.devices, device).get("name")) or cpu)


def run_columns(results: Results) -> list[Column[TelemetryRun]]:
    """Return the columns that say which run a row is about."""
    return [
        column("column.geometry", lambda run: run.axis("geometry")),
        column("column.variant", lambda run: variant_label(run.axis(VARIANT)), facet="variant"),
        column("column.phase", lambda run: phase_name(run.axis("phase"))),
        column("latency.context", lambda run: tokens_of(run.record), numbers.count),
        *label_column(results.several),
    ]


def run_settings(run: Run) -> str:
    """Return what else tells runs apart; of training runs that stands in no other column."""
    backend = str(run.record.provenance.get("backend") or run.axis("backend"))
    training = [f"{name}={value}" for name in OF_TRAINING if (value := run.axis(name))]
    return ", ".join(filter(None, [run.axis("dtype"), backend, *extras(run.record), *training]))


SETTINGS: Column[TelemetryRun] = column("column.settings", run_settings, kind=Kind.CODE)


def run_name(record: Record) -> Text:
    """Name a run in a figure, without its variant: model, phase, context; a training run by its algorithm and seed."""
    return dotted(*name_parts(record))


def name_parts(record: Record) -> list[Text]:
    """Return the parts of a run's name; of training runs one fewer have something."""
    algorithm, tokens = axis(record, ALGORITHM), tokens_of(record)
    if algorithm:
        seed = axis(record, "seed") or numbers.NOTHING
        return [axis(record, "task"), say("rl.run", algorithm=label_of(ALGORITHM, algorithm), seed=seed), ""]
    context = "" if tokens is None else say("callstyle.tokens", tokens=numbers.count(tokens))
    return [axis(record, "geometry"), phase_name(axis(record, "phase")), context]


@functools.lru_cache(maxsize=1)
def telemetry_runs(results: Results) -> Sequence[TelemetryRun]:
    """Return the runs that say anything of telemetry."""
    found = []
    for current in results.records:
        try:
            samples, is_unreadable = list(read_series(current.record, current.folder)), False
        except (CorruptRecordError, OSError):
            samples, is_unreadable = [], True
        if samples or is_unreadable or telemetry_of(current.record):
            possible = [sample for sample in samples if 0 <= sample.time_s < MOST_S and math.isfinite(sample.value)]
            found.append(_read(current, _with_plain_names(possible), is_unreadable))
    return found


def run_order(run: TelemetryRun) -> tuple[object, ...]:
    """Sort runs by label and kind of case, then as latencies are listed."""
    return run.label, run.axis("geometry"), run.axis("phase"), tokens_of(run.record) or 0, rank(run.axis(VARIANT))


def _with_plain_names(samples: Sequence[Sample]) -> list[Sample]:
    """Samples with names that may be shown; nearly always the very samples."""
    named = {name or "" for sample in samples for name in (sample.phase, sample.device, sample.mark)}
    plain = {name: clip_text(name) for name in named}
    if all(name == text for name, text in plain.items()):
        return list(samples)
    renamed = []
    for sample in samples:
        mark = plain[sample.mark] if sample.mark else None
        renamed.append(replace(sample, phase=plain[sample.phase], device=plain[sample.device], mark=mark))
    return renamed


def _read(current: CurrentRecord, samples: list[Sample], is_unreadable: bool) -> TelemetryRun:
    samples.sort(key=lambda sample: sample.time_s)
    series: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        series[sample.device][sample.quantity].append(sample)
    # A device's own, since sources are asked one after the other.
    moments = {device: len({sample.time_s for of in by.values() for sample in of}) for device, by in series.items()}
    steal = [value for sample in series[CPU][STEAL] if (value := share(sample.value)) is not None]
    return TelemetryRun(
        current=current,
        marked=_marked(current.record, samples, moments),
        powers=[power for _, of in sorted(series.items()) if (power := _power(of)) is not None],
        phases=_phases(samples),
        moments=max(moments.values(), default=0),
        steal_share=fmean(steal) if steal else None,
        is_unreadable=is_unreadable,
    )


def _power(series: Mapping[str, Sequence[Sample]]) -> Power | None:
    counter = [sample for sample in series.get(ENERGY, ()) if 0 <= sample.value < MOST_J]
    if any(last.value < first.value for first, last in pairwise(counter)):
        counter = []
    # Between two looks at the counter the mean power is known, and nothing finer.
    between = [
        replace(last, time_s=(first.time_s + last.time_s) / 2, value=(last.value - first.value) / elapsed_s)
        for first, last in pairwise(counter)
        if (elapsed_s := last.time_s - first.time_s) > 0
    ]
    for samples in (series.get(POWER, ()), series.get(AVERAGE_POWER, ()), between):
        if possible := [sample for sample in samples if 0 <= sample.value < MOST_W]:
            return Power(samples=possible, counter=counter)
    return None


def _phases(samples: Sequence[Sample]) -> list[tuple[str, float, float]]:
    """The phases in their order; one lasts until the next begins."""
    begins = [(phase, next(part).time_s) for phase, part in groupby(samples, key=lambda sample: sample.phase)]
    ends = [*(begin for _, begin in begins[1:]), *(sample.time_s for sample in samples[-1:])]
    return [(phase, begin, end) for (phase, begin), end in zip(begins, ends, strict=True)]


def _marked(record: Record, samples: Sequence[Sample], moments: Mapping[str, int]) -> dict[tuple[str, str], float]:
    """The marked shares as the record says them; where it says none, of its samples."""
    by_device = mapping(telemetry_of(record), "marked_share")
    noted = [(device, mark, value) for device in by_device for mark, value in mapping(by_device, device).items()]
    if shares := {
        (clip_text(device), clip_text(mark)): portion for device, mark, value in noted if (portion := share(value))
    }:
        return shares
    marked: dict[tuple[str, str], set[float]] = defaultdict(set)
    for sample in samples:
        if sample.mark:
            marked[sample.device, sample.mark].add(sample.time_s)
    return {key: len(times) / moments[key[0]] for key, times in marked.items()}
