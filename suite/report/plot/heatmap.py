"""A map of cells with a number in each."""

from collections.abc import Collection, Sequence
from typing import Any

from suite.report.blocks import Text
from suite.report.model.labels import GREY
from suite.report.plot.plots import Ticks, faint, plot, ticked
from suite.report.plot.text import figure_text

OPACITY = 0.7  # text in the page's own colour stays readable on it, in light and in dark


def heatmap(
    columns: Sequence[Text],
    rows: Sequence[Text],
    *,
    values: Sequence[Sequence[float | None]],
    cell_texts: Sequence[Sequence[Text]],
    hovers: Sequence[Sequence[Text]],
    colours: dict[str, Any],
    title: Text,
    text_px: int = 11,
    upwards: bool = False,
    runs: Sequence[Sequence[Sequence[str]]] = (),
    behind: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """Draw rows of cells below their columns' names, the first row on top unless `upwards`.

    `colours`: Plotly's scale, its ends, and a colour bar. `title`: of the columns. `runs`: run keys behind each cell; a
    row that has any is a trace of its own, since a trace names its runs by column. `behind`: those behind every cell.
    """
    names, heads = ([figure_text(text) for text in texts] for texts in (rows, columns))
    run_rows = [place for place, cells_runs in enumerate(runs) if any(cells_runs)]
    empty: list[Any] = [None] * len(heads)
    shared = {"type": "category", "automargin": True, "showgrid": False, "ticks": ""}
    ends = [-0.5, len(names) - 0.5]

    def cells(places: Collection[int], **more: Any) -> dict[str, Any]:
        """A heatmap's trace with these rows filled, and all others empty."""
        # Every trace has all rows: Plotly lays those of a part out from the first category on.
        return {
            "type": "heatmap",
            "x": heads,
            "y": names,
            "z": [list(row) if place in places else empty for place, row in enumerate(values)],
            "hovertext": [
                [figure_text(text) for text in row] if place in places else empty for place, row in enumerate(hovers)
            ],
            "hoverongaps": False,
            "hoverinfo": "text",
            "xgap": 2,
            "ygap": 2,
            **colours,
            **more,
        }

    # Texts of the cells themselves would not follow the page's own colour.
    text_trace = {
        "type": "scatter",
        "mode": "text",
        "x": heads * len(names),
        "y": [name for name in names for _ in heads],
        "text": [text for row in cell_texts for text in row],
        "textfont": {"size": text_px},
        "hoverinfo": "skip",
    }
    rest = cells(set(range(len(names))) - set(run_rows), **({"customdata": [list(behind)]} if behind else {}))
    with_runs = [cells([place], customdata=[list(keys) for keys in runs[place]], showscale=False) for place in run_rows]
    return plot(
        [rest, *with_runs, text_trace],
        xaxis={**shared, "side": "top", "range": [-0.5, len(heads) - 0.5], "title": {"text": title, "standoff": 4}},
        yaxis={**shared, "range": ends if upwards else ends[::-1], "tickfont": {"size": 10}, "dtick": 1},
        showlegend=False,
        **more,
    )


def diverging(low: str, high: str, reach: float) -> dict[str, Any]:
    """A diverging Plotly colour scale from -reach to reach: `low`, then nearly transparent at 0, then `high`."""
    stops = [(0, low, 1.0), (0.375, low, 0.5), (0.625, high, 0.5), (1, high, 1.0)]
    scale = [[at, faint(colour, OPACITY * part)] for at, colour, part in stops]
    return {"colorscale": [*scale[:2], [0.5, faint(GREY, 0.08)], *scale[2:]], "zmin": -reach, "zmax": reach}


def colour_bar(title: Text, ticks: Ticks) -> dict[str, Any]:
    """Plotly's settings of a thin, horizontal colour bar with ticks, below the whole figure."""
    return {
        "orientation": "h",
        "y": 0,
        "yref": "container",
        "yanchor": "bottom",
        "thickness": 8,
        "outlinewidth": 0,
        **ticked(ticks),
        "tickfont": {"size": 11},
        "title": {"text": title, "side": "bottom", "font": {"size": 11}},
    }
