"""The operators that really ran: a backend is a request, and torch may answer it with another path without a word."""

from collections.abc import Sequence

from suite.records import numbers
from suite.records.derived import operators_of
from suite.records.machine.privacy import without_paths
from suite.report.attention.timings import BACKEND, KERNEL, PHASE, Timing, one_a_record, timings
from suite.report.blocks import Headline, Kind, Section, Text, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import rank, variant_label
from suite.report.model.results import Results
from suite.report.table import Column, column, columns_of, label_column, table

MATH_PATH = "_scaled_dot_product_attention_math"
"""torch's path of separate operators, taken without a word where no fused kernel fits."""
WHOLE_ATTENTION = "attention"
"""Stands in the name of every operator that is one."""
MOST_NAMES = 2
"""More geometries are counted instead of named."""

Cases = Sequence[Timing]
"""Timings of one phase, backend, dtype and label whose kernels ran the same operators."""


def attention_operator(operators: Sequence[str]) -> str | None:
    """Return the one that tells which path was taken: the math path, else the first whole attention."""
    if MATH_PATH in operators:
        return MATH_PATH
    return next((name for name in operators if WHOLE_ATTENTION in name), None)


def build(results: Results) -> Section | None:
    """Build it from the operators that the profiler saw; None where no record names any."""

    def key(timing: Timing) -> tuple[tuple[str, ...], str, str, str, str]:
        return _ran(timing), timing.axis("phase"), timing.backend, timing.axis("dtype"), timing.label

    found = grouped(one_a_record(timings(results)), key)
    if not any(ran for ran, *_ in found):
        return None
    widest = {ran: (MATH_PATH not in ran[0], rank(_by_rank(cases)[0].variant), ran[1:]) for ran, cases in found.items()}
    shared: list[Column[Timing]] = [
        PHASE,
        BACKEND,
        column("column.dtype", lambda timing: timing.axis("dtype"), facet="dtype"),
        column("operators.flag", lambda timing: say("operators.math") if MATH_PATH in _ran(timing) else ""),
        column("operators.ran", lambda timing: without_paths(", ".join(_ran(timing)))),
        *label_column(results.several),
    ]
    columns: list[Column[Cases]] = [
        column(
            "column.variant", lambda cases: joined("list", dict.fromkeys(case.variant_name for case in _by_rank(cases)))
        ),
        *columns_of(lambda cases: cases[0], shared),
        column("column.geometry", _geometries),
        column("latency.context", _contexts, kind=Kind.NUMBER),
        column("column.cases", len, numbers.count),
    ]
    rows = [found[ran] for ran in sorted(found, key=widest.__getitem__)]
    fell = sum(len(cases) for (ran, *_), cases in found.items() if MATH_PATH in ran)
    counts = {"fell": numbers.count(fell), "count": numbers.count(sum(map(len, found.values())))}
    headline = Headline(text=say("operators.headline" if fell else "operators.none", **counts))
    tables = [table(say("operators.table"), rows, columns, facets_of=_facets)]
    return section("operators", tables=tables, headlines=[headline])


def _ran(timing: Timing) -> tuple[str, ...]:
    return operators_of(timing.record, KERNEL)


def _by_rank(cases: Cases) -> Cases:
    return sorted(cases, key=lambda timing: rank(timing.variant))


def _facets(cases: Cases) -> dict[str, list[str]]:
    return {
        "variant": sorted({variant_label(timing.variant) for timing in cases}),
        "geometry": sorted({timing.axis("geometry") for timing in cases}),
    }


def _geometries(cases: Cases) -> Text:
    names = sorted({timing.axis("geometry") or numbers.NOTHING for timing in cases})
    return joined("list", names) if len(names) <= MOST_NAMES else say("operators.geometries", count=len(names))


def _contexts(cases: Cases) -> str:
    known = {timing.tokens for timing in cases if timing.tokens}
    return "–".join(map(numbers.count, sorted({min(known), max(known)}))) if known else ""
