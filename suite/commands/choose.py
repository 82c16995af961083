"""`suite choose`: which attention over a model fits on so many devices, and which is the fastest or the cheapest."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from suite.configuration.values import one_of
from suite.console.choose import columns, notes, sentence
from suite.console.table import folded, has_colour, table_lines, terminal_width
from suite.records.plain_text import json_text
from suite.theory.choose import ORDERS, answers_to, question_from, sizes_from, tokens_from

DONE, NOTHING_FITS = 0, 3
TOKENS = ("context", "new_tokens")


def choose(given: Mapping[str, Any], *, sort: str, as_json: bool) -> int:
    """Print the answers to a question, whose tokens and sizes may be texts. Returns 3 where nothing fits.

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
        lines = table_lines(columns(found), width=width, colour=has_colour())
        print("\n".join([*folded([sentence(question, found)], width), "", *lines, "", *folded(notes(found), width)]))
    return DONE if any(answer.fits for answer in found.answers) else NOTHING_FITS
