"""Published figures of kernels, each as a share of its card's roofline: how far a good kernel comes."""

from statistics import median

from suite.records import numbers
from suite.report.blocks import Headline, Kind, Section, Text, say, section
from suite.report.model.results import Results
from suite.report.table import Column, column, table
from suite.theory.answers.published import PublishedFigure, published_figures


def build(results: Results) -> Section | None:
    """Build it from the published figures; None on a page without records, which needs no comparison."""
    if not results.records:
        return None
    figures = published_figures()
    shares = [figure.share for figure in figures]
    ends = {"low": numbers.percent(min(shares)), "high": numbers.percent(max(shares))}
    explanation = say("published.explanation", count=numbers.count(len(figures)), **ends)
    headline = Headline(text=say("published.headline", middle=numbers.percent(median(shares)), **ends))
    rows = table(say("published.table"), figures, COLUMNS, note=say("published.note"), folded=True)
    return section("published", explanation=explanation, tables=[rows], headlines=[headline])


def _problem(figure: PublishedFigure) -> Text:
    sizes = figure.sizes
    if sizes is None:
        return figure.problem
    is_grouped = sizes.kv_heads not in (None, sizes.heads)
    grouped = say("published.grouped", kv_heads=sizes.kv_heads) if is_grouped else ""
    return say(
        "published.sizes",
        heads=sizes.heads,
        width=say("published.latent") if sizes.kv_heads is None else sizes.head_dim,
        batch=sizes.batch,
        tokens=numbers.count(sizes.seq_len),
        rest=say("published.causal") if sizes.is_causal else grouped,
    )


COLUMNS: list[Column[PublishedFigure]] = [
    column("published.kernel", lambda figure: figure.kernel),
    # A kernel has many figures, which its problem tells apart.
    column("published.problem", _problem),
    column("signmap.device", lambda figure: figure.gpu, kind=Kind.CODE),
    column("column.phase", lambda figure: say(f"published.pass.{figure.kind}")),
    column("column.roofline", lambda figure: figure.share, numbers.percent),
    column("column.regime", lambda figure: say(f"regime.{figure.regime}")),
    column("published.figure", lambda figure: f"{figure.published:,g} {figure.unit}", kind=Kind.NUMBER),
    column("published.bound", lambda figure: figure.bound_s, numbers.seconds),
    column("published.time", lambda figure: figure.time_s, numbers.seconds),
    column("column.dtype", lambda figure: figure.dtype, kind=Kind.CODE),
    column("published.source", lambda figure: figure.source, kind=Kind.LONG),
    column("column.notes", lambda figure: figure.note, kind=Kind.LONG),
]
