"""Cases that may stand in one figure, how it is called, by what a reader chooses it, and what tells cases apart."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from suite.records.derived import started_at
from suite.report.attention.timings import LAYER, Timing, in_order
from suite.report.blocks import Text, dotted, say
from suite.report.model.experiment import grouped, without
from suite.report.model.labels import case_facets, phase_name
from suite.report.model.run import LABEL, Pairs, machine_id

K = TypeVar("K")
LINE_AXES = ("attention", "backend", "seq_len")
"""Axes that tell lines and their points apart. All others must agree for two timings to share a figure."""
TITLE_AXES = ("geometry", "phase", "dtype", "device")
"""Axes that are a figure's title by their value alone."""
USUAL = {"query_len": 1, "threads": 1}
"""Axes that are told where they are anything else, whether cases differ in them or not."""
CHOSEN_AXES = ("device", "query_len", "tp", "batch", "match", "cache_dtype", "threads")
"""Axes by which a reader chooses a figure, besides those that are facets everywhere."""
PHASES = ("decode", "prefill", "train")
"""In the order in which figures stand."""
USUAL_VARIANTS = {"mha", "gqa", "mqa", "mla"}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Timings under one label that differ in variant, backend and context alone; or all cases that have no figure."""

    title: Text
    settings: Text = ""
    facets: Mapping[str, Text] = field(default_factory=dict)
    """The subject by which a reader chooses it; empty for what has no figure."""
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
    """Return a group for each figure, the most telling first; in the last one is what has none."""
    keyed = by_key(found)
    drawable = {key: _drawn([timing for timing in of_key if is_drawable(timing)]) for key, of_key in keyed.items()}
    drawn = sorted(
        worth_drawing({key: of for key, of in drawable.items() if of}), key=lambda key: _order(drawable[key])
    )
    facets = chosen_by(drawn)
    kept = [
        Group(title=title, settings=settings, facets=facets[key], timings=in_order(keyed[key]), drawn=drawable[key])
        for key, (title, settings) in titles_of(drawn).items()
    ]
    titles = titles_of(keyed)
    names = {timing: dotted(*titles[key]) for key in keyed if key not in drawn for timing in in_order(keyed[key])}
    return [*kept, *([Group(title=say("latency.others"), timings=list(names), names=names)] if names else [])]


def representatives(timings: Iterable[Timing]) -> list[Timing]:
    """Keep, of each case, the timings of the one record that stands for it in sentences, figures and comparisons.

    What `backend=auto` chose stands for a case where it was asked, else the backend whose layer has the least median.
    Of one backend the record with the most launches counts, of as many the newest. A layer that was not checked stands
    for a case only where no other does. A case is of one machine and label.
    """
    cases = grouped(timings, lambda t: (t.label, machine_id(t.current), axes_of(t, ["backend"]), t.line[1:]))
    chosen = []
    for candidates in cases.values():
        layers = [timing for timing in candidates if timing.span == LAYER] or candidates
        by_backend = grouped(layers, lambda timing: timing.chosen_line[0]).values()
        latest = [max(same, key=lambda t: (t.interval.launches, started_at(t.record))) for same in by_backend]
        best = min(latest, key=lambda t: (not t.is_checked, not t.is_auto, t.median_s))
        chosen += [timing for timing in candidates if timing.current is best.current]
    return chosen


def _drawn(timings: Sequence[Timing]) -> list[Timing]:
    """Keep one timing of a case for its figure; of a single variant that ran on several backends, all."""
    lines = {(timing.variant, timing.line[1:]) for timing in timings}
    return list(timings) if len(lines) == 1 else representatives(timings)


def _order(found: Sequence[Timing]) -> tuple[int, int, int]:
    """Sort by phase, then those with most of the usual variants, then those with most contexts."""
    phase, variants = found[0].axis("phase"), {timing.variant for timing in found}
    at = PHASES.index(phase) if phase in PHASES else len(PHASES)
    return at, -len(variants & USUAL_VARIANTS), -len({timing.tokens for timing in found})


def by_key(found: Iterable[Timing]) -> dict[Pairs, list[Timing]]:
    """Return timings by the axes that those of one figure share and by their label, sorted by these."""

    def key(timing: Timing) -> Pairs:
        # Another width or number of heads is another model.
        sizes = [setting.partition("=")[::2] for setting in timing.shared_extras if setting.startswith("geometry.")]
        return (*axes_of(timing, LINE_AXES), *sizes, (LABEL, timing.label))

    return dict(sorted(grouped(found, key).items()))


def chosen_by(keys: Iterable[Pairs]) -> dict[Pairs, dict[str, Text]]:
    """Return for each group the facets by which a reader chooses it: those of every case, and what else differs.

    What a group has no value of is its default: a selector needs a word for it.
    """
    axes = {key: dict(key) for key in keys}
    # A prompt has no new tokens a step, so passes differ in that without a choice.
    of_pass = grouped(axes.values(), lambda of: of.get("phase")).values()
    differing = {
        name for alike in of_pass for of in alike for name in of if len({str(other.get(name)) for other in alike}) > 1
    }
    # The settings in which groups differ that no facet of their own says.
    others = differing - {*CHOSEN_AXES, *TITLE_AXES, LABEL}
    rest = {
        key: ", ".join(f"{name}={value}" for name, value in of.items() if name in others and value)
        for key, of in axes.items()
    }
    facets: dict[Pairs, dict[str, Text]] = {}
    for key, of in axes.items():
        chosen: dict[str, Text] = {name: of.get(name) or _DEFAULT for name in CHOSEN_AXES if name in differing}
        label: dict[str, Text] = {LABEL: of[LABEL]} if LABEL in of else {}
        settings: dict[str, Text] = {"settings": rest[key] or _DEFAULT} if any(rest.values()) else {}
        facets[key] = {**case_facets(of), **chosen, **label, **settings}
    return facets


_DEFAULT = say("facet.default")


def axes_of(timing: Timing, besides: Collection[str]) -> Pairs:
    """Return the axes of a timing's case without some."""
    return tuple((name, timing.axis(name)) for name in timing.record.case.axes if name not in besides)


def side_by_side(
    found: Iterable[Timing], first: str, other: str, besides: Collection[str] = ("attention",)
) -> list[tuple[Timing, Timing]]:
    """Return timings of two variants that agree in everything else; each in all its own sizes. `besides`: the axes in
    which they may differ.
    """

    def case(timing: Timing) -> tuple[object, ...]:
        return timing.label, timing.span, axes_of(timing, besides), timing.shared_extras

    pairs: list[tuple[Timing, Timing]] = []
    for alike in grouped([timing for timing in found if timing.variant in (first, other)], case).values():
        sides = [[timing for timing in alike if timing.variant == variant] for variant in (first, other)]
        pairs += [(one, beside) for one in sides[0] for beside in sides[1]]
    return pairs


def worth_drawing(found: Mapping[Pairs, Sequence[Timing]]) -> list[Pairs]:
    """Return the groups that get a figure: those of several launches first, since they alone tell an order.

    Of a label none that differs only in its new tokens from one with more variants, and none of a single context where
    others have several. What other labels have drops nothing: a person's few runs stand beside many reference records.
    """
    variants = {key: len({timing.variant for timing in of_key}) for key, of_key in found.items()}
    contexts = {key: len({timing.tokens for timing in of_key} - {None}) for key, of_key in found.items()}
    of_label = grouped(found, lambda key: dict(key).get(LABEL))
    fewest = {label: min(2, max(contexts[key] for key in keys)) for label, keys in of_label.items()}
    alike = grouped(found, lambda key: without(key, ["query_len"])).values()
    fullest = {key: max(keys, key=lambda other: variants[other]) for keys in alike for key in keys}

    def is_telling(key: Pairs) -> bool:
        best = fullest[key]
        return variants[key] == variants[best] or dict(key).get("query_len") == dict(best).get("query_len")

    shown = [key for key in found if is_telling(key) and contexts[key] >= fewest[dict(key).get(LABEL)]]
    return sorted(shown, key=lambda key: all(timing.interval.launches == 1 for timing in found[key]))


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
            if name not in (*TITLE_AXES, LABEL) and value and len(given) > 1:
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
