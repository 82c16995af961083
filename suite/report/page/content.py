"""Sections as plain data, in a language, for the scripts that draw them; and the page's first line.

What a reader can choose by, a facet, has a key: its English name as a figure may hold it, whatever the language. So an
address works in each. `terms` says what it is called.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from suite.records import numbers
from suite.records.derived import started_at
from suite.records.machines import plain_name
from suite.records.record import Record, Status
from suite.report.blocks import Answers, Facets, Figure, Joined, Lead, Say, Section, Table, Text
from suite.report.model.results import Results
from suite.report.model.run import clip_text, machine_name
from suite.report.page.texts import PLAIN, Texts
from suite.report.plot.text import figure_text

REFUSED = (Status.UNSUPPORTED, Status.OUT_OF_MEMORY)
MOST_NAMED = 2


def view_content(
    sections: Iterable[Section], texts: Texts, english: Texts, run_numbers: Mapping[str, int]
) -> dict[str, Any]:
    """A view's sections as plain data, and as `terms` what each facet value is called in the language, where that is
    not its English name. `run_numbers`: the place in the page's list of runs, by run key."""
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
        """A section in the language as plain data: its texts, headlines, figures and tables."""
        rendered = self.texts.section(section)
        return {
            **_attributes(rendered, "id", "title", "explanation"),
            "headlines": [asdict(headline) for headline in rendered.headlines],
            "figures": list(map(self._figure, section.figures, rendered.figures)),
            "tables": list(map(self._table, section.tables, rendered.tables)),
        }

    def _figure(self, figure: Figure, rendered: Figure) -> dict[str, Any]:
        """A figure as plain data; its key and its facets are in English, its texts in the language."""
        views = [
            {"title": shown.title, "figure": self._with_run_numbers(view.figure, shown.figure)}
            for view, shown in zip(figure.views, rendered.views, strict=True)
        ]
        return {
            **_attributes(rendered, "title", "family", "finding", "caption", "source", "settings"),
            "key": self.english.render(figure.family or figure.title),
            "height": figure.height_px,
            "facets": self._english_facets(figure.facets),
            "views": views,
        }

    def _with_run_numbers(self, figure: Mapping[str, Any], rendered: Mapping[str, Any]) -> dict[str, Any]:
        """A rendered Plotly figure, its runs as numbers (`customdata`) and its facets in English (`meta`)."""
        data, run_numbers = [], self.run_numbers
        for trace, rendered_trace in zip(figure["data"], rendered["data"], strict=True):
            numbered = dict(rendered_trace)
            if "meta" in trace:
                numbered["meta"] = self.english.figure(trace["meta"])
                self._add_terms(numbered["meta"], rendered_trace["meta"])
            if "customdata" in trace:
                by_point = trace["customdata"]
                numbered["customdata"] = [[run_numbers[key] for key in keys if key in run_numbers] for keys in by_point]
            data.append(numbered)
        return {**rendered, "data": data}

    def _table(self, table: Table, rendered: Table) -> dict[str, Any]:
        """A table as plain data; its key and its facets are in English. Facets that cells say join `terms` too."""
        facets, row_facets = table_facets(table)
        for place, column in enumerate(table.columns):
            for row in table.rows if column.facet else ():
                self._english_facets({column.facet: row[place]})
        return {
            **_attributes(rendered, "title", "family", "settings", "note", "folded", "rows"),
            "key": self.english.render(table.family or table.title),
            "facets": self._english_facets(facets),
            "columns": [asdict(head) for head in rendered.columns],
            "rowFacets": list(map(self._english_facets, row_facets)),
        }

    def _english_facets(self, facets: Facets) -> dict[str, Any]:
        """Facets in English, as a figure may hold them; adds to `terms` what they are called in the language."""
        english: Mapping[str, Any] = self.english.render_block(facets)
        self._add_terms(english, self.texts.render_block(facets))
        return {
            name: figure_text(value) if isinstance(value, str) else list(map(figure_text, value))
            for name, value in english.items()
        }

    def _add_terms(self, english: Mapping[str, Any], translated: Mapping[str, Any]) -> None:
        """Add to `terms` what each English facet value is called in the language."""
        for name, key in english.items():
            pairs = [(key, translated[name])] if isinstance(key, str) else zip(key, translated[name], strict=True)
            self.terms.update({figure_text(key): term for key, term in pairs if isinstance(key, str)})


def _attributes(block: Section | Figure | Table, *names: str) -> dict[str, Any]:
    """A block's attributes of these names, as a dictionary."""
    return {name: getattr(block, name) for name in names}


def table_facets(table: Table) -> tuple[Facets, Sequence[Facets]]:
    """The facets that hold for all rows of a table, and each row's other ones: an empty list where no row has any."""
    first, *rows = table.row_facets or [{}]
    shared: dict[str, Text | Sequence[Text]] = {
        name: value
        for name, value in first.items()
        if not isinstance(value, list | tuple) and all(row.get(name) == value for row in rows)
    }
    rest = [{name: value for name, value in row.items() if name not in shared} for row in table.row_facets]
    return {**table.facets, **shared}, rest if any(rest) else []


def answers_content(answers: Answers | None, texts: Texts, english: Texts) -> dict[str, Any]:
    """The answers in a language as plain data; empty without answers. Links name facets in English, as addresses do."""
    if answers is None:
        return {}

    def plain(value: Any) -> Any:
        if type(value) in PLAIN:
            return value
        if isinstance(value, Say | Joined):
            return texts.render(value)
        if isinstance(value, Lead):
            link = {facet: figure_text(english.render(text)) for facet, text in value.link.items()}
            return {**plain_parts(value), "link": link}
        return plain_parts(value) if is_dataclass(value) else texts.map_inside(value, plain)

    def plain_parts(block: Any) -> dict[str, Any]:
        return {part.name: plain(getattr(block, part.name)) for part in fields(block)}

    return plain_parts(answers)


def ran_content(results: Results, texts: Texts) -> dict[str, Any]:
    """The page's first line: sentences on `own` runs and `references`, and `nothing` without records; each may be
    empty."""
    own_records = [current.record for current in results.own.records]
    references = [current.record for current in results.records if current.label in results.references]
    return {
        "own": _runs_sentence("page.ran_own", own_records, texts) if own_records else "",
        "references": _runs_sentence("page.ran_references", references, texts) if references else "",
        "nothing": "" if results.records else texts("page.no_records"),
    }


def _runs_sentence(key: str, records: Sequence[Record], texts: Texts) -> str:
    """The sentence under `key` on what was run, where, when, at which commits, and how many runs ended in which way."""
    ended = Counter(record.status for record in records)
    refused = sum(ended[status] for status in REFUSED)
    days = sorted(filter(None, (started_at(record)[:10] for record in records)))
    newest_first = sorted(records, key=started_at, reverse=True)
    return texts(
        key,
        cases=numbers.count(len(records)),
        machines=_first_names(map(plain_name, dict.fromkeys(map(machine_name, records))), texts),
        days="–".join(dict.fromkeys([days[0], days[-1]])) if days else numbers.NOTHING,
        commits=_first_names((clip_text(record.provenance.get("commit"))[:7] for record in newest_first), texts),
        ok=numbers.count(ended[Status.OK]),
        refused=numbers.count(refused),
        failed=numbers.count(len(records) - ended[Status.OK] - refused),
    )


def _first_names(names: Iterable[str], texts: Texts) -> str:
    """The first MOST_NAMED different names, joined, and how many more there are; a dash for none."""
    distinct = [name for name in dict.fromkeys(names) if name]
    listing = texts("punctuation.list").join(distinct[:MOST_NAMED]) or numbers.NOTHING
    more = len(distinct) - MOST_NAMED
    return texts("page.and_more", names=listing, count=more) if more > 0 else listing
