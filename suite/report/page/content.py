"""Sections as plain data, in a language, for the scripts that draw them; the page's first line; and every run.

What a reader can choose by, a facet, has a key: its English name as a figure may hold it, whatever the language. So an
address works in each. `terms` says what it is called.

A run's record stands in the page with its timings; numbers keep seven digits, and digests of files stay where the files
are. Of the series that training leaves, hundreds of readings each, stands the last value: they are in the run's folder.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from hashlib import blake2b
from typing import Any

from suite.machine.privacy import FREE_TEXTS, Scrubber
from suite.records import numbers
from suite.records.case import command_line
from suite.records.derived import started_at
from suite.records.machines import machine_names, plain_name
from suite.records.record import TIMINGS, Record, Status
from suite.report.blocks import Answers, Facets, Figure, Joined, Lead, Say, Section, Table, Text
from suite.report.model.results import Results
from suite.report.model.run import clip_text, machine_name, plausible_launches
from suite.report.page.texts import PLAIN, Texts
from suite.report.plot.text import figure_text
from suite.statistics.intervals import launched_interval

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
            {"title": texts.title, "figure": self._with_run_numbers(view.figure, texts.figure)}
            for view, texts in zip(figure.views, rendered.views, strict=True)
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
        for name, key in english.items():
            pairs = [(key, translated[name])] if isinstance(key, str) else zip(key, translated[name], strict=True)
            self.terms.update({figure_text(key): term for key, term in pairs if isinstance(key, str)})


def _attributes(block: Section | Figure | Table, *names: str) -> dict[str, Any]:
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


MOST_READINGS = 500  # readings up to which the timings of a run stand in the page


def runs_content(results: Results) -> dict[str, Any]:
    """All runs as plain data, by block: `runs`, a line each; `numbers`, one table for all runs of the same names;
    and `records`, with the parts that they share held once."""
    pool = SharedObjects()
    lines, records, tables = list[Any](), list[Any](), list[int]()
    names: dict[tuple[tuple[str, str], ...], int] = {}
    columns: list[list[list[Any]]] = []
    machines = machine_names([record for _, record in results.all_records])
    for (label, record), machine in zip(results.all_records, machines, strict=True):
        lines.append(_run_line(label, record, machine))
        numbers = _number_rows(record)
        names_of_run = tuple((span, metric) for span, metric, *_ in numbers)
        if names_of_run not in names:
            names[names_of_run] = len(names)
            columns.append([[] for _ in numbers])
        tables.append(names[names_of_run])
        for column, (_, _, *values) in zip(columns[tables[-1]], numbers, strict=True):
            column.append(values)
        # Rows of span, metric and all values for repeated timings; none of a run of many steps.
        is_short = len(record.readings) <= MOST_READINGS
        timed = {name: repeats for name, repeats in record.by_span.items() if is_short and name[1] in TIMINGS}
        timings = [[*name, list(map(_json_number, repeats.column("value")))] for name, repeats in timed.items()]
        without_digests = {name: part for name, part in record.as_json().items() if name != "files"}
        records.append({"record": pool.put(without_digests), "readings": timings})
    numbers_of_runs = {"names": list(names), "tables": tables, "columns": columns}
    return {"runs": lines, "numbers": numbers_of_runs, "records": {"pool": pool.values, "runs": records}}


def run_numbers(results: Results) -> dict[str, int]:
    """The position of each run key in the list of runs; the last one of a key that occurs twice."""
    return {record.run_key: place for place, (_, record) in enumerate(results.all_records)}


class SharedObjects:
    """Objects that many records share, each held once, as it may leave this machine."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[bytes | None, int] = {}
        """By digests of the objects, as they were recorded and as they stand in the pool."""
        self._scrubber = Scrubber()

    def put(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Add a record's objects to the pool, nested ones too; gives a copy with their places instead: `{"@": 3}`."""
        return {key: self._pooled(key, value, depth=2) for key, value in record.items()}

    def _pooled(self, key: str, value: Any, depth: int) -> Any:
        """A value without private text; an object, and those in it down to `depth`, gives its place in the pool."""
        if not (isinstance(value, dict | Mapping) and value) or key in FREE_TEXTS:
            return self._scrubbed(key, value)
        # Few records share all their settings, but most share each object in them, which is looked up as it came.
        recorded = _digest([key, depth, value]) if depth == 1 else None
        if recorded not in self._places:
            inner = {name: self._pooled(name, part, depth - 1) for name, part in value.items()} if depth else value
            pooled = _digest([key, inner])
            if pooled not in self._places:
                self._places[pooled] = len(self.values)
                self.values.append(inner if depth else self._scrubbed(key, inner))
            if recorded is None:
                return {"@": self._places[pooled]}
            self._places[recorded] = self._places[pooled]
        return {"@": self._places[recorded]}

    def _scrubbed(self, key: str, value: Any) -> Any:
        return _in_seven_digits(self._scrubber.clean_data({key: value}, is_free=False)[key])


def _digest(value: Any) -> bytes:
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()


def _run_line(label: str, record: Record, machine: str) -> dict[str, Any]:
    """A run's line in lists and on a point's card: case, status, machine, time and command, as plain data."""
    commit = record.provenance.get("commit")
    return {
        "key": record.run_key[:12],
        "label": label,
        "case": record.case.id,
        "status": str(record.status),
        "reason": clip_text(record.reason, 300),
        "evidence": str(record.evidence),
        "machine": machine,
        "at": started_at(record),
        "commit": clip_text(commit)[:12] + "+" * (record.provenance.get("dirty") is True),
        "clock": clip_text(record.provenance.get("clock")),
        "command": command_line(record.case),
    }


def _number_rows(record: Record) -> list[list[Any]]:
    """Rows of span, metric, count and last value; of timings the median instead, and behind it its interval's ends."""
    rows, values = [], record.rows.column("value")
    for (span, metric), repeats in record.by_span.items():
        if metric not in TIMINGS:
            rows.append([span, metric, len(repeats), _json_number(values[repeats.places[-1]])])  # where training ended
        elif launches := plausible_launches(repeats):
            interval = launched_interval(list(launches.values()))
            ends = [interval.low, interval.high] if interval.count > 1 else []
            rows.append([span, metric, interval.count, *map(_json_number, (interval.median, *ends))])
    return rows


def _json_number(value: float) -> float | str:
    """A number with seven digits, but a whole one as it is."""
    if not math.isfinite(value):
        return str(value)
    return value if value.is_integer() else float(f"{value:.7g}")


def _in_seven_digits(value: Any) -> Any:
    """Plain data with every number in it as `_json_number` writes it."""
    if isinstance(value, float):
        return _json_number(value)
    if isinstance(value, Mapping):
        return {name: _in_seven_digits(part) for name, part in value.items()}
    return list(map(_in_seven_digits, value)) if isinstance(value, list | tuple) else value
