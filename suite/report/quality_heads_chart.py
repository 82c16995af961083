"""A heat map of heads and attributes: by how many points each falls with the head knocked out."""

from typing import Any

from suite.report.blocks import Text, say
from suite.report.charts import figure_text, layout
from suite.report.palette import BLUE
from suite.report.quality_heads import Falls

OPACITY = 0.75
"""Text in the page's own colour stays readable on it, in light and in dark."""
ROW_PX, FRAME_PX = 46, 120


def height_px(heads: int) -> int:
    return FRAME_PX + ROW_PX * heads


def heads_map(falls: Falls) -> dict[str, Any]:
    columns = [say("quality_tiers.attribute", number=name.rpartition(" ")[2]) for name in falls.attributes]
    layers = {name.split()[1] for name in falls.heads}
    rows = [_head_name(name, has_layers=len(layers) > 1) for name in falls.heads]
    cells = {
        "type": "heatmap",
        "x": columns,
        "y": rows,
        "z": [[round(100 * value, 1) for value in row] for row in falls.fall],
        "hovertext": [
            [
                figure_text(say("quality_tiers.fall_hover", head=row, attribute=column, points=_points(value)))
                for column, value in zip(columns, values, strict=True)
            ]
            for row, values in zip(rows, falls.fall, strict=True)
        ],
        "hoverinfo": "text",
        "xgap": 2,
        "ygap": 2,
        "colorscale": [[0, "rgba(128, 128, 128, 0.06)"], [1, _faint(BLUE)]],
        "zmin": 0,
        "zmax": 100,
        "showscale": False,
    }
    # A heat map's own text has one colour for all cells; that of a scatter follows the page.
    texts = {
        "type": "scatter",
        "mode": "text",
        "x": columns * len(rows),
        "y": [name for name in rows for _ in columns],
        "text": [_points(value) for row in falls.fall for value in row],
        "textfont": {"size": 12},
        "hoverinfo": "skip",
    }
    return {
        "data": [cells, texts],
        "layout": layout(
            showlegend=False,
            xaxis={
                "type": "category",
                "side": "top",
                "range": [-0.5, len(columns) - 0.5],
                "title": {"text": say("quality_tiers.attributes"), "standoff": 4},
                "automargin": True,
                "showgrid": False,
                "ticks": "",
            },
            yaxis={
                "type": "category",
                "range": [len(rows) - 0.5, -0.5],
                "automargin": True,
                "showgrid": False,
                "ticks": "",
            },
        ),
    }


def _points(fall: float) -> str:
    return f"{100 * fall:.0f}".replace("-0", "0")


def _head_name(name: str, *, has_layers: bool) -> Text:
    _, layer, _, head = name.split()
    if has_layers:
        return say("quality_tiers.head_of", layer=int(layer) + 1, head=int(head) + 1)
    return say("quality_tiers.head", head=int(head) + 1)


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {OPACITY})"
