"""Origin of the numbers: machine, versions, code, clock and the warnings of the runs themselves."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from suite.records import numbers
from suite.records.derived import run_warnings, started_at
from suite.records.record import Record
from suite.report.blocks import Headline, Joined, Kind, Say, Table, Text, joined, say, say_or
from suite.report.model.experiment import grouped
from suite.report.model.results import Results
from suite.report.model.run import scrub_recorded
from suite.report.plot.text import shortened
from suite.report.table import Column, column, part_columns, plain_title, table

LONGEST_FACT, LONGEST_IDENTIFIER = 400, 12
IN_BYTES = ("memory_bytes", "cgroup_memory_bytes")
OF_ENVIRONMENT = (
    *("machine_id", "cpu", "usable_cpus", "cgroup_cpus", *IN_BYTES, "gpus", "gpus_unread"),
    *("os", "python", "packages", "variables"),
)
MOST_BYTES = 1 << 60
NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]\d+)?")  # warnings that differ in nothing else are one
Fact = tuple[str, Mapping[str, Text]]
"""A fact's name, and what it is under each label."""


def origin(results: Results) -> Headline | None:
    """How many records there are, of how many machines and commits and from when; None without a record."""
    records = [current.record for current in results.records]
    machines = {str(record.environment.get("machine_id") or "") for record in records}
    commits = {str(record.provenance.get("commit") or "") for record in records} - {""}
    counts = {"records": len(records), "machines": len(machines), "commits": len(commits)}
    fields = {name: numbers.count(count) for name, count in counts.items()}
    text = say("trust.origin", dates=_dates(records) or numbers.NOTHING, **fields)
    return Headline(text=text) if records else None


def fact_table(results: Results) -> Table:
    """The table of each label's machine, versions and code; a fact that differs within a label has every value once."""
    by_label = {
        label: [current.record for current in results.records if current.label == label] for label in results.labels
    }
    facts: dict[str, Callable[[Record], Any]] = {
        **{name: partial(_environment_fact, name) for name in OF_ENVIRONMENT},
        "suite_version": lambda record: record.provenance.get("suite_version"),
        "commit": _commit,
        "source_digest": lambda record: _short_identifier(record.provenance.get("source_digest")),
        "clock": _clock,
        "evidence": lambda record: say(f"evidence.{record.evidence}"),
    }
    rows: list[Fact] = []
    for name, fact in facts.items():
        texts = {label: _every_value(map(fact, records)) for label, records in by_label.items()}
        rows += [(name, texts)] if any(texts.values()) else []
    rows.append(("dates", {label: _dates(records) for label, records in by_label.items()}))
    rows.append(("records", {label: numbers.count(len(records)) for label, records in by_label.items()}))
    fact_name: Column[Fact] = column("column.fact", lambda row: say(f"fact.{row[0]}"))
    labels: list[Column[Mapping[str, Text]]] = [
        column(plain_title(label), itemgetter(label), kind=Kind.LONG) for label in results.labels
    ]
    return table(
        say("trust.facts"), rows if results.records else [], [fact_name, *part_columns(lambda row: row[1], labels)]
    )


def _environment_fact(name: str, record: Record) -> Any:
    """A fact of a record's environment; a size in bytes is written with a unit."""
    value = record.environment.get(name)
    if name in IN_BYTES and isinstance(value, int) and 0 < value < MOST_BYTES:
        return numbers.bytes_iec(value)
    return value


def _commit(record: Record) -> Text:
    """A record's commit, cut short, with a note on uncommitted changes."""
    sha = _short_identifier(record.provenance.get("commit"))
    return joined(" ", [sha, say("trust.dirty")]) if sha and record.provenance.get("dirty") is True else sha


def _clock(record: Record) -> Text:
    """What a run was timed by, in the language, or as the record writes it; empty without a clock."""
    clock = record.provenance.get("clock")
    return say_or(f"clock.{clock}", _written(clock)) if clock else ""


def _short_identifier(value: Any) -> str:
    """The first LONGEST_IDENTIFIER characters; empty for no value."""
    return str(value)[:LONGEST_IDENTIFIER] if value else ""


def _dates(records: Sequence[Record]) -> str:
    """The first and the last start of records, to the minute; one where they are the same."""
    starts = sorted({started_at(record)[:16].replace("T", " ") for record in records} - {""})
    return " – ".join(dict.fromkeys([*starts[:1], *starts[-1:]]))


def _every_value(values: Iterable[Any]) -> Text:
    """Every different value once, such as several machines under one label; cut where it is too long."""
    whole = joined("; ", dict.fromkeys(text for text in map(_written, values) if text != ""))
    return shortened(whole, LONGEST_FACT) if isinstance(whole, str) else whole


def _written(value: Any) -> Text:
    """A fact of a record as text, without what is private; cut where it is too long."""
    if value is None or isinstance(value, Say | Joined):
        return value or ""
    if isinstance(value, Mapping):
        value = [f"{name} {item}" for name, item in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return shortened(scrub_recorded(text), LONGEST_FACT)


def warning_table(results: Results) -> Table:
    """The table of the runs' warnings; those that differ in numbers alone are one row with the numbers of the first."""
    warnings = [(current.label, warning) for current in results.records for warning in run_warnings(current.record)]
    repeats = grouped(warnings, lambda item: (item[0], NUMBER.sub("", item[1])))
    columns: list[Column[Sequence[tuple[str, str]]]] = [
        column("column.warning", lambda row: scrub_recorded(row[0][1]), kind=Kind.LONG),
        column("column.label", lambda row: row[0][0], facet="label"),
        column("column.records", len, numbers.count),
    ]
    return table(say("trust.warnings"), sorted(repeats.values(), key=lambda row: -len(row)), columns)
