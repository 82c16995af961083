"""What telemetry says of each run, read once for all sections: its series, and what its provenance says of it.

Old records have none, and a foreign one may say anything: what is of another type, or no number that a device could
give, is left out here.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

from suite.records.privacy import scrub
from suite.records.record import CorruptRecordError
from suite.records.telemetry import Sample, read_series, telemetry_of
from suite.report.charts import LONGEST_TEXT
from suite.report.model.results import CurrentRecord, Results

POWER, AVERAGE_POWER, ENERGY, STEAL = "power_instant_w", "power_average_w", "energy_j", "steal_share"
MOST_W, MOST_S, MOST_J = 1e6, 1e9, 1e15
CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class Power:
    """One device's power through a run."""

    device: str
    quantity: str
    """What the watts come from: one of the two powers, or the counter of joules."""
    time_s: Sequence[float]
    watts: Sequence[float]
    phases: Sequence[str]
    marks: Sequence[str]
    """Empty where a sample has none."""
    counter_time_s: Sequence[float]
    counter_j: Sequence[float]
    """Joules since the first sample; empty where the device has no counter, or one that ran backwards."""

    @property
    def joules(self) -> float | None:
        return self.counter_j[-1] if len(self.counter_j) > 1 else None

    @property
    def mean_w(self) -> float:
        """Weighted by time, since samples need not be evenly spaced."""
        area = sum(
            (later - sooner) * (one + other) / 2
            for (sooner, later), (one, other) in zip(pairwise(self.time_s), pairwise(self.watts), strict=True)
        )
        elapsed_s = self.time_s[-1] - self.time_s[0]
        return area / elapsed_s if elapsed_s > 0 else sum(self.watts) / len(self.watts)

    @property
    def marked_share(self) -> float:
        return sum(map(bool, self.marks)) / len(self.marks)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A run that was watched, or says why not."""

    current: CurrentRecord
    powers: Sequence[Power]
    phases: Sequence[tuple[str, float, float]]
    """Name, begin and end in seconds, in their order."""
    marked: Mapping[tuple[str, str], float]
    """Share of a device's samples that carry a mark, by device and mark."""
    moments: int
    """Times at which the most watched device was sampled."""
    steal_share: float | None
    """Mean of the samples: time that the host gave to others."""
    is_unreadable: bool
    """It has a series that could not be read."""

    @property
    def said(self) -> Mapping[str, Any]:
        return telemetry_of(self.current.record)

    def name_of(self, device: str) -> str:
        """The device's own name where the record has it: gpu0 is nobody's."""
        return cut(mapping(mapping(self.said, "devices"), device).get("name"))

    def is_used(self, device: str) -> bool | None:
        """None where the record does not say. A CPU runs every case."""
        used = mapping(mapping(self.said, "devices"), device).get("used")
        return used if isinstance(used, bool) else True if device == CPU else None

    @property
    def elapsed_s(self) -> float:
        return self.phases[-1][2] - self.phases[0][1] if self.phases else 0.0


@functools.lru_cache(maxsize=1)
def watched(results: Results) -> Sequence[Watched]:
    """The runs that say anything of telemetry."""
    found = []
    for current in results.records:
        try:
            samples, is_unreadable = read_series(current.record, current.folder), False
        except (CorruptRecordError, OSError):
            samples, is_unreadable = [], True
        if samples or is_unreadable or telemetry_of(current.record):
            found.append(_watched(current, _shown([one for one in samples if _is_possible(one)]), is_unreadable))
    return found


def mapping(said: Any, name: str) -> Mapping[str, Any]:
    """An object inside another; empty where either is something else."""
    inner = said.get(name) if isinstance(said, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def share(value: Any) -> float | None:
    """A number from 0 to 1."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 else None


def cut(text: Any, longest: int = LONGEST_TEXT) -> str:
    """Text of a record as a table or a figure may show it."""
    return scrub(text, is_ours=False)[:longest] if isinstance(text, str) else ""


def _is_possible(sample: Sample) -> bool:
    return 0 <= sample.time_s < MOST_S and math.isfinite(sample.value)


def _shown(samples: Sequence[Sample]) -> list[Sample]:
    """With names that may be shown; nearly always the very samples."""
    named = {name for one in samples for name in (one.phase, one.device, one.mark) if name}
    shown = {name: cut(name) for name in named}
    if all(name == text for name, text in shown.items()):
        return list(samples)
    return [
        replace(
            one,
            phase=shown.get(one.phase, ""),
            device=shown.get(one.device, ""),
            mark=shown.get(one.mark) if one.mark else None,
        )
        for one in samples
    ]


def _watched(current: CurrentRecord, samples: list[Sample], is_unreadable: bool) -> Watched:
    samples.sort(key=lambda sample: sample.time_s)
    series: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        series[sample.device][sample.quantity].append(sample)
    moments = _moments(samples)
    steal = [value for one in series[CPU][STEAL] if (value := share(one.value)) is not None]
    return Watched(
        current=current,
        marked=_marked_as_said(current) or _marked(samples),
        powers=[power for device, of in sorted(series.items()) if (power := _power(device, of)) is not None],
        phases=_phases(samples),
        moments=max((len(times) for times in moments.values()), default=0),
        steal_share=sum(steal) / len(steal) if steal else None,
        is_unreadable=is_unreadable,
    )


def _power(device: str, series: Mapping[str, Sequence[Sample]]) -> Power | None:
    counter = [one for one in series.get(ENERGY, ()) if 0 <= one.value < MOST_J]
    if any(later.value < sooner.value for sooner, later in pairwise(counter)):
        counter = []
    for quantity in (POWER, AVERAGE_POWER):
        usable = [one for one in series.get(quantity, ()) if 0 <= one.value < MOST_W]
        if usable:
            points = [(one.time_s, one.value, one) for one in usable]
            return _assembled(device, quantity, points, counter)
    # Between two looks at the counter the mean power is known, and nothing finer.
    steps = [(sooner, later) for sooner, later in pairwise(counter) if later.time_s > sooner.time_s]
    points = [
        ((one.time_s + other.time_s) / 2, (other.value - one.value) / (other.time_s - one.time_s), other)
        for one, other in steps
    ]
    points = [point for point in points if point[1] < MOST_W]
    return _assembled(device, ENERGY, points, counter) if points else None


def _assembled(
    device: str, quantity: str, points: Sequence[tuple[float, float, Sample]], counter: Sequence[Sample]
) -> Power:
    return Power(
        device=device,
        quantity=quantity,
        time_s=[time_s for time_s, _, _ in points],
        watts=[watts for _, watts, _ in points],
        phases=[one.phase for _, _, one in points],
        marks=[one.mark or "" for _, _, one in points],
        counter_time_s=[one.time_s for one in counter],
        counter_j=[one.value - counter[0].value for one in counter],
    )


def _phases(samples: Sequence[Sample]) -> list[tuple[str, float, float]]:
    """A phase lasts until the next one begins."""
    begins = [(phase, next(part).time_s) for phase, part in groupby(samples, key=lambda sample: sample.phase)]
    ends = [*(begin for _, begin in begins[1:]), *(sample.time_s for sample in samples[-1:])]
    return [(phase, begin, end) for (phase, begin), end in zip(begins, ends, strict=True)]


def _marked_as_said(current: CurrentRecord) -> dict[tuple[str, str], float]:
    by_device = mapping(telemetry_of(current.record), "marked_share")
    found = {
        (cut(device), cut(mark)): share(value)
        for device in by_device
        for mark, value in mapping(by_device, device).items()
    }
    return {key: value for key, value in found.items() if value}


def _marked(samples: Sequence[Sample]) -> dict[tuple[str, str], float]:
    moments = _moments(samples)
    marked: dict[tuple[str, str], set[float]] = defaultdict(set)
    for sample in samples:
        if sample.mark:
            marked[sample.device, sample.mark].add(sample.time_s)
    return {key: len(times) / len(moments[key[0]]) for key, times in marked.items()}


def _moments(samples: Sequence[Sample]) -> dict[str, set[float]]:
    """Times at which each device was sampled: one device's own, since sources are asked one after the other."""
    moments: dict[str, set[float]] = defaultdict(set)
    for sample in samples:
        moments[sample.device].add(sample.time_s)
    return moments
