"""The section on how far the runs can be trusted: what did not run and why, what got in the way of the rest, where and
from which code they come, and whether the same cases came out the same elsewhere.

A case that could not run is a row with a reason, never a gap.
"""

from collections import Counter
from operator import itemgetter

from suite.records import numbers
from suite.records.record import Status
from suite.report.blocks import Headline, Kind, Section, Table, joined, say, section
from suite.report.model.labels import record_facets
from suite.report.model.results import CurrentRecord, LeftOut, Results
from suite.report.model.run import scrub_recorded
from suite.report.runs import devices, provenance, shared_cases
from suite.report.table import Column, column, part_columns, plain_title, table

Reason = tuple[Status, str, str]
"""A status, why, and the label."""
Counts = tuple[str, Counter[str]]
"""A row's title, and how many of it each label has."""


def build(results: Results) -> Section | None:
    """The section on trust, from every record and every folder that gave none; None without either."""
    left_out = [*results.damaged, *results.unfinished, *results.withdrawn]
    if not results.records and not left_out:
        return None
    # Watching a run's memory slows it.
    num_tracked = sum(current.record.settings.get("track_memory") is True for current in results.records)
    tracked = say("trust.tracked", count=numbers.count(num_tracked)) if num_tracked else ""
    return section(
        "trust",
        explanation=joined("sentence", [say("trust.explanation"), tracked]),
        tables=[
            _count_table(results),
            *_refused_tables(results),
            *_left_out_tables(results),
            devices.device_table(results),
            devices.missing_table(results),
            provenance.fact_table(results),
            provenance.warning_table(results),
            shared_cases.shared_table(results),
        ],
        headlines=[
            _ran_headline(results),
            devices.disturbance(results),
            provenance.origin(results),
            shared_cases.shared_headline(results),
        ],
    )


def _ran_headline(results: Results) -> Headline:
    """How many of all cases ran, as a headline."""
    ran, count = sum(current.record.status is Status.OK for current in results.records), len(results.records)
    key = "trust.some_ran" if ran < count else "trust.all_ran"
    return Headline(text=say(key, ran=numbers.count(ran), count=numbers.count(count)))


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
        *([("column.withdrawn", Counter(run.label for run in results.withdrawn))] if results.withdrawn else []),
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
    """The status of a record, the reason without what is private, and its label."""
    record = current.record
    return record.status, scrub_recorded(record.reason or numbers.NOTHING), current.label


def _left_out_tables(results: Results) -> list[Table]:
    """Tables of the folders that gave no record: damaged, never ended, or withdrawn."""
    columns: list[Column[LeftOut]] = [
        column("column.label", lambda run: run.label, facet="label"),
        column("column.folder", lambda run: run.name, kind=Kind.CODE),
    ]
    wrong: Column[LeftOut] = column("column.wrong", lambda run: scrub_recorded(run.reason), kind=Kind.LONG)
    withdrawn: list[Column[LeftOut]] = [
        column("trust.withdrawn_on", lambda run: run.withdrawn_on),
        column("column.reason", lambda run: scrub_recorded(run.reason), kind=Kind.LONG),
        column("column.case", lambda run: run.case_id, kind=Kind.CASE),
    ]
    return [
        table(say("trust.damaged"), results.damaged, [*columns, wrong], note=say("trust.damaged_note")),
        table(say("trust.unfinished"), results.unfinished, columns, note=say("trust.unfinished_note")),
        table(say("trust.withdrawn"), results.withdrawn, [*columns, *withdrawn], note=say("trust.withdrawn_note")),
    ]
