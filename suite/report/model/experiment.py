"""Records as experiments: runs that repeat each other are an arm, arms that may be compared an experiment.

Runs that differ in their seed alone repeat one arm, and two arms are paired by it: one seed gives the same prompts in
the same order, whatever the arm. What may be said of their difference, suite.statistics.paired decides.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import fmean
from typing import Any, Generic, TypeVar

from suite.records.derived import started_at
from suite.records.labels import differences
from suite.report.blocks import Text, dotted
from suite.report.model.labels import ALGORITHM, OTHER, RECIPE, VARIANT, Style, option_label, setting_text
from suite.report.model.results import CurrentRecord
from suite.report.model.run import LABEL, SEED, Pairs, Run, case_key, named_settings, parse_number
from suite.statistics.paired import ArmOutcome, Comparison, compare, judge_together

R = TypeVar("R", bound=Run)
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm(Generic[R]):
    """Runs that differ in one setting alone, mostly their seed. Equal only to itself."""

    key: Pairs  # the settings in which its runs agree and those of another arm of its experiment may not
    setting: Pairs  # the settings in which all runs of its experiment agree
    runs: Sequence[R]  # in the order of their seeds
    name: Text = ""  # its name in tables
    legend_name: Text = ""
    """A shorter name for figures and sentences, clear beside the other arms of its experiment; `name` where empty."""
    style: Style = OTHER

    @property
    def first(self) -> R:
        """One run, for what all its runs share: the first that ended, else the first of all."""
        return next(iter(self.ended), self.runs[0])

    @property
    def ended(self) -> list[R]:
        """The runs that have what their workload is run for."""
        return [run for run in self.runs if run.ended]

    @property
    def run_keys(self) -> list[str]:
        """The run keys of the runs that ended, by which a figure links to the records behind a number."""
        return [run.record.run_key for run in self.ended]

    @property
    def failed(self) -> int:
        return len(self.runs) - len(self.ended)

    @property
    def short_name(self) -> Text:
        return self.legend_name or self.name

    @property
    def label(self) -> str:
        return self.first.label

    @property
    def facets(self) -> dict[str, Text]:
        return self.first.facets

    def value(self, name: str) -> str:
        """A setting's value, from its key or from its experiment's; empty where neither has it."""
        return {**dict(self.setting), **dict(self.key)}.get(name, "")

    def by_seed(self, value: Callable[[R], float | None]) -> dict[str, float]:
        """`value(run)` by seed, for the runs where it is not None."""
        return {run.seed: number for run in self.runs if (number := value(run)) is not None}

    def values(self, value: Callable[[R], float | None]) -> list[float]:
        """`value(run)` for the runs where it is not None, in the order of their seeds."""
        return list(self.by_seed(value).values())

    def mean(self, value: Callable[[R], float | None]) -> float | None:
        """The mean of `value(run)` over the runs where it is not None; None where it always is."""
        values = self.values(value)
        return fmean(values) if values else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment(Generic[R]):
    """Arms that may be compared. Equal only to itself."""

    key: Pairs  # the settings in which they agree
    arms: Sequence[Arm[R]]
    baseline: Arm[R] | None = None  # the arm that others are compared with
    title: Text = ""
    settings: Text = ""  # the settings that tell it from experiments of the same title

    @property
    def name(self) -> Text:
        """Title and settings, for a cell or a hover text."""
        return dotted(self.title, self.settings)

    @property
    def label(self) -> str:
        return self.value(LABEL)

    @property
    def others(self) -> list[Arm[R]]:
        return [arm for arm in self.arms if arm is not self.baseline]

    @property
    def facets(self) -> dict[str, Text]:
        """The facets that all arms have with the same text."""
        first, *rest = [arm.facets for arm in self.arms]
        return {name: text for name, text in first.items() if all(other.get(name) == text for other in rest)}

    def value(self, name: str) -> str:
        """The value of a setting in which all arms agree; empty where its key does not have it."""
        return dict(self.key).get(name, "")


@dataclass(frozen=True, kw_only=True)
class Design(Generic[R]):
    """A rule by which the records of a workload become experiments."""

    workload: str
    read: Callable[[CurrentRecord, Pairs], R | None]
    """Makes a run from a record and its key; None for a record that takes no part."""
    is_factor: Callable[[str], bool]
    """True for a setting that tells arms of one experiment apart; in all others they agree."""
    repeats: str = SEED  # the setting in which runs of one arm differ
    ignored: Collection[str] = ()  # settings that change nothing of what is compared
    belongs: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Settings that the values of another one bring along, as an algorithm its KL coefficient, by that one's name."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Values of settings that nobody names: to name the default says no more than to name none."""
    heads: Sequence[str] = ()  # settings whose values a title is made of
    unsaid: Collection[tuple[str, str]] = ()
    """Settings and values that an experiment has where its title says nothing else."""


def workload_runs(
    records: Iterable[CurrentRecord], design: Design[R], weight: Callable[[R, Sequence[R]], Any] | None = None
) -> list[R]:
    """Read the runs of the design's workload, one for each key and seed.

    Of several with one key and seed, one that ended goes before others, then the newest; with `weight`, the one for
    which `weight(run, all runs)` is largest.
    """
    records = [current for current in records if current.record.case.workload == design.workload]
    ignored = {design.repeats, *design.ignored}
    named = named_settings((current.record for current in records), ignored=ignored)
    keys = [drop_settings(case_key(current.record, named, design.defaults), ignored) for current in records]
    read = [design.read(current, (*key, (LABEL, current.label))) for current, key in zip(records, keys, strict=True)]
    runs = [run for run in read if run is not None]
    by_seed = grouped(runs, lambda run: (run.key, run.axis(design.repeats))).values()
    weigh = weight or (lambda run, _: (run.ended, started_at(run.record)))  # one that ended before a newer one
    return [repeats[0] if len(repeats) == 1 else max(repeats, key=lambda run: weigh(run, runs)) for repeats in by_seed]


def make_arms(runs: Iterable[R], is_factor: Callable[[str], bool]) -> list[Arm[R]]:
    """Make an arm of the runs of each key, sorted by seed. Settings of `is_factor` are its key, others its setting."""
    return [
        Arm(
            key=tuple(pair for pair in key if is_factor(pair[0])),
            setting=tuple(pair for pair in key if not is_factor(pair[0])),
            runs=sorted(repeats, key=lambda run: (parse_number(run.seed) or 0.0, run.seed)),
        )
        for key, repeats in grouped(runs, lambda run: run.key).items()
    ]


def experiments(
    runs: Iterable[R],
    design: Design[R],
    *,
    has_labels: bool,
    named: Callable[[Sequence[Arm[R]]], Sequence[Arm[R]]],
    is_shown: Callable[[Sequence[Arm[R]]], bool] = bool,
) -> list[Experiment[R]]:
    """Make titled experiments of runs: arms of one agree in all settings but the design's factors.

    `named`: sorts the arms of an experiment and gives them names and styles. `is_shown`: whether arms make one.
    """
    by_setting = grouped(make_arms(runs, design.is_factor), lambda arm: arm.setting)
    by_setting = {key: arms for key, arms in by_setting.items() if is_shown(arms)}
    titles = experiment_titles(list(by_setting), design, has_labels=has_labels)
    return [
        Experiment(key=key, arms=named(arms), title=titles[key][0], settings=titles[key][1])
        for key, arms in by_setting.items()
    ]


def experiment_titles(
    keys: Sequence[Pairs], design: Design[Any], *, has_labels: bool
) -> dict[Pairs, tuple[Text, Text]]:
    """By key, an experiment's title, and in plain words the settings that tell it from others of that title."""
    heads = [*design.heads, *([LABEL] if has_labels else [])]
    # What an experiment does not name is said, too, as the default that another one departs from.
    differing = differences(keys, alike_in=heads, unnamed=design.defaults)
    titles = {}
    for key, settings in zip(keys, differing, strict=True):
        values = [(name, dict(key).get(name, "")) for name in heads]
        has_label = (VARIANT, ALGORITHM, RECIPE)
        title = dotted(*(option_label(name, value) if value and name in has_label else value for name, value in values))
        pairs = [pair for pair in settings.items() if pair[0] != LABEL and pair not in design.unsaid]
        titles[key] = title, dotted(*(setting_text(*pair) for pair in pairs))
    return titles


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Group items by `key(item)`; groups, and items within one, keep the order in which they come."""
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def drop_settings(key: Pairs, names: Collection[str]) -> Pairs:
    return tuple(pair for pair in key if pair[0] not in names)


def with_value(key: Pairs, name: str, value: str) -> Pairs:
    """The key with another value of the setting `name`; unchanged where it does not have that setting."""
    return tuple((setting, value if setting == name else old) for setting, old in key)


@dataclass(frozen=True, kw_only=True)
class ArmQuantity(Generic[R]):
    """A number of a run that arms are compared by, and how it is written."""

    name: str
    value: Callable[[R], float | None]
    text: Callable[[float], str]
    difference: Callable[[float], str]
    unit: str = ""  # `points` or `nats`, in which a verdict names its margin
    margin: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    by_pair: Callable[[R], Mapping[str, float]] | None = None
    """The numbers of a run that has one for each of several pairs, as windows of text."""
    pair: str = "seed"  # the word for what two arms are paired by

    def scores(self, arm: Arm[R]) -> dict[str, float]:
        """An arm's numbers, each under the name that pairs it with another arm's: the seed, or `seed/pair`."""
        if self.by_pair is None:
            return arm.by_seed(self.value)
        return {f"{run.seed}/{pair}": score for run in arm.runs for pair, score in self.by_pair(run).items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrast(Generic[R]):
    """An arm minus another by one quantity, over the seeds or pairs that both have."""

    arm: Arm[R]
    other: Arm[R]
    quantity: ArmQuantity[R]
    comparison: Comparison
    about: str = ""  # tells several comparisons of the same arms apart

    @property
    def outcome(self) -> ArmOutcome:
        return self.comparison.outcome


def contrast(arm: Arm[R], other: Arm[R], quantity: ArmQuantity[R], about: str = "") -> Contrast[R] | None:
    """Compare an arm with another by a quantity, pair by pair; None where they share no pair."""
    comparison = compare(quantity.scores(arm), quantity.scores(other), bounds=quantity.bounds, margin=quantity.margin)
    if comparison is None:
        return None
    return Contrast(arm=arm, other=other, quantity=quantity, comparison=comparison, about=about)


def holm_corrected(contrasts: Iterable[Contrast[R] | None]) -> list[Contrast[R]]:
    """Drop None from a table's contrasts and correct p and outcomes of the others together, by Holm's method."""
    pairs = [pair for pair in contrasts if pair is not None]
    corrected = judge_together([pair.comparison for pair in pairs])
    return [replace(pair, comparison=comparison) for pair, comparison in zip(pairs, corrected, strict=True)]


def leading_arm(scores: Mapping[K, Mapping[str, float]]) -> K | None:
    """The key of the arm that is clearly higher than each other one; None where none is. `scores`: by arm, then seed.

    Corrected over all pairs of arms, since their means pick the one that is tested against the others.
    """
    ranked = sorted(scores, key=lambda arm: -fmean(scores[arm].values()))
    pairs = [compare(scores[arm], scores[other]) for arm, other in combinations(ranked, 2)]
    judged = judge_together([comparison for comparison in pairs if comparison is not None])
    is_ahead = all(comparison.outcome is ArmOutcome.HIGHER for comparison in judged[: len(ranked) - 1])
    return ranked[0] if is_ahead and len(judged) == len(pairs) > 0 else None


def with_outcome(contrasts: Iterable[Contrast[R]], *outcomes: ArmOutcome) -> list[Contrast[R]]:
    return [pair for pair in contrasts if pair.outcome in outcomes]
