"""Timings of attention records, one a record and span, and the columns that name them in tables.

A record may be old or foreign: what it lacks is None here, and nothing but its timings is required.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeVar

import numpy as np

from suite.machine.privacy import without_paths
from suite.records import numbers
from suite.records.derived import constant, roofline, span_operators
from suite.records.record import Status
from suite.report.blocks import Kind, Text, joined, say, say_or
from suite.report.model.experiment import grouped
from suite.report.model.formats import times_range
from suite.report.model.labels import case_facets, phase_name, variant_label, variant_sort_key
from suite.report.model.results import CurrentRecord, Results, cached_by_results
from suite.report.model.run import Pairs, Run, context_tokens, extras, is_plausible, plausible_launches
from suite.report.table import Column, column
from suite.statistics.intervals import ONE_LAUNCH_REACH, Interval, launched_interval, median_ratio

T = TypeVar("T")
SPANS = LAYER, INDEXER, KERNEL = ("layer", "indexer", "kernel")
VARIANT_SETTING = "attention."  # begins the name of a setting of the variant itself
# No device has other FLOP/s, B/s or FLOP/B; a figure's axis would not bear them.
PLAUSIBLE_RATE = (1e-3, 1e24)
# torch's path of separate operators, taken without a word where no fused kernel fits.
MATH_PATH = "_scaled_dot_product_attention_math"
WHOLE_ATTENTION = "attention"  # stands in the name of every operator that is one
WALL_ABOVE_JUDGED = 1.10  # from here on the wall clock tells another story than the judged one, and the table says so


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing(Run):
    """The usable readings of one span of a record."""

    span: str
    interval: Interval
    left_out: int  # readings that no clock can have given
    wall_over_judged: float | None

    @property
    def variant(self) -> str:
        return self.axis("attention")

    @property
    def own_sizes(self) -> str:
        """The settings of the variant itself that its case names: `kv_heads=2`."""
        return ", ".join(extras(self.record, VARIANT_SETTING))

    @property
    def sized_variant(self) -> str:
        """Its name, with sizes of its own where somebody set them: GQA (kv_heads=2)."""
        return f"{variant_label(self.variant)} ({self.own_sizes})" if self.own_sizes else variant_label(self.variant)

    @property
    def full_name(self) -> str:
        return self.sized_variant if self.is_auto else f"{self.sized_variant} · {self.backend}"

    @property
    def is_auto(self) -> bool:
        return self.axis("backend") in ("", "auto")

    def marked(self, name: str) -> Text:
        """The name, with a mark where the layer was not checked."""
        return name if self.is_checked else say("variant.unchecked", name=name)

    @property
    def variant_name(self) -> Text:
        return self.marked(variant_label(self.variant))

    @property
    def backend(self) -> str:
        """The backend that ran; the one asked for where the record does not say."""
        return str(self.record.provenance.get("backend") or self.axis("backend"))

    @property
    def tokens(self) -> int | None:
        """The context; None where the record has none, or an impossible one."""
        return context_tokens(self.record)

    @property
    def launches(self) -> dict[int, list[float]]:
        """Its usable readings by launch."""
        return plausible_launches(self.record.by_span[self.span, "latency_s"])

    @property
    def median_s(self) -> float:
        return self.interval.median

    @functools.cached_property
    def roofline(self) -> tuple[float | None, str | None]:
        """The least time at the measured ceilings over the median, and which of them limits."""
        return roofline(self.record, self.span, self.median_s)

    @property
    def cache_share(self) -> float | None:
        """Its cache's bytes over MHA's; None where either is missing."""
        size, mha_size = (self.amount(name, "case") for name in ("cache_bytes", "cache_bytes_mha"))
        return size / mha_size if size and mha_size else None

    @functools.cached_property
    def line(self) -> tuple[str, ...]:
        """The name of its line besides the variant: backend, further settings, projected or not."""
        return (self.backend, *extras(self.record), *([] if self.is_measured else [self.record.evidence]))

    @functools.cached_property
    def axes(self) -> Pairs:
        return tuple((name, self.axis(name)) for name in self.record.case.axes)

    @functools.cached_property
    def chosen_line(self) -> tuple[str, ...]:
        """`line` with the backend that was asked for: `auto` may choose another at each context."""
        return (self.axis("backend") or self.backend, *self.line[1:])

    @functools.cached_property
    def extra_settings(self) -> Pairs:
        """The settings besides the axes that its case names and that apply to it, with their values."""
        settings = sorted(self.record.case.extras.items())
        return tuple((name, str(value)) for name, value in settings if value is not None)

    @functools.cached_property
    def shared_settings(self) -> Pairs:
        """`extra_settings` without those of the variant itself."""
        return tuple(pair for pair in self.extra_settings if not pair[0].startswith(VARIANT_SETTING))

    @functools.cached_property
    def shared_extras(self) -> tuple[str, ...]:
        """The settings besides the axes, as `name=value`, without those of the variant itself."""
        return tuple(f"{name}={value}" for name, value in self.shared_settings)

    def amount(self, metric: str, span: str = "") -> float | None:
        """A number that the record notes once, under its own span unless another is named; None where it is missing."""
        return constant(self.record, span or self.span, metric)


# One page at a time: every section asks for the timings of the same results.
@cached_by_results
def timings(results: Results, workload: str = "attention") -> Sequence[Timing]:
    return [timing for current in results.records for timing in record_timings(current, workload)]


def record_timings(current: CurrentRecord, workload: str, metric: str = "latency_s") -> Iterable[Timing]:
    """Yield a timing for each span that has a usable reading, of a record that ran this workload."""
    record = current.record
    if record.case.workload != workload or record.status is not Status.OK:
        return
    for (span, name), repeats in record.by_span.items():
        if name == metric and (launches := plausible_launches(repeats)):
            interval = launched_interval(list(launches.values()))
            seconds = zip(repeats.column("value"), repeats.column("wall_s"), strict=True)
            walls = [wall_s for value, wall_s in seconds if wall_s is not None and is_plausible(value)]
            wall_ratio = float(np.median(walls)) / interval.median if walls else 0.0
            yield Timing(
                current=current,
                span=span,
                interval=interval,
                left_out=len(repeats) - interval.count,
                wall_over_judged=wall_ratio if wall_ratio > WALL_ABOVE_JUDGED else None,
            )


def is_clearly_faster(first: Timing, second: Timing, *, launches: int = 2) -> bool:
    """Whether the first median is clearly lower, with each over at least so many launches."""
    is_repeated = min(first.interval.launches, second.interval.launches) >= launches  # one says little of the next
    return is_repeated and first.median_s < second.median_s and median_ratio(first.interval, second.interval).is_clear


def order_finding(best: Timing, rival: Timing, slower: Iterable[Timing], name: Callable[[Timing], str]) -> Text:
    """Say that the best is fastest where it is clearly faster than all `slower`; else how far the rival is from it."""
    ratio = median_ratio(rival.interval, best.interval)
    if all(is_clearly_faster(best, timing) for timing in slower):
        outcome = "apart"
    elif ratio.low <= 1:
        outcome = "open"
    else:
        outcome = "span" if is_clearly_faster(best, rival) else "few"
    return say(
        f"finding.order.{outcome}",
        tokens=numbers.count(best.tokens or 0),
        best=name(best),
        time=numbers.seconds(best.median_s),
        rival=name(rival),
        ratio=numbers.times(ratio.ratio),
        range=times_range(ratio.low, ratio.high),
    )


def plausible_rate(amount: float | None, per: float | None = 1.0) -> float | None:
    """`amount / per`; None where either is unknown, or no device could have the rate."""
    if amount is None or per is None:
        return None
    return amount / per if PLAUSIBLE_RATE[0] < amount / per < PLAUSIBLE_RATE[1] else None


def in_order(timings: Iterable[Timing]) -> list[Timing]:
    """Sort timings as tables list them: by context, then from the widest cache to the most compressed."""
    return sorted(
        timings, key=lambda timing: (timing.tokens or 0, variant_sort_key(timing.variant), timing.line, timing.label)
    )


def by_span(items: Iterable[T], span: Callable[[T], str] = attrgetter("span")) -> dict[str, list[T]]:
    """Group items by their span: the whole layer first, then indexer, kernel and any others."""
    spans = grouped(items, span)
    return {span: spans[span] for span in (*SPANS, *sorted(spans)) if span in spans}


def span_title(span: str) -> Text:
    return say_or(f"span.{span}", span)


def one_per_record(timings: Iterable[Timing]) -> list[Timing]:
    """One timing of each record, the last, for what its spans share."""
    return list({id(timing.current): timing for timing in timings}.values())


def row_facets(timing: Timing) -> Mapping[str, Text]:
    """Geometry, phase and dtype of a timing's case, as facets of its row in a table."""
    return case_facets(timing.record.case.axes)


def clock_names(timings: Iterable[Timing]) -> Text:
    clocks = {str(timing.record.provenance.get("clock") or "unknown") for timing in timings}
    return joined(" / ", [say_or(f"clock.{name}", name) for name in sorted(clocks)])


def _ran_text(timing: Timing) -> Text:
    """The operator that tells which path was taken: the math path, else the first whole attention."""
    operators = span_operators(timing.record, KERNEL) or span_operators(timing.record, LAYER)
    whole = [name for name in operators if WHOLE_ATTENTION in name]
    if MATH_PATH in operators:
        return say("ran.math", operator=MATH_PATH)
    return without_paths(whole[0]) if whole else say("ran.separate") if operators else ""


def one_launch_reach() -> str:
    """The share, in percent, by which a median within one launch is assumed to vary where it is compared."""
    return numbers.percent(ONE_LAUNCH_REACH - 1)


CONTEXT: Column[Timing] = column("latency.context", lambda timing: timing.tokens, numbers.count)
VARIANT: Column[Timing] = column("column.variant", lambda timing: timing.variant_name, facet="variant")
BACKEND: Column[Timing] = column("column.backend", lambda timing: timing.backend, kind=Kind.CODE)
PHASE: Column[Timing] = column("column.phase", lambda timing: phase_name(timing.axis("phase")), facet="phase")
GEOMETRY: Column[Timing] = column("column.geometry", lambda timing: timing.axis("geometry"), facet="geometry")
DTYPE: Column[Timing] = column("column.dtype", lambda timing: timing.axis("dtype"), facet="dtype")
RAN: Column[Timing] = column("column.ran", _ran_text, kind=Kind.CODE, only_where_known=True)
SHARE: Column[Timing] = column("column.roofline", lambda timing: timing.roofline[0], numbers.percent)
REGIME: Column[Timing] = column(
    "column.regime", lambda timing: say_or(f"regime.{timing.roofline[1]}", timing.roofline[1] or "")
)
