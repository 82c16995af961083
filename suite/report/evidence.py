"""Comparisons in words and in columns: findings of sections, cells of tables and cards say them by the same functions.

The outcomes are those of suite.statistics.paired.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Kind, Lead, Table, Text, joined, say, say_or
from suite.report.model.experiment import Contrast
from suite.report.model.formats import PERCENT, bits, nats, points, with_range
from suite.report.table import Column, column, part_columns
from suite.statistics.intervals import Interval, Ratio
from suite.statistics.paired import Comparison
from suite.statistics.scores import Estimate

Write = Callable[[float], str]
"""Writes a number, as `points` does percentage points."""

R = TypeVar("R")
IN_WORDS = "rl_efficiency.in_words"


def comparison_verdict(comparison: Comparison, unit: str = "points") -> Text:
    """The outcome of a comparison in words, for a cell or a sentence.

    `unit`: `points` of a share, or `nats` or `bits` of a loss whose sign was turned, so that higher is better.
    """
    margin = f"{(100 if unit == 'points' else 1) * (comparison.margin or 0.0):g}"
    floor = numbers.percent(comparison.bounds[0] or 0.0)
    fields = {"margin": say(f"verdict.within.{unit}", margin=margin), "floor": floor}
    sentence = say(f"verdict.{comparison.outcome}", count=comparison.pairs, **fields)
    return say_or(f"verdict.loss.{comparison.outcome}", sentence) if unit in ("nats", "bits") else sentence


def difference(contrast: Contrast[Any]) -> Text:
    """A contrast's mean difference with its interval, without the unit, which the column's title names."""
    return with_range(contrast.comparison.mean, contrast.comparison.interval, contrast.quantity.difference)


def contrast_verdict(contrast: Contrast[Any]) -> Text:
    """The outcome of a contrast in words, in its quantity's unit, or else in points."""
    return comparison_verdict(contrast.comparison, contrast.quantity.unit or "points")


def estimate(mean: float, interval: Estimate | None, write: Write) -> Text:
    """A difference with its interval and its unit: `+3.1 (+1.0 to +5.2) points`."""
    return with_unit(with_range(mean, interval, write), write)


def with_unit(value: Text, write: Write) -> Text:
    """Add the unit that `points`, `nats` and `bits` leave out to a number that they wrote; others stay as they are."""
    if write is points:
        return say("claim.points", points=value)
    if write is nats:
        return say("claim.nats", nats=value)
    return say("claim.bits", bits=value) if write is bits else value


def lead_number(
    value: float,
    ends: Estimate | Ratio | None,
    write: Write,
    *,
    about: Text,
    count: Text = "",
    written: Text = "",
    neutral: float = 0.0,
) -> Lead:
    """The number that leads a verdict. `ends`: its interval, if any. `written`: its text, if not what `write` gives."""
    interval: Text = ""
    if ends is not None:
        low, high = write(ends.low), write(ends.high)
        interval = say("answer.interval", low=low.removesuffix(PERCENT) if high.endswith(PERCENT) else low, high=high)
    return Lead(
        about=about,
        written=written or with_unit(write(value), write),
        interval=interval,
        count=count,
        value=value,
        ends=None if ends is None else (ends.low, ends.high),
        neutral=neutral,
    )


def comparison_lead(comparison: Comparison, write: Write, about: Text) -> Lead:
    """A comparison's mean difference as the number that leads a verdict, with its number of seeds."""
    count = say("answer.count.seed", count=comparison.pairs)
    return lead_number(comparison.mean, comparison.interval, write, about=about, count=count)


def times_lead(
    ratio: Ratio, intervals: Sequence[Interval], about: Text, *, write: Write = numbers.times, neutral: float = 1.0
) -> Lead:
    """A ratio of two medians as the number that leads a verdict, with the fewer launches of the two, or readings.

    One that a single launch tells has no interval.
    """
    launches, readings = min(i.launches for i in intervals), min(i.count for i in intervals)
    counts = say("answer.count.launch", count=launches), say("answer.count.reading", count=readings)
    count = counts[0] if launches > 1 else counts[1]
    return lead_number(ratio.ratio, ratio if ratio.low else None, write, about=about, count=count, neutral=neutral)


def lead_text(lead: Lead | None) -> Text:
    """The number that leads a verdict, with its interval, count and case; a dash where none does."""
    if lead is None:
        return numbers.NOTHING
    inside = joined("; ", [lead.interval, lead.count])
    number = say("claim.number.with", written=lead.written, inside=inside) if inside else lead.written
    return say("claim.number.about", about=lead.about, written=number)


def difference_columns(title: str, text: Write = points) -> list[Column[Comparison]]:
    """Two columns of a comparison: the mean difference with its interval, as `text` writes it, and the verdict."""
    return [
        column(title, lambda compared: with_range(compared.mean, compared.interval, text), kind=Kind.NUMBER),
        column(IN_WORDS, comparison_verdict),
    ]


def p_columns(comparison_of: Callable[[R], Comparison | None]) -> list[Column[R]]:
    """Two columns: p by Student's t, and p by sign flips; dashes where nothing was tested.

    The first is Holm's corrected p, or the plain one where a comparison was not corrected.
    """

    by_t: Column[Comparison] = column(
        "verdict.p", lambda tested: tested.p if tested.adjusted_p is None else tested.adjusted_p, format_p
    )
    by_flips: Column[Comparison] = column("verdict.flips", lambda tested: tested.sign_flip_p, format_p)
    return part_columns(
        lambda row: compared if (compared := comparison_of(row)) and compared.is_tested else None, [by_t, by_flips]
    )


def add_verdict_note(tables: Sequence[Table]) -> list[Table]:
    """Add to the first table that has verdicts, and to all of its family, a note on how verdicts come about."""
    heads = [[head.title for head in table.columns] for table in tables]
    first = next((place for place, titles in enumerate(heads) if say(IN_WORDS) in titles), None)
    if first is None:
        return list(tables)
    sentences = [say("verdict.note")]
    sentences += [say("verdict.flips_note")] if any(say("verdict.flips") in titles for titles in heads) else []
    family = tables[first].family

    noted = [place for place, table in enumerate(tables) if place == first or (family and table.family == family)]
    return [
        replace(table, note=joined("sentence", [table.note, *sentences])) if place in noted else table
        for place, table in enumerate(tables)
    ]


def format_p(p: float) -> str:
    """A p with three decimals, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
