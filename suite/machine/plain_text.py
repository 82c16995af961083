"""Text from records, made harmless where people and CI systems read it: on a terminal, in a log and in Markdown. A
record may be anybody's."""

import html
import json
import re
import sys
from typing import Any, TextIO

MOVING = (
    *(range(32), range(127, 160)),  # control characters, which move a cursor
    *(range(0x200B, 0x2010), range(0x2028, 0x202F), range(0x2060, 0x2070), range(0xFFF9, 0xFFFC)),  # turn, join, break
    *(range(0xAD, 0xAE), range(0x061C, 0x061D), range(0x180E, 0x180F), range(0xFEFF, 0xFF00)),  # likewise, unseen
    *(range(0xD800, 0xE000), range(0xE0000, 0xE0080)),  # halves of pairs cannot be printed; tags are never seen
)
PLAINER = dict.fromkeys((code for codes in MOVING for code in codes), " ")
"""A foreign record's control characters would move the cursor of whoever lists it or turn its text round."""
MARKUP = str.maketrans({character: "\\" + character for character in "\\|`*_[]#~$"})
MENTION = "@&#8203;"
"""A space of no width behind the sign: GitHub tells nobody that a benchmark was named after them."""
LONG_WORD = re.compile(r"(\S{120})\S{120,}(\S{40})")
"""The parts that stay of a long path or value, which nobody reads to its end."""
COMMAND = re.compile(r"^\s*:+(?=:)|(?<=#)#(?=\w*\[)", re.MULTILINE)
"""Marks of a line in a log that GitHub, Azure and TeamCity obey: it begins with `::` or has `##[`."""


def shortened(text: str, longest: int) -> str:
    """A text of at most `longest` characters: a longer one is cut, and ends in an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def one_line(text: str) -> str:
    """A text for a terminal: without line ends and anything that moves the cursor."""
    return text.translate(PLAINER)


def without_log_commands(line: str) -> str:
    """Lines that a CI log may have: of the same length, with spaces for the marks that would make one a command."""
    return COMMAND.sub(lambda match: re.sub("[:#]", " ", match[0]), line)


def say(*lines: str, to: TextIO | None = None) -> None:
    """Print lines, flushed, without anything that a CI system would obey. Somebody's text must be `one_line` before."""
    print("\n".join(map(without_log_commands, lines)), file=to or sys.stdout, flush=True)


def complain(text: str) -> None:
    """Print a sentence that may quote anything to standard error, on one line."""
    say(LONG_WORD.sub(r"\1…\2", one_line(text)), to=sys.stderr)


def json_text(value: Any, *, sort_keys: bool = False) -> str:
    """Plain data as JSON that a log may have: the same value, and no command in it."""
    return json.dumps(value, indent=1, sort_keys=sort_keys).replace("##", "#\\u0023")


def in_markdown(text: str) -> str:
    """The text escaped for Markdown, so that it shows as it is, on one line, and mentions nobody."""
    plain = " ".join(one_line(text).split())
    return html.escape(plain, quote=False).translate(MARKUP).replace("@", MENTION)
