"""Cases that may stand in one figure, how it is called, by what a reader chooses it, and which record stands for a
case."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from suite.records.derived import started_at
from suite.records.labels import differences, differing
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
USUAL = {"query_len": "1", "threads": "1"}
"""Axes that are told where they are anything else, whether cases differ in them or not."""
CHOSEN_AXES = ("device", "query_len", "tp", "batch", "match", "cache_dtype", "threads")
"""Axes by which a reader chooses a figure, besides those that are facets everywhere."""
PHASES = ("decode", "prefill", "train")
"""In the order in which figures stand."""
USUAL_VARIANTS = {"mha", "gqa", "mqa", "mla"}
DEFAULT = say("facet.default")


@dataclass(frozen=True, kw_only=True)
class CaseGroup:
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


def groups(found: Iterable[Timing], is_drawable: Callable[[Timing], bool]) -> list[CaseGroup]:
    """A group for each figure, the most telling first; in the last one is what has none."""
    keyed = by_key(found)
    drawable = {key: drawn for key, of_key in keyed.items() if (drawn := _drawn(filter(is_drawable, of_key)))}
    order = sorted(worth_drawing(drawable), key=lambda key: _place(drawable[key]))
    facets, all_titles = chosen_by(order), titles_of(keyed)
    figures = [
        CaseGroup(title=title, settings=own, facets=facets[key], timings=in_order(keyed[key]), drawn=drawable[key])
        for key, (title, own) in titles_of(order).items()
    ]
    rest = [(timing, dotted(*all_titles[key])) for key in keyed if key not in facets for timing in in_order(keyed[key])]
    names = dict(rest)
    return [*figures, *([CaseGroup(title=say("latency.others"), timings=list(names), names=names)] if names else [])]


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
        latest = [max(alike, key=lambda t: (t.interval.launches, started_at(t.record))) for alike in by_backend]
        best = min(latest, key=lambda t: (not t.is_checked, not t.is_auto, t.median_s))
        chosen += [timing for timing in candidates if timing.current is best.current]
    return chosen


def _drawn(timings: Iterable[Timing]) -> list[Timing]:
    """One timing of a case for its figure; of a single variant that ran on several backends, all."""
    candidates = list(timings)
    lines = {(timing.variant, timing.line[1:]) for timing in candidates}
    return candidates if len(lines) == 1 else representatives(candidates)


def _place(drawn: Sequence[Timing]) -> tuple[int, int, int]:
    """By phase, then those with most of the usual variants, then those with most contexts."""
    phase, variants = drawn[0].axis("phase"), {timing.variant for timing in drawn}
    at = PHASES.index(phase) if phase in PHASES else len(PHASES)
    return at, -len(variants & USUAL_VARIANTS), -len({timing.tokens for timing in drawn})


def by_key(found: Iterable[Timing]) -> dict[Pairs, list[Timing]]:
    """Timings by the axes that those of one figure share and by their label, sorted by these."""

    def key(timing: Timing) -> Pairs:
        # Another width or number of heads is another model.
        sizes = [setting.partition("=")[::2] for setting in timing.shared_extras if setting.startswith("geometry.")]
        return (*axes_of(timing, LINE_AXES), *sizes, (LABEL, timing.label))

    return dict(sorted(grouped(found, key).items()))


def worth_drawing(found: Mapping[Pairs, Sequence[Timing]]) -> list[Pairs]:
    """The groups that get a figure: those of several launches first, since they alone tell an order.

    Of a label none that differs only in its new tokens from one with more variants, and none of a single context where
    others have several. What other labels have drops nothing: a person's few runs stand beside many reference records.
    """
    variants = {key: len({timing.variant for timing in of_key}) for key, of_key in found.items()}
    contexts = {key: len({timing.tokens for timing in of_key} - {None}) for key, of_key in found.items()}
    alike = grouped(found, lambda key: without(key, ["query_len"])).values()
    most = {key: max(map(variants.__getitem__, keys)) for keys in alike for key in keys}
    of_labels = grouped(found, lambda key: dict(key).get(LABEL)).values()
    fewest = {key: min(2, max(map(contexts.__getitem__, keys))) for keys in of_labels for key in keys}
    telling = [key for key in found if variants[key] == most[key] and contexts[key] >= fewest[key]]
    return sorted(telling, key=lambda key: all(timing.interval.launches == 1 for timing in found[key]))


def titles_of(keys: Iterable[Pairs]) -> dict[Pairs, tuple[Text, Text]]:
    """For each group its title, and the settings in which groups differ.

    A setting that some lack differs from one that others have only where no title tells the two apart.
    """
    keys, titles = list(keys), {}
    everywhere = differing(keys, ignoring=[""])
    for key, of_title in zip(keys, differences(keys, alike_in=TITLE_AXES), strict=True):
        geometry, phase, *rest = (dict(key).get(name, "") for name in TITLE_AXES)
        names = {*everywhere, *of_title} - {*TITLE_AXES, LABEL}
        settings = [f"{name}={value}" for name, value in key if value and name in names]
        titles[key] = dotted(geometry, phase_name(phase), *rest), dotted(*settings)
    return titles


def chosen_by(keys: Iterable[Pairs]) -> dict[Pairs, dict[str, Text]]:
    """For each group the facets by which a reader chooses it: those of every case, and what else differs.

    What a group has no value of is its default: a selector needs a word for it.
    """
    keys = list(keys)
    # A prompt has no new tokens a step, so passes differ in that without a choice.
    telling = differing(keys, alike_in=["phase"])
    others = telling - {*CHOSEN_AXES, *TITLE_AXES, LABEL}  # settings that no facet of their own says
    rest = {key: ", ".join(f"{name}={value}" for name, value in key if name in others and value) for key in keys}
    facets: dict[Pairs, dict[str, Text]] = {}
    for key in keys:
        axes = dict(key)
        facets[key] = case_facets(axes) | {name: axes.get(name) or DEFAULT for name in CHOSEN_AXES if name in telling}
        facets[key] |= {LABEL: axes[LABEL]} if LABEL in axes else {}
        facets[key] |= {"settings": rest[key] or DEFAULT} if any(rest.values()) else {}
    return facets


def told_apart(cases: Mapping[K, Sequence[Timing]], *, besides: Collection[str]) -> dict[K, str]:
    """The axes in which cases differ, without some, and all further settings: `query_len=16, batch=8`.

    A case may have several timings that agree in their axes.
    """
    axes = {key: axes_of(of_case[0], besides) for key, of_case in cases.items()}
    telling = differing(axes.values()) - {"query_len"}  # one query is what decoding means
    texts = {}
    for key, of_case in cases.items():
        given = [f"{n}={value}" for n, value in axes[key] if value and (n in telling or value != USUAL.get(n, value))]
        texts[key] = ", ".join([*given, *dict.fromkeys(setting for timing in of_case for setting in timing.line[1:])])
    return texts


def axes_of(timing: Timing, besides: Collection[str]) -> Pairs:
    """The axes of a timing's case without some."""
    return tuple((name, timing.axis(name)) for name in timing.record.case.axes if name not in besides)


def side_by_side(
    found: Iterable[Timing], first: str, other: str, besides: Collection[str] = ("attention",)
) -> list[tuple[Timing, Timing]]:
    """Timings of two variants that agree in all axes but `besides`, and in all shared settings."""
    cases = grouped(found, lambda timing: (timing.label, timing.span, axes_of(timing, besides), timing.shared_extras))
    pairs = [(one, beside) for case in cases.values() for one in case for beside in case]
    return [pair for pair in pairs if (pair[0].variant, pair[1].variant) == (first, other)]


def lines_of(found: Iterable[Timing]) -> str:
    """The lines that timings belong to, each once."""
    return " / ".join(dict.fromkeys(", ".join(timing.line) for timing in found))


def usual_context(found: Iterable[tuple[int | None, object]]) -> int | None:
    """The longest of the contexts that have the most cases; each case counts once."""
    cases = Counter(tokens for tokens, _ in set(found) if tokens)
    return max(cases, key=lambda tokens: (cases[tokens], tokens), default=None)
