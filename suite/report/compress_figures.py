"""Figures of workload=compress: perplexity over cache bytes, and which words pay for a smaller cache."""

from suite.report.blocks import Figure, Text, View, joined, say
from suite.report.compress_losses import Value, added, added_share, is_near, times_perplexity
from suite.report.compress_names import nats_text, share_text, titled, told, with_origin
from suite.report.compress_panels import classes_plot
from suite.report.compress_perplexity_chart import perplexity_plot, ratio_plot
from suite.report.compress_runs import Study
from suite.report.plot.plots import panels_height_px
from suite.report.quality.design import ALL
from suite.report.rl_charts import height_px

FEWEST_NEAR = 2


def figures_of(study: Study, *, is_lone: bool) -> list[Figure]:
    """`is_lone`: no other study stands on the page, so none need be named."""
    return [
        Figure(
            title=titled(say(title), study, is_lone=is_lone),
            caption=_caption(caption, study),
            views=views,
            height_px=height,
            wide=True,
            facets={"label": study.label},
        )
        for title, caption, views, height in (
            (
                "compress.perplexity_figure",
                "compress.perplexity_caption",
                _perplexity(study),
                height_px(len(study.lines) + 1),
            ),
            (
                "compress.classes_figure",
                "compress.classes_caption",
                _classes(study),
                panels_height_px(len(study.low_rank)),
            ),
        )
        if views
    ]


def _caption(key: str, study: Study) -> Text:
    is_single = all(len(run.text[ALL]) == 1 for run in study.runs)
    said = [say(key), *([say("compress.one_window")] if is_single else [])]
    return with_origin(joined("sentence", said), study)


def _perplexity(study: Study) -> list[View]:
    found = [("perplexity", perplexity_plot(study))]
    if study.reference is not None and study.lines:
        found.append(("ratio", ratio_plot(study)))
        if _has_close_up(study):
            found.append(("close_up", ratio_plot(study, is_close_up=True)))
    return [View(title=say(f"compress.view.{name}"), figure=figure) for name, figure in found if figure["data"]]


def _classes(study: Study) -> list[View]:
    def nats(value: Value) -> Text:
        return say("compress.nats", nats=told(value, nats_text))

    def share(value: Value) -> Text:
        return told(value, share_text)

    views = []
    for is_close_up in (False, True) if _has_close_up(study) else (False,):
        for name, value, said, ticks in (("nats", added, nats, "+.2~f"), ("share", added_share, share, "+.0%")):
            axis_title = say(f"compress.axis.{name}")
            figure = classes_plot(study, value, said, axis_title, ticks, is_close_up=is_close_up)
            title = say(f"compress.view.{name}")
            if figure["data"]:
                views.append(View(title=say("compress.close_up", view=title) if is_close_up else title, figure=figure))
    return views


def _has_close_up(study: Study) -> bool:
    """Whether some latents cost little enough to be looked at by themselves, and others would hide it."""
    runs = [run for line in study.low_rank for run in line.runs if times_perplexity(run, study.reference) is not None]
    near = [run for run in runs if is_near(run, study.reference)]
    return FEWEST_NEAR <= len(near) < len(runs)
