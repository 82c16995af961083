"""Who is ahead, as a colour: GQA's own through nothing to MLA's, on a logarithmic scale of their ratio."""

from typing import Any

from suite.report.palette import style_of

REACH = 2.0
"""The colours end at 1/4 and 4 times: log2 of what the closed forms can give, 0.24 to 3.6."""
OPACITY = 0.7
"""Text in the page's own colour stays readable on it, in light and in dark."""
NEUTRAL = "#808080"


def ratio_text(ratio: float) -> str:
    return f"{ratio:,.1f}×" if ratio >= 1 else f"{ratio:.2f}×"


def ratio_colours() -> dict[str, Any]:
    """GQA's colour, through nothing, to MLA's: on a light page and on a dark one the middle is the page itself."""
    gqa, mla = style_of("gqa").colour, style_of("mla").colour
    stops = [
        (0, gqa, OPACITY),
        (0.375, gqa, OPACITY / 2),
        (0.5, NEUTRAL, 0.08),
        (0.625, mla, OPACITY / 2),
        (1, mla, OPACITY),
    ]
    return {
        "colorscale": [[at, _with_opacity(colour, opacity)] for at, colour, opacity in stops],
        "zmin": -REACH,
        "zmax": REACH,
    }


def _with_opacity(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"
