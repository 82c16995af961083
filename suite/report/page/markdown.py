"""The sections' tables as Markdown, for a README or a review."""

from collections.abc import Sequence

from suite.records.plain_text import in_markdown
from suite.report.blocks import Kind, Section, Table


def markdown(sections: Sequence[Section]) -> str:
    return "\n".join(
        f"## {in_markdown(section.title)}\n\n" + "\n".join(map(_table, section.tables)) for section in sections
    )


def _table(table: Table) -> str:
    rule = ["---:" if column.kind is Kind.NUMBER else "---" for column in table.columns]
    lines = [
        [in_markdown(column.title) for column in table.columns],
        rule,
        *([in_markdown(c) for c in row] for row in table.rows),
    ]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = f"\n{in_markdown(table.note)}\n" if table.note else ""
    settings = f"\n{in_markdown(table.settings)}\n" if table.settings else ""
    return f"### {in_markdown(table.title)}\n{settings}\n{body}\n{note}"
