"""What really ran: a backend is a request, and torch may answer it with another path without a word."""

from collections import defaultdict
from collections.abc import Sequence

from suite.records import numbers
from suite.records.derived import operators_of
from suite.records.privacy import without_paths
from suite.report.blocks import Column, Kind, Section, Table, Text, cell, joined, say, say_or
from suite.report.model.results import Results
from suite.report.palette import rank, shown
from suite.report.ran import MATH_PATH
from suite.report.timings import Timing, axis, is_timed, timings_of

SPAN = "kernel"
MOST_NAMES = 2
"""Of more geometries the number is given."""

Key = tuple[tuple[str, ...], str, str, str, str]
"""Operators, phase, backend, dtype and label."""


def build(results: Results) -> Section | None:
    found: dict[Key, list[Timing]] = defaultdict(list)
    for current in results.records:
        timing = next(iter(timings_of(current)), None) if is_timed(current) else None
        if timing:
            ran = operators_of(timing.record, SPAN)
            found[ran, axis(timing.record, "phase"), timing.backend, axis(timing.record, "dtype"), timing.label].append(
                timing
            )
    if not any(ran for ran, *_ in found):
        return None
    ordered = sorted(found.items(), key=lambda item: (MATH_PATH not in item[0][0], _widest(item[1]), item[0][1:]))
    return Section(
        id="operators",
        title=say("operators.title"),
        explanation=say("operators.explanation"),
        tables=[
            Table(
                title=say("operators.table"),
                columns=_columns(results),
                rows=[_row(key, timings, results) for key, timings in ordered],
                row_facets=[_facets(timings) for _, timings in ordered],
            )
        ],
    )


def _columns(results: Results) -> list[Column]:
    return [
        Column(title=say("column.variant")),
        Column(title=say("column.phase"), facet="phase"),
        Column(title=say("column.backend"), kind=Kind.CODE),
        *([Column(title=say("column.label"), facet="label")] if results.several else []),
        Column(title=say("column.dtype"), facet="dtype"),
        Column(title=say("operators.flag")),
        Column(title=say("operators.ran")),
        Column(title=say("column.geometry")),
        Column(title=say("latency.context"), kind=Kind.NUMBER),
        Column(title=say("column.cases"), kind=Kind.NUMBER),
    ]


def _row(key: Key, timings: Sequence[Timing], results: Results) -> list[str]:
    ran, phase, backend, dtype, label = key
    variants = sorted({timing.variant for timing in timings}, key=rank)
    return [
        joined("list", map(shown, variants)) or numbers.NOTHING,
        say_or(f"phase.{phase}", phase or numbers.NOTHING),
        backend or numbers.NOTHING,
        *([label] if results.several else []),
        dtype or numbers.NOTHING,
        say("operators.math") if MATH_PATH in ran else "",
        without_paths(", ".join(ran)) or numbers.NOTHING,
        _geometries(timings),
        _contexts(timings),
        numbers.count(len(timings)),
    ]


def _facets(timings: Sequence[Timing]) -> dict[str, list[str]]:
    return {
        "variant": sorted({shown(timing.variant) for timing in timings}),
        "geometry": sorted({axis(timing.record, "geometry") for timing in timings}),
    }


def _widest(timings: Sequence[Timing]) -> tuple[int, str]:
    return min(rank(timing.variant) for timing in timings)


def _geometries(timings: Sequence[Timing]) -> Text:
    names = sorted({axis(timing.record, "geometry") or numbers.NOTHING for timing in timings})
    if len(names) > MOST_NAMES:
        return say("operators.geometries", count=len(names))
    return joined("list", names)


def _contexts(timings: Sequence[Timing]) -> Text:
    known = {timing.seq_len for timing in timings if timing.seq_len}
    ends = sorted({min(known), max(known)}) if known else [None]
    return joined("–", (cell(end, numbers.count) for end in ends))
