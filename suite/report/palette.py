"""Until every chapter draws by plot/: names and looks of variants."""

from typing import Any

from suite.report.model.labels import BLUE as BLUE
from suite.report.model.labels import GREEN as GREEN
from suite.report.model.labels import ORANGE as ORANGE
from suite.report.model.labels import OTHER as OTHER
from suite.report.model.labels import PURPLE as PURPLE
from suite.report.model.labels import SKY as SKY
from suite.report.model.labels import VARIANT, Style
from suite.report.model.labels import VERMILION as VERMILION
from suite.report.model.labels import rank as rank
from suite.report.model.labels import shown as shown
from suite.report.model.labels import style_of as looked_up
from suite.report.plot.marks import FILLS as FILLS


def style_of(variant: str) -> Style:
    return looked_up(VARIANT, variant)


def line_style(variant: str, ordinal: int) -> dict[str, Any]:
    """Plotly's line and marker for the `ordinal`-th line of a variant."""
    style = style_of(variant)
    return {
        "line": {"color": style.colour, "dash": style.dash, "width": 2 if ordinal == 0 else 1.25},
        "marker": {"color": style.colour, "symbol": style.marker + FILLS[ordinal % len(FILLS)], "size": 9},
    }
