"""Figures of thought: its length, its corrections and accuracy over training, and its length over accuracy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.report.blocks import Text, say
from suite.report.rl_charts import Band, axis, band_plot
from suite.report.rl_run import Run
from suite.report.rl_runs import Arm
from suite.report.rl_series import plain, seeds_band
from suite.report.rl_thoughts import ACCURACY, LENGTH, held_out, sampled

OF_SHARE = {"tickformat": ".0%", "rangemode": "tozero"}


def over_steps(arms: Sequence[Arm], metric: str) -> dict[str, Any]:
    """Sampled completions as a line, greedy answers to held-out prompts dotted beside it."""
    of_samples = [_band(arm, sampled, metric) for arm in arms]
    of_held_out = [_band(arm, held_out, metric, second=say("rl_evolution.held_out")) for arm in arms]
    return band_plot(
        [band for band in (*of_samples, *of_held_out) if band is not None],
        xaxis=axis(say("rl_stability.step"), separatethousands=True),
        yaxis=axis(say(f"rl_evolution.axis.{metric}"), **({"rangemode": "tozero"} if metric == LENGTH else OF_SHARE)),
    )


def _band(
    arm: Arm, values_of: Callable[[Run, str], Mapping[int, float]], metric: str, *, second: str = ""
) -> Band | None:
    return seeds_band(
        arm, lambda run: values_of(run, metric).items(), text_of(metric), has_extremes=not second, second=second
    )


def text_of(metric: str) -> Callable[[float], str]:
    return plain if metric == LENGTH else numbers.percent


def path(arms: Sequence[Arm]) -> dict[Text, Any]:
    """Thought against accuracy, evaluation by evaluation: at equal accuracy the lower line thinks less."""
    bands = []
    for arm in arms:
        length, accuracy = (_band(arm, held_out, metric) for metric in (LENGTH, ACCURACY))
        if length is None or accuracy is None:
            continue
        of_length, of_accuracy = (dict(zip(band.x, band.y, strict=True)) for band in (length, accuracy))
        steps = [step for step in of_length if step in of_accuracy]
        bands.append(
            Band(
                arm=arm,
                x=[of_accuracy[step] for step in steps],
                y=[of_length[step] for step in steps],
                low=None,
                high=None,
                hover=[
                    say(
                        "rl_evolution.path_hover",
                        step=numbers.count(step),
                        length=plain(of_length[step]),
                        accuracy=numbers.percent(of_accuracy[step]),
                    )
                    for step in steps
                ],
            )
        )
    return band_plot(
        bands,
        xaxis=axis(say("rl_efficiency.axis"), **OF_SHARE),
        yaxis=axis(say("rl_evolution.axis.held_out_length"), rangemode="tozero"),
    )
