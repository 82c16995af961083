"""Facets of a table: what all its rows are about, and what each is."""

from collections.abc import Sequence

from suite.report.blocks import Facets, Table


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
