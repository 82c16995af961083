"""Cases that may stand in one figure, how a figure is called, and what tells cases apart."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from suite.report.attention.timings import Timing, in_order
from suite.report.blocks import Text, dotted, say
from suite.report.model.experiment import grouped, without
from suite.report.model.labels import phase_name
from suite.report.model.run import Pairs

K = TypeVar("K")
LINE_AXES = ("attention", "backend", "seq_len")
"""Axes that tell lines and their points apart. All others must agree for two timings to share a figure."""
TITLE_AXES = ("geometry", "phase", "dtype", "device")
"""Axes that are a figure's title by their value alone."""
USUAL = {"query_len": 1, "threads": 1}
"""Axes that are told where they are anything else, whether cases differ in them or not."""
MOST_FIGURES = 8


@dataclass(frozen=True, kw_only=True)
class Group:
    """Timings of cases that differ in variant, backend and context alone; or of all cases that have no figure."""

    title: Text
    settings: Text = ""
    timings: Sequence[Timing]
    """In the order of tables."""
    drawn: Sequence[Timing] = ()
    """Those that its figure shows."""
    names: Mapping[Timing, Text] = field(default_factory=dict)
    """The group of each timing, where the title does not say it."""

    def name_of(self, timing: Timing) -> Text:
        """Return what a timing belongs to."""
        return self.names.get(timing) or dotted(self.title, self.settings)


def groups(found: Iterable[Timing], is_drawable: Callable[[Timing], bool]) -> list[Group]:
    """Return a group for each figure; in the last one is what has none."""
    keyed = by_key(found)
    drawable = {key: [timing for timing in of_key if is_drawable(timing)] for key, of_key in keyed.items()}
    drawn = worth_drawing({key: of_key for key, of_key in drawable.items() if of_key})
    kept = [
        Group(title=title, settings=settings, timings=in_order(keyed[key]), drawn=drawable[key])
        for key, (title, settings) in titles_of(drawn).items()
    ]
    titles = titles_of(keyed)
    names = {timing: dotted(*titles[key]) for key in keyed if key not in drawn for timing in in_order(keyed[key])}
    return [*kept, *([Group(title=say("latency.others"), timings=list(names), names=names)] if names else [])]


def by_key(found: Iterable[Timing]) -> dict[Pairs, list[Timing]]:
    """Return timings by the axes that those of one figure share, sorted by these."""
    return dict(sorted(grouped(found, lambda timing: axes_of(timing, LINE_AXES)).items()))


def axes_of(timing: Timing, besides: Collection[str]) -> Pairs:
    """Return the axes of a timing's case without some."""
    return tuple((name, timing.axis(name)) for name in timing.record.case.axes if name not in besides)


def worth_drawing(found: Mapping[Pairs, Sequence[Timing]]) -> list[Pairs]:
    """Return the groups that get a figure, in their order.

    None that differs only in its new tokens from one with more variants, none of a single context where others have
    several, and MOST_FIGURES at most: those with the most variants.
    """
    variants = {key: len({timing.variant for timing in of_key}) for key, of_key in found.items()}
    contexts = {key: len({timing.tokens for timing in of_key} - {None}) for key, of_key in found.items()}
    fewest = min(2, max(contexts.values(), default=0))
    alike = grouped(found, lambda key: without(key, ["query_len"])).values()
    most = {key for keys in alike for key in keys if variants[key] == max(variants[other] for other in keys)}
    fit = [key for key in found if key in most and contexts[key] >= fewest]
    kept = sorted(fit, key=lambda key: -variants[key])[:MOST_FIGURES]
    return [key for key in fit if key in kept]


def titles_of(keys: Iterable[Pairs]) -> dict[Pairs, tuple[Text, Text]]:
    """Return for each group its title, and the settings in which groups differ."""
    by_key = {key: dict(key) for key in keys}
    titles: dict[Pairs, tuple[Text, Text]] = {}
    for key, axes in by_key.items():
        heads = [axes.get(name, "") for name in TITLE_AXES]
        alike = [other for other in by_key.values() if [other.get(name, "") for name in TITLE_AXES] == heads]
        differences = []
        for name, value in key:
            # An axis that a case lacks differs from one it has only where nothing before it tells the two apart.
            given = {other.get(name) or value for other in by_key.values()} | {other.get(name, "") for other in alike}
            if name not in TITLE_AXES and value and len(given) > 1:
                differences.append(f"{name}={value}")
        geometry, phase, *rest = heads
        titles[key] = dotted(geometry, phase_name(phase), *rest), dotted(*differences)
    return titles


def any_of(case: Mapping[str, Timing]) -> Timing:
    """Return one of a case's timings, for what all share."""
    return next(iter(case.values()))


def lines_of(found: Iterable[Timing]) -> str:
    """Return the lines that timings belong to, each once."""
    return " / ".join(dict.fromkeys(", ".join(timing.line) for timing in found))


def usual_context(found: Iterable[tuple[int | None, object]]) -> int | None:
    """Return the longest of the contexts that have the most cases; each case counts once."""
    cases = Counter(tokens for tokens, _ in set(found) if tokens)
    return max(cases, key=lambda tokens: (cases[tokens], tokens), default=None)


def told_apart(
    found: Mapping[K, Sequence[Timing]],
    *,
    besides: Collection[str],
    extras_of: Callable[[Timing], Iterable[str]] = lambda timing: timing.line[1:],
) -> dict[K, str]:
    """Return the axes in which cases differ, without some, and all further settings: `query_len=16, batch=8`.

    A case may have several timings that agree in their axes.
    """
    axes = {key: of_case[0].record.case.axes for key, of_case in found.items()}
    names = {name for of_case in axes.values() for name in of_case} - {"query_len"}  # one query is what decoding means
    differing = {name for name in names if len({str(of_case.get(name)) for of_case in axes.values()}) > 1}
    texts = {}
    for key, of_case in found.items():
        known = [(name, value) for name, value in axes[key].items() if value is not None and name not in besides]
        kept = [f"{name}={value}" for name, value in known if name in differing or value != USUAL.get(name, value)]
        settings = dict.fromkeys(setting for timing in of_case for setting in extras_of(timing))
        texts[key] = ", ".join([*kept, *settings])
    return texts
