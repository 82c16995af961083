"""The page's figures in a notebook, each a `plotly.graph_objects.Figure` drawn by the report's own marks.

A figure that the page has several of is chosen by what it is about, as `geometry="deepseek-v2-lite"`, and of the views
behind its buttons one is taken by its name. Texts are in English unless `lang` says otherwise.

>>> import suite
>>> runs = suite.load("results/reference/cpu_rl_feedback")
>>> figure = suite.plot.learning(runs)
>>> sorted({trace.type for trace in figure.data})
['scatter']
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from suite.configuration import locate
from suite.report.blocks import Figure, Section
from suite.report.model.formats import ends_of
from suite.report.model.labels import style_of
from suite.report.model.results import Results
from suite.report.page.texts import load_texts
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import rule
from suite.report.plot.rows import height_px, rows
from suite.report.plot.scales import linear
from suite.runs import Runs

if TYPE_CHECKING:
    import plotly.graph_objects as go

TITLE_PX = 40
Chosen = Callable[[Figure], bool]


def latency(runs: Runs, *, view: str = "", lang: str = "en", **about: str) -> "go.Figure":
    """Draw each variant's time against the context, in seconds, with the interval of its median.

    `view`: the span. `about`: facets of the figure, as `geometry`, `phase` and `dtype`. Raises ValueError, as every
    function here does, where the runs have no such figure, and names those that they have.
    """
    return _drawn(runs, "suite.report.attention.latency.build", view, lang, about)


def roofline(runs: Runs, *, view: str = "", lang: str = "en", **about: str) -> "go.Figure":
    """Draw what each case reaches (GFLOP/s) against its arithmetic intensity (FLOP/B), under the measured ceilings."""
    return _drawn(runs, "suite.report.attention.roofline.build", view, lang, about)


def sign_map(runs: Runs, *, view: str = "", lang: str = "en") -> "go.Figure":
    """Draw who wins where, MLA or GQA, by the closed forms and as measured: a row a device, a column for new tokens."""
    return _drawn(runs, "suite.report.attention.signmap.build", view, lang, {})


def learning(runs: Runs, *, view: str = "", lang: str = "en", **about: str) -> "go.Figure":
    """Draw held-out accuracy over what had been spent, the mean of an arm's seeds. `view`: the budget."""
    return _drawn(runs, "suite.report.rl.efficiency.build", view, lang, about)


def pareto(runs: Runs, *, view: str = "", lang: str = "en") -> "go.Figure":
    """Draw quality against cache bytes of a token, and which arms no other beats in both. `view`: the task."""
    return _drawn(runs, "suite.report.quality.tasks.build", view, lang, {}, key="quality.pareto")


def forest(runs: Runs, *, by: str = "attention", **compared: Any) -> "go.Figure":
    """Draw every arm's mean difference from the one it is compared with, with Student's interval: `Runs.compare`."""
    found = runs.compare(by, **compared).to_dict("records")
    points = [
        Point(
            x=one["difference"],
            y=row,
            ends=None if one["pairs"] < 2 else (one["low"], one["high"]),
            hover=f"{one['outcome']} ({one['pairs']})",
        )
        for row, one in enumerate(found)
    ]
    series = Series(name=by, points=points, style=style_of(by, ""), along="x", in_legend=False)
    names = [f"{one['arm']} − {one['other']}" for one in found]
    figure = rows(names, [series], xaxis=linear(str(found[0]["metric"])), shapes=[rule(x=0, solid=True)])
    return _figure(figure, "", height_px(len(found)))


def _drawn(
    runs: Runs, dotted: str, view: str, lang: str, about: dict[str, str], *, key: str = ""
) -> "go.Figure":
    """Take a figure of a section: the first that is about all this, or whose title stands under `key`."""
    texts = load_texts(lang)
    section: Section | None = locate(dotted)(runs.results())
    figures = [texts.section(section).figures[place] for place, one in enumerate(section.figures) if key in ("", getattr(one.title, "key", ""))] if section else []
    fitting = [one for one in figures if all(one.facets.get(name) == value for name, value in about.items())]
    if not fitting:
        known = ", ".join(str(one.title) for one in figures) or "none"
        raise ValueError(f"the runs have no such figure; those that they have: {known}")
    views = {str(one.title): one.figure for one in fitting[0].views}
    if view and view not in views:
        raise ValueError(f"view must be one of {', '.join(views)}; got {view!r}")
    figure = views[view] if view else next(iter(views.values()))
    return _figure(figure, str(fitting[0].title), fitting[0].height_px)


def _figure(figure: Any, title: str, height_px: int) -> "go.Figure":
    """Return the page's data and layout as a figure with its title, which the page has as a heading."""
    import plotly.graph_objects as go

    drawn = go.Figure(figure)
    margin = {**figure["layout"].get("margin", {}), "t": TITLE_PX + 20 if title else 20}
    return drawn.update_layout(title={"text": title}, height=height_px + (TITLE_PX if title else 0), margin=margin)
