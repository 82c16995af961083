"""The section on how far the runs can be trusted: what did not run and why, what got in the way of the rest, and
where and from which code they come.

A case that could not run is a row with a reason, never a gap.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from suite.machine.plain_text import shortened
from suite.records import numbers
from suite.records.derived import run_warnings, started_at
from suite.records.record import Record, Status
from suite.report.blocks import Headline, Joined, Kind, Say, Section, Table, Text, joined, say, say_or, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import record_facets
from suite.report.model.results import CurrentRecord, LeftOut, Results
from suite.report.model.run import scrub_recorded
from suite.report.runs import devices
from suite.report.table import Column, column, part_columns, plain_title, table

Reason = tuple[Status, str, str]
"""A status, why, and the label."""
Counts = tuple[str, Counter[str]]
"""A row's title, and how many of it each label has."""


def build(results: Results) -> Section | None:
    """The section on trust, from every record and every folder that gave none; None without either."""
    if not (results.records or results.damaged or results.unfinished):
        return None
    # Watching a run's memory slows it.
    num_tracked = sum(current.record.settings.get("track_memory") is True for current in results.records)
    tracked = say("trust.tracked", count=numbers.count(num_tracked)) if num_tracked else ""
    ran, count = sum(current.record.status is Status.OK for current in results.records), len(results.records)
    key = "trust.some_ran" if ran < count else "trust.all_ran"
    return section(
        "trust",
        explanation=joined("sentence", [say("trust.explanation"), tracked]),
        tables=[
            _count_table(results),
            *_refused_tables(results),
            *_left_out_tables(results),
            devices.device_table(results),
            devices.missing_table(results),
            fact_table(results),
            warning_table(results),
        ],
        headlines=[
            Headline(text=say(key, ran=numbers.count(ran), count=numbers.count(count))),
            devices.disturbance(results),
            origin(results),
            *results.notes,
        ],
    )


def _count_table(results: Results) -> Table:
    """The table of how many cases of each label ended in which way."""
    superseded, by_status = Counter[str](), {status: Counter[str]() for status in Status}
    for current in results.records:
        superseded[current.label] += current.superseded
        by_status[current.record.status][current.label] += 1
    rows: list[Counts] = [
        ("column.cases", Counter(current.label for current in results.records)),
        *((f"status.{status}", counts) for status, counts in by_status.items() if counts or status is Status.OK),
        ("column.superseded", superseded),
        ("column.damaged", Counter(unread.label for unread in results.damaged)),
        ("column.unfinished", Counter(unread.label for unread in results.unfinished)),
    ]
    name: Column[Counts] = column("column.runs", lambda row: say(row[0]))
    labels = [column(plain_title(label), itemgetter(label), numbers.count) for label in results.labels]
    return table(say("trust.counts"), rows, [name, *part_columns(lambda row: row[1], labels)])


def _refused_tables(results: Results) -> list[Table]:
    """The table of every case without a result; where that is long, a table of counts by reason before it."""
    refused = [current for current in results.records if current.record.status is not Status.OK]
    columns: list[Column[Reason]] = [
        column("column.status", lambda reason: say(f"status.{reason[0]}")),
        column("column.reason", lambda reason: reason[1], kind=Kind.LONG),
        *([column("column.label", lambda reason: reason[2], facet="label")] if results.several else []),
    ]
    cases = table(
        say("trust.refused"),
        refused,
        [
            *part_columns(_status_and_reason, columns),
            column("column.case", lambda current: current.record.case.id, kind=Kind.CASE),
        ],
        facets_of=lambda current: record_facets(current.record),
    )
    if not cases.folded:
        return [cases]
    counts: Column[tuple[Reason, int]] = column("column.cases", lambda row: row[1], numbers.count)
    rows = Counter(map(_status_and_reason, refused)).most_common()
    return [table(say("trust.reasons"), rows, [*part_columns(lambda row: row[0], columns), counts]), cases]


def _status_and_reason(current: CurrentRecord) -> Reason:
    record = current.record
    return record.status, scrub_recorded(record.reason or numbers.NOTHING), current.label


def _left_out_tables(results: Results) -> list[Table]:
    """Tables of the folders that gave no record: damaged, or never ended."""
    columns: list[Column[LeftOut]] = [
        column("column.label", lambda run: run.label, facet="label"),
        column("column.folder", lambda run: run.name, kind=Kind.CODE),
    ]
    wrong: Column[LeftOut] = column("column.wrong", lambda run: scrub_recorded(run.reason), kind=Kind.LONG)
    return [
        table(say("trust.damaged"), results.damaged, [*columns, wrong], note=say("trust.damaged_note")),
        table(say("trust.unfinished"), results.unfinished, columns, note=say("trust.unfinished_note")),
    ]


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
    facts = {label: list(map(_facts, records)) for label, records in by_label.items()}
    rows: list[Fact] = []
    for name in _facts(results.records[0].record) if results.records else ():
        texts: dict[str, Text] = {}
        for label, of_label in facts.items():
            whole = joined("; ", dict.fromkeys(text for each in of_label if (text := _written(each[name])) != ""))
            texts[label] = shortened(whole, LONGEST_FACT) if isinstance(whole, str) else whole
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


def _facts(record: Record) -> dict[str, Any]:
    """The facts of a record by name: of its machine, sizes in bytes with a unit, and of its code and clock."""
    facts: dict[str, Any] = {name: record.environment.get(name) for name in OF_ENVIRONMENT}
    for name in IN_BYTES:
        size = facts[name]
        if isinstance(size, int) and 0 < size < MOST_BYTES:
            facts[name] = numbers.bytes_iec(size)
    commit, clock = _short_identifier(record.provenance.get("commit")), record.provenance.get("clock")
    is_dirty = commit and record.provenance.get("dirty") is True
    return {
        **facts,
        "suite_version": record.provenance.get("suite_version"),
        "commit": joined(" ", [commit, say("trust.dirty")]) if is_dirty else commit,
        "source_digest": _short_identifier(record.provenance.get("source_digest")),
        "clock": say_or(f"clock.{clock}", _written(clock)) if clock else "",
        "evidence": say(f"evidence.{record.evidence}"),
    }


def _short_identifier(value: Any) -> str:
    return str(value)[:LONGEST_IDENTIFIER] if value else ""


def _dates(records: Sequence[Record]) -> str:
    starts = sorted({started_at(record)[:16].replace("T", " ") for record in records} - {""})
    return " – ".join(dict.fromkeys([*starts[:1], *starts[-1:]]))


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
