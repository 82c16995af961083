"""Readings that no run can have given: a time below zero, a thread that was busier than the clock on the wall ran, a
step that is missing, more memory or power than the device has.

Each rule is broken by none of the committed records, and what it allows beyond the ideal stands here with its reason.
They find mistakes, damage and crude inventions. Who invents with care is found by running the case again, alone.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from suite.configuration.files import workload_definition
from suite.records import numbers
from suite.records.holdings import ALLOCATOR_PEAK, PEAK
from suite.records.metrics import METRICS, TRIVIAL_ACCURACY
from suite.records.record import SAMPLES, Evidence, Reading, Record, Status
from suite.records.verify.cards import memory_limit_bytes, number_of, power_limit_w, used_card

TIMINGS = ("latency_s", "cold_latency_s")
AMOUNTS = ("B", "FLOP", "FLOP/s", "B/s", "J", "W", "1/s")
"""Units of what is never below zero, but for what is named so."""
MAY_BE_BELOW_ZERO = ("spare_bytes",)
SHARES = (
    *("accuracy", "format", "compiles", "cases_passed", "unscorable", "corrections", "truncated"),
    *("heldout_accuracy", "heldout_format", "heldout_corrections", "preference_accuracy"),
    *("clip_fraction_low", "clip_fraction_high", "gradient_clipped", "groups_without_signal"),
    *("answer_accuracy", "linear_probe_accuracy", "chance", TRIVIAL_ACCURACY),
)
"""Metrics between 0 and 1."""
ROUNDING = 1e-6
"""A mean of ones in float32 may lie so far above one."""
CLOCK_SLACK, CLOCK_SLACK_S = 1.01, 16e-3
"""The thread's clock is read before the wall's and after it, and Windows counts it in ticks of 15.6 ms."""
JUDGES = {"thread_cpu": "thread_cpu_s", "wall": "wall_s"}
"""The column of the clock that a record's `clock` names. `cuda_events` has none of its own: its values lie within the
wall's."""
SUM_SLACK, SUM_SLACK_S = 1.01, 0.1
PEAKS = ("peak_bytes", "kept_bytes", PEAK, ALLOCATOR_PEAK)
MOST_SAID = 16
"""Launches that one sentence lists."""
Found = tuple[int, str]
"""The number of a row, from 0, and what is wrong with it."""
Rule = Callable[[Record], Iterable[Found]]
Series = dict[tuple[str, str, int | None], list[tuple[int, Reading]]]
"""Rows of timings by span, metric and launch, in their order."""


def implausible_readings(record: Record) -> Iterator[str]:
    """Yield a sentence for each rule that readings break: the first row, the value, and how many more rows do. Where
    numbers are none, nothing else is asked of them."""
    for rule in RULES if record.evidence is Evidence.MEASURED else ():
        if found := list(rule(record)):
            row, wrong = found[0]
            yield f"{named_row(record, row)}: {wrong}{and_more(found)}"
            if rule is _numbers_that_are_none:
                return


def and_more(found: Sequence[object]) -> str:
    """Return how many were found beside the first, as the end of its sentence."""
    return f"; and {numbers.count(len(found) - 1)} more" if len(found) > 1 else ""


def named_row(record: Record, row: int) -> str:
    """Return where a reading stands: its file, the number of its row from 0, and what the row says it is."""
    reading = record.readings[row]
    launch = "" if reading.launch is None else f", launch {reading.launch}"
    return f"{SAMPLES} row {row} ({reading.span} {reading.metric}{launch}, step {reading.step})"


def timing_series(record: Record) -> Series:
    """Return the timings of each span in each launch, with their rows."""
    found: Series = defaultdict(list)
    for row, reading in enumerate(record.readings):
        if reading.metric in TIMINGS:
            found[reading.span, reading.metric, reading.launch].append((row, reading))
    return found


def _numbers_that_are_none(record: Record) -> Iterator[Found]:
    units = {name: metric.unit for name, metric in METRICS.items()}
    for row, reading in enumerate(record.readings):
        unit, value = units.get(reading.metric, ""), reading.value
        if unit == "s" and not 0 < value < math.inf:
            yield row, f"{value:g} s is no time, which is finite and above zero"
        elif unit in AMOUNTS and reading.metric not in MAY_BE_BELOW_ZERO and not 0 <= value < math.inf:
            yield row, f"{value:g} {unit} is no amount, which is finite and not below zero"
        elif reading.metric in SHARES and not -ROUNDING <= value <= 1 + ROUNDING and not math.isnan(value):
            yield row, f"{value:g} is no share, which lies between 0 and 1"
        elif wrong := [f"{name} is {got:g}" for name, got in _clocks(reading) if not 0 <= got < math.inf]:
            yield row, f"{wrong[0]}, and is finite and not below zero"


def _clocks(reading: Reading) -> Iterator[tuple[str, float]]:
    """Yield the clocks and counts that a reading has beside its value."""
    for name in ("wall_s", "thread_cpu_s", "process_cpu_s", "involuntary_switches", "launch", "step"):
        if (value := getattr(reading, name)) is not None:
            yield name, value


def _clocks_that_disagree(record: Record) -> Iterator[Found]:
    judge = JUDGES.get(str(record.provenance.get("clock")), "")
    cpus = number_of(record.environment, "logical_cpus") or math.inf
    for row, reading in enumerate(record.readings):
        wall_s = reading.wall_s
        if wall_s is None:
            continue
        allowed_s = wall_s * CLOCK_SLACK + CLOCK_SLACK_S
        judged_s = getattr(reading, judge, None)
        thread_s, process_s = reading.thread_cpu_s or 0.0, reading.process_cpu_s or 0.0
        if judged_s is not None and not math.isclose(reading.value, judged_s, rel_tol=1e-9):
            yield row, f"its value is {reading.value:g} s, and {judge}, the clock that the record names, {judged_s:g} s"
        elif reading.value > allowed_s:
            yield row, f"its value is {reading.value:g} s within {wall_s:g} s on the wall's clock"
        elif thread_s > allowed_s:
            yield row, f"one thread was busy for {thread_s:g} s within {wall_s:g} s on the wall's clock"
        elif process_s > cpus * allowed_s:
            yield row, f"{process_s:g} s of {cpus:g} CPUs' time passed within {wall_s:g} s on the wall's clock"


def _steps_that_do_not_follow(record: Record) -> Iterator[Found]:
    """Find gaps and doubles in what was repeated; of what follows from itself, as training, a step may time twice."""
    if record.status is not Status.OK or not _is_repeated(record):
        return
    for rows in timing_series(record).values():
        for due, (row, reading) in enumerate(rows):
            if reading.step != due:
                yield row, f"step {reading.step} stands where step {due} of the launch was due"
                break


def _launches_that_are_missing(record: Record) -> Iterator[Found]:
    launches = record.provenance.get("launches")
    count = number_of(launches, "count") if isinstance(launches, Mapping) else None
    if record.status is not Status.OK or count is None:
        return
    first: dict[str, dict[int, int]] = defaultdict(dict)
    for (span, metric, launch), rows in timing_series(record).items():
        if metric == TIMINGS[0] and launch is not None:
            first[span][launch] = rows[0][0]
    for of_span in first.values():
        if len(of_span) != count or sorted(of_span) != list(range(len(of_span))):
            said = ", ".join(map(str, sorted(of_span)[:MOST_SAID]))
            yield min(of_span.values()), f"its span has timings of the launches {said}, and the record says {count:g}"


def _is_repeated(record: Record) -> bool:
    known = workload_definition(record.case.workload)
    return isinstance(record.provenance.get("launches"), Mapping) or (bool(known) and not known.get("course"))


def _duration_s(record: Record) -> float | None:
    """How long a run took; None of one that went on from a checkpoint, with readings from before."""
    return None if "resumed_at_steps" in record.provenance else number_of(record.provenance, "duration_s")


def _spans_longer_than_the_run(record: Record) -> Iterator[Found]:
    duration_s = _duration_s(record)
    if duration_s is None:
        return
    sums: dict[tuple[str, str], float] = defaultdict(float)
    last: dict[tuple[str, str], int] = {}
    for row, reading in enumerate(record.readings):
        if reading.wall_s is not None:
            sums[reading.span, reading.metric] += reading.wall_s
            last[reading.span, reading.metric] = row
    for name, sum_s in sums.items():
        if sum_s > SUM_SLACK * duration_s + SUM_SLACK_S:
            yield last[name], f"wall_s of its span adds up to {sum_s:.4g} s, in a run of {duration_s:.4g} s"


def _more_memory_than_there_is(record: Record) -> Iterator[Found]:
    limit = memory_limit_bytes(record)
    for row, reading in enumerate(record.readings if limit else ()):
        if limit and reading.metric in PEAKS and reading.value > limit[0]:
            held, most = numbers.bytes_iec(reading.value), numbers.bytes_iec(limit[0])
            yield row, f"{held} are more than {limit[1]} has, {most}"


def _more_energy_than_there_is(record: Record) -> Iterator[Found]:
    card = used_card(record)
    limit_w, duration_s = power_limit_w(card), _duration_s(record)
    noted = {(reading.span, reading.metric): reading.value for reading in record.readings}
    summed_j = 0.0
    for row, reading in enumerate(record.readings):
        value = reading.value
        if reading.metric == "energy_power_w" and limit_w is not None and value > limit_w:
            assert card is not None
            yield row, f"{value:,.0f} W are more than {card.name} may draw, {limit_w:,.0f} W with its limit raised"
        if reading.metric != "energy_j":
            continue
        summed_j += value
        power_w, window_s = (noted.get((reading.span, f"energy_{name}")) for name in ("power_w", "window_s"))
        if power_w is not None and window_s is not None and value > power_w * window_s * (1 + ROUNDING):
            yield row, f"{value:g} J of one step are more than its window of {window_s:g} s at {power_w:g} W took"
        elif limit_w is not None and duration_s is not None and summed_j > limit_w * duration_s:
            yield row, f"{summed_j:g} J so far are more than {limit_w:,.0f} W for the run's {duration_s:g} s"


RULES: tuple[Rule, ...] = (
    _numbers_that_are_none,
    _clocks_that_disagree,
    _steps_that_do_not_follow,
    _launches_that_are_missing,
    _spans_longer_than_the_run,
    _more_memory_than_there_is,
    _more_energy_than_there_is,
)
