"""Filters of the page: the facets of its figures, tables, rows and traces.

A block that says nothing of a facet stays whatever is chosen.
"""

from collections.abc import Iterable, Sequence

from suite.records import numbers
from suite.report.blocks import Facets, Joined, Say, Section, Table, Text
from suite.report.model.labels import FACETS


def table_facets(table: Table) -> tuple[Facets, Sequence[Facets]]:
    """Return what a table's rows are about: what they all share, said once, and for each row the rest."""
    first, *others = table.row_facets or [{}]
    shared = {
        name: value
        for name, value in first.items()
        if isinstance(value, str) and all(other.get(name) == value for other in others)
    }
    rest = [{name: value for name, value in row.items() if name not in shared} for row in table.row_facets]
    return {**table.facets, **shared}, rest if any(rest) else []


def choices(sections: Sequence[Section]) -> dict[str, list[Text]]:
    """Return, for each facet that has at least two, the values that the page holds, in their order on it."""
    found: dict[str, dict[Text, None]] = {name: {} for name in FACETS}
    for section in sections:
        for name, value in _said(section):
            if value not in ("", numbers.NOTHING):
                found[name][value] = None
    return {name: list(values) for name, values in found.items() if len(values) > 1}


def _said(section: Section) -> Iterable[tuple[str, Text]]:
    for figure in section.figures:
        yield from figure.facets.items()
    for table in section.tables:
        yield from table.facets.items()
        for place, column in enumerate(table.columns):
            if column.facet:
                yield from ((column.facet, row[place]) for row in table.rows)
        for facets in table.row_facets:
            for name, values in facets.items():
                yield from ((name, value) for value in ([values] if isinstance(values, str | Say | Joined) else values))
