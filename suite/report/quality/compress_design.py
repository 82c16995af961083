"""A model with a smaller cache, read from the records of workload=compress: what that costs, and which words pay first.

Runs stand in one experiment where everything but the method agrees; an arm is a method, from its widest cache to its
narrowest. Each window of text is compared with itself under the model as it is, so that what makes a window hard
cancels. A loss is the ratio of two sums over windows, and what may be said of two, suite.statistics.paired decides.

A record may be old or foreign: what it lacks is absent here, and nothing but one window of text is required.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from suite.records import numbers
from suite.records.case import value_under
from suite.records.metrics import TASK, TEXT
from suite.records.record import Record, Status
from suite.report.blocks import Text, joined, say, say_or
from suite.report.model.experiment import Arm, Design, Experiment, experiments, workload_runs
from suite.report.model.formats import PERCENT, interval_ends, nats, with_range
from suite.report.model.labels import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Style
from suite.report.model.labels import OTHER as UNKNOWN
from suite.report.model.results import CurrentRecord, Results, cached_by_results
from suite.report.model.run import Pairs, Run, clip_text, numbers_by_span, parse_whole_number
from suite.report.quality.design import ALL, WITHOUT_EFFECT, median_decode_s, series_below
from suite.statistics.paired import Comparison, changes, judge_together
from suite.statistics.scores import Estimate
from suite.statistics.seeds import ratio_by_cluster

NONE, SVD, ACTIVATION_SVD, BALANCED, INT8 = "none", "svd", "activation_svd", "activation_svd_balanced", "int8"
LOW_RANK = (SVD, ACTIVATION_SVD, BALANCED)
# In the order of tables; a method that is not here stands behind them.
METHOD_STYLES = {
    NONE: Style(colour=VERMILION, dash="dash", marker="circle"),
    SVD: Style(colour=ORANGE, dash="dot", marker="diamond"),
    ACTIVATION_SVD: Style(colour=SKY, dash="dash", marker="triangle-down"),
    BALANCED: Style(colour=BLUE, dash="solid", marker="triangle-up"),
    INT8: Style(colour=PURPLE, dash="solid", marker="cross"),
}
METHODS = tuple(METHOD_STYLES)
# Classes of tokens: words by how often they occur, and names, punctuation and line ends.
CLASSES = FREQUENT, COMMON, RARE, OTHER = ("frequent", "common", "rare", "other")
METHOD, RANK, CALIBRATION, CHECKPOINT = "method", "rank", "calibration_windows", "checkpoint"
ROPE_WIDTH, TAUGHT, LATENT_DTYPE = "rope_width", "distill_updates", "latent_dtype"
OF_LATENT = (ROPE_WIDTH, "ranks", TAUGHT, "distill_learning_rate", LATENT_DTYPE)
"""Further settings of a latent, by which arms of one method differ."""
TASKS = ("continuation", "copying", "look_up")
RISE = 0.10  # a noticeable rise of perplexity
NEAR = 2.0  # up to so many times the perplexity of the model as it is, a figure's close-up shows a run
MOST_NATS = 50.0  # the largest mean loss that can be: guessing among a million tokens costs 14
FROM_TIMES = 10  # from here on a perplexity is so many times as high; below, higher by a percentage
MOST_PLAYS, LONGEST_ORIGIN = 12, 200


@dataclass(frozen=True, kw_only=True)
class WindowPart:
    """The summed loss of a class's tokens in one window, in nats, how many they are, and of how many words."""

    loss: float
    tokens: float
    words: float


Divisor = Callable[[str, WindowPart], float]
"""Gives the divisor of a loss from a class and a window's part."""


def count_units(name: str, part: WindowPart) -> float:
    """What a class's loss is divided by in a window: its words, or its tokens where the class is no words."""
    return part.tokens if name in (ALL, OTHER) else part.words


@dataclass(frozen=True, kw_only=True, eq=False)
class CompressRun(Run):
    """A model that has read held-out text."""

    text: Mapping[str, Mapping[int, WindowPart]]  # by class, then by window
    tasks: Mapping[str, tuple[float, float]]  # by task the share of right answers, and the share that guessing gives
    decode_s: float | None  # the median time of a new token
    reference: "CompressRun | None" = None

    @property
    def original(self) -> "CompressRun | None":
        return self if self.method == NONE else self.reference

    @property
    def method(self) -> str:
        return clip_text(self.axis(METHOD))

    @property
    def is_low_rank(self) -> bool:
        return self.method in LOW_RANK

    @property
    def rank(self) -> int | None:
        return parse_whole_number(self.axis(RANK))

    @property
    def cache_bytes(self) -> float | None:
        return self.constant("cache_bytes_per_token")

    @property
    def share_of_original(self) -> float | None:
        return _ratio(self.cache_bytes, self.original.cache_bytes if self.original else None)

    @property
    def share_of_mha(self) -> float | None:
        return _ratio(self.cache_bytes, self.constant("cache_bytes_per_token_mha"))

    def is_decoded_as(self, record: Record) -> bool:
        """Whether a case of workload=attention times a decode step of one layer of this very shape and type of cache,
        on such a device."""
        shape = self.record.provenance.get("decode_settings")
        if not isinstance(shape, dict) or shape.get("attention") != record.case.axes.get("attention"):
            return False
        wanted = {**shape, **{name: self.record.case.axes.get(name) for name in ("dtype", "device", "threads")}}
        wanted = {**wanted, "phase": "decode", "attention": value_under(record.settings, "attention")}
        return all(value_under(record.settings, name) == value for name, value in wanted.items())

    @property
    def weights(self) -> str:
        return clip_text(self.record.provenance.get("weights"), LONGEST_ORIGIN)

    @property
    def plays(self) -> Sequence[str]:
        """The names of the held-out plays that it read, at most MOST_PLAYS."""
        names = self.record.provenance.get("held_out_plays")
        return [clip_text(name) for name in names[:MOST_PLAYS]] if isinstance(names, list) else []

    @functools.cached_property
    def perplexity(self) -> float | None:
        """The exponential of the loss of a token; None beyond MOST_NATS."""
        loss = self.loss(ALL)
        return None if loss is None or loss > MOST_NATS else math.exp(loss)

    @functools.cached_property
    def change(self) -> Comparison | None:
        """The loss of a token, in nats, compared with the original model's window by window; None beyond MOST_NATS."""
        added = self.added(ALL)
        ends = [added.mean, *(interval_ends(added.interval) or ())] if added else []
        return None if any(abs(nats) > MOST_NATS for nats in ends) else added

    @property
    def times(self) -> float | None:
        return None if self.change is None else math.exp(self.change.mean)

    @property
    def times_interval(self) -> Estimate | None:
        """The interval of `times`; its estimate stays in nats."""
        interval = self.change.interval if self.change else None
        return interval and replace(interval, low=math.exp(interval.low), high=math.exp(interval.high))

    @property
    def is_near(self) -> bool:
        return self.times is not None and self.times <= NEAR

    @property
    def has_risen(self) -> bool:
        return self.times is not None and self.times > 1 + RISE

    def loss(self, name: str) -> float | None:
        """The mean loss of a word of a class, or of a token of OTHER and of ALL, in nats; None where there is none."""
        parts = list(self.text.get(name, {}).values())
        counts = math.fsum(count_units(name, part) for part in parts)
        return math.fsum(part.loss for part in parts) / counts if counts > 0 else None

    def added(self, name: str, divisor: Divisor = count_units) -> Comparison | None:
        """Compare the loss of a class with the original model's, over the windows that both read, each divided by
        `divisor` of the original's window: mostly nats a word. None where there is no window."""
        windows, originals = self.text.get(name, {}), self.original.text.get(name, {}) if self.original else {}
        pairs = [
            (windows[window].loss, part.loss, divisor(name, part))
            for window, part in originals.items()
            if window in windows and (windows[window].tokens, windows[window].words) == (part.tokens, part.words)
        ]
        if math.fsum(count for *_, count in pairs) <= 0:
            return None
        losses, original_losses, counts = zip(*pairs, strict=True)
        return changes(ratio_by_cluster(losses, counts), less=ratio_by_cluster(original_losses, counts))


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part and whole else None


def method_name(method: str) -> Text:
    """What a method is called in the language; one that it does not know by its own name."""
    return say_or(f"compress.method.{method}", method)


def read_run(current: CurrentRecord, key: Pairs) -> CompressRun | None:
    """Read a record; None for one that did not end well, or read no text."""
    values = numbers_by_span(current.record)
    # By class and window the parts whose loss, tokens and words are all known.
    losses, tokens, words = (series_below(values, f"text_{name}", TEXT) for name in ("loss", "tokens", "words"))
    text: dict[str, dict[int, WindowPart]] = defaultdict(dict)
    for name in losses.keys() & tokens.keys() & words.keys():
        for window in sorted(losses[name].keys() & tokens[name].keys() & words[name].keys()):
            part = WindowPart(loss=losses[name][window], tokens=tokens[name][window], words=words[name][window])
            if name != ALL or part.tokens > 0:
                text[name][window] = part
    if current.record.status is not Status.OK or ALL not in text:
        return None
    right, answers, guessed = (series_below(values, f"task_{name}", TASK) for name in ("right", "answers", "guessed"))
    tasks = {
        name: (sum(right[name].values()) / count, sum(guessed[name].values()) / count)
        for name in TASKS
        if name in right.keys() & guessed.keys() and (count := sum(answers.get(name, {}).values()))
    }
    return CompressRun(current=current, key=key, text=text, tasks=tasks, decode_s=median_decode_s(current.record))


MethodArm = Arm[CompressRun]
CompressExperiment = Experiment[CompressRun]
DESIGN = Design(
    workload="compress",
    read=read_run,
    is_factor=lambda name: name in (METHOD, CALIBRATION, *OF_LATENT),
    defaults={"ranks": "equal", "distill_updates": "0"},
    repeats=RANK,
    ignored=WITHOUT_EFFECT,
    heads=(CHECKPOINT,),
)


@cached_by_results
def compress_experiments(results: Results) -> Sequence[CompressExperiment]:
    """The experiments label by label, those with the most runs first. One that is alone needs no title."""
    untitled = experiments(workload_runs(results.records, DESIGN), DESIGN, has_labels=results.several, named=_named)
    titled = []
    for experiment in untitled:
        baseline = next((arm for arm in experiment.arms if arm.first.method == NONE), None)
        titled.append(replace(experiment, baseline=baseline, title=experiment.title if len(untitled) > 1 else ""))
    labels = list(results.labels)
    return sorted(titled, key=lambda each: (labels.index(each.label), -len(runs_in(each)), each.key))


def _named(arms: Sequence[MethodArm]) -> list[MethodArm]:
    """An experiment's methods in the order of tables, each with name, style and reference, its widest run first. A
    method that stands there with several calibrations says its own."""

    def order(arm: MethodArm) -> tuple[int, Pairs]:
        method = arm.first.method
        return METHODS.index(method) if method in METHODS else len(METHODS), arm.key

    reference = next((arm.first for arm in arms if arm.first.method == NONE), None)
    is_one_method = len({arm.first.method for arm in arms if arm.first.is_low_rank}) == 1
    named = []
    for arm in sorted(arms, key=order):
        method, windows = arm.first.method, arm.value(CALIBRATION)
        name = method_name(method)
        if arm.value(ROPE_WIDTH):
            name = say("compress.mla") if is_one_method else say("compress.mla_by", method=name)
        if windows and len({other.value(CALIBRATION) for other in arms if other.first.method == method}) > 1:
            name = say("compress.calibrated", name=name, windows=windows)
        if parts := [say(f"compress.part.{part}", value=arm.value(part)) for part in OF_LATENT if arm.value(part)]:
            name = joined(": ", [name, joined("list", parts)])
        runs = [replace(run, reference=reference) for run in sorted(arm.runs, key=lambda run: -(run.rank or 0))]
        style = METHOD_STYLES.get(method, UNKNOWN)
        if arm.value(ROPE_WIDTH):
            style = Style(colour=GREEN, dash="solid" if arm.value(TAUGHT) else "dot", marker="diamond")
        if arm.value(LATENT_DTYPE):
            style = replace(style, marker="square")
        named.append(replace(arm, name=name, style=style, runs=runs))
    return named


def runs_in(experiment: CompressExperiment) -> list[CompressRun]:
    return [run for arm in experiment.arms for run in arm.runs]


def latents(experiment: CompressExperiment) -> list[MethodArm]:
    """An experiment's low-rank methods: the ways to choose a latent."""
    return [arm for arm in experiment.others if arm.first.is_low_rank]


def perplexity_text(value: float) -> str:
    """A perplexity with fewer decimals the larger it is."""
    return f"{value:,.2f}" if value < 100 else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def change_text(ratio: float) -> str:
    """A ratio of perplexities as a change: +12.3%, or from FROM_TIMES on 204×."""
    return numbers.times(ratio) if ratio >= FROM_TIMES else share_text(ratio - 1)


def change_with_range(run: CompressRun) -> Text | None:
    """The change of a run's perplexity with its interval; None of the model as it is, or where it is not known."""
    is_original = run is run.original
    return None if is_original or run.times is None else with_range(run.times, run.times_interval, change_text)


def share_text(share: float) -> str:
    """A share as a signed percentage, with fewer decimals the larger it is."""
    percent = 100 * share
    decimals = 0 if abs(percent) >= 100 else 1 if abs(percent) >= 1 else 2
    return f"{round(percent, decimals) + 0.0:+,.{decimals}f}{PERCENT}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One of two ways to say what is added to a class."""

    name: str
    divisor: Divisor  # of the added loss
    classes: Sequence[str]
    """Those that may be ranked by it: a token that is no word is not to be compared with words by nats."""
    text: Callable[[float], str]


MEASURES = (
    Measure(name="nats", divisor=count_units, classes=(FREQUENT, COMMON, RARE), text=nats),
    Measure(name="share", divisor=lambda _, part: part.loss, classes=CLASSES, text=share_text),
)


@dataclass(frozen=True, kw_only=True)
class Rise:
    """The classes that pay at the widest cache of a method under which perplexity rises by more than RISE."""

    arm: MethodArm
    run: CompressRun
    measure: Measure
    added: Sequence[tuple[str, Comparison]]
    """The known classes by what was added to them, the most first."""
    gap: Comparison | None
    """The first less the second, window by window; None where they were not read in the same windows."""


def rises_in(experiment: CompressExperiment) -> list[Rise]:
    """By method and measure the classes that pay most where perplexity first exceeds RISE; judged together."""
    first_risen = [(arm, next((run for run in arm.runs if run.has_risen), None)) for arm in experiment.others]
    rises = []
    for arm, run, measure in [(arm, run, measure) for arm, run in first_risen if run for measure in MEASURES]:
        added = [(name, change) for name in measure.classes if (change := run.added(name, measure.divisor))]
        ranked = sorted(added, key=lambda item: -item[1].mean)
        gap = None
        if len(ranked) > 1 and ranked[0][1].pairs == ranked[1][1].pairs:
            gap = changes(ranked[0][1].differences, less=ranked[1][1].differences)
        rises.append(Rise(arm=arm, run=run, measure=measure, added=ranked, gap=gap))
    judged = iter(judge_together([rise.gap for rise in rises if rise.gap]))
    return [replace(rise, gap=next(judged)) if rise.gap else rise for rise in rises]


def holds_until(arm: MethodArm) -> CompressRun | None:
    """The narrowest cache before perplexity first rises by more than RISE, or is unknown; None if the widest does."""
    holding = list(takewhile(lambda run: run.times is not None and not run.has_risen, arm.runs))
    return holding[-1] if holding else None


def best_latent(experiment: CompressExperiment) -> MethodArm | None:
    """The low-rank method whose perplexity holds with the fewest bytes; of equal ones the one that then rises least.
    Without those whose model was taught afterwards."""

    def cost(arm: MethodArm) -> tuple[float, float]:
        """The sort key of a method: the bytes at which it still holds, then its perplexity ratio once it has risen."""
        risen = next((run.times for run in arm.runs if run.has_risen), None)
        # That full rank holds is no merit of one of them.
        narrowest = holds_until(arm) or arm.first.original
        return (narrowest.cache_bytes if narrowest else None) or math.inf, risen or 0.0

    untaught = [arm for arm in latents(experiment) if not arm.value(TAUGHT) and any(run.times for run in arm.runs)]
    # As many bytes as keys and values have are no latent at work.
    cutting = [arm for arm in untaught if any((run.share_of_original or 0) < 1 for run in arm.runs)]
    return min(cutting, key=cost, default=None)
