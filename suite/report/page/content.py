"""Sections as plain data, in a language, for the scripts that draw them.

What a reader can choose by, a facet, has a key: its English name as a figure may hold it, whatever the language. So an
address works in each. `terms` says what it is called.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from suite.report.blocks import Answers, Facets, Figure, Section, Table
from suite.report.page.texts import Texts
from suite.report.plot.text import figure_text

Numbers = Mapping[str, int]
"""The place in the page's list of runs, by run key."""


def view_content(said: Iterable[Section], keyed: Iterable[Section], numbers: Numbers) -> dict[str, Any]:
    """Return the sections of a view, and what its facets are called where that is not their English name.

    `said`: the sections in the reader's language; `keyed`: the same in English.
    """
    terms: dict[str, str] = {}
    content = [_section(*pair, numbers, terms) for pair in zip(said, keyed, strict=True)]
    return {"sections": content, "terms": {key: term for key, term in terms.items() if key != term}}


def answers_content(answers: Answers | None, texts: Texts, english: Texts) -> dict[str, Any]:
    """Return the answers in a language; nothing of none. Links name facets in English, as every address does."""
    if answers is None:
        return {}
    said, keyed = (asdict(language.render_block(answers)) for language in (texts, english))
    content: dict[str, Any] = _linked(said, keyed)
    return content


def _linked(said: Any, keyed: Any) -> Any:
    if isinstance(said, dict):
        return {
            name: _keys(keyed[name]) if name == "link" else _linked(part, keyed[name]) for name, part in said.items()
        }
    return list(map(_linked, said, keyed)) if isinstance(said, list) else said


def _section(said: Section, keyed: Section, numbers: Numbers, terms: dict[str, str]) -> dict[str, Any]:
    return {
        "id": said.id,
        "title": said.title,
        "explanation": said.explanation,
        "headlines": [asdict(headline) for headline in said.headlines],
        "figures": [_figure(*pair, numbers, terms) for pair in zip(said.figures, keyed.figures, strict=True)],
        "tables": [_table(*pair, terms) for pair in zip(said.tables, keyed.tables, strict=True)],
    }


def _figure(said: Figure, keyed: Figure, numbers: Numbers, terms: dict[str, str]) -> dict[str, Any]:
    _learn(said.facets, keyed.facets, terms)
    return {
        "title": said.title,
        "key": str(keyed.family or keyed.title),
        "family": said.family,
        "finding": said.finding,
        "caption": said.caption,
        "source": said.source,
        "settings": said.settings,
        "height": said.height_px,
        "facets": _keys(keyed.facets),
        "views": [
            {"title": ours.title, "figure": _numbered(ours.figure, theirs.figure, numbers, terms)}
            for ours, theirs in zip(said.views, keyed.views, strict=True)
        ],
    }


def _numbered(
    figure: Mapping[str, Any], keyed: Mapping[str, Any], numbers: Numbers, terms: dict[str, str]
) -> dict[str, Any]:
    """A figure whose points say by number which runs they are made of, and by English words what about."""
    data = []
    for trace, english in zip(figure["data"], keyed["data"], strict=True):
        done = dict(trace)
        if "meta" in trace:
            _learn(trace["meta"], english["meta"], terms)
            done["meta"] = english["meta"]
        if "customdata" in trace:
            done["customdata"] = [[numbers[key] for key in keys if key in numbers] for keys in trace["customdata"]]
        data.append(done)
    return {**figure, "data": data}


def _table(said: Table, keyed: Table, terms: dict[str, str]) -> dict[str, Any]:
    _learn(said.facets, keyed.facets, terms)
    facets, row_facets = table_facets(keyed)
    for ours, theirs in zip(said.row_facets, keyed.row_facets, strict=True):
        _learn(ours, theirs, terms)
    for place, column in enumerate(said.columns):
        if column.facet:
            for row, english in zip(said.rows, keyed.rows, strict=True):
                _learn({column.facet: row[place]}, {column.facet: english[place]}, terms)
    return {
        "title": said.title,
        "key": str(keyed.family or keyed.title),
        "family": said.family,
        "settings": said.settings,
        "note": said.note,
        "folded": said.folded,
        "facets": _keys(facets),
        "columns": [{"title": head.title, "kind": str(head.kind), "facet": head.facet} for head in said.columns],
        "rows": [list(row) for row in said.rows],
        "rowFacets": list(map(_keys, row_facets)),
    }


def table_facets(table: Table) -> tuple[Facets, Sequence[Facets]]:
    """Return what a table's rows are about: what they all share, said once, and for each row the rest."""
    first, *rows = table.row_facets or [{}]
    shared = {
        name: value
        for name, value in first.items()
        if isinstance(value, str) and all(row.get(name) == value for row in rows)
    }
    rest = [{name: value for name, value in row.items() if name not in shared} for row in table.row_facets]
    return {**table.facets, **shared}, rest if any(rest) else []


def _learn(said: Mapping[str, Any], keyed: Mapping[str, Any], terms: dict[str, str]) -> None:
    """Note what a facet's value is called, where it is not its English name."""
    for name, key in keyed.items():
        pairs = [(key, said[name])] if isinstance(key, str) else zip(key, said[name], strict=True)
        terms.update({figure_text(english): ours for english, ours in pairs if isinstance(english, str)})


def _keys(facets: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: figure_text(value) if isinstance(value, str) else list(map(figure_text, value))
        for name, value in facets.items()
    }
