"""Outcomes of suite.statistics.paired in words and numbers, the same for every section."""

from collections.abc import Sequence
from dataclasses import replace

from suite.records import numbers
from suite.report.blocks import Column, Kind, Table, Text, joined, say, say_or
from suite.statistics.paired import Comparison
from suite.statistics.scores import Estimate
from suite.statistics.seeds import mean_of_seeds


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """Return Student's interval of a mean over seeds; a single one has none."""
    return mean_of_seeds(values) if len(values) > 1 else None


def share_interval(values: Sequence[float]) -> Estimate | None:
    """Return the same of a mean of shares, no end of which lies outside of what a share can be."""
    found = mean_interval(values)
    if found is None:
        return None
    low, high = max(0.0, found.low), min(1.0, found.high)
    return Estimate(estimate=found.estimate, low=low, high=high, level=found.level, runs=found.runs)


def verdict(found: Comparison) -> Text:
    """Return the outcome as a cell or a sentence says it, in terms of shares."""
    return _in_unit(found, "points", 100 * (found.margin or 0.0))


def loss_verdict(found: Comparison) -> Text:
    """Return the outcome of values that are losses with their sign turned: higher is better."""
    return say_or(f"verdict.loss.{found.outcome}", _in_unit(found, "nats", found.margin or 0.0))


def p_columns() -> list[Column]:
    """Return the head of `p_cells`."""
    return [Column(title=say(f"verdict.{name}"), kind=Kind.NUMBER) for name in ("p", "flips")]


def p_cells(found: Comparison) -> list[str]:
    """Return p by Student's t after Holm's correction, and by sign flips alone; dashes where nothing was tested."""
    if not found.is_tested:
        return [numbers.NOTHING] * 2
    by_t = found.p if found.adjusted_p is None else found.adjusted_p
    return [_p_text(by_t), _p_text(found.sign_flip_p)]


def with_rule(tables: Sequence[Table]) -> list[Table]:
    """Return a section's tables; the first that judges arms says in its note how all verdicts come about."""
    heads = [[column.title for column in table.columns] for table in tables]
    first = next((place for place, titles in enumerate(heads) if say("rl_efficiency.in_words") in titles), None)
    if first is None:
        return list(tables)
    told = [say("verdict.note")]
    told += [say("verdict.flips_note")] if any(say("verdict.flips") in titles for titles in heads) else []
    note = joined("sentence", filter(None, [tables[first].note, *told]))
    return [replace(table, note=note) if place == first else table for place, table in enumerate(tables)]


def _p_text(p: float | None) -> str:
    return numbers.NOTHING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _in_unit(found: Comparison, unit: str, margin: float) -> Text:
    said = say(f"verdict.within.{unit}", margin=f"{margin:g}")
    return say(f"verdict.{found.outcome}", count=found.pairs, margin=said)
