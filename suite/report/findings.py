"""The headlines: what the records say in a sentence, at the longest context that several variants share.

Every label has its part of them. Of cases that differ only in their new tokens only those with the most variants speak.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from suite.records import numbers
from suite.records.derived import constant
from suite.records.record import Evidence
from suite.report.blocks import Text, joined, say, say_or
from suite.report.lines import worth_drawing
from suite.report.model.results import Results
from suite.report.timings import Timing, axis, clock_names, groups, settings_shown, shared_extras
from suite.statistics.intervals import ONE_LAUNCH_GAP, may_be_equal

BASELINE = "mha"
SPAN = "layer"
MOST, FEWEST_OF_A_LABEL = 6, 2
FEW_VARIANTS = 3
"""What fewer say is left to the sections where others say more."""
SAID = ("attention", "backend", "geometry", "phase", "dtype", "seq_len")
WANTED_LEVEL = 0.95


def headlines(results: Results) -> list[str]:
    """At most a handful of sentences; none where no two variants stand side by side."""
    every = groups(results)
    most = max(FEWEST_OF_A_LABEL, MOST // max(1, len(results.labels)))
    found: list[Sequence[Timing]] = []
    for label in results.labels:
        own = {group: [timing for timing in timings if timing.label == label] for group, timings in every.items()}
        of_label = [_ranked([timing for timing in own[group] if timing.span == SPAN]) for group in worth_drawing(own)]
        longest = max(map(len, of_label), default=0)
        telling = [ranked for ranked in of_label if len(ranked) >= min(FEW_VARIANTS, longest) > 0]
        found += sorted(telling, key=lambda ranked: -len(ranked))[:most]
    settings = settings_shown([ranked[0] for ranked in found], besides=SAID, extras_of=shared_extras)
    sentences = [_sentence(ranked, said, results) for ranked, said in zip(found, settings, strict=True)]
    return [
        *sentences,
    ]


def _ranked(timings: Sequence[Timing]) -> list[Timing]:
    """At the longest context that at least two variants have, the fastest measured timing of each, and of each of its
    own sizes; fastest first."""
    best: dict[tuple[int, tuple[str, ...]], dict[str, Timing]] = defaultdict(dict)
    for timing in sorted(timings, key=lambda timing: -timing.interval.median):
        if timing.seq_len is not None and timing.record.evidence is Evidence.MEASURED:
            best[timing.seq_len, tuple(shared_extras(timing.record))][timing.sized_variant] = timing
    shared = [key for key, found in best.items() if len({timing.variant for timing in found.values()}) > 1]
    return sorted(best[max(shared)].values(), key=lambda timing: timing.interval.median) if shared else []


def _sentence(ranked: Sequence[Timing], settings: str, results: Results) -> Text:
    first = ranked[0]
    phase = axis(first.record, "phase")
    sentence = say(
        "finding.latency",
        tokens=numbers.count(first.seq_len or 0),
        geometry=axis(first.record, "geometry"),
        dtype=axis(first.record, "dtype"),
        settings=say("finding.settings", settings=settings) if settings else "",
        phase=say_or(f"phase.{phase}", phase),
        clock=clock_names(ranked),
        ranking=joined("list", _items(ranked)),
    )
    parts = [joined(": ", [first.label, sentence]) if results.several else sentence]
    neighbours = [(faster.interval, slower.interval) for faster, slower in pairwise(ranked)]
    near = [both for both in neighbours if may_be_equal(*both)]
    if near:
        parts.append(say("finding.overlap"))
    level = min(timing.interval.level for timing in ranked)
    if any(timing.interval.count == 1 for timing in ranked):
        parts.append(say("finding.single"))
    elif level < WANTED_LEVEL:
        parts.append(say("finding.few", level=numbers.percent(level)))
    if any(interval.launches == 1 for both in near for interval in both):
        parts.append(say("finding.one_launch", gap=numbers.percent(ONE_LAUNCH_GAP - 1)))
    return joined("sentence", parts)


def _items(ranked: Sequence[Timing]) -> Iterable[str]:
    """Each variant with its time and what it keeps of MHA's cache."""
    for timing in ranked:
        kept, kept_mha = (constant(timing.record, "case", name) for name in ("cache_bytes", "cache_bytes_mha"))
        item: Text = f"{timing.sized_variant} {numbers.seconds(timing.interval.median)}"
        if kept and kept_mha and timing.variant != BASELINE:
            item = say("finding.item", item=item, share=numbers.percent(kept / kept_mha))
        yield item
