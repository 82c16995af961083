"""Where the numbers come from: machine, versions, code, clock and what the runs themselves warned of."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.records.derived import started_at, warnings_of
from suite.records.privacy import scrub
from suite.records.record import Record
from suite.report.blocks import Column, Joined, Kind, Say, Section, Table, Text, joined, say, say_or
from suite.report.model.results import Results

LONGEST_FACT = 400
LONGEST_IDENTIFIER = 12
ENVIRONMENT_FACTS = (
    "machine_id",
    "cpu",
    "usable_cpus",
    "cgroup_cpus",
    "memory_bytes",
    "cgroup_memory_bytes",
    "gpus",
    "gpus_unread",
    "os",
    "python",
    "packages",
    "variables",
)
IN_BYTES = ("memory_bytes", "cgroup_memory_bytes")
MOST_BYTES = 1 << 60
NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]\d+)?")
"""Warnings that differ in nothing else are one."""


def build(results: Results) -> Section | None:
    if not results.records:
        return None
    tables = [_facts(results), _warnings(results)]
    return Section(
        id="provenance",
        title=say("provenance.title"),
        explanation=say("provenance.explanation"),
        tables=[table for table in tables if table.rows],
    )


def _facts(results: Results) -> Table:
    by_label = [[c.record for c in results.records if c.label == label] for label in results.labels]
    facts: dict[str, Callable[[Record], Any]] = {
        name: lambda record, name=name: _environment_fact(record, name)  # type: ignore[misc]
        for name in ENVIRONMENT_FACTS
    }
    facts |= {
        "suite_version": lambda record: record.provenance.get("suite_version"),
        "commit": lambda record: _commit(record),
        "source_digest": lambda record: _short(record.provenance.get("source_digest")),
        "clock": lambda record: _clock(record),
        "evidence": lambda record: say(f"evidence.{record.evidence}"),
    }
    rows = [[say(f"fact.{name}"), *(_joined(map(fact, part)) for part in by_label)] for name, fact in facts.items()]
    rows = [row for row in rows if any(cell != numbers.NOTHING for cell in row[1:])]
    rows.append([say("fact.dates"), *(_dates(part) for part in by_label)])
    rows.append([say("fact.records"), *(numbers.count(len(part)) for part in by_label)])
    columns = [Column(title=say("column.fact")), *(Column(title=label, kind=Kind.LONG) for label in results.labels)]
    return Table(title=say("provenance.facts"), columns=columns, rows=rows)


def _environment_fact(record: Record, name: str) -> Any:
    value = record.environment.get(name)
    if name in IN_BYTES and isinstance(value, int) and 0 < value < MOST_BYTES:
        return numbers.bytes_iec(value)
    return value


def _commit(record: Record) -> str | None:
    sha = _short(record.provenance.get("commit"))
    return joined(" ", [sha, say("provenance.dirty")]) if sha and record.provenance.get("dirty") is True else sha


def _clock(record: Record) -> Text | None:
    clock = record.provenance.get("clock")
    return say_or(f"clock.{clock}", str(clock)) if clock else None


def _short(value: Any) -> str | None:
    return str(value)[:LONGEST_IDENTIFIER] if value else None


def _dates(records: Sequence[Record]) -> str:
    starts = sorted({started_at(record)[:16].replace("T", " ") for record in records} - {""})
    return numbers.NOTHING if not starts else starts[0] if len(starts) == 1 else f"{starts[0]} – {starts[-1]}"


def _joined(values: Iterable[Any]) -> str:
    """Every different value once; several machines under one label are all named."""
    texts = list(dict.fromkeys(text for text in map(_plain, values) if text))
    if not all(isinstance(text, str) for text in texts):
        return joined("; ", texts)
    whole = scrub("; ".join(texts), is_ours=False) or numbers.NOTHING
    return whole if len(whole) <= LONGEST_FACT else whole[: LONGEST_FACT - 1] + "…"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else value if isinstance(value, Say | Joined) else str(value)


def _warnings(results: Results) -> Table:
    found: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for current in results.records:
        for warning in warnings_of(current.record):
            kind = current.label, NUMBER.sub("", warning)
            found[kind] += 1
            first.setdefault(kind, scrub(warning, is_ours=False))
    return Table(
        title=say("provenance.warnings"),
        columns=[
            Column(title=say("column.warning"), kind=Kind.LONG),
            Column(title=say("column.label"), facet="label"),
            Column(title=say("column.records"), kind=Kind.NUMBER),
        ],
        rows=[[first[kind], kind[0], numbers.count(number)] for kind, number in found.most_common()],
    )
