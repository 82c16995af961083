"""How each variant's time and energy grow with the context, and how far times stay from what the machine allows.

Energy is the difference of a counter. No record has it by guessing: where no counter could resolve a step, there is no
reading, and so no point here.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from statistics import median

from suite.records import numbers
from suite.records.derived import cost_per_million_tokens, joules_per_token, span_operators
from suite.report.attention.groups import CaseGroup, groups
from suite.report.attention.lines import LineMetric, interval_level, line_figure, ranked, span_tables
from suite.report.blocks import Headline, Kind, Section, Text, dotted, joined, say, section
from suite.report.model.formats import three_digits
from suite.report.model.labels import phase_name, variant_label
from suite.report.model.results import Results
from suite.report.model.run import clip_text, is_plausible, mapping
from suite.report.plot.plots import decimal_ticks, log, time_axis
from suite.report.table import Column, column, part_columns
from suite.report.timings import (
    KERNEL,
    MATH_PATH,
    RAN,
    REGIME,
    SHARE,
    Timing,
    is_clearly_faster,
    one_per_record,
    order_finding,
    timings,
)
from suite.statistics.intervals import Interval

LATENT, RIVALS = "mla", ("mha", "gqa")
PLAUSIBLE_J = (1e-12, 1e12)


def build(results: Results) -> Section | None:
    """Build the section on time and energy from every timing and the energies that records note; None without any."""
    every_timing = timings(results)
    timed, powered = (
        groups(part, lambda timing: timing.tokens is not None)
        for part in (every_timing, [timing for timing in every_timing if _joules(timing) is not None])
    )
    blocks = [*((TIME, group) for group in timed), *((ENERGY, group) for group in powered)]
    if not blocks:
        return None
    energy_text = say("latency.energy.explanation") if powered else ""
    cases = one_per_record(every_timing)
    num_fell = sum(MATH_PATH in span_operators(timing.record, KERNEL) for timing in cases)
    fell = say("latency.fell", fell=numbers.count(num_fell), count=numbers.count(len(cases)))
    return section(
        "latency",
        explanation=joined("sentence", [say("latency.explanation"), energy_text]),
        figures=[line_figure(metric, group) for metric, group in blocks],
        tables=[table for metric, group in blocks for table in span_tables(metric, group, results)],
        headlines=[*_headlines(timed, results), Headline(text=fell) if num_fell else None],
    )


def _fastest_text(order: Sequence[Timing]) -> Text:
    """Say which variant is clearly fastest, or name the first and the next that it does not clearly beat.

    MLA's ratio to the fastest is added where MLA is neither of them, and to MHA and GQA, as the card has it.
    """
    if not order:
        return ""
    first, *slower = order
    if not slower:
        time, tokens = numbers.seconds(first.median_s), numbers.count(first.tokens or 0)
        return say("finding.latency.alone", time=time, tokens=tokens, first=first.full_name)
    rival = next((timing for timing in slower if not is_clearly_faster(first, timing)), slower[0])
    finding = order_finding(first, rival, slower, lambda timing: timing.full_name)
    latent = next((timing for timing in slower if timing.variant.partition("_")[0] == LATENT), None)
    if latent in (None, rival) or first.variant == LATENT:
        return finding
    rivals = [timing for timing in slower if timing.variant in RIVALS and not timing.own_sizes]
    over_rivals = [
        say("finding.latency.over", rival=timing.sized_variant, ratio=numbers.times(latent.median_s / timing.median_s))
        for timing in rivals
    ]
    fields = {"variant": latent.full_name, "ratio": numbers.times(latent.median_s / first.median_s)}
    key = "finding.latency.latent_over" if rivals else "finding.latency.latent"
    return joined("notes", [finding, say(key, over=joined("list", over_rivals), **fields)])


def _least_energy_text(order: Sequence[Timing]) -> Text:
    """Say which variant takes least energy and which most; its readings have no intervals, so no order is claimed."""
    if len(order) < 2:
        return ""
    least, *_, most = order
    ends = {"low": numbers.joules(_joules(least) or 0.0), "high": numbers.joules(_joules(most) or 0.0)}
    tokens = numbers.count(least.tokens or 0)
    return say("latency.energy.finding", tokens=tokens, least=least.full_name, most=most.full_name, **ends)


def _joules(timing: Timing) -> float | None:
    joules = joules_per_token(timing.record, timing.span)
    return joules if joules is not None and PLAUSIBLE_J[0] < joules < PLAUSIBLE_J[1] else None


def _median_interval(timing: Timing) -> Interval | None:
    return timing.interval if timing.interval.count > 1 else None


def _cold_median(timing: Timing) -> float | Text | None:
    """The median in seconds after the caches were flushed, or in words why it was not timed; None without readings."""
    state = str(timing.record.provenance.get("cold"))
    if state in ("as_warm", "every_run"):
        return say(f"latency.cold.{state}")
    usable = list(filter(is_plausible, timing.record.series("cold_latency_s", timing.span).column("value")))
    return median(usable) if usable else None


def _notes_text(timing: Timing) -> Text:
    """Say what a reader should know of a timing: one reading, slow wall clock, readings or records left out."""
    current, wall = timing.current, timing.wall_over_judged
    notes = {
        say("note.single"): timing.interval.count == 1,
        say("note.wall", ratio=numbers.times(wall or 0)): wall is not None,
        say("note.left_out", count=timing.left_out): timing.left_out,
        say("note.superseded", count=current.superseded): current.superseded,
        say("note.settings_changed"): current.settings_changed,
    }
    return joined("notes", [note for note, holds in notes.items() if holds])


RANGE: Column[Interval] = column(
    "column.interval", lambda interval: numbers.seconds_range(interval.low, interval.high), kind=Kind.NUMBER
)
TIME = LineMetric(
    key="latency.time",
    value=attrgetter("median_s"),
    text=numbers.seconds,
    axis=time_axis,
    has_intervals=True,
    finding=_fastest_text,
    columns=[
        column("column.median", lambda timing: timing.median_s, numbers.seconds),
        *part_columns(_median_interval, [RANGE]),
        column("column.count", lambda timing: timing.interval.count, numbers.count),
        *part_columns(_median_interval, [column("column.level", interval_level, kind=Kind.NUMBER)]),
        SHARE,
        REGIME,
        column("latency.cold", _cold_median, numbers.seconds, only_where_known=True),
        RAN,
        column("column.notes", _notes_text, kind=Kind.LONG),
    ],
)
ENERGY = LineMetric(
    key="latency.energy",
    value=_joules,
    text=numbers.joules,
    axis=lambda title, joules: log(title, decimal_ticks(joules, numbers.joules_tick)),
    finding=_least_energy_text,
    columns=[
        column("energy.per_token", _joules, numbers.joules),
        column("energy.per_step", lambda timing: timing.amount("energy_j"), numbers.joules),
        column("energy.power", lambda timing: timing.amount("energy_power_w"), numbers.watts),
        column("energy.window", lambda timing: timing.amount("energy_window_s"), numbers.seconds),
        column(
            "energy.cost",
            lambda timing: cost_per_million_tokens(timing.record, timing.median_s),
            three_digits,
            only_where_known=True,
        ),
        column(
            "energy.source",
            lambda timing: clip_text(mapping(timing.record.provenance, "energy").get("source")),
            kind=Kind.CODE,
        ),
    ],
)


def _headlines(timed: Iterable[CaseGroup], results: Results) -> list[Headline]:
    """A headline for each phase: the fastest variant of its first figure at the longest context that several share."""
    by_phase: dict[str, tuple[CaseGroup, list[Timing]]] = {}
    for group in timed:
        order = ranked(group.plotted, TIME.value)
        if len({timing.variant for timing in order}) > 1:
            by_phase.setdefault(order[0].axis("phase"), (group, order))
    headlines = []
    for phase, (group, order) in by_phase.items():
        first, *slower = order
        outcome = "fastest" if all(is_clearly_faster(first, timing) for timing in slower) else "open"
        text = say(
            f"finding.latency.{outcome}",
            variant=variant_label(first.variant),
            time=numbers.seconds(first.median_s),
            phase=phase_name(phase),
            geometry=first.axis("geometry"),
            dtype=first.axis("dtype"),
            tokens=numbers.count(first.tokens or 0),
        )
        case = dotted(first.label if results.several else "", group.settings)
        detail = joined(": ", [case, _fastest_text(order)])
        headlines.append(Headline(text=text, detail=detail))
    return headlines
