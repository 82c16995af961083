"""What a smaller cache costs on the same text: perplexity, and the loss added to each class of words.

Each window is held against itself under the model as it is, so that what makes a window hard cancels. A value is the
ratio of two sums over windows. What may be said of a difference, suite.statistics.paired decides.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from suite.report.compress_run import OTHER, CompressRun, Part
from suite.report.quality.design import ALL
from suite.report.verdicts import mean_interval
from suite.statistics.ratios import ratio_by_cluster
from suite.statistics.scores import Estimate

MOST_NATS = 50.0
"""Of a mean loss. Guessing among a million tokens costs 14."""
NEAR = 2.0
"""Up to so many times the perplexity of the model as it is, a figure's close-up shows a run."""
ByWindow = Sequence[float]
"""What each window says of a ratio (suite.statistics.ratios); empty where nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Value:
    mean: float
    interval: Estimate | None
    """None with a single window."""


def value_of(by_window: ByWindow) -> Value | None:
    return Value(mean=fmean(by_window), interval=mean_interval(by_window)) if by_window else None


def exponential(value: Value | None) -> Value | None:
    """Of a mean loss its perplexity, of a difference the perplexities' ratio; None beyond what can be shown."""
    if value is None:
        return None
    ends = [value.interval.low, value.interval.high] if value.interval else []
    if any(abs(one) > MOST_NATS for one in (value.mean, *ends)):
        return None
    if value.interval is None:
        return Value(mean=math.exp(value.mean), interval=None)
    low, high = map(math.exp, ends)
    mean = math.exp(value.mean)
    interval = Estimate(estimate=mean, low=low, high=high, level=value.interval.level, runs=value.interval.runs)
    return Value(mean=mean, interval=interval)


def perplexity(run: CompressRun) -> Value | None:
    """Over other windows of such text: its interval is not that of a comparison."""
    parts = list(run.text[ALL].values())
    return exponential(value_of(ratio_by_cluster([one.loss for one in parts], [one.tokens for one in parts])))


def times_perplexity(run: CompressRun, reference: CompressRun | None) -> Value | None:
    """The run's perplexity over that of the model as it is, on the same windows."""
    return exponential(value_of(_compared(run, reference, ALL, lambda own: own.tokens)))


def is_near(run: CompressRun, reference: CompressRun | None) -> bool:
    times = times_perplexity(run, reference)
    return times is not None and times.mean <= NEAR


def own_loss(run: CompressRun, name: str) -> Value | None:
    """Of a word of a class, or of a token of `other`, in nats."""
    parts = list(run.text.get(name, {}).values())
    counts = [_unit(name)(one) for one in parts]
    return value_of(ratio_by_cluster([one.loss for one in parts], counts)) if math.fsum(counts) > 0 else None


def added(run: CompressRun, reference: CompressRun | None, name: str) -> ByWindow:
    """To the loss of a word of a class, or of a token of `other`, in nats."""
    return _compared(run, reference, name, _unit(name))


def added_share(run: CompressRun, reference: CompressRun | None, name: str) -> ByWindow:
    """The same as a share of the class's own loss in the model as it is."""
    return _compared(run, reference, name, lambda own: own.loss)


def less(one: ByWindow, other: ByWindow) -> list[float]:
    """The difference of two ratios; none where they are of different windows."""
    return [a - b for a, b in zip(one, other, strict=True)] if len(one) == len(other) else []


def _unit(name: str) -> Callable[[Part], float]:
    return (lambda part: part.tokens) if name in (ALL, OTHER) else (lambda part: part.words)


def _compared(run: CompressRun, reference: CompressRun | None, name: str, per: Callable[[Part], float]) -> list[float]:
    """The loss that is added, over what `per` takes of the model as it is, by window; only windows that both read."""
    ours, own = run.text.get(name, {}), reference.text.get(name, {}) if reference else {}
    pairs = [
        (ours[window], part)
        for window, part in own.items()
        if window in ours and (ours[window].tokens, ours[window].words) == (part.tokens, part.words)
    ]
    counts = [per(part) for _, part in pairs]
    if math.fsum(counts) <= 0:
        return []
    return ratio_by_cluster([one.loss - part.loss for one, part in pairs], counts)
