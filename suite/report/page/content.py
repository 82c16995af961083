"""Sections as plain data, in a language, for the scripts that draw them; and the page's first line.

What a reader can choose by, a facet, has a key: its English name as a figure may hold it, whatever the language. So an
address works in each. `terms` says what it is called.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from suite.records import numbers
from suite.records.derived import started_at
from suite.records.machines import plain_name
from suite.records.record import Record, Status
from suite.report.blocks import Answers, Facets, Figure, Section, Table, Text
from suite.report.model.results import Results
from suite.report.model.run import clip_text, machine_name
from suite.report.page.texts import Texts
from suite.report.plot.text import figure_text

REFUSED = (Status.UNSUPPORTED, Status.OUT_OF_MEMORY)
MOST_NAMED = 2


def view_content(
    sections: Iterable[Section], texts: Texts, english: Texts, run_numbers: Mapping[str, int]
) -> dict[str, Any]:
    """The sections of a view, and what its facets are called where that is not their English name.

    `run_numbers`: the place in the page's list of runs, by run key.
    """
    writer = _Writer(texts=texts, english=english, run_numbers=run_numbers)
    content = list(map(writer.section, sections))
    return {"sections": content, "terms": {key: term for key, term in writer.terms.items() if key != term}}


@dataclass(frozen=True, kw_only=True)
class _Writer:
    texts: Texts
    english: Texts
    run_numbers: Mapping[str, int]
    terms: dict[str, str] = field(default_factory=dict)
    """What each key that was met is called in the language."""

    def section(self, section: Section) -> dict[str, Any]:
        rendered = self.texts.section(section)
        return {
            **_parts(rendered, "id", "title", "explanation"),
            "headlines": [asdict(headline) for headline in rendered.headlines],
            "figures": list(map(self._figure, section.figures, rendered.figures)),
            "tables": list(map(self._table, section.tables, rendered.tables)),
        }

    def _figure(self, figure: Figure, rendered: Figure) -> dict[str, Any]:
        views = [
            {"title": ours.title, "figure": self._numbered(view.figure, ours.figure)}
            for view, ours in zip(figure.views, rendered.views, strict=True)
        ]
        return {
            **_parts(rendered, "title", "family", "finding", "caption", "source", "settings"),
            "key": self.english.render(figure.family or figure.title),
            "height": figure.height_px,
            "facets": self._keys(figure.facets),
            "views": views,
        }

    def _numbered(self, figure: Mapping[str, Any], rendered: Mapping[str, Any]) -> dict[str, Any]:
        """A figure whose points say by number which runs they are made of, and by English words what about."""
        data = []
        for trace, ours in zip(figure["data"], rendered["data"], strict=True):
            numbered = dict(ours)
            if "meta" in trace:
                numbered["meta"] = self.english.figure(trace["meta"])
                self._learn(numbered["meta"], ours["meta"])
            if "customdata" in trace:
                place = self.run_numbers
                numbered["customdata"] = [[place[key] for key in keys if key in place] for keys in trace["customdata"]]
            data.append(numbered)
        return {**rendered, "data": data}

    def _table(self, table: Table, rendered: Table) -> dict[str, Any]:
        facets, row_facets = table_facets(table)
        for place, column in enumerate(table.columns):
            for row in table.rows if column.facet else ():
                self._keys({column.facet: row[place]})
        return {
            **_parts(rendered, "title", "family", "settings", "note", "folded", "rows"),
            "key": self.english.render(table.family or table.title),
            "facets": self._keys(facets),
            "columns": [asdict(head) for head in rendered.columns],
            "rowFacets": list(map(self._keys, row_facets)),
        }

    def _keys(self, facets: Facets) -> dict[str, Any]:
        """What a block is about in English, as a figure may hold it; notes what that is called in the language."""
        english: Mapping[str, Any] = self.english.render_block(facets)
        self._learn(english, self.texts.render_block(facets))
        return {
            name: figure_text(value) if isinstance(value, str) else list(map(figure_text, value))
            for name, value in english.items()
        }

    def _learn(self, english: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        for name, key in english.items():
            pairs = [(key, ours[name])] if isinstance(key, str) else zip(key, ours[name], strict=True)
            self.terms.update({figure_text(key): term for key, term in pairs if isinstance(key, str)})


def _parts(block: Section | Figure | Table, *names: str) -> dict[str, Any]:
    return {name: getattr(block, name) for name in names}


def table_facets(table: Table) -> tuple[Facets, Sequence[Facets]]:
    """What a table's rows are about: what they all share, said once, and for each row the rest."""
    first, *rows = table.row_facets or [{}]
    shared: dict[str, Text | Sequence[Text]] = {
        name: value
        for name, value in first.items()
        if not isinstance(value, list | tuple) and all(row.get(name) == value for row in rows)
    }
    rest = [{name: value for name, value in row.items() if name not in shared} for row in table.row_facets]
    return {**table.facets, **shared}, rest if any(rest) else []


def answers_content(answers: Answers | None, texts: Texts, english: Texts) -> dict[str, Any]:
    """The answers in a language; nothing of none. Links name facets in English, as every address does."""
    if answers is None:
        return {}
    ours, in_english = (asdict(language.render_block(answers)) for language in (texts, english))
    content: dict[str, Any] = _with_english_links(ours, in_english)
    return content


def _with_english_links(ours: Any, in_english: Any) -> Any:
    if isinstance(ours, dict):
        return {
            name: {facet: figure_text(key) for facet, key in in_english[name].items()}
            if name == "link"
            else _with_english_links(part, in_english[name])
            for name, part in ours.items()
        }
    return list(map(_with_english_links, ours, in_english)) if isinstance(ours, list) else ours


def ran_content(results: Results, texts: Texts) -> dict[str, Any]:
    """The page's first line: a sentence on the person's own runs, and one on the reference records; empty for none."""
    own_records = [current.record for current in results.own.records]
    references = [current.record for current in results.records if current.label in results.references]
    return {
        "own": _ran("page.ran_own", own_records, texts) if own_records else "",
        "references": _ran("page.ran_references", references, texts) if references else "",
        "nothing": "" if results.records else texts("page.no_records"),
    }


def _ran(key: str, records: Sequence[Record], texts: Texts) -> str:
    """What was run, where and when, and how it ended."""
    ended = Counter(record.status for record in records)
    refused = sum(ended[status] for status in REFUSED)
    days = sorted(filter(None, (started_at(record)[:10] for record in records)))
    newest_first = sorted(records, key=started_at, reverse=True)
    return texts(
        key,
        cases=numbers.count(len(records)),
        machines=_few((plain_name(machine_name(record)) for record in records), texts),
        days="–".join(dict.fromkeys([days[0], days[-1]])) if days else numbers.NOTHING,
        commits=_few((clip_text(record.provenance.get("commit"))[:7] for record in newest_first), texts),
        ok=numbers.count(ended[Status.OK]),
        refused=numbers.count(refused),
        failed=numbers.count(len(records) - ended[Status.OK] - refused),
    )


def _few(names: Iterable[str], texts: Texts) -> str:
    """The first of the names, and how many more there are."""
    distinct = [name for name in dict.fromkeys(names) if name]
    listing = texts("punctuation.list").join(distinct[:MOST_NAMED]) or numbers.NOTHING
    more = len(distinct) - MOST_NAMED
    return texts("page.and_more", names=listing, count=more) if more > 0 else listing
