"""Text of records inside figures, made harmless: Plotly reads tags, links, %{variables} and, with MathJax, $TeX$ in it.

Colours of text, grid and hover boxes are left to the page, which follows the reader's light or dark setting.
"""

import html
from typing import Any

LONGEST_TEXT = 80
NO_TAGS = str.maketrans({"<": "‹", ">": "›", "{": "｛", "}": "｝", "$": "＄", "\n": " ", "\r": " ", "\t": " "})
"""Look-alikes stay what they are however often they are decoded."""


def figure_text(text: Any) -> Any:
    """Return text from a record for use in a figure; what has yet to be said is made harmless as it is said."""
    if not isinstance(text, str):
        return text
    cut = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return html.escape(cut.translate(NO_TAGS), quote=False)
