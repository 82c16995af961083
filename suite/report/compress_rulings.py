"""Which words a smaller cache loses first: by rule, at the widest cache under which perplexity rises noticeably."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from suite.records import numbers
from suite.report.blocks import Text, say
from suite.report.compress_losses import ByWindow, Value, added, added_share, less, times_perplexity, value_of
from suite.report.compress_names import told
from suite.report.compress_run import CLASSES, OTHER, CompressRun
from suite.report.compress_runs import Line, Study
from suite.report.quality.design import ALL
from suite.statistics.paired import Comparison, Outcome, changes, judge_together

RISE = 0.10
"""Of perplexity."""
WORDS = tuple(name for name in CLASSES if name != OTHER)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Classes by what was added to them, the most first."""

    values: Mapping[str, Value]
    gap: Comparison | None
    """The first less the second, window by window; None where they were not read in the same windows."""

    @property
    def first(self) -> str:
        return next(iter(self.values))

    @property
    def second(self) -> str:
        return list(self.values)[1]


@dataclass(frozen=True, kw_only=True)
class FirstRise:
    line: Line
    run: CompressRun
    times: Value
    """Its perplexity over that of the model as it is."""
    a_word: Ranking | None
    """By nats a word."""
    a_share: Ranking | None
    """By the share of a class's own loss, which tokens that are no words have too."""


def first_rises(study: Study) -> dict[Line, FirstRise]:
    """Return where each way of making the cache smaller first costs more than RISE, of those that do.

    Holm's correction goes over the rankings of all of them, which stand in one table.
    """
    found = {line: rise for line in study.lines if (rise := _first_rise(line, study.reference)) is not None}
    rankings = [one for rise in found.values() for one in (rise.a_word, rise.a_share)]
    judged = iter(judge_together([one.gap for one in rankings if one and one.gap]))
    together = [replace(one, gap=next(judged)) if one and one.gap else one for one in rankings]
    return {
        line: replace(rise, a_word=a_word, a_share=a_share)
        for (line, rise), a_word, a_share in zip(found.items(), together[::2], together[1::2], strict=True)
    }


def _first_rise(line: Line, reference: CompressRun | None) -> FirstRise | None:
    for run in line.runs:
        times = times_perplexity(run, reference)
        if times is not None and times.mean > 1 + RISE:
            return FirstRise(
                line=line,
                run=run,
                times=times,
                a_word=ranking({name: added(run, reference, name) for name in WORDS}),
                a_share=ranking({name: added_share(run, reference, name) for name in CLASSES}),
            )
    return None


def holds_until(line: Line, reference: CompressRun | None) -> CompressRun | None:
    """The narrowest cache before perplexity first rises by more than RISE; None where the widest does, or its
    perplexity is unknown."""
    held = None
    for run in line.runs:
        times = times_perplexity(run, reference)
        if times is None or times.mean > 1 + RISE:
            return held
        held = run
    return held


def all_lose_more(runs: Sequence[CompressRun], than: CompressRun, reference: CompressRun | None) -> bool:
    """Return whether each of these adds more to the loss of a token than another, window by window."""
    theirs = added(than, reference, ALL)
    found = [changes(less(added(run, reference, ALL), theirs)) for run in runs]
    known = [one for one in found if one is not None]
    return len(known) == len(runs) and all(one.outcome is Outcome.HIGHER for one in judge_together(known))


def ranking(by_class: Mapping[str, ByWindow]) -> Ranking | None:
    """None of fewer than two classes that are known."""
    values = {name: value for name, by_window in by_class.items() if (value := value_of(by_window)) is not None}
    names = sorted(values, key=lambda name: -values[name].mean)
    if len(names) < 2:
        return None
    gap = changes(less(by_class[names[0]], by_class[names[1]]))
    return Ranking(values={name: values[name] for name in names}, gap=gap)


def ranking_told(found: Ranking | None, text: Callable[[float], str], *, is_brief: bool = False) -> Text:
    """Say which class most, and the next one, or that the two are not told apart; unless `is_brief` by how much."""
    if found is None:
        return numbers.NOTHING
    outcome = found.gap.outcome if found.gap else Outcome.FEW
    first, second = found.values[found.first], found.values[found.second]
    said = say(
        f"compress.ranking.{outcome}",
        first=say(f"compress.class.{found.first}"),
        first_value=text(first.mean),
        second=say(f"compress.class.{found.second}"),
        second_value=text(second.mean),
        count=found.gap.pairs if found.gap else 0,
    )
    if is_brief or found.gap is None or found.gap.interval is None:
        return said
    gap = Value(mean=found.gap.mean, interval=found.gap.interval)
    return say("compress.ranking.by", said=said, gap=told(gap, text))
