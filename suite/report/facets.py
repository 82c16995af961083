"""What a reader can filter the page by. A figure, a table, a row or a trace says what it is about, in the texts that
people see; what says nothing of a facet stays whatever is chosen.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.records.record import Record
from suite.report.blocks import Section, Table, Text, say_or
from suite.report.charts import figure_text
from suite.report.palette import shown
from suite.report.rl_palette import shown_algorithm

FACETS = ("algorithm", "variant", "geometry", "phase", "dtype", "label")
"""Each is called as its column is: column.variant and so on."""


def case_facets(axes: Mapping[str, Any]) -> dict[str, str]:
    """What a group of cases has in common, of the axes that are facets."""
    named = {name: str(axes.get(name) or "") for name in ("geometry", "phase", "dtype")}
    named["phase"] = say_or(f"phase.{named['phase']}", named["phase"])
    return {name: text for name, text in named.items() if text}


def record_facets(record: Record) -> dict[str, str]:
    return case_facets(record.case.axes) | name_facets(record.case.axes)


def name_facets(axes: Mapping[str, Any]) -> dict[str, str]:
    """What a case is named by: its attention variant and, where it is a training run, its algorithm."""
    variant, algorithm = (str(axes.get(name) or "") for name in ("attention", "algorithm"))
    named = {"algorithm": shown_algorithm(algorithm), "variant": shown(variant)}
    return {name: text for name, text in named.items() if text}


def trace_facets(**facets: str | Sequence[str]) -> dict[str, Any]:
    """A trace's own: one text for all of it, or one for each point. They are written as all text in figures is."""
    return {
        "meta": {
            name: [figure_text(one) for one in value] if isinstance(value, list | tuple) else figure_text(value)
            for name, value in facets.items()
        }
    }


def point_facets(about: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A trace's whose points differ: what each is about, of the facets that any of them says something of."""
    said = [name for name in FACETS if any(one.get(name) for one in about)]
    return trace_facets(**{name: [one.get(name, "") for one in about] for name in said})


def told(table: Table) -> tuple[Mapping[Text, Text], Sequence[Mapping[Text, Text | Sequence[Text]]]]:
    """What a table's rows are about: what they all share, said once, and for each row the rest."""
    first, *others = table.row_facets or [{}]
    shared = {
        name: value
        for name, value in first.items()
        if isinstance(value, str) and all(other.get(name) == value for other in others)
    }
    rest = [{name: value for name, value in row.items() if name not in shared} for row in table.row_facets]
    return {**table.facets, **shared}, rest if any(rest) else []


def choices(sections: Sequence[Section]) -> dict[str, list[str]]:
    """For each facet that has at least two the values that the page holds, in their order on it."""
    found: dict[str, dict[str, None]] = {name: {} for name in FACETS}
    for section in sections:
        for name, value in _said(section):
            if value not in ("", numbers.NOTHING):
                found[name][value] = None
    return {name: list(values) for name, values in found.items() if len(values) > 1}


def _said(section: Section) -> Iterable[tuple[str, str]]:
    for figure in section.figures:
        yield from figure.facets.items()
    for table in section.tables:
        yield from table.facets.items()
        for place, column in enumerate(table.columns):
            if column.facet:
                yield from ((column.facet, row[place]) for row in table.rows)
        for facets in table.row_facets:
            yield from ((name, value) for name, values in facets.items() for value in _each(values))


def _each(values: str | Sequence[str]) -> Sequence[str]:
    return [values] if isinstance(values, str) else values
