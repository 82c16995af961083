"""The page's figures in a notebook, each a `plotly.graph_objects.Figure` drawn by the report's own marks.

A figure that the page has several of is chosen by what it is about, as `geometry="deepseek-v2-lite"`, and of the views
behind its buttons one is taken by its name. Texts are in English unless `lang` says otherwise.

>>> import suite
>>> runs = suite.load("results/reference/cpu_rl_feedback")
>>> figure = suite.plot.learning(runs)
>>> sorted({trace.type for trace in figure.data})
['scatter']
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from suite.api.runs import Runs
from suite.report.attention import latency as latency_section
from suite.report.attention import roofline as roofline_section
from suite.report.attention import signmap
from suite.report.blocks import Section
from suite.report.model.labels import BLUE, Style
from suite.report.model.results import Results
from suite.report.page.texts import load_texts
from suite.report.plot.plots import Point, Series, linear, rule
from suite.report.plot.rows import height_px, rows
from suite.report.quality import tasks
from suite.report.rl import efficiency

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["forest", "latency", "learning", "pareto", "roofline", "sign_map"]
TITLE_PX = 40
Build = Callable[[Results], Section | None]


def __dir__() -> list[str]:
    return __all__


def latency(runs: Runs, *, view: str = "", lang: str = "en", **about: str) -> "go.Figure":
    """Draw each variant's time against the context, in seconds, with the interval of its median.

    `view`: the span. `about`: facets of the figure, as `geometry`, `phase` and `dtype`. Raises ValueError, as every
    function here does, where the runs have no such figure, and names those that they have.
    """
    return _drawn(runs, latency_section.build, view, lang, about)


def roofline(runs: Runs, *, view: str = "", lang: str = "en", **about: str) -> "go.Figure":
    """Draw what each case reaches (GFLOP/s) against its arithmetic intensity (FLOP/B), under the measured ceilings."""
    return _drawn(runs, roofline_section.build, view, lang, about)


def sign_map(runs: Runs, *, view: str = "", lang: str = "en") -> "go.Figure":
    """Draw who wins where, MLA or GQA, by the closed forms and as measured: a row a device, a column for new tokens."""
    return _drawn(runs, signmap.build, view, lang, {})


def learning(runs: Runs, *, view: str = "", lang: str = "en", **about: str) -> "go.Figure":
    """Draw held-out accuracy over what had been spent, the mean of an arm's seeds. `view`: the budget."""
    return _drawn(runs, efficiency.build, view, lang, about)


def pareto(runs: Runs, *, view: str = "", lang: str = "en") -> "go.Figure":
    """Draw quality against cache bytes of a token, a line a variant. `view`: the task."""
    return _drawn(runs, tasks.build, view, lang, {}, "quality.pareto")


def forest(runs: Runs, *, by: str = "attention", **compared: Any) -> "go.Figure":
    """Draw what `Runs.compare` gives: every arm's mean difference from the one that it is compared with, or where
    times are compared the ratio of their speeds, with its interval."""
    frame = runs.compare(by, **compared)
    value = "difference" if "difference" in frame else "ratio"
    frame = frame[frame[value].notna()]
    settings = [name for name in frame.columns[list(frame.columns).index("margin") + 1 :] if frame[name].nunique() > 1]
    comparisons = frame.to_dict("records")
    points = [
        Point(
            x=row[value],
            y=place,
            ends=(row["low"], row["high"]) if row["low"] == row["low"] else None,  # NaN is unlike itself
            hover=", ".join([row["outcome"], *([f"{row['pairs']} pairs"] if "pairs" in row else [])])
            + f"; {_experiment(row, settings)}",
        )
        for place, row in enumerate(comparisons)
    ]
    sign, neutral = ("−", 0) if value == "difference" else ("/", 1)  # neutral: where both arms are equal
    names = [
        " · ".join([*(str(row[name]) for name in settings if name == "task"), f"{row['arm']} {sign} {row['other']}"])
        for row in comparisons
    ]
    series = Series(name=by, points=points, style=Style(colour=BLUE), along="x", in_legend=False)
    axis = linear(", ".join(dict.fromkeys(str(row["metric"]) for row in comparisons)))
    plot = rows(names, [series], xaxis=axis, shapes=[rule(x=neutral, solid=True)])
    return _figure(plot, f"{by}: {value}, with its 95% interval", height_px(len(comparisons)))


def _experiment(row: Mapping[Any, Any], settings: Iterable[str]) -> str:
    return ", ".join(f"{name}={row[name]}" for name in settings if row[name] == row[name])


def _drawn(runs: Runs, build: Build, view: str, lang: str, about: Mapping[str, str], key: str = "") -> "go.Figure":
    """A section's first figure with these facets, and with a title under `key` if one is given, as one of its views.
    Raises ValueError, naming what there is, for a figure or a view that it does not have."""
    section = build(runs.results())
    figures = [figure for figure in section.figures if key in ("", getattr(figure.title, "key", ""))] if section else []
    texts = load_texts(lang)
    rendered = [texts.render_block(figure) for figure in figures]
    fitting = [figure for figure in rendered if all(figure.facets.get(name) == value for name, value in about.items())]
    if not fitting:
        raise ValueError(
            f"the runs have no such figure; they have: {'; '.join(_named(figure) for figure in rendered) or 'none'}"
        )
    views = {view.title: view.figure for view in fitting[0].views}
    if view and view not in views:
        raise ValueError(f"view must be one of {', '.join(views)}; got {view!r}")
    return _figure(views[view or next(iter(views))], _named(fitting[0]), fitting[0].height_px)


def _named(figure: Any) -> str:
    return " · ".join(filter(None, [figure.title, figure.settings]))


def _figure(plot: Mapping[str, Any], title: str, height_px: int) -> "go.Figure":
    """The page's data and layout as a figure with its title, which the page has as a heading."""
    import plotly.graph_objects as go

    heading = {"text": title, "x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "yref": "container"}
    return go.Figure(plot).update_layout(
        title={**heading, "pad": {"l": 8, "t": 12}},
        # Beside the plot: over it stands the title, which the page has as a heading of its own.
        legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"},
        template="plotly_white",
        height=height_px + TITLE_PX,
        margin={**plot["layout"].get("margin", {}), "t": TITLE_PX + 8},
    )
