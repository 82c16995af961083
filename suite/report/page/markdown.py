"""The sections' tables as Markdown, for a README or a review."""

from collections.abc import Iterator, Sequence

from suite.records.plain_text import in_markdown
from suite.report.blocks import Kind, Section, Table, Text


def markdown(sections: Sequence[Section]) -> str:
    """Write the tables of sections that have been rendered in a language."""
    return "\n".join(f"## {_plain(section.title)}\n\n" + "\n".join(map(_table, section.tables)) for section in sections)


def _table(table: Table) -> str:
    parts = [f"### {_plain(table.title)}", _plain(table.settings), "\n".join(_lines(table)), _plain(table.note)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    rule = ["---:" if head.kind is Kind.NUMBER else "---" for head in table.columns]
    cells = [[_plain(cell) for cell in row] for row in table.rows]
    for line in [[_plain(head.title) for head in table.columns], rule, *cells]:
        yield "| " + " | ".join(line) + " |"


def _plain(text: Text) -> str:
    assert isinstance(text, str), text
    return in_markdown(text)
