"""The sections' tables as Markdown, for a README or a review."""

import html
from collections.abc import Sequence

from suite.report.section import Kind, Section, Table

MARKUP = str.maketrans({character: "\\" + character for character in "\\|`*_[]#~$"})


def markdown(sections: Sequence[Section]) -> str:
    return "\n".join(f"## {plain(section.title)}\n\n" + "\n".join(map(_table, section.tables)) for section in sections)


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return html.escape(" ".join(text.split()), quote=False).translate(MARKUP)


def _table(table: Table) -> str:
    rule = ["---:" if column.kind is Kind.NUMBER else "---" for column in table.columns]
    lines = [[plain(column.title) for column in table.columns], rule, *([plain(c) for c in row] for row in table.rows)]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = f"\n{plain(table.note)}\n" if table.note else ""
    return f"### {plain(table.title)}\n\n{body}\n{note}"
