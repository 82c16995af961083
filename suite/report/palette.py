"""How a variant is drawn: Okabe and Ito's colours, with a dash and a marker, so that it reads in greyscale too.

Black and yellow are left out: one vanishes on a dark page, the other on a light one.
"""

from dataclasses import dataclass
from typing import Any

BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"


@dataclass(frozen=True, kw_only=True)
class Style:
    colour: str
    dash: str
    marker: str


STYLES = {
    "mha": Style(colour=VERMILION, dash="dash", marker="circle"),
    "gqa": Style(colour=GREEN, dash="dashdot", marker="square"),
    "mqa": Style(colour=ORANGE, dash="dot", marker="diamond"),
    "mla": Style(colour=BLUE, dash="solid", marker="triangle-up"),
    "mla_absorbed": Style(colour=BLUE, dash="dot", marker="pentagon"),
    "mla_latent": Style(colour=SKY, dash="longdash", marker="triangle-down"),
    "mla_expanded": Style(colour=PURPLE, dash="longdashdot", marker="cross"),
}
OTHER = Style(colour="#808080", dash="solid", marker="x")
"""Any variant that this table does not know; its name tells it apart."""
FILLS = ("", "-open", "-dot", "-open-dot")
"""Several lines of one variant (backends, results side by side) differ by the filling of their markers."""


def shown(variant: str) -> str:
    """A variant's name for people: MLA, and MLA (latent) for `mla_latent`."""
    kind, _, mode = variant.partition("_")
    return f"{kind.upper()} ({mode.replace('_', ' ')})" if mode else kind.upper()


def rank(variant: str) -> tuple[int, str]:
    """Sorts variants from the widest cache to the most compressed, those that we do not know last."""
    known = list(STYLES)
    return (known.index(variant) if variant in STYLES else len(known), variant)


def style_of(variant: str) -> Style:
    return STYLES.get(variant, OTHER)


def line_style(variant: str, ordinal: int) -> dict[str, Any]:
    """Plotly's line and marker for the `ordinal`-th line of a variant."""
    style = style_of(variant)
    return {
        "line": {"color": style.colour, "dash": style.dash, "width": 2 if ordinal == 0 else 1.25},
        "marker": {"color": style.colour, "symbol": style.marker + FILLS[ordinal % len(FILLS)], "size": 9},
    }
