"""`suite choose`: whether a model fits on so many devices, in which layout, and what another attention would change."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from suite.configuration.values import one_of
from suite.console.choose import columns, notes, sentence
from suite.console.table import folded, has_colour, table_lines, terminal_width
from suite.records.plain_text import json_text
from suite.theory.answers.asked import sizes_from, tokens_from
from suite.theory.answers.choose import ORDERS, answers_to, question_from

DONE, DOES_NOT_FIT = 0, 3
TOKENS = ("context", "new_tokens")


def choose(given: Mapping[str, Any], *, sort: str, as_json: bool) -> int:
    """Print the answers to a question, whose tokens and sizes may be texts. Returns 3 where the model does not fit as
    it is.

    Raises ValueError, in one sentence, for a wrong question.
    """
    order: str = one_of({"sort": sort}, "sort", ORDERS)
    read: dict[str, Any] = {
        name: tokens_from(value, name) if name in TOKENS else value for name, value in given.items()
    }
    question = question_from(read | {"sizes": sizes_from(read["sizes"]) if read.get("sizes") else None})
    found = answers_to(question, order)
    if as_json:
        print(json_text({"question": read, **asdict(found)}))
    else:
        width = terminal_width()
        lines = folded([sentence(question, found)], width)
        if any(answer.layout for answer in found.answers):
            tables = [columns(question, found.answers)]
            if len(found.layouts) > 1:
                tables.append(columns(question, found.layouts, by_layout=True))
            lines += [line for table in tables for line in ("", *table_lines(table, width=width, colour=has_colour()))]
            lines += ["", *folded(notes(question, found), width)]
        print("\n".join(lines))
    return DONE if found.answers[0].fits else DOES_NOT_FIT
