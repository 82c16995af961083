"""How methods of compression and classes of words are named and drawn, and the numbers of their losses written."""

from collections.abc import Callable

from suite.records import numbers
from suite.report.blocks import Text, dotted, joined, say, say_or
from suite.report.compress_losses import Value
from suite.report.compress_run import (
    ACTIVATION_SVD,
    BALANCED,
    COMMON,
    FREQUENT,
    INT8,
    NONE,
    OTHER,
    RARE,
    SVD,
    CompressRun,
)
from suite.report.compress_runs import Line, Study
from suite.report.palette import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Style
from suite.report.palette import OTHER as UNKNOWN

METHOD_STYLES = {
    NONE: Style(colour=VERMILION, dash="dash", marker="circle"),
    SVD: Style(colour=ORANGE, dash="dot", marker="diamond"),
    ACTIVATION_SVD: Style(colour=SKY, dash="dash", marker="triangle-down"),
    BALANCED: Style(colour=BLUE, dash="solid", marker="triangle-up"),
    INT8: Style(colour=PURPLE, dash="solid", marker="cross"),
}
CLASS_STYLES = {
    FREQUENT: Style(colour=ORANGE, dash="dash", marker="circle"),
    COMMON: Style(colour=GREEN, dash="dashdot", marker="square"),
    RARE: Style(colour=BLUE, dash="solid", marker="triangle-up"),
    OTHER: Style(colour="#808080", dash="dot", marker="diamond"),
}
PERCENT = " %"
FROM_TIMES = 10
"""From here on a perplexity is so many times as high; below, higher by a percentage."""


def method_style(method: str) -> Style:
    return METHOD_STYLES.get(method, UNKNOWN)


def method_name(method: str) -> Text:
    return say_or(f"compress.method.{method}", method)


def line_name(line: Line) -> Text:
    name = method_name(line.method)
    return say("compress.calibrated", name=name, windows=line.calibration) if line.calibration else name


def run_name(run: CompressRun) -> Text:
    name = method_name(run.method)
    return say("compress.name", name=name, rank=run.rank) if run.is_low_rank and run.rank else name


def with_origin(text: str, study: Study) -> Text:
    """A caption or a note, and behind it what the weights are that its numbers stand on."""
    said = list(dict.fromkeys(run.weights for run in study.runs if run.weights))
    origin = say("compress.origin", weights=joined("notes", said)) if said else say("compress.no_origin")
    return joined("sentence", [text, origin])


def titled(title: str, study: Study, *, is_lone: bool) -> Text:
    return title if is_lone or not study.title else dotted(title, study.title)


def perplexity_text(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def change_text(ratio: float) -> str:
    """Of a perplexity: +12.3 %, or 204×."""
    return numbers.times(ratio) if ratio >= FROM_TIMES else share_text(ratio - 1)


def share_text(share: float) -> str:
    percent = 100 * share
    decimals = 0 if abs(percent) >= 100 else 1 if abs(percent) >= 1 else 2
    return f"{round(percent, decimals) + 0.0:+,.{decimals}f}{PERCENT}"


def nats_text(nats: float) -> str:
    return f"{round(nats, 3) + 0.0:+.3f}"


def plain_nats(nats: float) -> str:
    return f"{nats:.2f}"


def told(value: Value | None, text: Callable[[float], str]) -> Text:
    """With its interval, whose unit is said once; a dash for none."""
    if value is None:
        return numbers.NOTHING
    if value.interval is None:
        return text(value.mean)
    low, high = text(value.interval.low), text(value.interval.high)
    if high.endswith(PERCENT):
        low = low.removesuffix(PERCENT)
    return say("rl.with_range", value=text(value.mean), low=low, to=say("rl.to"), high=high)
