"""Groups of cases that stand in one figure, the figure's title and facets, and the record that stands for a case."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from suite.records.derived import started_at
from suite.records.labels import differences, differing
from suite.report.blocks import Text, dotted, say
from suite.report.model.experiment import drop_settings, grouped
from suite.report.model.labels import case_facets, phase_name
from suite.report.model.results import Results, cached_by_results
from suite.report.model.run import LABEL, Pairs, machine_id
from suite.report.timings import LAYER, Timing, in_order, timings

K = TypeVar("K")
GroupKey = Pairs  # what all timings of a figure share: axes, further settings but the variant's own, label
LINE_AXES = ("attention", "backend", "seq_len")  # these tell lines and points of one figure apart; all others agree
TITLE_AXES = ("geometry", "phase", "dtype", "device")  # a title names them by their value alone
USUAL_VALUES = {"query_len": "1", "threads": "1"}  # any other value is named even where no case differs in it
# Besides those of every case.
FACET_AXES = ("device", "query_len", "tp", "batch", "match", "cache_dtype", "threads", "lengths", "page_size")
PHASES = ("decode", "prefill", "train")  # in the order in which figures stand
USUAL_VARIANTS = {"mha", "gqa", "mqa", "mla"}
DEFAULT = say("facet.default")


@dataclass(frozen=True, kw_only=True)
class CaseGroup:
    """Timings under one label that differ in variant, backend and context alone; or all cases that have no figure."""

    title: Text
    settings: Text = ""
    facets: Mapping[str, Text] = field(default_factory=dict)
    """The subject by which a reader chooses it; empty for what has no figure."""
    timings: Sequence[Timing]  # in the order of tables
    plotted: Sequence[Timing] = ()
    names: Mapping[Timing, Text] = field(default_factory=dict)
    """The group of each timing, where the title does not say it."""


def groups(timings: Iterable[Timing], is_drawable: Callable[[Timing], bool]) -> list[CaseGroup]:
    """Group timings by the figure that draws those of `is_drawable`; a last group has all cases without a figure."""
    by_key = group_timings(timings)
    drawable = dict[GroupKey, list[Timing]]()
    for key in by_key:
        if plotted := list(filter(is_drawable, by_key[key])):
            has_one_line = len({(timing.variant, timing.line[1:]) for timing in plotted}) == 1
            drawable[key] = plotted if has_one_line else representatives(plotted)
    keys = sorted(groups_to_plot(drawable), key=lambda key: _place(drawable[key]))
    facets, all_titles = group_facets(keys), group_titles(by_key)
    figures = [
        CaseGroup(
            title=title, settings=settings, facets=facets[key], timings=in_order(by_key[key]), plotted=drawable[key]
        )
        for key, (title, settings) in group_titles(keys).items()
    ]
    names = {t: dotted(*all_titles[key]) for key in by_key if key not in facets for t in in_order(by_key[key])}
    return [*figures, *([CaseGroup(title=say("latency.others"), timings=list(names), names=names)] if names else [])]


def figure_facets(results: Results, timing: Timing) -> Mapping[str, Text]:
    """The facets by which a reader finds the figure that draws a timing over contexts; empty where none does."""
    drawn = groups(timings(results), lambda candidate: candidate.tokens is not None)
    return next((group.facets for group in drawn if timing in group.plotted), {})


@cached_by_results
def case_timings(results: Results) -> Sequence[Timing]:
    """The timings of all cases, of each those of the record that stands for it."""
    return representatives(timings(results))


def representatives(timings: Iterable[Timing]) -> list[Timing]:
    """Keep, of each case, the timings of the one record that stands for it in sentences, figures and comparisons.

    What `backend=auto` chose stands for a case where it was asked, else the backend whose layer has the least median.
    Of one backend the record with the most launches counts, of as many the newest. A layer that was not checked stands
    for a case only where no other does. A case is of one machine and label.
    """
    cases = grouped(timings, lambda t: (t.label, machine_id(t.current), axes_without(t, ["backend"]), t.line[1:]))
    chosen = []
    for candidates in cases.values():
        # Spans of one record stay together, so the layer decides for its kernel, too.
        layers = [timing for timing in candidates if timing.span == LAYER] or candidates
        by_backend = grouped(layers, lambda timing: timing.chosen_line[0]).values()
        latest = [max(repeats, key=lambda t: (t.interval.launches, started_at(t.record))) for repeats in by_backend]
        best = min(latest, key=lambda t: (not t.is_checked, not t.is_auto, t.median_s))
        chosen += [timing for timing in candidates if timing.current is best.current]
    return chosen


def _place(plotted: Sequence[Timing]) -> tuple[int, ...]:
    first, contexts = plotted[0], {timing.tokens for timing in plotted}
    num_usual = len({timing.variant for timing in plotted} & USUAL_VARIANTS)
    return phase_place(first.axis("phase")), -num_usual, len(first.shared_extras), -len(contexts)


def phase_place(phase: str) -> int:
    """The place of a phase among PHASES; unknown ones come last."""
    return PHASES.index(phase) if phase in PHASES else len(PHASES)


def group_timings(timings: Iterable[Timing]) -> dict[GroupKey, list[Timing]]:
    """Group timings by their axes but LINE_AXES, all further settings but the variant's own, and the label; sorted."""

    # Paged caches and mixed lengths take other times, and another width or number of heads is another model.
    by_key = grouped(timings, lambda t: (*axes_without(t, LINE_AXES), *t.shared_settings, (LABEL, t.label)))
    return dict(sorted(by_key.items()))


def groups_to_plot(timings_by_group: Mapping[GroupKey, Sequence[Timing]]) -> list[GroupKey]:
    """Choose the groups that get a figure: those of several launches first, since they alone tell an order.

    Two kinds of group are left to the tables: those that repeat another group of their label with a different number
    of new tokens but fewer variants, and those with a single context where others of their label have several, unless
    the same model without their further settings has them. What other labels have drops nothing: a person's few runs
    stand beside many reference records.
    """
    settings = {name for timings in timings_by_group.values() for name, _ in timings[0].shared_settings}
    further = {name for name in settings if not name.startswith("geometry.")}
    num_variants = {key: len({t.variant for t in timings}) for key, timings in timings_by_group.items()}
    num_contexts = dict.fromkeys(timings_by_group, 0)
    for keys in grouped(timings_by_group, lambda key: drop_settings(key, further)).values():
        most = max(len({timing.tokens for timing in timings_by_group[key]} - {None}) for key in keys)
        num_contexts |= dict.fromkeys(keys, most)
    siblings = grouped(timings_by_group, lambda key: drop_settings(key, ["query_len"])).values()
    most_variants = {key: max(num_variants[sibling] for sibling in keys) for keys in siblings for key in keys}
    by_label = grouped(timings_by_group, lambda key: dict(key).get(LABEL)).values()
    min_contexts = {key: min(2, max(map(num_contexts.__getitem__, keys))) for keys in by_label for key in keys}
    keys = [
        key
        for key in timings_by_group
        if num_variants[key] == most_variants[key] and num_contexts[key] >= min_contexts[key]
    ]
    return sorted(keys, key=lambda key: all(timing.interval.launches == 1 for timing in timings_by_group[key]))


def group_titles(keys: Iterable[GroupKey]) -> dict[GroupKey, tuple[Text, Text]]:
    """For each group its title, and the settings in which groups differ.

    A setting that some lack differs from one that others have only where no title tells the two apart.
    """
    keys, titles = list(keys), {}
    differ_where_set = differing(keys, ignoring=[""])
    for key, differ_under_title in zip(keys, differences(keys, alike_in=TITLE_AXES), strict=True):
        geometry, phase, *rest = (dict(key).get(name, "") for name in TITLE_AXES)
        names = {*differ_where_set, *differ_under_title} - {*TITLE_AXES, LABEL}
        settings = [f"{name}={value}" for name, value in key if value and name in names]
        titles[key] = dotted(geometry, phase_name(phase), *rest), dotted(*settings)
    return titles


def group_facets(keys: Iterable[GroupKey]) -> dict[GroupKey, dict[str, Text]]:
    """For each group the facets by which a reader chooses it: those of every case, and what else differs.

    What a group has no value of is its default: a selector needs a word for it.
    """
    keys = list(keys)
    # A prompt has no new tokens a step, so passes differ in that without a choice.
    names = differing(keys, alike_in=["phase"])
    unnamed = names - {*FACET_AXES, *TITLE_AXES, LABEL}  # settings that no facet of their own says
    settings = {key: ", ".join(f"{name}={value}" for name, value in key if name in unnamed and value) for key in keys}
    facets: dict[GroupKey, dict[str, Text]] = {}
    for key in keys:
        axes = dict(key)
        facets[key] = case_facets(axes) | {name: axes.get(name) or DEFAULT for name in FACET_AXES if name in names}
        facets[key] |= {LABEL: axes[LABEL]} if LABEL in axes else {}
        facets[key] |= {"settings": settings[key] or DEFAULT} if any(settings.values()) else {}
    return facets


def differing_settings(cases: Mapping[K, Sequence[Timing]], *, ignore: Collection[str]) -> dict[K, str]:
    """Describe each case by the axes that differ between cases and by all its further settings: `tp=16, batch=8`.

    A case may have several timings that agree in their axes.
    """
    axes = {key: axes_without(timings[0], ignore) for key, timings in cases.items()}
    names = differing(axes.values()) - {"query_len"}  # one query is what decoding means
    texts = {}
    for key, case in cases.items():
        settings = [f"{n}={v}" for n, v in axes[key] if v and (n in names or v != USUAL_VALUES.get(n, v))]
        texts[key] = ", ".join([*settings, *dict.fromkeys(setting for t in case for setting in t.line[1:])])
    return texts


def axes_without(timing: Timing, names: Collection[str]) -> Pairs:
    return tuple(pair for pair in timing.axes if pair[0] not in names)


def side_by_side(
    timings: Iterable[Timing], first: str, second: str, ignore: Collection[str] = ("attention",)
) -> list[tuple[Timing, Timing]]:
    """All pairs of two variants' timings that agree in label, span, shared settings, and all axes but `ignore`."""
    cases = grouped(timings, lambda t: (t.label, t.span, axes_without(t, ignore), t.shared_extras))
    return [
        (ours, theirs)
        for case in cases.values()
        for ours in case
        for theirs in case
        if (ours.variant, theirs.variant) == (first, second)
    ]


def line_names(timings: Iterable[Timing]) -> str:
    """The names of the lines that timings belong to, each once: backend and further settings."""
    return " / ".join(dict.fromkeys(", ".join(timing.line) for timing in timings))


def most_common_context(cases: Iterable[tuple[int | None, object]]) -> int | None:
    """The longest of the contexts that have the most cases; each case counts once."""
    counts = Counter(tokens for tokens, _ in set(cases) if tokens)
    return max(counts, key=lambda tokens: (counts[tokens], tokens), default=None)
