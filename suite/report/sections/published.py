"""What others published for their kernels, each as a share of its card's roofline: how far a good kernel comes."""

from suite.records import numbers
from suite.report.blocks import Column, Kind, Section, Table, Text, cell, say
from suite.report.model.results import Results
from suite.theory.published import PublishedFigure, published_figures


def build(results: Results) -> Section | None:
    if not results.records:
        return None
    figures = published_figures()
    shares = [figure.share for figure in figures]
    return Section(
        id="published",
        title=say("published.title"),
        explanation=say(
            "published.explanation",
            count=numbers.count(len(figures)),
            low=numbers.percent(min(shares)),
            high=numbers.percent(max(shares)),
        ),
        tables=[
            Table(
                title=say("published.table"),
                columns=[
                    Column(title=say("published.kernel")),
                    Column(title=say("signmap.device"), kind=Kind.CODE),
                    Column(title=say("column.phase")),
                    Column(title=say("published.problem")),
                    Column(title=say("published.figure"), kind=Kind.NUMBER),
                    Column(title=say("column.roofline"), kind=Kind.NUMBER),
                    Column(title=say("column.regime")),
                    Column(title=say("published.bound"), kind=Kind.NUMBER),
                    Column(title=say("published.time"), kind=Kind.NUMBER),
                    Column(title=say("column.dtype"), kind=Kind.CODE),
                    Column(title=say("published.source"), kind=Kind.LONG),
                    Column(title=say("column.notes"), kind=Kind.LONG),
                ],
                rows=[_row(figure) for figure in figures],
                note=say("published.note"),
                folded=True,
            )
        ],
    )


def _row(figure: PublishedFigure) -> list[str]:
    return [
        figure.kernel,
        figure.gpu,
        say(f"published.pass.{figure.kind}"),
        _problem(figure),
        f"{figure.published:,g} {figure.unit}",
        numbers.percent(figure.share),
        say(f"regime.{figure.regime}"),
        cell(figure.bound_s, numbers.seconds),
        cell(figure.time_s, numbers.seconds),
        figure.dtype,
        figure.source,
        figure.note,
    ]


def _problem(figure: PublishedFigure) -> Text:
    sizes = figure.sizes
    if sizes is None:
        return figure.problem
    return say(
        "published.sizes",
        heads=sizes.heads,
        width=say("published.latent") if sizes.kv_heads is None else sizes.head_dim,
        batch=sizes.batch,
        tokens=numbers.count(sizes.seq_len),
        rest=say("published.causal") if sizes.is_causal else _grouped(figure),
    )


def _grouped(figure: PublishedFigure) -> Text:
    sizes = figure.sizes
    if sizes is None or sizes.kv_heads in (None, sizes.heads):
        return ""
    return say("published.grouped", kv_heads=sizes.kv_heads)
