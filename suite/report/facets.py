"""Until every chapter draws by plot/: what a trace is about."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.report.model.labels import FACETS as FACETS
from suite.report.model.labels import case_facets as case_facets
from suite.report.model.labels import name_facets as name_facets
from suite.report.model.labels import record_facets as record_facets
from suite.report.plot.text import figure_text


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
