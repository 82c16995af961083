"""Rulings on the article's claims on attention: what MLA's cache, its speed and its code cost beside MHA's and GQA's.

Timings are told apart by the ratio of two medians within both intervals over launches, as the sign map compares them.
Sizes and counts need no statistics: they are what was counted on the real cache, or follow from a closed form.
"""

import ast
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import suite
from suite.records import numbers
from suite.records.derived import noted
from suite.report.answers.claims import CONTRADICTED, DEPENDS, LEFT_OPEN, MIXED, SUPPORTED, Verdict
from suite.report.answers.leads import lead_of_size, lead_of_times
from suite.report.answers.rulings import ABOUT, Ruled, explaining, setting_name, told_flips, value_text
from suite.report.attention import callstyle, memory
from suite.report.attention.groups import axes_of, side_by_side
from suite.report.attention.timings import KERNEL, LAYER, Timing, one_a_record, span_title, timings
from suite.report.blocks import Lead, Text, joined, say
from suite.report.model.experiment import grouped
from suite.report.model.labels import phase_name, rank, variant_label
from suite.report.model.machine_labels import plain_name
from suite.report.model.results import Results
from suite.report.model.run import machine_name, mapping, number_of
from suite.statistics.intervals import Ratio, ratio_of_medians
from suite.theory.attention_plan import ELEMENT_BYTES
from suite.theory.geometry import load_geometry
from suite.theory.latent_shapes import absorbed_shape, expanded_once_shape, expanded_shape
from suite.theory.shapes import LayerShape, Pass, grouped_shape, kernel_flops, layer_flops

DEPLOYED = {"decode": ("mla",), "prefill": ("mla", "mla_expanded"), "train": ("mla", "mla_expanded")}
"""MLA as one deploys it, by phase: absorbed in decode, expanded in a prefill and in training."""
ABSORBED, EXPANDED = "mla_absorbed", "mla_expanded"
RIVALS = ("mha", "gqa")
SHIPPED = "deepseek-v3"
"""The published model whose sizes closed forms take."""
KEPT_HEADS: Mapping[str, int | str] = {"mha": "all", "gqa8": 8, "gqa2": 2}
"""Key-value heads of the caches that MLA's is compared with."""
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
MANY_LINES = 2.0
"""A layer of so many times as many lines is harder to write, by any reading."""
CODE = Path(suite.__file__).parent / "attention"


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


@dataclass(frozen=True, kw_only=True)
class Cached:
    """The bytes that MLA keeps of a token and layer beside another cache's."""

    other: Text
    where: Text
    ratio: float
    mode: str = "latent"
    """`latent`, or `expanded` for keys and values written out."""
    rival: str = "mha"
    timing: Timing | None = None
    """The record that was counted; None for a closed form."""
    elements: tuple[float, float] | None = None


def less_kv_memory(results: Results) -> Verdict:
    """Rule on the size of MLA's cache beside MHA's and GQA's, counted on real caches and by closed forms."""
    counted, forms = counted_caches(results), caches_by_form()
    every = [*counted, *forms]
    ruled = [
        Ruled(
            settings={"versus": f"{one.mode}_{one.rival}"},
            ruling=SUPPORTED if one.ratio < 1 else CONTRADICTED if one.ratio > 1 else LEFT_OPEN,
        )
        for one in every
    ]
    outcomes = {one.ruling for one in ruled if one.ruling != LEFT_OPEN}
    first = next((one for one in counted if (one.mode, one.rival) == ("latent", "mha")), forms[0])
    sentences = [say("answer.told.cached", told=joined("notes", map(_told_cache, counted)))] if counted else []
    sentences.append(say("answer.told.cached_forms", model=SHIPPED, told=joined("notes", map(_told_cache, forms))))
    larger: dict[tuple[str, Text], Cached] = {}
    for one in every:
        if one.ratio > 1:
            larger.setdefault((one.mode, one.other), one)
    return Verdict(
        outcome=DEPENDS if len(outcomes) > 1 else next(iter(outcomes)),
        text=joined("sentence", sentences),
        on=setting_name("versus"),
        lead=lead_of_size(
            first.ratio,
            say("answer.about.cache", other=first.other, where=first.where),
            say("answer.of", share=numbers.percent(first.ratio), other=first.other),
        ),
        flips=say("answer.flips.cache", told=joined("notes", map(_told_cache, list(larger.values())[:MOST_TOLD]))),
        machine=machine_of(first.timing) if first.timing else "",
        is_projected=first.timing is None,
    )


def _told_cache(one: Cached) -> Text:
    return say(f"answer.told.cache.{one.mode}", other=one.other, where=one.where, ratio=numbers.times(one.ratio))


def counted_caches(results: Results) -> list[Cached]:
    """Return the caches that records counted, each geometry and rival once."""
    found = one_a_record(timing for timing in timings(results) if timing.axis("phase") == "decode" and timing.tokens)
    of_equal_heads = [timing for timing in found if timing.axis("match") in ("", "heads")]
    kept = [timing for timing in of_equal_heads if memory.COUNTED(timing) and not timing.axis("cache_dtype")]
    cases = grouped(
        kept,
        lambda timing: (axes_of(timing, ["attention", "backend", "query_len"]), timing.shared_extras, timing.label),
    )
    caches: dict[tuple[object, ...], Cached] = {}
    for case in cases.values():
        for mla in case:
            for other in case:
                if mla.variant in ("mla", EXPANDED) and other.variant in RIVALS and not mla.own_sizes + other.own_sizes:
                    mode = "expanded" if mla.variant == EXPANDED else "latent"
                    geometry, heads = mla.axis("geometry"), ", ".join(mla.shared_extras)
                    ratio = (memory.COUNTED(mla) or 0.0) / (memory.COUNTED(other) or 1.0)
                    key = (mode, other.variant, geometry, heads, mla.axis("tp"))
                    name = _grouped_name(other)
                    where = joined(
                        ", ", [geometry, heads, f"tp {mla.axis('tp')}" if mla.axis("tp") not in ("", "1") else ""]
                    )
                    cached = Cached(other=name, where=where, ratio=ratio, mode=mode, rival=other.variant, timing=mla)
                    caches.setdefault(key, cached)
    return sorted(caches.values(), key=_cache_place)


def _cache_place(one: Cached) -> tuple[object, ...]:
    """Sort caches: latents first, then by rival, those of models with a latent of their own before others."""
    geometry = mapping(one.timing.record.settings, "geometry") if one.timing else {}
    return (
        one.mode != "latent",
        rank(one.rival),
        geometry.get("attention") != "mla",
        len(str(one.where)),
        str(one.where),
    )


def _grouped_name(timing: Timing) -> str:
    """Return a variant with its key-value heads, by what its cache is of MHA's: GQA-2."""
    heads, share = mapping(timing.record.settings, "geometry").get("num_heads"), timing.cache_share
    if timing.variant != "gqa" or not isinstance(heads, int) or not share:
        return variant_label(timing.variant)
    tp = timing.axis("tp")
    return f"{variant_label('gqa')}-{share * heads / int(tp if tp.isdecimal() else 1):.0f}"


def caches_by_form() -> list[Cached]:
    """Return MLA's cache beside others by closed form, at a published model's sizes."""
    geometry, forward = load_geometry(SHIPPED), _step(1)
    latent, wide = absorbed_shape(geometry), expanded_shape(geometry)
    grouped_caches = {name: grouped_shape(geometry, kv_heads=heads) for name, heads in KEPT_HEADS.items()}
    names = {"mha": variant_label("mha"), "gqa8": "GQA-8", "gqa2": "GQA-2"}

    def cached(ours: LayerShape, name: str, mode: str) -> Cached:
        ratio = ours.cache_bytes_per_token(forward) / grouped_caches[name].cache_bytes_per_token(forward)
        return Cached(other=names[name], where=SHIPPED, ratio=ratio, mode=mode, rival=name)

    return [*(cached(latent, name, "latent") for name in KEPT_HEADS), cached(wide, "mha", "expanded")]


def _step(seq_len: int, query_len: int = 1) -> Pass:
    return Pass(batch=1, query_len=query_len, seq_len=seq_len, element_bytes=2)


def lowers_compute(results: Results) -> Verdict:
    """Rule on MLA's FLOPs by closed forms, at DeepSeek's sizes: of the kernel, in which the context counts.

    A whole layer's FLOPs are told beside it: there MLA's smaller projections count until the context outgrows them.
    """
    geometry = load_geometry(SHIPPED)
    absorbed, expanded = absorbed_shape(geometry), expanded_once_shape(geometry)
    mha, gqa = (grouped_shape(geometry, kv_heads=KEPT_HEADS[name]) for name in ("mha", "gqa8"))
    forward, prompt = _step(1), _step(4096, 4096)
    decode = [kernel_flops(absorbed, forward) / kernel_flops(other, forward) for other in (mha, expanded)]
    prefill = kernel_flops(expanded, prompt) / kernel_flops(mha, prompt)
    costs_more = min(decode) > 1 and prefill > 1
    saves = max(decode) < 1 and prefill < 1
    evens = {name: _evens_at(absorbed, other) for name, other in (("mha", mha), ("gqa", gqa))}
    fields = {
        "mha": numbers.times(decode[0]),
        "expanded": numbers.times(decode[1]),
        "prefill": numbers.times(prefill),
        "even_mha": numbers.count(evens["mha"]),
        "even_gqa": numbers.count(evens["gqa"]),
        "model": SHIPPED,
    }
    return Verdict(
        outcome=CONTRADICTED if costs_more else SUPPORTED if saves else DEPENDS,
        text=say("answer.told.compute", **fields),
        on=setting_name("phase"),
        lead=lead_of_size(decode[0], say("answer.about.compute", model=SHIPPED), numbers.times(decode[0])),
        flips=say("answer.flips.compute", **fields),
        is_projected=True,
    )


def _evens_at(ours: LayerShape, theirs: LayerShape) -> int:
    """Return the context from which a decode step of a whole layer takes more FLOPs, which grow evenly with it."""
    first, second = ([layer_flops(shape, _step(tokens)) for tokens in (1, 2)] for shape in (ours, theirs))
    slope, ahead = (first[1] - first[0]) - (second[1] - second[0]), second[0] - first[0]
    return max(1, 1 + -(-ahead // slope)) if slope > 0 else 0


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
    at_longest = [
        one for one in shares if one.tokens == max(other.tokens for other in shares if other.case == one.case)
    ]
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

    @property
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


@dataclass(frozen=True, kw_only=True)
class Code:
    """The contents of a layer's file: lines that are code, and weights that are matrices."""

    lines: int
    matrices: int


@functools.cache
def code_of(file: str) -> Code:
    """Count a layer's lines of code, without imports, docstrings and comments, and its matrices."""
    tree = ast.parse((CODE / file).read_text(encoding="utf-8"))
    lines, matrices = set[int](), 0
    for top in tree.body:
        if isinstance(top, ast.ClassDef | ast.FunctionDef):
            strings = {
                id(node.value)
                for node in ast.walk(top)
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            }
            for node in ast.walk(top):
                if isinstance(node, ast.expr | ast.stmt) and id(node) not in strings and not _is_string(node):
                    lines.add(node.lineno)
                is_matrix = (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "init_weight"
                )
                matrices += is_matrix
    return Code(lines=len(lines), matrices=matrices)


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The slowest and the fastest form of one computation."""

    family: str
    slowest: Timing
    fastest: Timing
    forms: int

    @property
    def ratio(self) -> Ratio:
        return ratio_of_medians(self.slowest.interval, self.fastest.interval)

    @property
    def case(self) -> tuple[object, ...]:
        timing = self.slowest
        return (
            timing.label,
            timing.span,
            tuple(map(timing.axis, ("geometry", "phase", "dtype", "seq_len", "query_len", "threads"))),
        )


def spreads(results: Results) -> list[Spread]:
    """Return the spread of each computation over the forms of a call, its modes among them, of whole layers."""
    found = []
    for of_subject in callstyle.computations(results, (callstyle.OURS,)):
        for forms in of_subject:
            layers = sorted((form[LAYER] for form in forms if LAYER in form), key=lambda timing: timing.median_s)
            if len({timing.backend for timing in layers}) > 1:
                family = callstyle.family_of(forms[0])
                found.append(Spread(family=family, slowest=layers[-1], fastest=layers[0], forms=len(layers)))
    return found


def hard_to_implement(results: Results) -> Verdict | None:
    """Rule on how hard MLA is to write: by the lines of its layer over MHA's, and by the spread of speed over forms of
    a call beside those of MHA and GQA.

    Each of the two bears the claim out where MLA's is larger, the lines by MANY_LINES; both together support it.
    """
    mla, others = code_of("latent.py"), code_of("grouped.py")
    found = spreads(results)
    of_mla = [one for one in found if one.family == "mla"]
    if not of_mla:
        return None
    times = mla.lines / others.lines
    code = SUPPORTED if times >= MANY_LINES else CONTRADICTED if times <= 1 else LEFT_OPEN
    pairs = [(one, other) for one in of_mla for other in found if other.family in RIVALS and other.case == one.case]
    wider = [(one, other) for one, other in pairs if one.ratio.low > other.ratio.high]
    narrower = [(one, other) for one, other in pairs if one.ratio.high < other.ratio.low]
    spread = SUPPORTED if wider and not narrower else CONTRADICTED if narrower and not wider else LEFT_OPEN
    outcome = code if code == spread else MIXED if SUPPORTED in (code, spread) else LEFT_OPEN
    widest = max(of_mla, key=lambda one: one.ratio.ratio)
    beside_it = [other for one, other in pairs if one is widest]
    fields = {
        "lines": mla.lines,
        "other_lines": others.lines,
        "matrices": mla.matrices,
        "other_matrices": others.matrices,
    }
    counts = {"wider": len(wider), "narrower": len(narrower), "total": len(pairs)}
    about = say(
        "answer.about.spread",
        forms=widest.forms,
        geometry=widest.slowest.axis("geometry"),
        tokens=numbers.count(widest.slowest.tokens or 0),
        dtype=widest.slowest.axis("dtype"),
    )
    told = [
        say("answer.told.beside", name=variant_label(other.family), ratio=numbers.times(other.ratio.ratio))
        for other in beside_it
    ]
    return Verdict(
        outcome=outcome,
        text=joined(
            "sentence",
            [
                say("answer.told.code", **fields),
                say("answer.told.spread", **counts) if pairs else "",
                say("answer.told.beside_it", told=joined("notes", told)) if told else "",
            ],
        ),
        lead=lead_of_times(widest.ratio, about, [widest.slowest.interval, widest.fastest.interval]),
        flips=joined(
            "sentence", [say("answer.flips.code", **fields), say("answer.told.spread", **counts) if pairs else ""]
        ),
        machine=machine_of(widest.slowest),
        suffices=bool(pairs),
    )
