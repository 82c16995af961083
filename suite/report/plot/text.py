"""Text of records inside figures, made harmless: Plotly reads tags, links, %{variables} and, with MathJax, $TeX$ in it.

Colours of text, grid and hover boxes are left to the page, which follows the reader's light or dark setting.
"""

import html
from collections.abc import Iterable
from typing import Any

from suite.machine.plain_text import shortened
from suite.records.labels import distinct

LONGEST_TEXT = 80
LONGEST_ROW_NAME = 20  # characters of a row's name beside a plot: a narrow screen has no room for more
NO_TAGS = str.maketrans({"<": "‹", ">": "›", "{": "｛", "}": "｝", "$": "＄", "\n": " ", "\r": " ", "\t": " "})
"""Look-alikes stay what they are however often they are decoded."""


def figure_text(text: Any) -> Any:
    """Text made harmless to Plotly, cut and HTML-escaped; no string is left as it is, since it is rendered later."""
    if not isinstance(text, str):
        return text
    return html.escape(shortened(text, LONGEST_TEXT).translate(NO_TAGS), quote=False)


def short_names(names: Iterable[str]) -> list[str]:
    """Names short enough to stand beside a plot, no two alike: rows of one name would fall together."""
    return distinct(shortened(name, LONGEST_ROW_NAME) for name in names)
