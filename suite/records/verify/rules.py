"""What no run can have given: a time below zero, a thread that was busier than the clock on the wall ran, a missing
step, more memory or power than the device has, a kernel above its device's roofline, telemetry from after the end.

Each rule is broken by none of the committed records, and what it allows beyond the ideal stands here with its reason.
They find mistakes, damage and crude inventions. Who invents with care is found by running the case again, alone.
Public collections of GPU timings have rows up to 1.7 times a card's bandwidth in decoding and 260 times its peak in a
prefill, where a kernel did not compute what it was timed for.
"""

import math
import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from suite.configuration.files import workload_definition
from suite.records import numbers
from suite.records.derived import by_launch, constant, measured_ceilings, started_at
from suite.records.holdings import OF_GPU, PEAK
from suite.records.metrics import METRICS, PASS_AT_K, TRIVIAL_ACCURACY
from suite.records.record import SAMPLES, TELEMETRY, TIMINGS, Evidence, Record, Rows, Status
from suite.records.stores.telemetry import TelemetrySample, read_series, recorded_gpus, telemetry_facts
from suite.theory.devices.hardware import Hardware, hardware_reported_as, load_hardware
from suite.theory.layers.roofline import Ceilings

SHARES = (
    *("accuracy", "format", "compiles", "cases_passed", "unscorable", "corrections", "truncated"),
    *("heldout_accuracy", "heldout_format", "heldout_corrections", "preference_accuracy"),
    *("clip_fraction_low", "clip_fraction_high", "gradient_clipped", "groups_without_signal"),
    *("answer_accuracy", "linear_probe_accuracy", "chance", TRIVIAL_ACCURACY, PASS_AT_K),
)
SAMPLED_SHARES = (
    "utilisation_share",
    "cpu_pressure_share",
    "memory_pressure_share",
    "io_pressure_share",
    "steal_share",
)
PEAKS = ("peak_bytes", "kept_bytes", PEAK, *OF_GPU)
JUDGES = {"thread_cpu": "thread_cpu_s", "wall": "wall_s"}
"""The column of the clock that a record's `clock` names. `cuda_events` has none of its own: its values lie within the
wall's."""
COUNTED = ("wall_s", "thread_cpu_s", "process_cpu_s", "involuntary_switches", "launch", "step")
"""Columns beside the value, none of which is ever below zero."""

# What is allowed beyond the ideal: factors, and what ends in a unit is added.
CLOCK_DIGITS = 1e-7  # a compact sweep keeps the clocks beside a value in float32
ROUNDING = 1 + 1e-6  # a mean of ones in float32 may lie so far above one
CLOCK_SLACK, CLOCK_SLACK_S = 1.01, 16e-3  # the thread's clock is read around the wall's; a tick of Windows is 15.6 ms
SUM_SLACK, SUM_SLACK_S = 1.01, 0.1
SPECIFIED_SLACK = 1.1  # of a published peak: at its boost clock an H100 computes 8% above it
MEASURED_SLACK = 2.0  # of a run's own probes, which are no limit: our decode kernel reads 1.4 times as fast on a CPU
RAISED = 1.35  # of a specified power: cards for players may be raised by a third (an RTX 4090's 450 W to 600 W)
TRANSIENT = 2.0  # of a power limit: a sample of a few milliseconds may lie above what a card holds for a second
GIB_OVER_GB = 1.1  # of a specified memory: a card that is sold with 80 GB shows 85.5 billion bytes
AFTER_THE_END_S = 1.0  # the last sample is taken when a case has ended, and sources are asked one after the other
BEGINNINGS_DIFFER_S = 3600.0  # the first sample is taken as a run begins; a clock may be set meanwhile
COUNTER_LAG_S = 0.5  # a card's counter of joules is brought up to date ten times a second and more
MANY, FEWEST_OF_MANY = 16, 3  # timings by a clock of nanoseconds, of which at least so many differ
MANY_IN_TICKS = 100  # timings by a device's clock, half a microsecond a tick on some, that cannot all be equal

Fault = tuple[int, str]
"""The number of a row, from 0, and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The least and the most that a value may be, and the rule in words."""

    low: float = 0.0
    high: float = math.inf
    rule: str = "an amount is finite and not below zero"
    may_be_nan: bool = False

    def faults(self, rows: Rows[Any], column: str, name: str = "its value") -> Iterator[Fault]:
        """Yield the row and a sentence for each value of a column that lies outside; None is no value."""
        values = rows.array(column, empty=self.low)
        is_outside = ~((values >= self.low) & (values <= min(self.high, sys.float_info.max)))  # infinity always does
        if self.may_be_nan:
            is_outside &= values == values
        for place in is_outside.nonzero()[0].tolist():
            yield rows.places[place], f"{name} is {values[place]:.6g}, and {self.rule}"


AMOUNT = Bound()
TIME = Bound(low=math.ulp(0.0), rule="a time is finite and above zero")
SHARE = Bound(low=1 - ROUNDING, high=ROUNDING, rule="a share lies between 0 and 1", may_be_nan=True)
BOUNDS_BY_UNIT = {"s": TIME} | dict.fromkeys(("B", "FLOP", "FLOP/s", "B/s", "J", "W", "1/s"), AMOUNT)
BOUNDS_BY_METRIC: Mapping[str, Bound | None] = {"spare_bytes": None} | dict.fromkeys(SHARES, SHARE)
"""Before those by unit: what a step lacks is below zero."""


def device_bounds(record: Record) -> tuple[dict[str, Bound], dict[tuple[str, str], Bound], dict[str, float]]:
    """The bounds that a record's own devices set: by metric, by device and quantity of its telemetry, and the power in
    W that each of its GPUs may draw for a second and longer."""
    machine_bytes = fact(record.environment, "memory_bytes")
    holder, nbytes, power_w = "the machine", machine_bytes, math.inf
    if str(record.case.axes.get("device")).startswith("cuda"):
        used, named = record.provenance.get("device"), record.environment.get("gpus")
        name = used.get("name") if isinstance(used, Mapping) else None
        card_name, card_bytes, power_w = _card_limits(name or (named[0] if isinstance(named, list) and named else None))
        holder, nbytes = card_name or "the device", min(fact(used, "memory_bytes"), card_bytes)
    by_metric = dict.fromkeys(PEAKS, _memory_bound(holder, nbytes)) | {
        "energy_power_w": Bound(high=power_w, rule=f"{holder} draws at most {power_w:,.0f} W with its limit raised")
    }
    by_device, powers_w = {("worker", "rss_bytes"): _memory_bound("the machine", machine_bytes)}, {}
    for label, gpu in recorded_gpus(record).items():
        _, card_bytes, card_w = _card_limits(gpu.get("name"))
        powers_w[label] = min(fact(gpu, "power_limit_w"), card_w)
        most_w = TRANSIENT * powers_w[label]
        transient = Bound(high=most_w, rule=f"a transient of this card is {most_w:,.0f} W at most")
        by_device |= dict.fromkeys([(label, "power_instant_w"), (label, "power_average_w")], transient)
        by_device[label, "memory_used_bytes"] = _memory_bound("the card", card_bytes)
    return by_metric, by_device, powers_w


@lru_cache
def _memory_bound(holder: str, nbytes: float) -> Bound:
    return Bound(high=nbytes, rule=f"{holder} has {numbers.bytes_iec(nbytes)}")


def fact(facts: object, name: str) -> float:
    """A fact that is a number above zero; infinity for anything else, since a record may be anybody's."""
    value = facts.get(name) if isinstance(facts, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return math.inf
    return float(value)


def _card(driver_name: object) -> Hardware | None:
    name = hardware_reported_as(driver_name) if isinstance(driver_name, str) else None
    return None if name is None else load_hardware(name)


def _card_limits(driver_name: object) -> tuple[str | None, float, float]:
    if (card := _card(driver_name)) is None:
        return None, math.inf, math.inf
    return card.name, GIB_OVER_GB * card.memory_bytes, math.inf if card.tdp_w is None else RAISED * card.tdp_w


def implausible_readings(record: Record) -> Iterator[str]:
    """Yield a sentence for each rule that readings break: the first row, the value, and how many more rows do. Where
    values are out of bounds, nothing else is asked of them."""
    if record.evidence is not Evidence.MEASURED:
        return
    import numpy as np

    for rule in READING_RULES:
        with np.errstate(all="ignore"):  # a number near the largest may grow infinite, as Python's do
            faults = sorted(rule(record))
        if faults:
            row, wrong = faults[0]
            yield f"{_named_row(record, row)}: {wrong}{_and_more(faults)}"
            if rule is _values_beyond_bounds:
                return


def _and_more(faults: Sequence[object]) -> str:
    """How many there are beside the first, as the end of its sentence."""
    return f"; and {numbers.count(len(faults) - 1)} more" if len(faults) > 1 else ""


def _named_row(record: Record, row: int) -> str:
    """Where a reading stands: its file, the number of its row from 0, and what the row says it is."""
    reading = record.readings[row]
    launch = "" if reading.launch is None else f", launch {reading.launch}"
    return f"{SAMPLES} row {row} ({reading.span} {reading.metric}{launch}, step {reading.step})"


def _values_beyond_bounds(record: Record) -> Iterator[Fault]:
    """Find values, and counts of clocks, outside the bounds of their metric, unit or device."""
    for name in COUNTED:
        yield from AMOUNT.faults(record.rows, name, name)
    by_metric, _, _ = device_bounds(record)
    places: dict[Bound, array[int]] = defaultdict(partial(array, "q"))
    for (_span, metric), readings in record.by_span.items():
        unit = METRICS[metric].unit if metric in METRICS else ""
        if bound := by_metric.get(metric, BOUNDS_BY_METRIC.get(metric, BOUNDS_BY_UNIT.get(unit))):
            places[bound].extend(readings.places)
    for bound, rows in places.items():
        yield from bound.faults(record.rows.at(rows), "value")


def _clocks_that_disagree(record: Record) -> Iterator[Fault]:
    """Find timings that are not their own clock's, or longer on a CPU than on the wall's clock."""
    judge = JUDGES.get(str(record.provenance.get("clock")))
    cpus = fact(record.environment, "logical_cpus")
    wall, thread, process = map(record.rows.array, ("wall_s", "thread_cpu_s", "process_cpu_s"), (math.inf, 0.0, 0.0))
    values, most, share = record.rows.array("value"), wall * CLOCK_SLACK + CLOCK_SLACK_S, process / cpus
    judged = record.rows.array(judge) if judge else values + math.nan
    is_other = (judged == judged) & ~(abs(values - judged) <= CLOCK_DIGITS * abs(values)) & (wall < math.inf)
    for row in (is_other | (values > most) | (thread > most) | (share > most)).nonzero()[0].tolist():
        value, judged_s, within = values[row], judged[row], f"within {wall[row]:g} s on the wall's clock"
        if is_other[row]:
            yield row, f"its value is {value:g} s, and {judge}, the clock that the record names, {judged_s:g} s"
        elif value > most[row]:
            yield row, f"its value is {value:g} s {within}"
        elif thread[row] > most[row]:
            yield row, f"one thread was busy for {thread[row]:g} s {within}"
        elif share[row] > most[row]:
            yield row, f"each of {cpus:g} CPUs was busy for {share[row]:g} s {within}"


def _steps_that_do_not_follow(record: Record) -> Iterator[Fault]:
    """Find gaps and doubles in what was repeated; of what follows from itself, as training, a step may time twice."""
    workload = workload_definition(record.case.workload)
    is_repeated = isinstance(record.provenance.get("launches"), Mapping) or (workload and not workload.get("course"))
    for rows in record.timings.values() if record.status is Status.OK and is_repeated else ():
        steps = rows.column("step")
        for due in [due for due, step in enumerate(steps) if step != due][:1]:
            yield rows.places[due], f"step {steps[due]} stands where step {due} of the launch was due"


def _timings_that_never_vary(record: Record) -> Iterator[Fault]:
    """Find launches whose many timings have two values at most; by a device's clock, which is coarser, one."""
    is_fine = str(record.provenance.get("clock")) in JUDGES
    many, fewest = (MANY, FEWEST_OF_MANY) if is_fine else (MANY_IN_TICKS, 2)
    for rows in record.timings.values():
        different = len(set(rows.column("value")))
        if len(rows) >= many and different < fewest:
            values = "one value" if different == 1 else f"{different} values"
            yield rows.places[0], f"the {len(rows)} timings from here on have {values}"


def _launches_that_are_missing(record: Record) -> Iterator[Fault]:
    """Find spans without timings of each launch that the record counts."""
    count = fact(record.provenance.get("launches"), "count")
    first_rows: dict[str, dict[int, int]] = defaultdict(dict)
    for (span, metric, launch), rows in record.timings.items():
        if metric == TIMINGS[0] and launch is not None and record.status is Status.OK and math.isfinite(count):
            first_rows[span][launch] = rows.places[0]
    for by_number in first_rows.values():
        if len(by_number) != count or max(by_number) != count - 1:
            named = ", ".join(map(str, sorted(by_number)[:16]))
            wrong = f"its span has timings of the launches {named}, and the record says {count:g}"
            yield min(by_number.values()), wrong


def _spans_longer_than_the_run(record: Record) -> Iterator[Fault]:
    """Find spans whose wall-clock times add up to more than the run took."""
    duration_s = _duration_s(record)
    most_s = SUM_SLACK * duration_s + SUM_SLACK_S
    # No time here is below zero, so that no span's sum is above that of all.
    is_within = record.rows.array("wall_s", empty=0.0).sum() * ROUNDING <= most_s
    for readings in () if is_within else record.by_span.values():
        sum_s = sum(wall_s or 0.0 for wall_s in readings.column("wall_s"))
        if sum_s > most_s:
            wrong = f"wall_s of its span adds up to {sum_s:.4g} s, in a run of {duration_s:.4g} s"
            yield readings.places[-1], wrong


def _duration_s(record: Record) -> float:
    return math.inf if "resumed_at_steps" in record.provenance else fact(record.provenance, "duration_s")


def _more_energy_than_there_is(record: Record) -> Iterator[Fault]:
    """Find energies above power times time of their window, or together above the card's limit."""
    if not (energies := record.series("energy_j")):
        return
    summed_j, most_j = 0.0, device_bounds(record)[0]["energy_power_w"].high * _duration_s(record)
    for row, energy in zip(energies.places, energies, strict=True):
        summed_j += energy.value
        conditions = (record.series(f"energy_{name}", energy.span).column("value") for name in ("power_w", "window_s"))
        power_w, window_s = (values[-1] if len(values) else math.inf for values in conditions)
        if energy.value > power_w * window_s * ROUNDING:
            window = f"its window of {window_s:g} s at {power_w:g} W took"
            yield row, f"{energy.value:g} J of one step are more than {window}"
        elif summed_j > most_j:
            yield row, f"{summed_j:g} J so far are more than the run's time at the card's limit gives, {most_j:g} J"


READING_RULES: tuple[Callable[[Record], Iterator[Fault]], ...] = (
    _values_beyond_bounds,
    _clocks_that_disagree,
    _steps_that_do_not_follow,
    _timings_that_never_vary,
    _launches_that_are_missing,
    _spans_longer_than_the_run,
    _more_energy_than_there_is,
)


def impossible_timings(record: Record) -> Iterator[str]:
    """Yield a sentence for each span whose median latency lies below its device's roofline, with its first row."""
    if record.status is not Status.OK or record.evidence is not Evidence.MEASURED:
        return
    for (span, metric), readings in record.by_span.items():
        limit = _roofline(record, span) if metric == TIMINGS[0] else None
        flops, traffic = (constant(record, span, name) if limit else None for name in ("flops", "traffic_bytes"))
        if flops is None or traffic is None or limit is None:
            continue
        median_s = median(map(median, by_launch(readings)))
        ceilings, slack, name = limit
        bound_s = ceilings.bound_s(flops=flops, traffic_bytes=traffic)
        if median_s > 0 and median_s * slack < bound_s:  # what is no time at all is named as such
            is_compute = ceilings.regime(flops=flops, traffic_bytes=traffic) == "compute"
            reached = f"{(flops if is_compute else traffic) / median_s / 1e9:,.0f} G{'FLOP' if is_compute else 'B'}/s"
            yield (
                f"{SAMPLES} row {readings.places[0]}: {span}: {numbers.seconds(median_s)}, which is {reached}, is "
                f"{bound_s / median_s:.3g} times as fast as {name} allows"
            )


def _roofline(record: Record, span: str) -> tuple[Ceilings, float, str] | None:
    """The ceilings of a span's device, the slack that they need, and what they are; None where nothing is known."""
    gpus = record.environment.get("gpus")
    # A product of float32 may be told to take a faster type, whose peak is another.
    is_exact = record.settings.get("matmul_precision") in (None, "highest")
    card = _card(gpus[0]) if isinstance(gpus, list) and gpus and is_exact else None
    if card is not None and str(record.case.axes.get("device")).startswith("cuda"):
        specified = card.ceilings(str(record.case.axes.get("dtype")))
        if specified is not None:
            return specified, SPECIFIED_SLACK, f"the specification of {card.name}"
    measured = measured_ceilings(record, span)
    return None if measured is None else (measured, MEASURED_SLACK, "the roofline that the run itself measured")


def implausible_series(record: Record, folder: Path) -> Iterator[str]:
    """Yield a sentence for each rule that samples break: the first row, and how many more things do. Raises
    CorruptRecordError for a file that is not the record's own."""
    samples = read_series(record, folder)
    _, bounds, powers_w = device_bounds(record)
    shares = dict.fromkeys(SAMPLED_SHARES, SHARE)
    rules = [_time_faults(record, samples)]
    out_of_bounds: list[Fault] = []
    for (device, quantity), rows in samples.grouped("device", "quantity").items():
        bound = bounds.get((device, quantity), shares.get(quantity, AMOUNT))
        for column in ("value", "least", "most"):
            out_of_bounds += bound.faults(rows, column, f"{device} {quantity}")
        if quantity == "energy_j":
            rules.append(_counter_faults(device, rows, powers_w.get(device, math.inf)))
    for faults in map(sorted, [*rules, out_of_bounds]):
        if faults:
            row, wrong = faults[0]
            yield f"{TELEMETRY} row {row}: {wrong}{_and_more(faults)}"


def _time_faults(record: Record, samples: Rows[TelemetrySample]) -> Iterator[Fault]:
    """Find samples outside the run's time or out of order, and a first one far from the recorded start."""
    ends = (fact(telemetry_facts(record), "elapsed_s"), fact(record.provenance, "duration_s"))
    end_s = max((end for end in ends if math.isfinite(end)), default=math.inf) + AFTER_THE_END_S
    bound = Bound(high=end_s, rule="lies between the run's begin and its end")
    for name in ("time_s", "until_s"):
        yield from bound.faults(samples, name, name)
    times_s = samples.array("time_s")
    for row in (times_s[1:] < times_s[:-1]).nonzero()[0] + 1:
        yield int(row), f"time_s is {times_s[row]:.6g}, which is before the sample above it"
    if len(samples) and (begun := started_at(record)):
        unix_s = samples.array("unix_s")[0]
        apart_s = unix_s - datetime.fromisoformat(begun).timestamp()
        if not abs(apart_s) <= BEGINNINGS_DIFFER_S:
            yield 0, f"unix_s is {unix_s:.0f}, which is {apart_s:,.0f} s from when the record says it began"


def _counter_faults(device: str, samples: Rows[TelemetrySample], limit_w: float) -> Iterator[Fault]:
    """Find where a counter of joules falls, or grows faster than the card's power limit allows."""
    counter = []
    for row, sample in zip(samples.places, samples, strict=True):
        counter.append((row, sample.time_s, sample.value if sample.least is None else sample.least))
        if sample.until_s is not None and sample.most is not None:
            counter.append((row, sample.until_s, sample.most))
    _, begin_s, begin_j = counter[0]
    for (_, _, before_j), (row, time_s, value_j) in pairwise(counter):
        if value_j < before_j:
            yield row, f"{device} energy_j is {value_j:.6g} J, below the sample before it, and a counter only grows"
        elif value_j - begin_j > limit_w * (time_s - begin_s + COUNTER_LAG_S):
            took = f"{value_j - begin_j:,.0f} J above the first after {time_s - begin_s:.4g} s"
            yield row, f"{device} energy_j is {took}, more than the card's power limit allows"
