"""The headlines: what the records say in a sentence, at the longest context that two variants share."""

from collections.abc import Iterable, Sequence

from suite.records import numbers
from suite.records.derived import constant
from suite.records.record import Evidence
from suite.report.results import Results
from suite.report.timings import Timing, axis, clock_names, groups
from suite.report.words import Words

BASELINE = "mha"
PREFERRED = ("mla", "mqa", "gqa")
"""Which variant a headline is about, the first that was measured."""
SPAN = "layer"
MOST = 6
WANTED_LEVEL = 0.95


def headlines(results: Results, words: Words) -> list[str]:
    """At most a handful of sentences; none where no variant stands beside MHA."""
    found = []
    for timings in groups(results).values():
        for label in results.labels:
            pair = _pair([timing for timing in timings if timing.label == label and timing.span == SPAN])
            if pair:
                found.append(_sentence(*pair, results, words))
    return found[:MOST]


def _pair(timings: Sequence[Timing]) -> tuple[Timing, Timing] | None:
    baselines = _by_context(timing for timing in timings if timing.variant == BASELINE)
    for variant in PREFERRED:
        candidates = _by_context(timing for timing in timings if timing.variant == variant)
        shared = baselines.keys() & candidates.keys()
        if shared:
            return candidates[max(shared)], baselines[max(shared)]
    return None


def _by_context(timings: Iterable[Timing]) -> dict[tuple[int, str], Timing]:
    """The fastest measured timing at each context and further settings: a variant stands with its best backend."""
    measured = [timing for timing in timings if timing.record.evidence is Evidence.MEASURED]
    slowest_first = sorted(measured, key=lambda timing: -timing.interval.median)
    return {
        (timing.seq_len, str(timing.record.case.extras)): timing
        for timing in slowest_first
        if timing.seq_len is not None
    }


def _sentence(candidate: Timing, baseline: Timing, results: Results, words: Words) -> str:
    overlap = candidate.interval.low <= baseline.interval.high and baseline.interval.low <= candidate.interval.high
    phase = axis(candidate.record, "phase")
    sentence = words(
        "finding.latency",
        tokens=numbers.count(candidate.seq_len or 0),
        geometry=axis(candidate.record, "geometry"),
        phase=words.either(f"phase.{phase}", phase),
        variant=candidate.variant.upper(),
        baseline=baseline.variant.upper(),
        candidate_time=numbers.seconds(candidate.interval.median),
        baseline_time=numbers.seconds(baseline.interval.median),
        clock=clock_names([candidate, baseline], words),
    )
    parts = [f"{candidate.label}: {sentence}" if results.several else sentence]
    if overlap:
        parts.append(words("finding.overlap"))
    level = min(candidate.interval.level, baseline.interval.level)
    if level < WANTED_LEVEL:
        parts.append(words("finding.few", level=numbers.percent(level)))
    kept, kept_mha = (constant(candidate.record, "case", name) for name in ("cache_bytes", "cache_bytes_mha"))
    if kept and kept_mha:
        parts.append(words("finding.cache", share=numbers.percent(kept / kept_mha)))
    return words("punctuation.sentence").join(parts)
