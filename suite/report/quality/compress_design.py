"""A model with a smaller cache, read from the records of workload=compress: what that costs, and which words pay first.

Runs stand in one experiment where everything but the method agrees; an arm is a method, from its widest cache to its
narrowest. Each window of text is compared with itself under the model as it is, so that what makes a window hard
cancels. A loss is the ratio of two sums over windows, and what may be said of two, suite.statistics.paired decides.

A record may be old or foreign: what it lacks is absent here, and nothing but one window of text is required.
"""

import functools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import fmean

from suite.records import numbers
from suite.records.derived import noted
from suite.records.metrics import TEXT
from suite.records.record import Reading, Status
from suite.report.blocks import Text, say, say_or
from suite.report.model.experiment import Arm, Design, Experiment, experiments, runs_of
from suite.report.model.formats import PERCENT, ends_of, mean_interval, nats, with_range
from suite.report.model.labels import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Style
from suite.report.model.labels import OTHER as UNKNOWN
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import MOST, Pairs, Run, clip_text, number_of
from suite.report.quality.design import ALL, WITHOUT_EFFECT, by_span, decoded_s, possible_readings
from suite.statistics.paired import Comparison, Outcome, changes, judge_together
from suite.statistics.ratios import ratio_by_cluster
from suite.statistics.scores import Estimate

NONE, SVD, ACTIVATION_SVD, BALANCED, INT8 = "none", "svd", "activation_svd", "activation_svd_balanced", "int8"
LOW_RANK = (SVD, ACTIVATION_SVD, BALANCED)
METHOD_STYLES = {
    NONE: Style(colour=VERMILION, dash="dash", marker="circle"),
    SVD: Style(colour=ORANGE, dash="dot", marker="diamond"),
    ACTIVATION_SVD: Style(colour=SKY, dash="dash", marker="triangle-down"),
    BALANCED: Style(colour=BLUE, dash="solid", marker="triangle-up"),
    INT8: Style(colour=PURPLE, dash="solid", marker="cross"),
}
"""In the order of tables; a method that is not here stands behind them."""
METHODS = tuple(METHOD_STYLES)
FREQUENT, COMMON, RARE, OTHER = "frequent", "common", "rare", "other"
"""Classes of tokens: words by how often they occur, and names, punctuation and line ends."""
CLASS_STYLES = {
    FREQUENT: Style(colour=ORANGE, dash="dash", marker="circle"),
    COMMON: Style(colour=GREEN, dash="dashdot", marker="square"),
    RARE: Style(colour=BLUE, dash="solid", marker="triangle-up"),
    OTHER: Style(colour=GREY, dash="dot", marker="diamond"),
}
CLASSES = tuple(CLASS_STYLES)
METHOD, RANK, CALIBRATION, CHECKPOINT = "method", "rank", "calibration_windows", "checkpoint"
LAYER = re.compile(r"layer (\d{1,4})")
RISE = 0.10
"""A noticeable rise of perplexity."""
NEAR = 2.0
"""Up to so many times the perplexity of the model as it is, a figure's close-up shows a run."""
MOST_NATS = 50.0
"""The largest mean loss that can be. Guessing among a million tokens costs 14."""
FROM_TIMES = 10
"""From here on a perplexity is so many times as high; below, higher by a percentage."""
MOST_PLAYS, LONGEST_ORIGIN, MOST_RANK = 12, 200, 1 << 31

ByWindow = Sequence[float]
"""The share that each window has in a ratio (suite.statistics.ratios); empty where nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The summed loss of a class's tokens in one window, in nats, how many they are, and of how many words."""

    loss: float
    tokens: float
    words: float


PerPart = Callable[[str, Part], float]
"""Gives the divisor of a loss from a class and a window's part."""


def count_of(name: str, part: Part) -> float:
    """Return its tokens where the class is no words, else its words."""
    return part.tokens if name in (ALL, OTHER) else part.words


@dataclass(frozen=True, kw_only=True)
class Value:
    """A mean over windows."""

    mean: float
    interval: Estimate | None
    """None with a single window."""

    def written(self, text: Callable[[float], str]) -> Text:
        """Return it with its interval."""
        return with_range(self.mean, self.interval, text)


def value_of(by_window: ByWindow) -> Value | None:
    """Return the mean over windows; None where nothing is known."""
    return Value(mean=fmean(by_window), interval=mean_interval(by_window)) if by_window else None


def _exponential(value: Value | None) -> Value | None:
    """The perplexity of a mean loss, or of a difference the ratio of perplexities; None beyond what can be."""
    if value is None:
        return None
    losses = [value.mean, *(ends_of(value.interval) or ())]
    if any(abs(loss) > MOST_NATS for loss in losses):
        return None
    mean, *ends = map(math.exp, losses)
    interval = value.interval and replace(value.interval, estimate=mean, low=ends[0], high=ends[1])
    return Value(mean=mean, interval=interval)


@dataclass(frozen=True, kw_only=True, eq=False)
class CompressRun(Run):
    """A model that has read held-out text."""

    text: Mapping[str, Mapping[int, Part]]
    """Parts of the text by class, then by window."""
    kept: Mapping[int, float]
    """The share of the squared norm of keys and values that is kept, by layer from 1 on."""
    logits_change: float | None
    decode_s: float | None
    """The median time of a new token."""
    reference: "CompressRun | None" = None

    @property
    def own(self) -> "CompressRun | None":
        """Return the model as it is."""
        return self if self.method == NONE else self.reference

    @property
    def method(self) -> str:
        return clip_text(self.axis(METHOD))

    @property
    def is_low_rank(self) -> bool:
        return self.method in LOW_RANK

    @property
    def rank(self) -> int | None:
        value = number_of(self.axis(RANK))
        return int(value) if value and value == int(value) and value < MOST_RANK else None

    @property
    def name(self) -> Text:
        name = method_name(self.method)
        return say("compress.name", name=name, rank=self.rank) if self.is_low_rank and self.rank else name

    @property
    def cache_bytes(self) -> float | None:
        """Return the bytes of a token, over all layers."""
        return self.constant("cache_bytes_per_token")

    @property
    def share_of_own(self) -> float | None:
        return _ratio(self.cache_bytes, self.own.cache_bytes if self.own else None)

    @property
    def share_of_mha(self) -> float | None:
        return _ratio(self.cache_bytes, self.constant("cache_bytes_per_token_mha"))

    @property
    def is_full(self) -> bool:
        """Return whether it is a latent that keeps as much as keys and values themselves, so that nothing is cut."""
        return self.is_low_rank and (self.share_of_own or 0) >= 1

    @property
    def weights(self) -> str:
        """Return where the model's weights come from, as its run said."""
        return clip_text(self.record.provenance.get("weights"), LONGEST_ORIGIN)

    @property
    def plays(self) -> Sequence[str]:
        named = self.record.provenance.get("held_out_plays")
        return [clip_text(name) for name in named[:MOST_PLAYS]] if isinstance(named, list) else []

    @functools.cached_property
    def perplexity(self) -> Value | None:
        """Return its perplexity. The interval is over other windows of such text, and not that of a comparison."""
        return _exponential(self.loss(ALL))

    @functools.cached_property
    def times(self) -> Value | None:
        """Return its perplexity over that of the model as it is, on the same windows."""
        return _exponential(value_of(self.added(ALL)))

    @property
    def perplexity_compared(self) -> Value | None:
        """Return its perplexity with the interval of the comparison: the ratio's, times what the model as it is has."""
        own, interval = self.own.perplexity if self.own else None, self.times.interval if self.times else None
        if self.perplexity is None:
            return None
        if own is None or interval is None or self is self.own:
            return replace(self.perplexity, interval=None)
        ends = replace(interval, low=own.mean * interval.low, high=own.mean * interval.high)
        return replace(self.perplexity, interval=ends)

    @property
    def is_near(self) -> bool:
        """Return whether a close-up shows it."""
        return self.times is not None and self.times.mean <= NEAR

    @property
    def has_risen(self) -> bool:
        return self.times is not None and self.times.mean > 1 + RISE

    def loss(self, name: str) -> Value | None:
        """Return the loss of a word of a class, or of a token of `other` and of all, in nats."""
        parts = list(self.text.get(name, {}).values())
        counts = [count_of(name, part) for part in parts]
        return value_of(ratio_by_cluster([part.loss for part in parts], counts)) if math.fsum(counts) > 0 else None

    def added(self, name: str, per: PerPart = count_of) -> ByWindow:
        """Return what is added to a class's loss, over what `per` takes of the model as it is: mostly nats a word.

        Only windows that both read count.
        """
        ours, own = self.text.get(name, {}), self.own.text.get(name, {}) if self.own else {}
        pairs = [
            (ours[window], part)
            for window, part in own.items()
            if window in ours and (ours[window].tokens, ours[window].words) == (part.tokens, part.words)
        ]
        counts = [per(name, part) for _, part in pairs]
        losses = [our.loss - part.loss for our, part in pairs]
        return ratio_by_cluster(losses, counts) if math.fsum(counts) > 0 else []


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part and whole else None


def method_name(method: str) -> Text:
    return say_or(f"compress.method.{method}", method)


def read_compress_run(current: CurrentRecord, key: Pairs) -> CompressRun | None:
    """Read a record; None of one that did not end well, or read no text."""
    record = current.record
    readings = possible_readings(record)
    text, change = _text(readings), noted(record, "case", "logits_change")
    if record.status is not Status.OK or ALL not in text:
        return None
    return CompressRun(
        current=current,
        key=key,
        text=text,
        kept=_kept(readings),
        logits_change=change if change is not None and 0 <= change < MOST else None,
        decode_s=decoded_s(record),
    )


def _text(readings: Sequence[Reading]) -> dict[str, dict[int, Part]]:
    """The classes of each window whose loss, tokens and words are all known."""
    losses, tokens, words = (by_span(readings, f"text_{name}", TEXT) for name in ("loss", "tokens", "words"))
    parts: dict[str, dict[int, Part]] = defaultdict(dict)
    for name in losses.keys() & tokens.keys() & words.keys():
        for window in sorted(losses[name].keys() & tokens[name].keys() & words[name].keys()):
            part = Part(loss=losses[name][window], tokens=tokens[name][window], words=words[name][window])
            if name != ALL or part.tokens > 0:
                parts[name][window] = part
    return parts


def _kept(readings: Sequence[Reading]) -> dict[int, float]:
    found = {}
    for reading in readings:
        layer = LAYER.fullmatch(reading.span)
        if layer and reading.metric == "retained_variance":
            found[int(layer[1]) + 1] = min(reading.value, 1.0)
    return dict(sorted(found.items()))


MethodArm = Arm[CompressRun]
CompressExperiment = Experiment[CompressRun]
DESIGN = Design(
    workload="compress",
    read=read_compress_run,
    is_factor=lambda name: name in (METHOD, CALIBRATION),
    repeats=RANK,
    ignored=WITHOUT_EFFECT,
    heads=(CHECKPOINT,),
)


@functools.lru_cache(maxsize=1)
def compress_experiments(results: Results) -> Sequence[CompressExperiment]:
    """Return the experiments label by label, those with the most runs first. One that is alone needs no title."""
    every = experiments(runs_of(results.records, DESIGN), DESIGN, has_labels=results.several, named=_named)
    found = []
    for experiment in every:
        baseline = next((arm for arm in experiment.arms if arm.first.method == NONE), None)
        found.append(replace(experiment, baseline=baseline, title=experiment.title if len(every) > 1 else ""))
    labels = list(results.labels)
    return sorted(
        found, key=lambda experiment: (labels.index(experiment.label), -len(runs_in(experiment)), experiment.key)
    )


def _named(arms: Sequence[MethodArm]) -> list[MethodArm]:
    """An experiment's methods in their order; one that stands there with several calibrations says its own."""

    def place(method: str) -> int:
        return METHODS.index(method) if method in METHODS else len(METHODS)

    reference = next((arm.first for arm in arms if arm.first.method == NONE), None)
    methods = [arm.first.method for arm in arms]
    named = []
    for arm in sorted(arms, key=lambda arm: (place(arm.first.method), arm.key)):
        method, windows = arm.first.method, arm.value(CALIBRATION)
        name = method_name(method)
        if windows and methods.count(method) > 1:
            name = say("compress.calibrated", name=name, windows=windows)
        runs = [replace(run, reference=reference) for run in sorted(arm.runs, key=lambda run: -(run.rank or 0))]
        named.append(replace(arm, name=name, style=METHOD_STYLES.get(method, UNKNOWN), runs=runs))
    return named


def runs_in(experiment: CompressExperiment) -> list[CompressRun]:
    return [run for arm in experiment.arms for run in arm.runs]


def latents(experiment: CompressExperiment) -> list[MethodArm]:
    """Return the ways to choose a latent."""
    return [arm for arm in experiment.others if arm.first.is_low_rank]


def perplexity_text(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def change_text(ratio: float) -> str:
    """Write what becomes of a perplexity: +12.3 %, or 204×."""
    return numbers.times(ratio) if ratio >= FROM_TIMES else share_text(ratio - 1)


def share_text(share: float) -> str:
    percent = 100 * share
    decimals = 0 if abs(percent) >= 100 else 1 if abs(percent) >= 1 else 2
    return f"{round(percent, decimals) + 0.0:+,.{decimals}f}{PERCENT}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One of two ways to say what is added to a class."""

    name: str
    per: PerPart
    """The divisor of the added loss."""
    classes: Sequence[str]
    """Those that may be ranked by it: a token that is no word is not to be compared with words by nats."""
    text: Callable[[float], str]
    ticks: str
    """Plotly's format."""


MEASURES = (
    Measure(name="nats", per=count_of, classes=(FREQUENT, COMMON, RARE), text=nats, ticks="+.2~f"),
    Measure(name="share", per=lambda _, part: part.loss, classes=CLASSES, text=share_text, ticks="+.0%"),
)


@dataclass(frozen=True, kw_only=True)
class Rise:
    """The classes that pay at the widest cache of a method under which perplexity rises by more than RISE."""

    arm: MethodArm
    run: CompressRun
    measure: Measure
    values: Sequence[tuple[str, Value]]
    """The known classes by what was added to them, the most first."""
    gap: Comparison | None
    """The first less the second, window by window; None where they were not read in the same windows."""


def rises_in(experiment: CompressExperiment) -> list[Rise]:
    """Return where each method first costs more than RISE, by both measures; Holm's correction is over all."""
    first = {arm: next((run for run in arm.runs if run.has_risen), None) for arm in experiment.others}
    found = [_rise(arm, run, measure) for arm, run in first.items() if run is not None for measure in MEASURES]
    judged = iter(judge_together([rise.gap for rise in found if rise.gap]))
    return [replace(rise, gap=next(judged)) if rise.gap else rise for rise in found]


def _rise(arm: MethodArm, run: CompressRun, measure: Measure) -> Rise:
    by_class = {name: run.added(name, measure.per) for name in measure.classes}
    known = [(name, value) for name, by_window in by_class.items() if (value := value_of(by_window)) is not None]
    values = sorted(known, key=lambda named: -named[1].mean)
    gap = changes(_less(*(by_class[name] for name, _ in values[:2]))) if len(values) > 1 else None
    return Rise(arm=arm, run=run, measure=measure, values=values, gap=gap)


def _less(ours: ByWindow, theirs: ByWindow) -> list[float]:
    """The difference of two ratios; nothing where they are of different windows."""
    return [our - their for our, their in zip(ours, theirs, strict=True)] if len(ours) == len(theirs) else []


def holds_until(arm: MethodArm) -> CompressRun | None:
    """Return the narrowest cache before perplexity first rises by more than RISE, or is unknown; None of no such."""
    held = list(takewhile(lambda run: run.times is not None and not run.has_risen, arm.runs))
    return held[-1] if held else None


def best_latent(experiment: CompressExperiment) -> MethodArm | None:
    """Return the method whose perplexity holds with the fewest bytes; of several the one that rises least behind it."""
    risen = {rise.arm: rise.run.times for rise in rises_in(experiment)}

    def cost(arm: MethodArm) -> tuple[float, float]:
        held, times = holds_until(arm), risen.get(arm)
        # That full rank holds is no merit of one of them.
        kept = held or arm.first.own
        return (kept.cache_bytes if kept else None) or math.inf, times.mean if times else 0.0

    return min((arm for arm in latents(experiment) if any(run.times for run in arm.runs)), key=cost, default=None)


def all_lose_more(runs: Sequence[CompressRun], than: CompressRun) -> bool:
    """Return whether each of these adds more to the loss of a token than another, window by window."""
    found = [changes(_less(run.added(ALL), than.added(ALL))) for run in runs]
    known = [change for change in found if change is not None]
    return len(known) == len(runs) and all(change.outcome is Outcome.HIGHER for change in judge_together(known))
