"""Tables that somebody else printed, as they stand in conf/: quoted, not measured here."""

from operator import itemgetter

from suite.configuration.files import choices, read_choice
from suite.report.blocks import Kind, Table, say
from suite.report.table import column, part_columns, plain_title, table


def quoted_tables(group: str, *, title: str, row: str, note: str) -> list[Table]:
    """A folded table for each file of a configuration group.

    `title`, `row` and `note` are keys of texts; the title is filled in with {what}, the note with {source}.
    """
    tables = []
    for printed in (read_choice(group, name) for name in choices(group)):
        values = [
            column(plain_title(head), itemgetter(place), "{:,}".format, kind=Kind.NUMBER)
            for place, head in enumerate(printed["columns"])
        ]
        columns = [column(row, itemgetter(0)), *part_columns(itemgetter(1), values)]
        filled_title, rows = say(title, what=printed["what"]), printed["rows"].items()
        tables.append(table(filled_title, rows, columns, note=say(note, source=printed["source"]), folded=True))
    return tables
