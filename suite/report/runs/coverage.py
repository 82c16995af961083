"""Cases that ran, cases that did not and why: a case that could not run is a row with a reason, never a gap."""

from collections import Counter
from operator import itemgetter

from suite.records import numbers
from suite.records.machine.privacy import scrub
from suite.records.record import Status
from suite.report.blocks import Headline, Kind, Section, Table, joined, say, section
from suite.report.model.labels import record_facets
from suite.report.model.results import CurrentRecord, Results, Unread, Withdrawn
from suite.report.table import Column, column, columns_of, plain, table

Reason = tuple[Status, str, str]
"""A status, why, and the label."""
Counts = tuple[str, Counter[str]]
"""A row's title, and how many of it each label has."""


def build(results: Results) -> Section | None:
    """Build it from every record and every folder that gave none; None without any."""
    if not results.records and not results.damaged and not results.unfinished and not results.withdrawn:
        return None
    tracked = sum(current.record.settings.get("track_memory") is True for current in results.records)
    of_tracked = say("coverage.tracked", count=numbers.count(tracked)) if tracked else ""
    ran = sum(current.record.status is Status.OK for current in results.records)
    counts = {"ran": numbers.count(ran), "count": numbers.count(len(results.records))}
    headline = Headline(text=say("coverage.headline" if ran < len(results.records) else "coverage.all_ran", **counts))
    return section(
        "coverage",
        explanation=joined("sentence", [say("coverage.explanation"), of_tracked, say("gate.rates")]),
        tables=[_counts(results), *_refused(results), *_unread(results)],
        headlines=[headline],
    )


def _counts(results: Results) -> Table:
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
        *([("column.withdrawn", Counter(run.label for run in results.withdrawn))] if results.withdrawn else []),
    ]
    name: Column[Counts] = column("column.runs", lambda row: say(row[0]))
    labels = [column(plain(label), itemgetter(label), numbers.count) for label in results.labels]
    return table(say("coverage.counts"), rows, [name, *columns_of(lambda row: row[1], labels)])


def _refused(results: Results) -> list[Table]:
    """List every case without a result; before many of them, how many each reason has."""
    refused = [current for current in results.records if current.record.status is not Status.OK]
    columns: list[Column[Reason]] = [
        column("column.status", lambda reason: say(f"status.{reason[0]}")),
        column("column.reason", lambda reason: reason[1], kind=Kind.LONG),
        *([column("column.label", lambda reason: reason[2], facet="label")] if results.several else []),
    ]
    cases = table(
        say("coverage.refused"),
        refused,
        [*columns_of(_reason, columns), column("column.case", lambda current: current.record.case.id, kind=Kind.CASE)],
        facets_of=lambda current: record_facets(current.record),
    )
    if not cases.folded:
        return [cases]
    reasons = table(
        say("coverage.reasons"),
        Counter(map(_reason, refused)).most_common(),
        [*columns_of(lambda row: row[0], columns), column("column.cases", lambda row: row[1], numbers.count)],
    )
    return [reasons, cases]


def _reason(current: CurrentRecord) -> Reason:
    record = current.record
    return record.status, scrub(record.reason or numbers.NOTHING, is_ours=False), current.label


def _unread(results: Results) -> list[Table]:
    """List every folder that gave no record: what is damaged in it, or that its run never ended."""
    columns: list[Column[Unread]] = [
        column("column.label", lambda unread: unread.label, facet="label"),
        column("column.folder", lambda unread: unread.name, kind=Kind.CODE),
    ]
    wrong: Column[Unread] = column("column.wrong", lambda unread: scrub(unread.reason, is_ours=False), kind=Kind.LONG)
    of_withdrawn: list[Column[Withdrawn]] = [
        column("column.label", lambda run: run.label, facet="label"),
        column("column.folder", lambda run: run.name, kind=Kind.CODE),
        column("coverage.withdrawn_on", lambda run: run.date),
        column("column.reason", lambda run: scrub(run.reason, is_ours=False), kind=Kind.LONG),
        column("column.case", lambda run: run.case_id, kind=Kind.CASE),
    ]
    return [
        table(say("coverage.damaged"), results.damaged, [*columns, wrong], note=say("coverage.damaged_note")),
        table(say("coverage.unfinished"), results.unfinished, columns, note=say("coverage.unfinished_note")),
        table(say("coverage.withdrawn"), results.withdrawn, of_withdrawn, note=say("coverage.withdrawn_note")),
    ]
