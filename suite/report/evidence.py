"""Outcomes of suite.statistics.paired in words and in columns, the same for every section."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Table, Text, joined, say, say_or
from suite.report.model.experiment import Contrast
from suite.report.model.formats import with_range
from suite.report.table import Column, column, columns_of
from suite.statistics.paired import Comparison

R = TypeVar("R")
IN_WORDS = "rl_efficiency.in_words"


def verdict(found: Comparison, unit: str = "points") -> Text:
    """Return an outcome as a cell or a sentence says it.

    `unit`: `points` of a share, or `nats` of a loss whose sign was turned, so that higher is better.
    """
    margin = f"{(100 if unit == 'points' else 1) * (found.margin or 0.0):g}"
    fields = {"margin": say(f"verdict.within.{unit}", margin=margin), "floor": numbers.percent(found.bounds[0] or 0.0)}
    sentence = say(f"verdict.{found.outcome}", count=found.pairs, **fields)
    return say_or(f"verdict.loss.{found.outcome}", sentence) if unit == "nats" else sentence


def difference(found: Contrast[Any]) -> Text:
    """Return how far an arm lies from the other, with the interval."""
    return with_range(found.found.mean, found.found.interval, found.quantity.difference)


def verdict_of(found: Contrast[Any]) -> Text:
    """Return the outcome of an arm against another."""
    return verdict(found.found, found.quantity.unit or "points")


def p_columns(of: Callable[[R], Comparison | None]) -> list[Column[R]]:
    """Return p by Student's t after Holm's correction, and by sign flips alone; dashes where nothing was tested."""

    def tested(row: R) -> Comparison | None:
        found = of(row)
        return found if found and found.is_tested else None

    by_t: Column[Comparison] = column(
        "verdict.p", lambda found: found.p if found.adjusted_p is None else found.adjusted_p, _p
    )
    return columns_of(tested, [by_t, column("verdict.flips", lambda found: found.sign_flip_p, _p)])


def with_rule(tables: Sequence[Table]) -> list[Table]:
    """Return a section's tables; the first that judges arms, or all of its family, say in their notes how all verdicts
    come about.
    """
    heads = [[head.title for head in table.columns] for table in tables]
    first = next((place for place, titles in enumerate(heads) if say(IN_WORDS) in titles), None)
    if first is None:
        return list(tables)
    sentences = [say("verdict.note")]
    sentences += [say("verdict.flips_note")] if any(say("verdict.flips") in titles for titles in heads) else []
    family = tables[first].family

    def ruled(place: int) -> bool:
        return place == first or (family != "" and tables[place].family == family)

    return [
        replace(table, note=joined("sentence", [table.note, *sentences])) if ruled(place) else table
        for place, table in enumerate(tables)
    ]


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
