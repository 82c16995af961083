"""Text of records inside figures, made harmless: Plotly reads tags, links, %{variables} and, with MathJax, $TeX$ in it.

Colours of text, grid and hover boxes are left to the page, which follows the reader's light or dark setting.
"""

import html
from collections.abc import Iterable
from typing import Any

LONGEST_TEXT = 80
LONGEST_ROW_NAME = 20
"""Of a row beside a plot, which a narrow screen leaves no more."""
NO_TAGS = str.maketrans({"<": "‹", ">": "›", "{": "｛", "}": "｝", "$": "＄", "\n": " ", "\r": " ", "\t": " "})
"""Look-alikes stay what they are however often they are decoded."""


def figure_text(text: Any) -> Any:
    """Return text from a record for use in a figure; what has yet to be said is made harmless as it is said."""
    if not isinstance(text, str):
        return text
    cut = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return html.escape(cut.translate(NO_TAGS), quote=False)


def short_names(names: Iterable[str]) -> list[str]:
    """Return names short enough to stand beside a plot, no two alike: rows of one name would fall together."""
    short: list[str] = []
    for name in names:
        cut = name if len(name) <= LONGEST_ROW_NAME else name[: LONGEST_ROW_NAME - 1] + "…"
        alike = (cut, *(f"{cut} ({number})" for number in range(2, len(short) + 2)))
        short.append(next(one for one in alike if one not in short))
    return short
