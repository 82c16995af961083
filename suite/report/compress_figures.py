"""Figures of workload=compress: perplexity over cache bytes, and which words pay for a smaller cache."""

from suite.report.compress_losses import Value, added, added_share, times_perplexity
from suite.report.compress_names import nats_text, share_text, titled, told, with_origin
from suite.report.compress_panels import classes_plot
from suite.report.compress_perplexity_chart import CLOSE_UP, perplexity_plot, ratio_plot
from suite.report.compress_runs import Study
from suite.report.quality_panels import height_px as panels_height_px
from suite.report.quality_run import ALL
from suite.report.rl_charts import height_px
from suite.report.section import Figure, View
from suite.report.words import Words

FEWEST_NEAR = 2


def figures_of(study: Study, words: Words, *, is_lone: bool) -> list[Figure]:
    """`is_lone`: no other study stands on the page, so none need be named."""
    return [
        Figure(
            title=titled(words(title), study, is_lone=is_lone),
            caption=_caption(caption, study, words),
            views=views,
            height_px=height,
            wide=True,
            facets={"label": study.label},
        )
        for title, caption, views, height in (
            (
                "compress.perplexity_figure",
                "compress.perplexity_caption",
                _perplexity(study, words),
                height_px(len(study.lines) + 1),
            ),
            (
                "compress.classes_figure",
                "compress.classes_caption",
                _classes(study, words),
                panels_height_px(len(study.low_rank)),
            ),
        )
        if views
    ]


def _caption(key: str, study: Study, words: Words) -> str:
    is_single = all(len(run.text[ALL]) == 1 for run in study.runs)
    said = [words(key), *([words("compress.one_window")] if is_single else [])]
    return with_origin(words("punctuation.sentence").join(said), study, words)


def _perplexity(study: Study, words: Words) -> list[View]:
    found = [("perplexity", perplexity_plot(study, words))]
    if study.reference is not None and study.lines:
        found.append(("ratio", ratio_plot(study, words)))
        times = [one.mean for run in study.runs if (one := times_perplexity(run, study.reference)) is not None]
        near = [one for one in times if one <= CLOSE_UP]
        if FEWEST_NEAR < len(near) < len(times):  # the model as it is among them
            found.append(("close_up", ratio_plot(study, words, is_close_up=True)))
    return [View(title=words(f"compress.view.{name}"), figure=figure) for name, figure in found if figure["data"]]


def _classes(study: Study, words: Words) -> list[View]:
    def nats(value: Value) -> str:
        return words("compress.nats", nats=told(value, nats_text, words))

    def share(value: Value) -> str:
        return told(value, share_text, words)

    found = (
        ("nats", classes_plot(study, added, nats, words("compress.axis.nats"), "+.2~f", words)),
        ("share", classes_plot(study, added_share, share, words("compress.axis.share"), "+.0%", words)),
    )
    return [View(title=words(f"compress.view.{name}"), figure=figure) for name, figure in found if figure["data"]]
