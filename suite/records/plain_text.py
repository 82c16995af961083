"""Text from records, made harmless where people read it: on a terminal and in Markdown. A record may be anybody's."""

import html

MOVING = (range(32), range(127, 160), range(0x2028, 0x202F), range(0x2066, 0x206A), range(0xD800, 0xE000))
PLAINER = dict.fromkeys((code for codes in MOVING for code in codes), " ")
"""A foreign record's control characters would move the cursor of whoever lists it or turn its text round, and halves of
surrogate pairs cannot be printed."""
MARKUP = str.maketrans({character: "\\" + character for character in "\\|`*_[]#~$"})
MENTION = "@&#8203;"
"""A space of no width behind the sign: GitHub tells nobody that a benchmark was named after them."""


def one_line(text: str) -> str:
    """For a terminal: no line ends, and nothing that moves the cursor."""
    return text.translate(PLAINER)


def in_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line, and that calls nobody."""
    plain = " ".join(one_line(text).split())
    return html.escape(plain, quote=False).translate(MARKUP).replace("@", MENTION)
