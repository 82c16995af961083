"""`suite fit`: whether a step of RL fits on GPUs, what it holds there, and the smallest set that takes it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from suite.console.fit import beside, parts, sentence, smallest
from suite.console.table import folded, has_colour, table_lines, terminal_width
from suite.records.plain_text import json_text
from suite.theory.answers.asked import sizes_from, tokens_from
from suite.theory.answers.fit import fit_question_from, fits_of
from suite.theory.answers.step_memory import BF16, MIXED, MOST_APART

DONE, DOES_NOT_FIT = 0, 3
NOTE = (
    f"In closed form, within {MOST_APART:.0%} of what workload=rl_memory projects with its default settings: AdamW, "
    "checkpointing, one completion a backward pass, all full lengths."
)


def fit(given: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the answer to a question, whose tokens and sizes may be texts. Returns 3 where the step does not fit.

    Raises ValueError, in one sentence, for a wrong question.
    """
    read: dict[str, Any] = {
        name: tokens_from(value, name) if name.endswith("_len") else value for name, value in given.items()
    }
    question = fit_question_from(read | {"sizes": sizes_from(read["sizes"]) if read.get("sizes") else None})
    found = fits_of(question)
    if as_json:
        print(json_text({"question": read, "answers": [asdict(one) for one in found]}))
    else:
        width, colour = terminal_width(), has_colour()
        tables = [table_lines(columns, width=width, colour=colour) for columns in (parts(found[0]), beside(found))]
        other = replace(question, precision=MIXED if question.precision == BF16 else BF16)
        beside_it = f"With --precision {other.precision} the smallest is {smallest(fits_of(other)[0])}."
        lines = [*folded([sentence(question, found[0]), beside_it], width), "", *tables[0], "", *tables[1], ""]
        print("\n".join([*lines, *folded([NOTE], width)]))
    return DONE if found[0].fits else DOES_NOT_FIT
