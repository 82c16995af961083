"""Rulings on the article's claims on attention's time: decoding, training, and what MHA takes of a step.

Timings are told apart by the ratio of two medians within both intervals over launches, as the sign map compares them.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from suite.records import numbers
from suite.records.derived import noted
from suite.records.machines import plain_name
from suite.report.answers.claims import CONTRADICTED, DEPENDS, LEFT_OPEN, SUPPORTED, Verdict
from suite.report.answers.leads import lead_of_times
from suite.report.answers.rulings import ABOUT, Ruled, explaining, setting_name, told_flips, value_text
from suite.report.attention import memory
from suite.report.attention.groups import axes_of, side_by_side
from suite.report.attention.timings import KERNEL, LAYER, Timing, span_title, timings
from suite.report.blocks import Lead, Text, joined, say
from suite.report.model.experiment import grouped
from suite.report.model.labels import phase_name, variant_label
from suite.report.model.results import Results
from suite.report.model.run import machine_name, mapping, number_of
from suite.statistics.intervals import Ratio, ratio_of_medians
from suite.theory.attention_plan import ELEMENT_BYTES

DEPLOYED = {"decode": ("mla",), "prefill": ("mla", "mla_expanded"), "train": ("mla", "mla_expanded")}
"""MLA as one deploys it, by phase: absorbed in decode, expanded in a prefill and in training."""
ABSORBED, EXPANDED = "mla_absorbed", "mla_expanded"
RIVALS = ("mha", "gqa")
TURNING = ("seq_len", "query_len", "heads")
MOST_TOLD = 3
HALF = 0.5
SERVED = "bfloat16"
"""The dtype that models are served in, which leads where there are several."""
TIMED_SETTINGS = (
    "versus",
    "phase",
    "query_len",
    "heads",
    "seq_len",
    "dtype",
    "geometry",
    "tp",
    "match",
    "machine",
    "batch",
)
"""Settings that a verdict on timings may depend on; of those that tell as much the first."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A quantity of MLA beside that of another variant, in one case."""

    mla: Timing
    other: Timing
    ratio: Ratio
    """The other's time over MLA's: above 1 speaks for MLA."""

    @property
    def ruling(self) -> str:
        if not self.ratio.is_told_apart:
            return LEFT_OPEN
        return SUPPORTED if self.ratio.ratio > 1 else CONTRADICTED

    @functools.cached_property
    def settings(self) -> dict[str, str]:
        axes = {
            name: self.mla.axis(name)
            for name in ("phase", "query_len", "seq_len", "dtype", "geometry", "tp", "batch", "match")
        }
        heads = mapping(self.mla.record.settings, "geometry").get("num_heads")
        own = {"versus": self.other.variant, "heads": str(heads or ""), "machine": machine_of(self.mla)}
        return {name: value for name, value in {**axes, **own}.items() if value}

    @property
    def ruled(self) -> Ruled:
        return Ruled(settings=self.settings, ruling=self.ruling)


def machine_of(timing: Timing) -> str:
    """Return the name of the machine that a timing was taken on."""
    return plain_name(machine_name(timing.record))


def faster_inference(results: Results) -> Verdict | None:
    """Rule on MLA as faster than MHA and GQA, in decode and in a prefill, as it is deployed; the whole layer counts."""
    found = [pair for phase in ("decode", "prefill") for pair in beside(results, phase)]
    if not found:
        return None
    layers = [pair for pair in found if pair.mla.span == LAYER] or found
    sentences = [_counted("answer.told.layer", layers)]
    if kernels := [pair for pair in found if pair.mla.span == KERNEL]:
        sentences.append(_counted("answer.told.kernel", kernels))
    if absorbed := [pair for pair in beside(results, "prefill", (ABSORBED,)) if pair.mla.span == LAYER]:
        sentences.append(_counted("answer.told.absorbed", absorbed))
    sentences += [_ranges(layers), *_turns(found)]
    return _of_timings(layers, sentences)


def _turns(found: Sequence[Compared]) -> list[Text]:
    """Tell the first contexts, numbers of new tokens and of heads at which MLA changes sides with all else the same."""
    told = list[Text]()
    for name in TURNING:
        alike = grouped(found, partial(_without, name))
        turns = [turn for same in alike.values() for turn in _turns_of(name, same)]
        fields = {"told": joined("notes", turns[:MOST_TOLD]), "count": len(turns)}
        told += [say("answer.told.turns", name=setting_name(name), **fields)] if turns else []
    return told


def _without(name: str, pair: Compared) -> tuple[object, ...]:
    """Return what a pair is about but for a setting."""
    return pair.mla.span, *sorted((key, value) for key, value in pair.settings.items() if key != name)


def _turns_of(name: str, same: Sequence[Compared]) -> list[Text]:
    """Return the values between which MLA turns from faster to slower, or back."""
    ordered = sorted(
        (pair for pair in same if pair.ruling != LEFT_OPEN),
        key=lambda pair: number_of(pair.settings.get(name, "")) or 0.0,
    )
    turns = list[Text]()
    for pair, after in pairwise(ordered):
        if pair.ruling != after.ruling:
            sides = {"first": value_text(name, pair.settings[name]), "then": value_text(name, after.settings[name])}
            fields = {
                "geometry": pair.settings["geometry"],
                "dtype": pair.settings["dtype"],
                "other": variant_label(pair.other.variant),
            }
            way = "slower" if after.ruling == CONTRADICTED else "faster"
            turns.append(
                say(
                    f"answer.told.turn.{way}",
                    span=span_title(pair.mla.span),
                    phase=phase_name(pair.mla.axis("phase")),
                    **sides,
                    **fields,
                )
            )
    return turns


def cheaper_training(results: Results) -> Verdict | None:
    """Rule on MLA as cheaper to train than MHA and GQA: by the time of a forward and backward pass, and by its peak."""
    found = [pair for pair in beside(results, "train") if pair.mla.span == LAYER]
    if not found:
        return None
    sentences = [_counted("answer.told.training", found), _ranges(found)]
    peaks = [(pair, ratio) for pair in found if (ratio := _peak_ratio(pair)) is not None]
    if peaks:
        low, high = (numbers.times(end) for end in (min(ratio for _, ratio in peaks), max(ratio for _, ratio in peaks)))
        less = sum(ratio < 1 for _, ratio in peaks)
        sentences.append(say("answer.told.peaks", less=less, total=len(peaks), low=low, high=high))
    if absorbed := [pair for pair in beside(results, "train", (ABSORBED,)) if pair.mla.span == LAYER]:
        sentences.append(_counted("answer.told.absorbed_training", absorbed))
    # A size that nothing varies is told apart wherever it differs.
    known = [
        Ruled(
            settings={**pair.settings, ABOUT: "peak"},
            ruling=SUPPORTED if ratio < 1 else CONTRADICTED if ratio > 1 else LEFT_OPEN,
        )
        for pair, ratio in peaks
    ]
    return _of_timings(found, sentences, known)


def _peak_ratio(pair: Compared) -> float | None:
    """Return MLA's peak over the other's."""
    ours, theirs = memory.LAYER_PEAK(pair.mla), memory.LAYER_PEAK(pair.other)
    return ours / theirs if ours and theirs else None


def beside(results: Results, phase: str, variants: Sequence[str] = ()) -> list[Compared]:
    """Compare MLA's timings of a phase with MHA's and GQA's that agree in everything else; as it is deployed unless
    other variants are named. Where `auto` chose no kernel of both, each is taken with its fastest backend.
    """
    of_phase = [
        timing
        for timing in timings(results)
        if timing.is_measured and timing.tokens and timing.axis("phase") == phase and timing.span in (LAYER, KERNEL)
    ]
    by_auto = [timing for timing in of_phase if timing.axis("backend") == "auto"]
    pairs = _beside(by_auto, variants or DEPLOYED[phase])
    return pairs or _beside(_fastest(of_phase), variants or DEPLOYED[phase])


def _beside(timed: Sequence[Timing], variants: Sequence[str]) -> list[Compared]:
    return [
        Compared(mla=mla, other=other, ratio=ratio_of_medians(other.interval, mla.interval))
        for variant in variants
        for rival in RIVALS
        for mla, other in side_by_side(timed, variant, rival, ["attention", "backend"])
    ]


def _fastest(timed: Sequence[Timing]) -> list[Timing]:
    """Return each case by the backend that is fastest at it."""
    cases = grouped(timed, lambda timing: (timing.label, timing.span, axes_of(timing, ["backend"]), timing.line[1:]))
    return [min(alike, key=lambda timing: timing.median_s) for alike in cases.values()]


def _of_timings(found: Sequence[Compared], sentences: Sequence[Text], known: Sequence[Ruled] = ()) -> Verdict:
    """Rule on ratios of times, and on sizes beside them."""
    ruled = [pair.ruled for pair in found]
    if known:
        ruled = [Ruled(settings={**one.settings, ABOUT: "time"}, ruling=one.ruling) for one in ruled] + list(known)
    telling = [one for one in ruled if one.ruling != LEFT_OPEN]
    outcomes = {one.ruling for one in telling}
    outcome = DEPENDS if len(outcomes) > 1 else next(iter(outcomes), LEFT_OPEN)
    differing = [name for name in (*TIMED_SETTINGS, ABOUT) if len({one.value(name) for one in telling}) > 1]
    names = explaining(telling, differing) if outcome == DEPENDS else []
    first = _lead_pair(found, outcome)
    return Verdict(
        outcome=outcome,
        text=joined("sentence", sentences),
        on=joined("list", map(setting_name, names)),
        lead=_lead(first),
        flips=told_flips(
            ruled,
            [*dict.fromkeys([*names, *["phase"] * (len({one.value("phase") for one in ruled}) > 1)])] or ["versus"],
        ),
        machine=machine_of(first.mla),
        suffices=any(min(pair.mla.interval.count, pair.other.interval.count) > 1 for pair in found),
    )


def _lead_pair(found: Sequence[Compared], outcome: str) -> Compared:
    """Return the pair that leads: told apart over several launches, one new token, in decode, against GQA, as served;
    of those the longest context.
    """
    bearing = [pair for pair in found if pair.ruling == outcome] or found

    def place(pair: Compared) -> tuple[bool, ...]:
        mla = pair.mla
        plain = len(mla.shared_extras) == 0 and mla.axis("tp") in ("", "1")
        return (
            pair.ratio.is_told_apart,
            plain and mla.axis("query_len") in ("", "0", "1"),
            mla.axis("phase") == "decode",
            min(mla.interval.launches, pair.other.interval.launches) > 1,
            pair.other.variant == "gqa",
            mla.axis("dtype") == SERVED,
        )

    best = max(map(place, bearing))
    return max((pair for pair in bearing if place(pair) == best), key=lambda pair: pair.mla.tokens or 0)


def _lead(pair: Compared) -> Lead:
    about = say(
        "answer.about.speed",
        other=pair.other.sized_variant,
        phase=phase_name(pair.mla.axis("phase")),
        geometry=pair.mla.axis("geometry"),
        tokens=numbers.count(pair.mla.tokens or 0),
        dtype=pair.mla.axis("dtype"),
    )
    return lead_of_times(pair.ratio, about, [pair.mla.interval, pair.other.interval])


def _counted(key: str, found: Sequence[Compared]) -> Text:
    """Count, for each rival and phase, the cases in which MLA is told apart as faster and as slower."""
    groups = grouped(found, lambda pair: (pair.other.variant, pair.mla.axis("phase")))
    parts = []
    for (rival, phase), pairs in groups.items():
        rulings = [pair.ruling for pair in pairs]
        counts = {"faster": rulings.count(SUPPORTED), "slower": rulings.count(CONTRADICTED), "total": len(pairs)}
        parts.append(say("answer.told.against", other=variant_label(rival), phase=phase_name(phase), **counts))
    return say(key, told=joined("notes", parts))


def _ranges(found: Sequence[Compared]) -> Text:
    """Tell the ends of each rival's and phase's ratios, and at which context they are."""
    parts = []
    for (rival, phase), pairs in grouped(found, lambda pair: (pair.other.variant, pair.mla.axis("phase"))).items():
        by_ratio = sorted(pairs, key=lambda pair: pair.ratio.ratio)
        ends = [
            (numbers.times(pair.ratio.ratio), numbers.count(pair.mla.tokens or 0))
            for pair in (by_ratio[0], by_ratio[-1])
        ]
        (low, at_low), (high, at_high) = ends
        fields = {"low": low, "at_low": at_low, "high": high, "at_high": at_high}
        parts.append(say("answer.told.range", other=variant_label(rival), phase=phase_name(phase), **fields))
    return say("answer.told.ranges", told=joined("notes", parts))


def heavy(results: Results) -> Verdict | None:
    """Rule on what MHA pays for its context: the share of a decode step's time and memory that its cache takes.

    A share above a half at the longest context bears the claim out; below a half it speaks against it.
    """
    shares = heavy_shares(results)
    if not shares:
        return None
    longest = max(shares, key=_longest)
    of_case = [one for one in shares if one.case == longest.case]
    ruled = [Ruled(settings={"seq_len": str(one.tokens), **dict(one.case)}, ruling=one.ruling) for one in shares]
    by_case = grouped(shares, lambda one: one.case)
    at_longest = [one for same in by_case.values() for one in same if one.tokens == max(other.tokens for other in same)]
    outcomes = {one.ruling for one in at_longest} - {LEFT_OPEN}
    outcome = DEPENDS if len(outcomes) > 1 else next(iter(outcomes), LEFT_OPEN)
    differing = [name for name, _ in longest.case if len({one.value(name) for one in ruled}) > 1]
    names = explaining([one for one in ruled if one.ruling != LEFT_OPEN], differing) if outcome == DEPENDS else []
    about = {"geometry": longest.layer.axis("geometry"), "dtype": longest.layer.axis("dtype")}
    return Verdict(
        outcome=outcome,
        text=joined(
            "sentence",
            [
                say(
                    "answer.told.heavy", told=joined("notes", map(_told_share, sorted(of_case, key=_longest))), **about
                ),
                _others(shares),
            ],
        ),
        on=joined("list", map(setting_name, names)),
        lead=lead_of_times(
            replace(longest.ratio, high=min(longest.ratio.high, 1.0)),
            say("answer.about.heavy", tokens=numbers.count(longest.tokens), **about),
            [longest.kernel.interval, longest.layer.interval],
            text=numbers.percent,
            neutral=HALF,
        ),
        flips=_half_at(of_case),
        machine=machine_of(longest.layer),
        suffices=any(one.ruling != LEFT_OPEN for one in shares),
    )


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of one decode step of a layer that attention over MHA's cache takes."""

    kernel: Timing
    layer: Timing
    ratio: Ratio
    memory: float | None
    """The cache's bytes of those that the layer holds, weights included."""

    @property
    def tokens(self) -> int:
        return self.layer.tokens or 0

    @functools.cached_property
    def case(self) -> tuple[tuple[str, str], ...]:
        """Return what it shares with other contexts."""
        return (*axes_of(self.layer, ["attention", "seq_len"]), ("machine", machine_of(self.layer)))

    @property
    def ruling(self) -> str:
        if 1 in (self.kernel.interval.count, self.layer.interval.count):
            return LEFT_OPEN
        return SUPPORTED if self.ratio.low > HALF else CONTRADICTED if self.ratio.high < HALF else LEFT_OPEN


def _longest(share: Share) -> tuple[int, bool]:
    return share.tokens, share.layer.axis("dtype") == SERVED


def heavy_shares(results: Results) -> list[Share]:
    """Return the shares of every measured decode step of MHA with one new token, by `auto` where it was asked."""
    decodes = [
        timing
        for timing in timings(results)
        if (timing.variant, timing.axis("phase"), timing.axis("query_len")) == ("mha", "decode", "1")
        and timing.is_measured
        and timing.tokens
        and not timing.axis("cache_dtype")
    ]
    chosen = [timing for timing in decodes if timing.axis("backend") == "auto"] or decodes
    shares = []
    for same in grouped(chosen, lambda timing: timing.current.record.case.id + timing.label).values():
        spans = {timing.span: timing for timing in same}
        if KERNEL in spans and LAYER in spans:
            kernel, layer = spans[KERNEL], spans[LAYER]
            ratio = ratio_of_medians(kernel.interval, layer.interval)
            shares.append(Share(kernel=kernel, layer=layer, ratio=ratio, memory=_share_of_memory(layer)))
    return sorted(shares, key=lambda one: (one.case, one.tokens))


def _share_of_memory(timing: Timing) -> float | None:
    cache, weights = memory.COUNTED(timing), noted(timing.record, "case", "parameter_count")
    element = ELEMENT_BYTES.get(timing.axis("dtype"))
    return cache / (cache + weights * element) if cache and weights and element else None


def _told_share(one: Share) -> Text:
    fields = {"tokens": numbers.count(one.tokens), "time": numbers.percent(one.ratio.ratio)}
    known = numbers.NOTHING if one.memory is None else numbers.percent(one.memory)
    return say("answer.told.share", memory=known, **fields)


def _others(shares: Sequence[Share]) -> Text:
    rulings = [one.ruling for one in shares]
    counts = {"above": rulings.count(SUPPORTED), "below": rulings.count(CONTRADICTED), "total": len(shares)}
    return say("answer.told.shares", **counts)


def _half_at(shares: Sequence[Share]) -> Text:
    """Say from which measured context on the cache takes most of the step."""
    above = [one.tokens for one in shares if one.ruling == SUPPORTED]
    below = [one.tokens for one in shares if one.ruling == CONTRADICTED]
    if not above or not below:
        return say("answer.flips.heavy_none", least=numbers.count(min(one.tokens for one in shares)))
    return say("answer.flips.heavy", below=numbers.count(max(below)), above=numbers.count(min(above)))
