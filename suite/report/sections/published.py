"""What others published for their kernels, each as a share of its card's roofline: how far a good kernel comes."""

from suite.records import numbers
from suite.report.results import Results
from suite.report.section import Column, Kind, Section, Table, cell
from suite.report.words import Words
from suite.theory.published import PublishedFigure, published_figures


def build(results: Results, words: Words) -> Section | None:
    if not results.records:
        return None
    figures = published_figures()
    shares = [figure.share for figure in figures]
    return Section(
        id="published",
        title=words("published.title"),
        explanation=words(
            "published.explanation",
            count=numbers.count(len(figures)),
            low=numbers.percent(min(shares)),
            high=numbers.percent(max(shares)),
        ),
        tables=[
            Table(
                title=words("published.table"),
                columns=[
                    Column(title=words("published.kernel")),
                    Column(title=words("signmap.device"), kind=Kind.CODE),
                    Column(title=words("column.phase")),
                    Column(title=words("published.problem")),
                    Column(title=words("published.figure"), kind=Kind.NUMBER),
                    Column(title=words("column.roofline"), kind=Kind.NUMBER),
                    Column(title=words("column.regime")),
                    Column(title=words("published.bound"), kind=Kind.NUMBER),
                    Column(title=words("published.time"), kind=Kind.NUMBER),
                    Column(title=words("column.dtype"), kind=Kind.CODE),
                    Column(title=words("published.source"), kind=Kind.LONG),
                    Column(title=words("column.notes"), kind=Kind.LONG),
                ],
                rows=[_row(figure, words) for figure in figures],
                note=words("published.note"),
                folded=True,
            )
        ],
    )


def _row(figure: PublishedFigure, words: Words) -> list[str]:
    return [
        figure.kernel,
        figure.gpu,
        words(f"published.pass.{figure.kind}"),
        _problem(figure, words),
        f"{figure.published:,g} {figure.unit}",
        numbers.percent(figure.share),
        words(f"regime.{figure.regime}"),
        cell(figure.bound_s, numbers.seconds),
        cell(figure.time_s, numbers.seconds),
        figure.dtype,
        figure.source,
        figure.note,
    ]


def _problem(figure: PublishedFigure, words: Words) -> str:
    sizes = figure.sizes
    if sizes is None:
        return figure.problem
    return words(
        "published.sizes",
        heads=sizes.heads,
        width=words("published.latent") if sizes.kv_heads is None else sizes.head_dim,
        batch=sizes.batch,
        tokens=numbers.count(sizes.seq_len),
        rest=words("published.causal") if sizes.is_causal else _grouped(figure, words),
    )


def _grouped(figure: PublishedFigure, words: Words) -> str:
    sizes = figure.sizes
    if sizes is None or sizes.kv_heads in (None, sizes.heads):
        return ""
    return words("published.grouped", kv_heads=sizes.kv_heads)
