"""Quantities that follow from a record, for all that show or judge it.

A record may be old or foreign: what it lacks is None or empty, and so is what it has in another type.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from suite.configuration.files import read_yaml
from suite.records.metrics import EVALUATE, TRIVIAL_ACCURACY
from suite.records.record import Reading, Record, Rows
from suite.theory.layers.roofline import Ceilings

FIRST_YEAR = 2020
CLOCKS_DIFFER = timedelta(days=1)
"""The most that another machine's clock may be ahead."""
IMPRECISE = "less precise than measure.precision"
"""The first words of the warning that an interval is wider than was asked for; a line with the width leaves it out."""


def noted(record: Record, span: str, metric: str) -> float | None:
    """The first finite value of a metric in a span, at any step; None where there is none."""
    return next(filter(math.isfinite, record.series(metric, span).column("value")), None)


def constant(record: Record, span: str, metric: str) -> float | None:
    """The value of a metric that a record notes once, where it is above zero; else None. Older records do not hold
    `trivial_accuracy`: then it comes from a table, by task."""
    value = noted(record, span, metric)
    if value is None and (span, metric) == (EVALUATE, TRIVIAL_ACCURACY):
        # Older records do not hold it. The table has not every task and number of prompts.
        table, task = read_yaml("trivial_accuracy.yaml"), record.settings.get("task")
        if isinstance(task, Mapping) and record.settings.get("eval_prompts") == table["eval_prompts"]:
            right = (row["right"] for row in table["tasks"] if row["of"].items() <= task.items())
            value = next((count / table["eval_prompts"] for count in right), None)
    return value if value is not None and value > 0 else None


def by_launch(readings: Iterable[Reading]) -> list[list[float]]:
    """The values of each launch, in the order of launches."""
    return list(values_by_launch(readings).values())


def values_by_launch(readings: Iterable[Reading]) -> dict[int, list[float]]:
    """The values of each launch by its number, in their order; readings without a launch count as launch 0."""
    pairs = (
        zip(readings.column("launch"), readings.column("value"), strict=True)
        if isinstance(readings, Rows)
        else ((reading.launch, reading.value) for reading in readings)
    )
    launches: dict[int, list[float]] = defaultdict(list)
    for launch, value in pairs:
        launches[launch or 0].append(value)  # None in records of version 0.2 and older
    return {launch: launches[launch] for launch in sorted(launches)}


def measured_ceilings(record: Record, span: str) -> Ceilings | None:
    """The ceilings that the run measured at a span's working set; None where it did not."""
    flops, traffic = constant(record, span, "ceiling_flops_per_s"), constant(record, span, "ceiling_bytes_per_s")
    return None if flops is None or traffic is None else Ceilings(flops_per_s=flops, bytes_per_s=traffic)


def roofline(record: Record, span: str, median_s: float) -> tuple[float | None, str | None]:
    """The least time at the measured ceilings over the median (1 is as fast as they allow), and which one
    binds."""
    flops, traffic = constant(record, span, "flops"), constant(record, span, "traffic_bytes")
    ceilings = measured_ceilings(record, span)
    if flops is None or traffic is None or ceilings is None:
        return None, None
    bound_s = ceilings.bound_s(flops=flops, traffic_bytes=traffic)
    return bound_s / median_s, ceilings.regime(flops=flops, traffic_bytes=traffic)


def started_at(record: Record) -> str:
    """The start as ISO text, which sorts as time does; empty where a record does not say, or says what cannot
    be."""
    return possible_time(record.provenance.get("started_at"))


def possible_time(text: object) -> str:
    """The time in UTC; empty for what is none, or lies before there was a suite or in the future. Whoever writes
    a time that cannot be would else be the newest of all."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return ""
    if time is None or not FIRST_YEAR <= time.year <= datetime.now(UTC).year + 1:  # astimezone fails at year 9999
        return ""
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return "" if time > datetime.now(UTC) + CLOCKS_DIFFER else time.isoformat(timespec="seconds")


def run_warnings(record: Record) -> list[str]:
    """The warnings that the run itself gave, none where the record has no list of them."""
    warnings = record.provenance.get("warnings")
    return list(map(str, warnings)) if isinstance(warnings, list) else []


def span_operators(record: Record, span: str) -> tuple[str, ...]:
    """Names of the operators that a span ran; none where the record does not say."""
    spans = record.provenance.get("operators")
    names = spans.get(span) if isinstance(spans, Mapping) else None
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


SECONDS_PER_HOUR, PER_MILLION = 3600.0, 1e6


def joules_per_token(record: Record, span: str) -> float | None:
    """Energy of one step over its new tokens; None where no counter resolved it."""
    energy_j, tokens = constant(record, span, "energy_j"), constant(record, "case", "tokens")
    return None if energy_j is None or tokens is None else energy_j / tokens


def cost_per_million_tokens(record: Record, median_s: float) -> float | None:
    """The cost in the currency of `price_per_device_hour`, for one device; None where no price was given."""
    price, tokens = record.settings.get("price_per_device_hour"), constant(record, "case", "tokens")
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 < price < math.inf or tokens is None:
        return None
    return PER_MILLION * price / SECONDS_PER_HOUR * median_s / tokens
